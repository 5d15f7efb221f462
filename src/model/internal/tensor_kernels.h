#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "model/tensor_program.h"

// What the steps of a TensorProgram do to numbers. Everything fits: TensorProgram::make has seen to it.
namespace nidus::model::internal {

// A value of several rows: that of row r begins at data + r × stride, which is 0 for a constant.
struct Operand {
  const double* data = nullptr;
  std::size_t stride = 0, size = 0;
};

// Results of `count` rows, step.size each.
void run_step(const TensorProgram::Step& step, std::span<const Operand> operands, const std::uint32_t* picks,
              std::size_t count, double* out);

// Op::matmul with weights that are floats, or numbers of the row. Each result is summed in double from the
// first product to the last.
void multiply(const TensorProgram::Step& step, const Operand& left, const float* weights, std::size_t count,
              double* out);
void multiply(const TensorProgram::Step& step, const Operand& left, const Operand& right, std::size_t count,
              double* out);

}  // namespace nidus::model::internal
