#include "model/tensor_program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

namespace nidus::model {
namespace {

using Step = TensorProgram::Step;
using Op = Step::Op;
using Parts = TensorProgram::Parts;
using ::testing::ElementsAre;

Step step(Op op, std::vector<std::uint32_t> operands, std::uint32_t size) {
  Step out;
  out.op = op;
  out.operands = std::move(operands);
  out.size = size;
  return out;
}

// (a, b) W + 0.5 with W = [[1, 2, 3], [4, 5, 6]], then the numbers 2 and 0 of it.
Parts product() {
  Parts parts;
  parts.inputs = 2;
  parts.constants = {{6, false}, {1, false}};
  parts.singles = std::vector<float>{1, 2, 3, 4, 5, 6, 0.5f};
  Step matmul = step(Op::matmul, {0, 1}, 3);
  matmul.length = 2;
  matmul.inner = 3;
  Step pick = step(Op::pick, {4}, 2);
  pick.picks = 2;
  parts.picks = std::vector<std::uint32_t>{2, 0};
  parts.steps = {matmul, step(Op::add, {3, 2}, 3), pick};
  parts.output = 5;
  return parts;
}

TEST(TensorProgram, RunsItsStepsInOrder) {
  const auto program = TensorProgram::make(product());
  ASSERT_TRUE(program) << program.error().message;
  const std::vector<double> rows = {1, 10, -1, 0.25};
  std::vector<double> out(4);
  program->run(rows, 2, out);
  EXPECT_THAT(out, ElementsAre(63.5, 41.5, -1, 0.5));
}

TEST(TensorProgram, FloatsAreRoundedAfterEachStep) {
  Parts parts;
  parts.inputs = 2;
  parts.steps = {step(Op::add, {0, 0}, 2)};
  parts.output = 1;
  for (const bool single : {true, false}) {
    parts.steps[0].single = single;
    const auto program = TensorProgram::make(parts);
    ASSERT_TRUE(program);
    const std::vector<double> row = {0.1, 1e39};
    std::vector<double> out(2);
    program->run(row, 1, out);
    EXPECT_EQ(out[0], single ? static_cast<double>(0.2f) : 0.2);
    EXPECT_EQ(std::isinf(out[1]), single);
  }
}

TEST(TensorProgram, WhatDoesNotFitIsRefused) {
  const std::vector<std::pair<std::string, std::function<void(Parts&)>>> faults = {
      {"an operand of a later step", [](Parts& p) { p.steps[0].operands[0] = 4; }},
      {"an operand that is not there", [](Parts& p) { p.steps[1].operands[1] = 900; }},
      {"its own result", [](Parts& p) { p.steps[2].operands[0] = 5; }},
      {"too few operands", [](Parts& p) { p.steps[1].operands.pop_back(); }},
      {"an unknown operation", [](Parts& p) { p.steps[1].op = static_cast<Op>(200); }},
      {"a pick beyond its operand",
       [](Parts& p) {
         p.picks = std::vector<std::uint32_t>{3, 0};
       }},
      {"picks that are not there", [](Parts& p) { p.steps[2].picks = 3; }},
      {"picks that nobody has",
       [](Parts& p) {
         p.picks = std::vector<std::uint32_t>{2, 0, 1};
       }},
      {"a product of other sizes", [](Parts& p) { p.steps[0].length = 3; }},
      {"a result of another size", [](Parts& p) { p.steps[0].size = 4; }},
      {"sizes that wrap around", [](Parts& p) { p.steps[0].outer = 0x80000001u; }},
      {"constants that are not there", [](Parts& p) { p.constants[0].size = 0xffffffffu; }},
      {"constants of doubles that are not there", [](Parts& p) { p.constants[0].wide = true; }},
      {"constants that nobody has", [](Parts& p) { p.constants.pop_back(); }},
      {"no such output", [](Parts& p) { p.output = 6; }},
      {"no inputs", [](Parts& p) { p.inputs = 0; }},
      {"trees that are none", [](Parts& p) { p.steps[1].op = Op::trees; }},
      {"ranks of no columns", [](Parts& p) { p.steps[1].op = Op::rank; }},
      {"a sum along nothing", [](Parts& p) {
         p.steps[1] = step(Op::softmax, {3}, 3);
         p.steps[1].length = 0;
       }}};
  for (const auto& [what, break_it] : faults) {
    Parts parts = product();
    break_it(parts);
    const auto made = TensorProgram::make(std::move(parts));
    ASSERT_FALSE(made) << what;
    EXPECT_TRUE(made.error().code == Errc::corrupt || made.error().code == Errc::exhausted) << what;
    EXPECT_FALSE(made.error().message.empty()) << what;
  }
}

TEST(TensorProgram, MoreWorkThanIsAllowedIsRefused) {
  Parts parts;
  parts.inputs = 1u << 10;
  Step square = step(Op::matmul, {0, 0}, 1u << 20);
  square.outer = square.inner = 1u << 10;
  parts.steps.assign(1, square);
  for (std::uint32_t i = 0; i < 8; ++i) {
    Step again = step(Op::matmul, {i + 1, i + 1}, 1u << 20);
    again.outer = again.length = again.inner = 1u << 10;
    parts.steps.push_back(again);
  }
  parts.output = 9;
  const auto made = TensorProgram::make(std::move(parts));
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, Errc::exhausted);
}

TEST(TensorProgram, KeysAreLookedUp) {
  Parts parts;
  parts.inputs = 4;
  parts.constants = {{2, false}, {2, false}};
  parts.singles = std::vector<float>{1, 5, 10, 50};
  parts.steps = {step(Op::lookup, {0, 1, 2}, 4)};
  parts.steps[0].a = -1;
  parts.steps[0].b = -2;
  parts.output = 3;
  const auto program = TensorProgram::make(parts);
  ASSERT_TRUE(program) << program.error().message;
  const std::vector<double> row = {5, 1, 3, std::numeric_limits<double>::quiet_NaN()};
  std::vector<double> out(4);
  program->run(row, 1, out);
  EXPECT_THAT(out, ElementsAre(50, 10, -1, -2));
}

}  // namespace
}  // namespace nidus::model
