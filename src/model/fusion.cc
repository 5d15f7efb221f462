#include "model/fusion.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "model/internal/model_stream.h"

namespace nidus::model {
namespace {

constexpr std::size_t kFusedRows = 256;  // on their way at once

// Where the quorum-th highest of these stands, of equals the first.
std::size_t place_of(std::span<const double> scores, std::size_t quorum) {
  std::array<std::size_t, Fusion::kMembersMax> order;
  for (std::size_t i = 0; i < scores.size(); ++i) order[i] = i;
  const auto end = order.begin() + static_cast<std::ptrdiff_t>(scores.size());
  std::partial_sort(
      order.begin(), order.begin() + static_cast<std::ptrdiff_t>(quorum), end,
      [&](std::size_t a, std::size_t b) { return scores[a] != scores[b] ? scores[a] > scores[b] : a < b; });
  return order[quorum - 1];
}

bool stays_in_range(const Calibration::Curve& curve) {
  using Kind = Calibration::Curve::Kind;
  if (curve.kind == Kind::sigmoid) return curve.a <= 0;
  return std::is_sorted(curve.y.begin(), curve.y.end()) &&
         (curve.y.empty() || (curve.y.front() >= 0 && curve.y.back() <= 1));
}

}  // namespace

Fusion::Fusion(Parts parts, std::size_t classes) : parts_(std::move(parts)), classes_(classes) {
  for (std::size_t i = 0; i < parts_.members.size(); ++i) {
    all_.push_back(i);
    if (parts_.members[i].model->outputs() > 1) knowing_.push_back(i);
  }
}

Result<Fusion> Fusion::make(Parts parts) {
  if (parts.members.empty() || parts.members.size() > kMembersMax) {
    return Error{Errc::invalid, std::to_string(parts.members.size()) +
                                    " members in a fusion, expected 1 to " + std::to_string(kMembersMax)};
  }
  std::size_t classes = 1;
  double whole = 0, of_classes = 0;
  for (const Member& member : parts.members) {
    CHECK(member.model != nullptr);
    const std::size_t outputs = member.model->outputs();
    if (member.model->inputs() != parts.members.front().model->inputs() ||
        (outputs > 1 && classes > 1 && outputs != classes)) {
      return Error{Errc::invalid, "the members of a fusion differ in their inputs or classes"};
    }
    if (!member.curve.is_sound() || !stays_in_range(member.curve))
      return Error{Errc::corrupt, "a fusion by a curve that is none"};
    if (member.curve.kind == Calibration::Curve::Kind::none && member.model->scale() != Scale::probability &&
        member.model->scale() != Scale::anomaly)
      return Error{Errc::corrupt, "a fusion of scores without bounds and without a curve"};
    if (outputs > 1 && member.model->scale() != Scale::probability)
      return Error{Errc::invalid, "a fusion with classes that are no probabilities"};
    if (!(member.weight >= 0) || !(member.weight <= 1e6))
      return Error{Errc::invalid, "the weight of a fusion's member is negative or not finite"};
    classes = std::max(classes, outputs);
    whole += member.weight;
    if (outputs > 1) of_classes += member.weight;
  }
  if (!(whole > 0) || (classes > 1 && !(of_classes > 0)))
    return Error{Errc::invalid, "the weights of a fusion add up to nothing"};
  if (parts.rule > Rule::logistic || parts.quorum == 0 || parts.quorum > parts.members.size() ||
      !(std::abs(parts.bias) <= 1e6))
    return Error{Errc::invalid, "a fusion by a rule that is none"};
  if (parts.line && (classes == 1 || !std::isfinite(*parts.line)))
    return Error{Errc::invalid, "a fusion with anomalies beside no classes"};
  return Fusion(std::move(parts), classes);
}

Result<Fusion> Fusion::load(internal::FileReader& in, int nesting) {
  Parts parts;
  parts.rule = static_cast<Rule>(in.u8());
  parts.quorum = in.u32();
  parts.bias = in.f64();
  const auto has_line = in.u8();
  if (has_line > 1) return in.fail("a fusion with a line that is none");
  if (has_line == 1) parts.line = in.f64();
  parts.members.resize(in.count(33));
  if (!in.ok()) return in.error();
  if (parts.members.size() > kMembersMax) return in.fail("too many members in a fusion");
  for (Member& member : parts.members) {
    member.weight = in.f64();
    member.curve = Calibration::Curve::load(in);
    if (!in.ok()) return in.error();
    auto model = in.model(nesting + 1);
    if (!model) return std::move(model).error();
    member.model = std::move(*model);
  }
  auto made = make(std::move(parts));
  if (!made) return in.fail(made.error().message);
  return made;
}

void Fusion::save(internal::FileWriter& out) const {
  out.tag(internal::ModelTag::fusion);
  out.u8(static_cast<std::uint8_t>(parts_.rule));
  out.u32(parts_.quorum);
  out.f64(parts_.bias);
  out.u8(parts_.line ? 1 : 0);
  if (parts_.line) out.f64(*parts_.line);
  out.u32(static_cast<std::uint32_t>(parts_.members.size()));
  for (const Member& member : parts_.members) {
    out.f64(member.weight);
    member.curve.save(out);
    member.model->save(out);
  }
}

bool Fusion::is_wide() const {
  return std::any_of(parts_.members.begin(), parts_.members.end(),
                     [](const auto& member) { return member.model->is_wide(); });
}

double Fusion::combine(std::span<const double> scores) const {
  // A member that has nothing to say of a row leaves none for the whole.
  if (std::any_of(scores.begin(), scores.end(), [](double score) { return std::isnan(score); }))
    return std::numeric_limits<double>::quiet_NaN();
  return combine_some(scores, all_);
}

double Fusion::class_score(std::span<const double> scores) const { return combine_some(scores, knowing_); }

double Fusion::combine_some(std::span<const double> scores, std::span<const std::size_t> members) const {
  if (parts_.rule == Rule::quorum) {
    std::array<double, kMembersMax> own;
    std::size_t count = 0;
    for (const std::size_t i : members) own[count++] = scores[i];
    return own[place_of(std::span(own).first(count), std::min<std::size_t>(parts_.quorum, count))];
  }
  double sum = 0, weights = 0;
  for (const std::size_t i : members) {
    sum += parts_.members[i].weight * scores[i];
    weights += parts_.members[i].weight;
  }
  return parts_.rule == Rule::mean ? sum / weights : 1 / (1 + std::exp(-(parts_.bias + sum)));
}

std::size_t Fusion::deciding(std::span<const double> scores) const { return place_of(scores, parts_.quorum); }

void Fusion::score(std::span<const float> rows, std::size_t count, std::span<double> scores) const {
  fuse(rows, count, scores);
}

void Fusion::score_wide(std::span<const double> rows, std::size_t count, std::span<double> scores) const {
  fuse(rows, count, scores);
}

template <class Number>
void Fusion::fuse(std::span<const Number> rows, std::size_t count, std::span<double> scores) const {
  const std::size_t width = inputs(), each = outputs(), members = parts_.members.size();
  CHECK(rows.size() >= count * width && scores.size() >= count * each);
  std::vector<double> said, own(std::min(kFusedRows, count) * members);
  std::vector<double> shares(classes_ > 1 ? std::min(kFusedRows, count) * classes_ : 0);
  for (std::size_t first = 0; first < count; first += kFusedRows) {
    const std::size_t some = std::min(kFusedRows, count - first);
    const auto from = rows.subspan(first * width, some * width);
    std::fill(shares.begin(), shares.end(), 0.0);
    for (std::size_t m = 0; m < members; ++m) {
      const Member& member = parts_.members[m];
      const std::size_t outputs = member.model->outputs();
      said.resize(some * outputs);
      if constexpr (sizeof(Number) == sizeof(float)) member.model->score(from, some, said);
      if constexpr (sizeof(Number) == sizeof(double)) member.model->score_wide(from, some, said);
      for (std::size_t row = 0; row < some; ++row) {
        const double attack = outputs == 1 ? said[row] : 1 - said[row * outputs];
        own[row * members + m] = member.curve.at(attack);
        for (std::size_t k = 1; k < classes_ && outputs > 1; ++k)
          shares[row * classes_ + k] += member.weight * said[row * outputs + k];
      }
    }
    for (std::size_t row = 0; row < some; ++row) {
      const auto of_row = std::span(own).subspan(row * members, members);
      const double attack = combine(of_row);
      double* const out = scores.data() + (first + row) * each;
      if (classes_ == 1) {
        out[0] = attack;
        continue;
      }
      std::fill_n(out, each, 0.0);
      out[0] = 1 - attack;
      if (parts_.line) {
        if (!(class_score(of_row) >= *parts_.line)) {
          out[each - 1] = attack;
          continue;
        }
      }
      const double* const share = &shares[row * classes_];
      double sum = 0;
      for (std::size_t k = 1; k < classes_; ++k) sum += share[k];
      for (std::size_t k = 1; k < classes_; ++k)
        out[k] = attack * (sum > 0 ? share[k] / sum : 1 / static_cast<double>(classes_ - 1));
    }
  }
}

std::string Fusion::describe() const {
  std::string text = parts_.rule == Rule::mean       ? "weighted mean"
                     : parts_.rule == Rule::logistic ? "stack"
                     : parts_.quorum == 1            ? "maximum"
                                                     : "vote by " + std::to_string(parts_.quorum);
  text += " of " + std::to_string(parts_.members.size()) + " models on one scale (";
  for (std::size_t i = 0; i < parts_.members.size(); ++i)
    text += (i == 0 ? "" : "; ") + parts_.members[i].model->describe();
  return text + ")";
}

}  // namespace nidus::model
