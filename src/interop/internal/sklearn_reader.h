#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "interop/artefact.h"
#include "interop/internal/pickle.h"

// The estimators of scikit-learn out of the values of a pickle. Each function takes the object of a class
// and gives what it is in our terms.
namespace nidus::interop::internal {

class SklearnReader {
 public:
  // `room` bounds what is read out of arrays altogether, in bytes: in a hostile file a thousand estimators
  // may be the same one.
  SklearnReader(bool outline, std::size_t room) : outline_(outline), room_(room) {}

  // Whatever it is.
  Result<Artefact> read(const PickleValue& value);
  // An object that is an estimator or transformer.
  Result<Artefact> read_estimator(const PickleValue& object);

  bool outline() const { return outline_; }
  Result<void> charge(const PickleValue& value, std::size_t bytes);

  // Whether estimators that have margins are wanted to give those instead of probabilities.
  bool margins() const { return margins_; }
  class Margins {
   public:
    Margins(SklearnReader& reader, bool wanted) : reader_(reader), before_(reader.margins_) {
      reader.margins_ = wanted;
    }
    ~Margins() { reader_.margins_ = before_; }
    Margins(const Margins&) = delete;
    Margins& operator=(const Margins&) = delete;

   private:
    SklearnReader& reader_;
    bool before_;
  };

  // How deep we are, and out again.
  class Level {
   public:
    explicit Level(SklearnReader& reader) : reader_(reader) { ++reader_.level_; }
    ~Level() { --reader_.level_; }

   private:
    SklearnReader& reader_;
  };
  bool too_deep() const { return level_ > kLevelsMax; }

 private:
  static constexpr int kLevelsMax = 16;
  bool outline_;
  std::size_t room_;
  int level_ = 0;
  bool margins_ = false;
};

// --- what all of them say

Error corrupt_at(const PickleValue& value, const std::string& what);
Error unsupported_at(const PickleValue& value, const std::string& what);

// "RandomForestClassifier" of "sklearn.ensemble._forest.RandomForestClassifier".
std::string_view class_of(const PickleValue& object);
// "1.4.2", or nothing.
std::string_view version_of(const PickleValue& object);
// Whether the object was written by this version or a later one. True if it does not tell.
bool since(const PickleValue& object, int major, int minor);

// origin and columns.
Artefact begin_artefact(const PickleValue& object, Artefact::Kind kind);
// A model, with its classes too.
Result<Artefact> begin_classifier(const PickleValue& object);
// The number of columns it was fitted on, or 0.
std::size_t features_of(const PickleValue& object);
void set_columns(Artefact& artefact, const PickleValue& object, std::size_t count);

// The numbers of an array or list, in row-major order; `count` of them unless that is 0.
Result<std::vector<double>> numbers_of(const PickleValue& object, std::string_view member, std::size_t count);
Result<std::vector<double>> numbers_of(const PickleValue& value);
// The labels of a class array: "0", "BENIGN", "True".
Result<std::vector<std::string>> texts_of(const PickleValue& value);
Result<std::vector<std::string>> classes_of(const PickleValue& object);
// The elements of a list, tuple or array of objects.
Result<std::vector<PickleValue>> parts_of(const PickleValue& object, std::string_view member);

// --- the families

using SklearnFunction = Result<Artefact> (*)(SklearnReader&, const PickleValue&);
struct SklearnClass {
  std::string_view name;
  SklearnFunction read;
};
// Nothing if no family has the class.
SklearnFunction tree_estimator(std::string_view name);          // sklearn_trees.cc
SklearnFunction hist_gradient_boosting(std::string_view name);  // sklearn_hist.cc
SklearnFunction booster(std::string_view full_name);            // sklearn_boosters.cc
SklearnFunction linear_estimator(std::string_view name);        // sklearn_linear.cc
SklearnFunction transformer(std::string_view name);             // sklearn_transforms.cc
SklearnFunction calibrated_estimator(std::string_view name);    // sklearn_calibrated.cc
SklearnFunction composed_estimator(std::string_view name);      // sklearn_composed.cc

}  // namespace nidus::interop::internal
