#include "model/calibration.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "base/check.h"
#include "model/internal/model_stream.h"
#include "model/internal/wide_rows.h"

namespace nidus::model {
namespace {

constexpr std::size_t kBlock = 256;  // rows on their way at once

}  // namespace

double Calibration::Curve::at(double value) const {
  switch (kind) {
    case Kind::none:
      return value;
    case Kind::sigmoid:
      return 1 / (1 + std::exp(a * value + b));
    case Kind::steps:
      break;
  }
  if (std::isnan(value)) return value;
  if (value <= x.front()) return y.front();
  if (value >= x.back()) return y.back();
  const auto above = static_cast<std::size_t>(std::lower_bound(x.begin(), x.end(), value) - x.begin());
  const double slope = (y[above] - y[above - 1]) / (x[above] - x[above - 1]);
  return slope * (value - x[above - 1]) + y[above - 1];
}

bool Calibration::Curve::is_sound() const {
  const bool points = kind == Kind::steps;
  return kind <= Kind::steps && std::isfinite(a) && std::isfinite(b) && points != x.empty() &&
         x.size() == y.size() && internal::all_finite(x) && internal::all_finite(y) &&
         std::adjacent_find(x.begin(), x.end(), std::greater_equal<>()) == x.end();
}

Calibration::Curve Calibration::Curve::load(internal::FileReader& in) {
  Curve curve;
  curve.kind = static_cast<Kind>(in.u8());
  curve.a = in.f64();
  curve.b = in.f64();
  const std::size_t points = in.count(16);
  for (std::size_t i = 0; i < points; ++i) {
    curve.x.push_back(in.f64());
    curve.y.push_back(in.f64());
  }
  return curve;
}

void Calibration::Curve::save(internal::FileWriter& out) const {
  out.u8(static_cast<std::uint8_t>(kind));
  out.f64(a);
  out.f64(b);
  out.u32(static_cast<std::uint32_t>(x.size()));
  for (std::size_t i = 0; i < x.size(); ++i) {
    out.f64(x[i]);
    out.f64(y[i]);
  }
}

Result<Calibration> Calibration::make(std::shared_ptr<const Model> inner, std::vector<Curve> curves,
                                      Ending ending) {
  if (inner == nullptr) return Error{Errc::invalid, "a calibration of no model"};
  if (!curves.empty() && curves.size() != inner->outputs()) {
    return Error{Errc::invalid, std::to_string(curves.size()) + " curves for a model with " +
                                    std::to_string(inner->outputs()) + " outputs"};
  }
  for (const Curve& curve : curves) {
    if (ending > Ending::vote || !curve.is_sound())
      return Error{Errc::corrupt, "a calibration by a curve that is none"};
  }
  return Calibration(std::move(inner), std::move(curves), ending);
}

Result<Calibration> Calibration::load(internal::FileReader& in, int nesting) {
  const auto ending = in.u8();
  std::vector<Curve> curves(in.count(21));
  for (Curve& curve : curves) curve = Curve::load(in);
  if (!in.ok()) return in.error();
  if (ending > 2) return in.fail("a calibration with an ending that this version does not know");
  auto inner = in.model(nesting + 1);
  if (!inner) return std::move(inner).error();
  auto made = make(std::move(*inner), std::move(curves), static_cast<Ending>(ending));
  if (!made) return in.fail(made.error().message);
  return made;
}

void Calibration::save(internal::FileWriter& out) const {
  out.tag(internal::ModelTag::calibration);
  out.u8(static_cast<std::uint8_t>(ending_));
  out.u32(static_cast<std::uint32_t>(curves_.size()));
  for (const Curve& curve : curves_) curve.save(out);
  inner_->save(out);
}

double Calibration::after(double score) const {
  finish(1, std::span(&score, 1));
  return score;
}

void Calibration::finish(std::size_t count, std::span<double> scores) const {
  const std::size_t each = outputs();
  for (std::size_t row = 0; row < count; ++row) {
    const auto own = scores.subspan(row * each, each);
    for (std::size_t k = 0; k < curves_.size(); ++k) {
      own[k] = curves_[k].at(own[k]);
      // Rounding beyond 1 is no more than 1.
      if (own[k] > 1 && own[k] <= 1 + 1e-5) own[k] = 1;
    }
    switch (ending_) {
      case Ending::none:
        break;
      case Ending::normalise: {
        double sum = 0;
        for (const double score : own) sum += score;
        for (double& score : own) score = sum == 0 ? 1 / static_cast<double>(each) : score / sum;
        break;
      }
      case Ending::vote: {
        if (each == 1) {
          own[0] = own[0] > 0.5 ? 1 : 0;
          break;
        }
        const auto winner = std::max_element(own.begin(), own.end()) - own.begin();
        std::fill(own.begin(), own.end(), 0.0);
        own[static_cast<std::size_t>(winner)] = 1;
        break;
      }
    }
  }
}

void Calibration::score(std::span<const float> rows, std::size_t count, std::span<double> scores) const {
  inner_->score(rows, count, scores);
  finish(count, scores);
}

void Calibration::score_wide(std::span<const double> rows, std::size_t count,
                             std::span<double> scores) const {
  inner_->score_wide(rows, count, scores);
  finish(count, scores);
}

std::string Calibration::describe() const {
  return inner_->describe() + (ending_ == Ending::vote ? ", as a vote" : ", made probabilities");
}

Result<Stack> Stack::make(std::vector<std::shared_ptr<const Model>> members, bool passes_row,
                          std::shared_ptr<const Model> last) {
  if (members.empty() || members.size() > kMembersMax || last == nullptr) {
    return Error{Errc::invalid, "a stack of " + std::to_string(members.size()) + " models, at most 64"};
  }
  std::size_t width = 0;
  for (const auto& member : members) {
    if (member == nullptr || member->inputs() != members.front()->inputs()) {
      return Error{Errc::invalid, "a stack of models that take different rows"};
    }
    width += member->outputs();
  }
  if (passes_row) width += members.front()->inputs();
  if (width != last->inputs()) {
    return Error{Errc::invalid, "a stack that gives " + std::to_string(width) +
                                    " numbers to a model that takes " + std::to_string(last->inputs())};
  }
  return Stack(std::move(members), passes_row, std::move(last));
}

Result<Stack> Stack::load(internal::FileReader& in, int nesting) {
  const auto passes_row = in.u8();
  std::vector<std::shared_ptr<const Model>> members(in.count(4));
  if (!in.ok()) return in.error();
  if (passes_row > 1 || members.size() > kMembersMax) return in.fail("a stack of too many models");
  for (auto& member : members) {
    auto next = in.model(nesting + 1);
    if (!next) return std::move(next).error();
    member = std::move(*next);
  }
  auto last = in.model(nesting + 1);
  if (!last) return std::move(last).error();
  auto made = make(std::move(members), passes_row == 1, std::move(*last));
  if (!made) return in.fail(made.error().message);
  return made;
}

void Stack::save(internal::FileWriter& out) const {
  out.tag(internal::ModelTag::stack);
  out.u8(passes_row_ ? 1 : 0);
  out.u32(static_cast<std::uint32_t>(members_.size()));
  for (const auto& member : members_) member->save(out);
  last_->save(out);
}

void Stack::score_wide(std::span<const double> rows, std::size_t count, std::span<double> scores) const {
  const std::size_t width = inputs(), between = last_->inputs(), each = outputs();
  CHECK(rows.size() >= count * width && scores.size() >= count * each);
  std::vector<double> row_of_scores(std::min(count, kBlock) * between), said;
  for (std::size_t first = 0; first < count; first += kBlock) {
    const std::size_t some = std::min(kBlock, count - first);
    const auto given = rows.subspan(first * width, some * width);
    std::size_t begin = 0;
    for (const auto& member : members_) {
      const std::size_t outputs = member->outputs();
      said.resize(some * outputs);
      member->score_wide(given, some, said);
      for (std::size_t row = 0; row < some; ++row) {
        std::copy_n(&said[row * outputs], outputs, &row_of_scores[row * between + begin]);
      }
      begin += outputs;
    }
    for (std::size_t row = 0; passes_row_ && row < some; ++row) {
      std::copy_n(&given[row * width], width, &row_of_scores[row * between + begin]);
    }
    last_->score_wide(std::span(row_of_scores).first(some * between), some,
                      scores.subspan(first * each, some * each));
  }
}

void Stack::score(std::span<const float> rows, std::size_t count, std::span<double> scores) const {
  internal::score_widened(rows, count, inputs(), outputs(), scores,
                          [&](auto wide, std::size_t some, auto to) { score_wide(wide, some, to); });
}

std::string Stack::describe() const {
  return "stack of " + std::to_string(members_.size()) + " models, then " + last_->describe();
}

}  // namespace nidus::model
