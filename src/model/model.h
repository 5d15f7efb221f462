#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nidus::model {

namespace internal {
class FileReader;
class FileWriter;
}  // namespace internal

// Rows in, scores out. Immutable once made, so one object may be used by any number of threads.
//
// A row is inputs() floats in the order of the schema it was fitted on; NaN is missing. Scores lie in [0, 1].
// With two classes there is one score a row, the share or probability of class 1, the attack; with more there
// is one for each class, which add up to 1 within rounding. The scores of a row do not depend on the rows
// beside it, nor on the instruction set, to the last bit.
class Model {
 public:
  virtual ~Model() = default;

  virtual std::size_t inputs() const = 0;
  virtual std::size_t outputs() const = 0;

  // `rows` holds count × inputs() floats, row-major; `scores` has count × outputs() places.
  virtual void score(std::span<const float> rows, std::size_t count, std::span<double> scores) const = 0;

  // "random forest: 100 trees, 51,234 nodes, 41 inputs".
  virtual std::string describe() const = 0;

  // Appends itself to a model file; see model_file.h for the way in.
  virtual void save(internal::FileWriter& out) const = 0;
};

// The score of "not class 0" of each row: the score itself with two classes, else one minus that of class 0.
std::vector<double> attack_scores(const Model& model, std::span<const float> rows, std::size_t count);

// All scores, count × outputs().
std::vector<double> all_scores(const Model& model, std::span<const float> rows, std::size_t count);

}  // namespace nidus::model
