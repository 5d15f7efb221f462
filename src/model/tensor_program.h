#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/array.h"
#include "model/model.h"
#include "model/transform.h"
#include "model/trees.h"

namespace nidus::model {

// A straight-line program over arrays of numbers, run for each row by itself. It is what pipelines and
// networks of other programs come down to where no model of ours says the same.
//
// Values are numbered: 0 is the row, then the constants, then the result of each step in order. Each is a
// plain array; shapes were resolved when the program was made. All is computed in double. A step that is
// `single` rounds its results to float, which makes sums, differences, products, quotients and roots of
// floats what they are in float arithmetic, to the last bit; products of matrices are more exact than there.
class TensorProgram {
 public:
  struct Step {
    enum class Op : std::uint8_t {
      // Result i is number picks[i] of the operands, which count as one behind the other.
      pick,
      // For each column of `picks` (input, begin, end): how many of the ascending cuts begin..end of operand
      // 1
      // lie below that number of operand 0; NaN stays. For trees whose thresholds are doubles.
      rank,
      // Operand 0 among the ascending keys of operand 1: the number of operand 2 in its place, or `a`; `b`
      // for
      // NaN.
      lookup,
      // outer × length by length × inner numbers: the product of matrices.
      matmul,
      // outer × (inputs of the trees): for each, the sums of the leaves that it ends in.
      trees,
      // The rest by result: that of operand 0 is number i mod its size, and so for the others.
      select,  // operand 1 where operand 0 is not 0, else operand 2
      // Of two operands; 1 and 0 for true and false, as all that follow.
      add,
      subtract,
      multiply,
      divide,
      power,
      minimum,  // NaN if either is
      maximum,
      less,
      less_or_equal,
      equal,
      logical_and,
      logical_or,
      prelu,  // x, or x times operand 1 where x is below 0
      // Of one operand.
      copy,
      truncate,  // towards 0
      is_true,   // not 0
      logical_not,
      is_missing,  // NaN
      negate,
      absolute,
      reciprocal,
      square_root,
      exponential,
      logarithm,
      floor,
      ceiling,
      round,  // halves to the even neighbour
      sign,
      error_function,
      relu,
      elu,           // x, or a (e^x - 1) below 0
      selu,          // b times that
      leaky_relu,    // x, or a x below 0
      hard_sigmoid,  // a x + b, held between 0 and 1
      sigmoid,
      tanh,
      softplus,
      softsign,
      probit,  // the quantile of a normal distribution as ONNX Runtime approximates it
      // Along `length` of outer × length × inner numbers.
      sum,
      mean,
      product,
      highest,
      lowest,
      sum_of_absolutes,
      sum_of_squares,
      index_of_highest,  // the first of equals
      index_of_lowest,
      softmax,  // outer × length × inner results
      log_softmax,
    };
    static constexpr std::uint8_t kOps = static_cast<std::uint8_t>(Op::log_softmax) + 1;

    Op op = Op::copy;
    bool single = true;
    std::vector<std::uint32_t> operands;  // numbers of values
    std::uint32_t size = 0;               // how many results
    std::uint32_t outer = 1, length = 1, inner = 1;
    double a = 0, b = 0;
    std::uint32_t picks = 0;  // how many of Parts::picks are its own, behind those of the steps before
    std::shared_ptr<const TreeSet> trees;  // of Op::trees: leaves of `inner` values, or of one and
    Array<std::uint32_t> groups;           // the output of each tree
  };
  struct Constant {
    std::uint32_t size = 0;
    bool wide = false;  // in `doubles`, else in `singles`; behind those of the constants before
  };
  struct Parts {
    std::size_t inputs = 0;
    std::vector<Constant> constants;
    Array<float> singles;
    Array<double> doubles;
    Array<std::uint32_t> picks;
    std::vector<Step> steps;
    std::uint32_t output = 0;  // the number of the value that is the result
  };

  // Errc::corrupt names the step whose operands, sizes or picks do not fit; Errc::exhausted for a program
  // beyond the limits below.
  static Result<TensorProgram> make(Parts parts);
  static Result<TensorProgram> load(internal::FileReader& in);
  void save(internal::FileWriter& out) const;

  static constexpr std::size_t kStepsMax = 1u << 16, kSizeMax = 1u << 20;
  static constexpr std::size_t kNumbersMax = 1u << 23;   // of all values of one row together
  static constexpr std::uint64_t kWorkMax = 1ull << 32;  // operations a row

  std::size_t inputs() const { return parts_.inputs; }
  std::size_t outputs() const { return size_of(parts_.output); }
  const Parts& parts() const { return parts_; }

  // count × inputs() to count × outputs().
  void run(std::span<const double> rows, std::size_t count, std::span<double> out) const;

  // "41 steps, 51,234 constants".
  std::string describe() const;

 private:
  struct Place {
    std::size_t at = 0, size = 0;
    bool constant = false;
  };
  explicit TensorProgram(Parts parts) : parts_(std::move(parts)) {}
  std::size_t size_of(std::size_t value) const { return places_[value].size; }
  void run_block(double* values, std::size_t count, std::size_t stride_unit) const;

  Parts parts_;
  std::vector<Place> places_;      // of values: in `constants_`, or in the scratch of a block
  std::vector<double> constants_;  // those that are wanted as doubles
  std::vector<std::size_t> picks_at_, singles_at_;
  std::size_t numbers_ = 0;  // scratch for one row
};

// A program that judges rows.
class TensorModel final : public Model {
 public:
  // `wide`: whether it tells apart numbers that round to one float; if not, rows are floats.
  TensorModel(TensorProgram program, Scale scale, bool wide)
      : program_(std::move(program)), scale_(scale), wide_(wide) {}
  static Result<TensorModel> load(internal::FileReader& in);

  std::size_t inputs() const override { return program_.inputs(); }
  std::size_t outputs() const override { return program_.outputs(); }
  Scale scale() const override { return scale_; }
  void score(std::span<const float> rows, std::size_t count, std::span<double> scores) const override;
  bool is_wide() const override { return wide_; }
  void score_wide(std::span<const double> rows, std::size_t count, std::span<double> scores) const override;
  std::string describe() const override;
  void save(internal::FileWriter& out) const override;

  const TensorProgram& program() const { return program_; }

 private:
  TensorProgram program_;
  Scale scale_;
  bool wide_;
};

// A program that prepares rows.
class TensorTransform final : public Transform {
 public:
  // `wide` as above: if not, rows are rounded to float first.
  TensorTransform(TensorProgram program, bool wide) : program_(std::move(program)), wide_(wide) {}
  static Result<std::shared_ptr<const Transform>> load(internal::FileReader& in);

  std::size_t inputs() const override { return program_.inputs(); }
  std::size_t outputs() const override { return program_.outputs(); }
  void apply(std::span<const double> rows, std::size_t count, std::span<double> out) const override;
  std::string describe() const override { return "program: " + program_.describe(); }
  void save(internal::FileWriter& out) const override;

  const TensorProgram& program() const { return program_; }

 private:
  TensorProgram program_;
  bool wide_;
};

}  // namespace nidus::model
