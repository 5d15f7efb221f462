#include "model/tensor_program.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "model/internal/model_stream.h"
#include "model/internal/tensor_kernels.h"
#include "model/internal/wide_rows.h"

namespace nidus::model {
namespace {

using Step = TensorProgram::Step;
using Op = Step::Op;

constexpr std::size_t kBlockNumbers = 1u << 16;  // scratch that is worth keeping in cache
constexpr std::size_t kBlockMax = 64;

bool is_select_to_prelu(Op op) { return op >= Op::select && op <= Op::prelu; }
bool is_unary(Op op) { return op >= Op::copy && op <= Op::probit; }

std::size_t operands_of(Op op) {
  if (op == Op::pick) return 0;  // any number
  if (op == Op::lookup || op == Op::select) return 3;
  if (op == Op::rank || op == Op::matmul || is_select_to_prelu(op)) return 2;
  return 1;
}

}  // namespace

Result<TensorProgram> TensorProgram::make(Parts parts) {
  TensorProgram program(std::move(parts));
  const Parts& p = program.parts_;
  if (p.inputs == 0 || p.inputs > kSizeMax)
    return Error{Errc::corrupt, "a program of no inputs, or too many"};
  if (p.steps.size() > kStepsMax || p.constants.size() > kStepsMax) {
    return Error{Errc::exhausted, "a program of " + with_thousands(p.steps.size()) + " steps and " +
                                      with_thousands(p.constants.size()) + " constants"};
  }
  program.places_.push_back({0, p.inputs, false});
  program.numbers_ = p.inputs;
  // Weights of matrix products stay floats; what else reads a constant wants doubles.
  std::vector<bool> as_doubles(p.constants.size(), false);
  for (const Step& step : p.steps) {
    for (std::size_t i = 0; i < step.operands.size(); ++i) {
      const std::size_t constant = std::size_t{step.operands[i]} - 1;
      if (constant < p.constants.size() && !(step.op == Op::matmul && i == 1)) as_doubles[constant] = true;
    }
  }
  if (p.output >= 1 && p.output - 1 < p.constants.size()) as_doubles[p.output - 1] = true;
  std::size_t singles = 0, doubles = 0;
  for (std::size_t i = 0; i < p.constants.size(); ++i) {
    const Constant& constant = p.constants[i];
    std::size_t& used = constant.wide ? doubles : singles;
    const std::size_t there = constant.wide ? p.doubles.size() : p.singles.size();
    if (constant.size > there - used)
      return Error{Errc::corrupt, "constant " + std::to_string(i) + " is not there"};
    program.singles_at_.push_back(constant.wide ? std::numeric_limits<std::size_t>::max() : singles);
    program.places_.push_back({program.constants_.size(), constant.size, true});
    if (constant.wide || as_doubles[i]) {
      for (std::size_t k = 0; k < constant.size; ++k) {
        program.constants_.push_back(constant.wide ? p.doubles[doubles + k]
                                                   : static_cast<double>(p.singles[singles + k]));
      }
    }
    used += constant.size;
  }
  if (singles != p.singles.size() || doubles != p.doubles.size())
    return Error{Errc::corrupt, "constants that nothing refers to"};

  std::size_t picks = 0;
  std::uint64_t work = 0;
  for (std::size_t i = 0; i < p.steps.size(); ++i) {
    const Step& step = p.steps[i];
    const auto broken = [&](const std::string& what) {
      return Error{Errc::corrupt, "step " + std::to_string(i) + " of a program: " + what};
    };
    if (static_cast<std::uint8_t>(step.op) >= Step::kOps) return broken("an unknown operation");
    if (step.size > kSizeMax || step.outer > kSizeMax || step.length > kSizeMax || step.inner > kSizeMax)
      return Error{Errc::exhausted, "step " + std::to_string(i) + " of a program: more than " +
                                        with_thousands(kSizeMax) + " numbers a row"};
    const std::size_t wanted = operands_of(step.op);
    if (wanted != 0 ? step.operands.size() != wanted : step.operands.empty())
      return broken(std::to_string(step.operands.size()) + " operands");
    std::vector<std::size_t> sizes;
    std::size_t all = 0;
    for (const auto operand : step.operands) {
      if (operand >= program.places_.size()) return broken("an operand that is not there yet");
      sizes.push_back(program.size_of(operand));
      all += sizes.back();
    }
    const std::span<const std::uint32_t> own = step.picks <= p.picks.size() - picks
                                                   ? p.picks.span().subspan(picks, step.picks)
                                                   : std::span<const std::uint32_t>();
    if (own.size() != step.picks) return broken("more picks than there are");
    program.picks_at_.push_back(picks);
    picks += step.picks;
    if (step.op != Op::pick && step.op != Op::rank && step.picks != 0) return broken("picks without a use");

    const std::uint64_t outer = step.outer, length = step.length, inner = step.inner;
    const std::uint64_t volume = outer * length * inner;
    std::uint64_t result = step.size, cost = step.size;
    bool good = true;
    if (step.op == Op::pick) {
      good = own.size() == step.size &&
             std::all_of(own.begin(), own.end(), [&](std::uint32_t pick) { return pick < all; });
    } else if (step.op == Op::rank) {
      good = own.size() == std::size_t{3} * step.size && p.constants.size() >= step.operands[1] &&
             step.operands[1] != 0;
      const double* cuts = good ? &program.constants_[program.places_[step.operands[1]].at] : nullptr;
      for (std::size_t k = 0; good && k < own.size(); k += 3) {
        good = own[k] < sizes[0] && own[k + 1] <= own[k + 2] && own[k + 2] <= sizes[1] &&
               std::is_sorted(cuts + own[k + 1], cuts + own[k + 2]);
      }
      cost *= 24;
    } else if (step.op == Op::lookup) {
      good = step.size == sizes[0] && sizes[1] == sizes[2] && p.constants.size() >= step.operands[1] &&
             step.operands[1] != 0;
      if (good) {
        const double* keys = program.constants_.data() + program.places_[step.operands[1]].at;
        good = std::is_sorted(keys, keys + sizes[1]) &&
               std::none_of(keys, keys + sizes[1], [](double key) { return std::isnan(key); });
      }
      cost *= 24;
    } else if (step.op == Op::matmul) {
      good = sizes[0] == outer * length && sizes[1] == length * inner;
      result = outer * inner;
      cost = volume;
    } else if (step.op == Op::trees) {
      good = step.trees != nullptr;
      if (good) {
        const TreeSet& trees = *step.trees;
        const bool grouped = !step.groups.empty();
        good = sizes[0] == outer * trees.inputs() && inner >= 1 && inner <= 1024 &&
               (grouped ? trees.width() == 1 && step.groups.size() == trees.trees() : trees.width() == inner);
        for (const auto group : step.groups) good = good && group < inner;
        result = outer * inner;
        cost = outer * trees.trees() * (trees.depth_max() + 1 + trees.width());
      }
    } else if (is_select_to_prelu(step.op)) {
      for (const auto size : sizes) good = good && size != 0 && step.size % size == 0;
    } else if (is_unary(step.op)) {
      good = step.size == sizes[0];
    } else {
      good = sizes[0] == volume && length != 0;
      result = step.op >= Op::softmax ? volume : outer * inner;
      cost = volume;
    }
    if (!good || result != step.size) return broken("sizes that do not fit each other");
    if (step.op != Op::trees && (step.trees != nullptr || !step.groups.empty()))
      return broken("trees without a use");
    work += cost;
    if (work > kWorkMax) return Error{Errc::exhausted, "a program of too much work for one row"};
    program.places_.push_back({program.numbers_, step.size, false});
    program.numbers_ += step.size;
    if (program.numbers_ > kNumbersMax) {
      return Error{Errc::exhausted,
                   "a program of more than " + with_thousands(kNumbersMax) + " numbers for one row"};
    }
  }
  if (picks != p.picks.size()) return Error{Errc::corrupt, "picks that no step has"};
  if (p.output >= program.places_.size() || program.size_of(p.output) == 0)
    return Error{Errc::corrupt, "a program without a result"};
  return program;
}

// Values lie one behind the other, each with room for all rows of the block.
void TensorProgram::run_block(double* values, std::size_t count, std::size_t block) const {
  std::vector<internal::Operand> operands;
  const auto place = [&](std::size_t value) {
    const Place& at = places_[value];
    return at.constant ? internal::Operand{constants_.data() + at.at, 0, at.size}
                       : internal::Operand{values + at.at * block, at.size, at.size};
  };
  for (std::size_t i = 0; i < parts_.steps.size(); ++i) {
    const Step& step = parts_.steps[i];
    operands.clear();
    for (const auto operand : step.operands) operands.push_back(place(operand));
    double* out = values + places_[1 + parts_.constants.size() + i].at * block;
    if (step.op == Op::matmul) {
      const std::size_t constant = std::size_t{step.operands[1]} - 1;
      if (constant < parts_.constants.size() && !parts_.constants[constant].wide) {
        internal::multiply(step, operands[0], parts_.singles.data() + singles_at_[constant], count, out);
      } else {
        internal::multiply(step, operands[0], operands[1], count, out);
      }
    } else {
      internal::run_step(step, operands, parts_.picks.data() + picks_at_[i], count, out);
    }
    if (step.single) {
      for (std::size_t k = 0; k < count * step.size; ++k) {
        out[k] = static_cast<double>(static_cast<float>(out[k]));
      }
    }
  }
}

void TensorProgram::run(std::span<const double> rows, std::size_t count, std::span<double> out) const {
  CHECK(rows.size() >= count * inputs() && out.size() >= count * outputs());
  if (count == 0) return;
  const std::size_t block = std::clamp<std::size_t>(kBlockNumbers / numbers_, 1, std::min(kBlockMax, count));
  std::vector<double> values(numbers_ * block);
  const Place& result = places_[parts_.output];
  for (std::size_t first = 0; first < count; first += block) {
    const std::size_t some = std::min(block, count - first);
    std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(first * inputs()), some * inputs(),
                values.begin());
    run_block(values.data(), some, block);
    for (std::size_t row = 0; row < some; ++row) {
      const double* from = result.constant ? constants_.data() + result.at
                                           : values.data() + result.at * block + row * result.size;
      std::copy_n(from, result.size, &out[(first + row) * result.size]);
    }
  }
}

std::string TensorProgram::describe() const {
  std::size_t trees = 0;
  for (const Step& step : parts_.steps) trees += step.trees != nullptr ? step.trees->trees() : 0;
  return with_thousands(parts_.steps.size()) + " steps, " +
         with_thousands(parts_.singles.size() + parts_.doubles.size()) + " constants" +
         (trees > 0 ? ", " + with_thousands(trees) + " trees" : "");
}

void TensorProgram::save(internal::FileWriter& out) const {
  out.u32(static_cast<std::uint32_t>(parts_.inputs));
  out.u32(static_cast<std::uint32_t>(parts_.constants.size()));
  for (const Constant& constant : parts_.constants) {
    out.u32(constant.size);
    out.u8(constant.wide ? 1 : 0);
  }
  out.array(parts_.singles);
  out.array(parts_.doubles);
  out.array(parts_.picks);
  out.u32(static_cast<std::uint32_t>(parts_.steps.size()));
  for (const Step& step : parts_.steps) {
    out.u8(static_cast<std::uint8_t>(step.op));
    out.u8(step.single ? 1 : 0);
    out.u32(static_cast<std::uint32_t>(step.operands.size()));
    for (const auto operand : step.operands) out.u32(operand);
    for (const auto number : {step.size, step.outer, step.length, step.inner, step.picks}) out.u32(number);
    out.f64(step.a);
    out.f64(step.b);
    if (step.op != Op::trees) continue;
    step.trees->save(out);
    out.optional_array(step.groups);
  }
  out.u32(parts_.output);
}

Result<TensorProgram> TensorProgram::load(internal::FileReader& in) {
  Parts parts;
  parts.inputs = in.u32();
  parts.constants.resize(in.count(5));
  for (Constant& constant : parts.constants) {
    constant.size = in.u32();
    const auto wide = in.u8();
    if (wide > 1) return in.fail("a constant of an unknown kind");
    constant.wide = wide == 1;
  }
  parts.singles = in.array<float>();
  parts.doubles = in.array<double>();
  parts.picks = in.array<std::uint32_t>();
  parts.steps.resize(in.count(42));
  for (Step& step : parts.steps) {
    step.op = static_cast<Op>(in.u8());
    const auto single = in.u8();
    if (single > 1) return in.fail("a step of an unknown kind");
    step.single = single == 1;
    step.operands.resize(in.count(4));
    for (auto& operand : step.operands) operand = in.u32();
    for (auto* number : {&step.size, &step.outer, &step.length, &step.inner, &step.picks}) *number = in.u32();
    step.a = in.f64();
    step.b = in.f64();
    if (!in.ok()) return in.error();
    if (step.op != Op::trees) continue;
    auto trees = TreeSet::load(in);
    if (!trees) return std::move(trees).error().within("trees of a program");
    step.trees = std::make_shared<const TreeSet>(std::move(*trees));
    step.groups = in.optional_array<std::uint32_t>();
  }
  parts.output = in.u32();
  if (!in.ok()) return in.error();
  return make(std::move(parts));
}

Result<TensorModel> TensorModel::load(internal::FileReader& in) {
  const auto scale = in.u8(), wide = in.u8();
  if (scale > static_cast<std::uint8_t>(Scale::margin) || wide > 1) return in.fail("a scale that is none");
  auto program = TensorProgram::load(in);
  if (!program) return std::move(program).error();
  return TensorModel(std::move(*program), static_cast<Scale>(scale), wide == 1);
}

void TensorModel::save(internal::FileWriter& out) const {
  out.tag(internal::ModelTag::tensor_program);
  out.u8(static_cast<std::uint8_t>(scale_));
  out.u8(wide_ ? 1 : 0);
  program_.save(out);
}

void TensorModel::score(std::span<const float> rows, std::size_t count, std::span<double> scores) const {
  internal::score_widened(rows, count, inputs(), outputs(), scores,
                          [&](auto wide, std::size_t some, auto to) { program_.run(wide, some, to); });
}

void TensorModel::score_wide(std::span<const double> rows, std::size_t count,
                             std::span<double> scores) const {
  if (wide_) return program_.run(rows, count, scores);
  Model::score_wide(rows, count, scores);
}

std::string TensorModel::describe() const { return "program: " + program_.describe(); }

Result<std::shared_ptr<const Transform>> TensorTransform::load(internal::FileReader& in) {
  const auto wide = in.u8();
  if (wide > 1) return in.fail("a program that is neither wide nor not");
  auto program = TensorProgram::load(in);
  if (!program) return std::move(program).error();
  if (program->outputs() > kOutputsMax) return in.fail("a transform of too many outputs");
  return std::shared_ptr<const Transform>(
      std::make_shared<const TensorTransform>(std::move(*program), wide == 1));
}

void TensorTransform::save(internal::FileWriter& out) const {
  out.tag(internal::TransformTag::tensor_program);
  out.u8(wide_ ? 1 : 0);
  program_.save(out);
}

void TensorTransform::apply(std::span<const double> rows, std::size_t count, std::span<double> out) const {
  if (wide_) return program_.run(rows, count, out);
  std::vector<double> rounded(count * inputs());
  for (std::size_t i = 0; i < rounded.size(); ++i)
    rounded[i] = static_cast<double>(static_cast<float>(rows[i]));
  program_.run(rounded, count, out);
}

}  // namespace nidus::model
