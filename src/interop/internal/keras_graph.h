#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "interop/internal/keras_layers.h"

// In which order the layers of a Keras model are gone through; for keras.cc only.
namespace nidus::interop::internal {

// A layer, or one that joins what several branches give.
struct KerasLink {
  const Json* layer = nullptr;
  std::string path;                              // in a .keras file
  std::vector<std::vector<KerasLink>> branches;  // of a layer that joins: from where all of them begin
};

struct KerasGraph {
  std::vector<KerasLink> links;     // from the row to the result
  std::vector<const Json*> inputs;  // of a functional model, in their order
  bool is_forked = false;
};

bool is_keras_model(const Json& layer);
std::string keras_name(const Json& layer);

// The layers of a model as the file lists them, without branches.
Result<std::vector<KerasLink>> keras_layers_of(const Json& model, const std::string& path);

// Sequential models as they are listed; functional ones of one output by what each layer hears. Where layers
// join, their branches begin at the last layer that all of them pass; what several branches share behind it
// is in each of them. Errc::unsupported for layers that are used twice and for several outputs,
// Errc::corrupt for circles and names that are not there, Errc::exhausted beyond 1,024 links.
Result<KerasGraph> read_keras_graph(const Json& model, const std::string& path);

// How a layer joins. Errc::unsupported if it is not one that does, or joins along another axis than the last.
Result<model::layer::Branches::Join> keras_join(const Json& layer, bool is_sequence);

}  // namespace nidus::interop::internal
