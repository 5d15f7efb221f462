#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/model.h"

// What other programs do to a row before their models see it, in their arithmetic: double, and in their
// order. Our own training uses preprocess.h, whose steps are floats.
namespace nidus::model {

struct Affine;
struct CutColumn;

// Rows in, rows out. Immutable once made. What becomes of a row does not depend on the rows beside it.
class Transform {
 public:
  virtual ~Transform() = default;

  virtual std::size_t inputs() const = 0;
  virtual std::size_t outputs() const = 0;
  // Row-major, count × inputs() to count × outputs(); the two do not overlap.
  virtual void apply(std::span<const double> rows, std::size_t count, std::span<double> out) const = 0;
  // For each output the one input that it is made of, so that what is said of it can be said of that input;
  // empty if outputs mix inputs.
  virtual std::vector<std::uint32_t> sources() const { return {}; }
  // "standard scaler", "principal components: 41 to 10".
  virtual std::string describe() const = 0;
  virtual void save(internal::FileWriter& out) const = 0;

  // What it is made of, for whoever says it in other words: the links of a chain, the numbers of a scaling,
  // the columns of ranks. Nothing of one that is something else.
  virtual std::span<const std::shared_ptr<const Transform>> links() const { return {}; }
  virtual const Affine* affine() const { return nullptr; }
  virtual std::span<const CutColumn> cut_columns() const;

  // The most numbers a row may become.
  static constexpr std::size_t kOutputsMax = 65536;
};

// One after the other; none at all changes nothing. Errc::invalid unless each takes what the one before
// gives.
Result<std::shared_ptr<const Transform>> chain(std::vector<std::shared_ptr<const Transform>> transforms);

// Column by column: x becomes (x - shift) / divisor, or x * factor + shift, then is held between low and
// high.
struct Affine {
  enum class Form : std::uint8_t { shift_then_divide, multiply_then_shift };
  Form form = Form::shift_then_divide;
  std::vector<double> shift, factor;  // the factor is the divisor of the first form
  std::vector<double> low, high;  // both empty, or both of as many entries: the clipping, which leaves NaN
};
// Errc::corrupt for lengths that differ or numbers that are not finite.
Result<std::shared_ptr<const Transform>> make_affine(Affine affine);

// Numbers out of numbers for trees whose thresholds are doubles, so that they can be walked as floats: x
// becomes the number of cuts below it. With the cuts c[0] < c[1] < ..., x <= c[i] exactly when that number is
// <= i.
struct CutColumn {
  std::size_t input = 0;  // the column that is looked at
  std::vector<double>
      cuts;  // ascending, no two equal, none NaN, at most 2^24; infinity is a cut like any other
  // What happens to NaN: it stays (and a tree says where it goes), or counts as 0.
  bool missing_is_zero = false;
  // Numbers this close to 0 are missing; below 0: none is. LightGBM's zero_as_missing says 1e-35.
  double zero_is_missing = -1;
  // If not empty, this is not a rank at all but whether the whole number that x is truncated to is among
  // these: 1 or 0. Ascending. `among_missing` is what NaN and negative numbers become: 0, 1 or NaN.
  std::vector<std::uint32_t> among;
  double among_missing = 0;
  bool is_among = false;  // tells apart an empty set from a rank
};
// One output for each column. Errc::corrupt for a column or cuts that break the rules above.
Result<std::shared_ptr<const Transform>> make_ranks(std::size_t inputs, std::vector<CutColumn> columns);

// A transform and the model behind it, as one wide model.
class TransformedModel final : public Model {
 public:
  // Errc::invalid unless the model takes what the transform gives.
  static Result<TransformedModel> make(std::shared_ptr<const Transform> before,
                                       std::shared_ptr<const Model> model);
  static Result<TransformedModel> load(internal::FileReader& in, int nesting);

  std::size_t inputs() const override { return before_->inputs(); }
  std::size_t outputs() const override { return model_->outputs(); }
  Scale scale() const override { return model_->scale(); }
  void score(std::span<const float> rows, std::size_t count, std::span<double> scores) const override;
  bool is_wide() const override { return true; }
  void score_wide(std::span<const double> rows, std::size_t count, std::span<double> scores) const override;
  std::string describe() const override;
  void save(internal::FileWriter& out) const override;

  const Transform& before() const { return *before_; }
  const Model& model() const { return *model_; }

 private:
  TransformedModel(std::shared_ptr<const Transform> before, std::shared_ptr<const Model> model)
      : before_(std::move(before)), model_(std::move(model)) {}
  std::shared_ptr<const Transform> before_;
  std::shared_ptr<const Model> model_;
};

}  // namespace nidus::model
