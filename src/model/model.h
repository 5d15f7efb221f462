#pragma once

#include <cstddef>
#include <cstdint>
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

// What a score is. The more, the more of an attack, whatever it is.
enum class Scale : std::uint8_t {
  probability,  // a share or probability in [0, 1]; several of a row add up to 1 within rounding
  anomaly,      // how unusual a row is, in [0, 1]; not a probability
  error,        // how badly a row could be reconstructed, not below 0
  margin,       // how far a row lies on the side of its class, any finite number
};

// "probability".
std::string_view name(Scale scale);

// Rows in, scores out. Immutable once made, so one object may be used by any number of threads.
//
// A row is inputs() numbers in the order of the schema it was fitted on; NaN is missing. With two classes
// there is one score a row, that of class 1, the attack; with more there is one for each class. The scores of
// a row do not depend on the rows beside it, nor on the instruction set, to the last bit.
class Model {
 public:
  virtual ~Model() = default;

  virtual std::size_t inputs() const = 0;
  virtual std::size_t outputs() const = 0;
  virtual Scale scale() const { return Scale::probability; }

  // `rows` holds count × inputs() floats, row-major; `scores` has count × outputs() places.
  virtual void score(std::span<const float> rows, std::size_t count, std::span<double> scores) const = 0;

  // Whether the model tells apart numbers that round to one float, as models do that come from programs which
  // compute in double. Its rows had better be given as doubles. A model that is not wide rounds them to float
  // first, which is what its numbers are.
  virtual bool is_wide() const { return false; }
  virtual void score_wide(std::span<const double> rows, std::size_t count, std::span<double> scores) const;

  // "random forest: 100 trees, 51,234 nodes, 41 inputs".
  virtual std::string describe() const = 0;

  // Appends itself to a model file; see model_file.h for the way in.
  virtual void save(internal::FileWriter& out) const = 0;
};

// The score of "not class 0" of each row: the score itself with two classes, else one minus that of class 0.
std::vector<double> attack_scores(const Model& model, std::span<const float> rows, std::size_t count);

// All scores, count × outputs().
std::vector<double> all_scores(const Model& model, std::span<const float> rows, std::size_t count);
std::vector<double> all_scores(const Model& model, std::span<const double> rows, std::size_t count);

}  // namespace nidus::model
