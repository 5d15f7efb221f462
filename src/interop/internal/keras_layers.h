#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "interop/internal/hdf5.h"
#include "model/network.h"

// One layer of a Keras model after the other, for keras.cc only.
namespace nidus::interop::internal {

using Json = nlohmann::json;

// The weights of a layer, or of a model within a model, in Keras' order: those that are trained, and behind
// them those that are not.
class KerasWeights {
 public:
  KerasWeights() = default;
  // Of a single layer: each is taken in turn.
  explicit KerasWeights(std::vector<Hdf5::Numbers> values) : values_(std::move(values)) {}
  // Of a model, whose last `frozen` weights are those of all its layers that are not trained.
  KerasWeights(std::vector<Hdf5::Numbers> values, std::size_t frozen)
      : values_(std::move(values)), is_model_(true) {
    next_frozen_ = values_.size() - std::min(frozen, values_.size());
  }

  // The next one, which must have this shape; `is_frozen` says of which sort.
  Result<std::vector<double>> take(const std::vector<std::size_t>& shape, bool is_frozen);
  // The shape of the next one; empty if there is none.
  std::vector<std::size_t> next_shape(bool is_frozen) const;
  bool all_taken() const;

 private:
  std::vector<Hdf5::Numbers> values_;
  std::size_t next_ = 0, next_frozen_ = 0;
  bool is_model_ = false;
};

// The network as far as it has been read.
struct KerasStack {
  int major = 2;  // version of Keras
  model::Shape shape;
  bool is_sequence = false;  // whether Keras sees steps here, or a plain vector
  std::vector<model::Layer> layers;

  // Errc::corrupt if the layer does not fit.
  Result<void> add(model::Layer layer);
};

// Adds what a layer of class `kind` does. Errc::unsupported for classes and options that are not done.
Result<void> add_keras_layer(const std::string& kind, const Json& config, KerasWeights& weights,
                             KerasStack& stack);

// How many weights of a layer are trained, and how many are not. 0 for classes that are not known.
struct KerasCounts {
  std::size_t trained = 0, frozen = 0;
};
KerasCounts keras_counts(const std::string& kind, const Json& config);

// Of an object that may be no object: nothing, or what is given, where there is no such member of that type.
const Json* member(const Json& object, const char* name);
std::string text_of(const Json& object, const char* name);
std::optional<double> number_of(const Json& object, const char* name);
bool flag_of(const Json& object, const char* name, bool otherwise);

}  // namespace nidus::interop::internal
