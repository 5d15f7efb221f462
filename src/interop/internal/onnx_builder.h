#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "interop/internal/onnx_model.h"
#include "model/tensor_program.h"

// How the nodes of a graph become the steps of a program: shapes are resolved, what is known is computed.
namespace nidus::interop::internal::onnx {

// What flows between nodes, for a batch of one row: an array of the program, or one that is known already.
struct Value {
  Element element = Element::none;  // f32, f64, i64 (any whole numbers), boolean or text
  Dims dims;
  // Known before any row is seen, such as weights; else the program's value `ref`.
  std::shared_ptr<const std::vector<double>> known;
  std::uint32_t ref = 0;
  std::vector<std::uint32_t> columns;  // of text: the column of the row that each element is

  std::size_t size() const;
  bool is_known() const { return known != nullptr; }
};

// Dimensions multiplied.
std::size_t volume(const Dims& dims);

// For each element of an array of these dimensions, row-major: begin + the sum of its indices × strides.
std::vector<std::uint32_t> strided(const Dims& dims, const std::vector<std::int64_t>& strides,
                                   std::int64_t begin = 0);
std::vector<std::int64_t> strides_of(const Dims& dims);

class Builder {
 public:
  using Step = model::TensorProgram::Step;
  using Op = Step::Op;

  explicit Builder(std::size_t inputs) : inputs_(inputs) {}

  // `count` numbers of the row, from `begin` on.
  Value row(std::size_t begin, Dims dims, Element element);
  static Value constant(std::vector<double> values, Dims dims, Element element);
  static Value scalar(double value, Element element) { return constant({value}, {}, element); }

  // A step. Its result has these dimensions; it is rounded to float where the element is one. Computed at
  // once if all operands are known. Errc::exhausted beyond the limits of a program.
  Result<Value> emit(Step step, const std::vector<Value>& operands, Dims dims, Element element);

  // The usual steps.
  Result<Value> unary(Op op, const Value& x, double a = 0, double b = 0);
  // With the shapes of both stretched to fit each other. Errc::corrupt if they cannot be.
  Result<Value> binary(Op op, const Value& x, const Value& y);
  Result<Value> binary(Op op, const Value& x, double y) { return binary(op, x, scalar(y, x.element)); }
  Result<Value> select(const Value& condition, const Value& x, const Value& y);
  Result<Value> pick(const std::vector<Value>& from, std::vector<std::uint32_t> picks, Dims dims);
  // How many cuts lie below: `picks` as TensorProgram::Step::Op::rank has them.
  Result<Value> rank(const Value& x, const Value& cuts, std::vector<std::uint32_t> picks);
  Result<Value> transpose(const Value& x, const std::vector<std::size_t>& order);
  Result<Value> concat(const std::vector<Value>& parts, std::size_t axis);
  // [..., length] by [length, inner].
  Result<Value> matmul(const Value& x, const Value& weights);
  // Along one axis, which becomes 1; softmax leaves it.
  Result<Value> along(Op op, const Value& x, std::size_t axis);
  static Value reshape(const Value& x, Dims dims);
  Result<Value> cast(const Value& x, Element element);

  Result<model::TensorProgram> finish(const Value& output);

 private:
  static constexpr std::uint32_t kConstant = 0x80000000u;
  std::uint32_t refer(const Value& value);
  Result<Value> broadcast(const Value& x, const Dims& dims);

  std::size_t inputs_;
  std::vector<Step> steps_;  // operands: 0 the row, n the result of step n - 1, kConstant + n a constant
  std::vector<std::uint32_t> picks_;
  std::vector<std::shared_ptr<const std::vector<double>>> constants_;
  std::unordered_map<const void*, std::uint32_t> numbers_;  // of constants
  std::uint64_t folded_ = 0;                                // work done on what is known
};

}  // namespace nidus::interop::internal::onnx
