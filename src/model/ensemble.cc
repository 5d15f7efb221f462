#include "model/ensemble.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "model/internal/model_stream.h"

namespace nidus::model {

Result<Ensemble> Ensemble::make(std::vector<Member> members) {
  if (members.empty() || members.size() > kMembersMax) {
    return Error{Errc::invalid, std::to_string(members.size()) + " members in an ensemble, expected 1 to " +
                                    std::to_string(kMembersMax)};
  }
  double sum = 0;
  for (const auto& member : members) {
    CHECK(member.model != nullptr);
    if (member.model->inputs() != members.front().model->inputs() ||
        member.model->outputs() != members.front().model->outputs()) {
      return Error{Errc::invalid, "the members of an ensemble differ in their inputs or outputs"};
    }
    if (member.model->scale() != members.front().model->scale()) {
      return Error{Errc::invalid, "the members of an ensemble score in different ways"};
    }
    if (!std::isfinite(member.weight) || member.weight < 0) {
      return Error{Errc::invalid, "the weight of an ensemble's member is negative or not finite"};
    }
    sum += member.weight;
  }
  if (!(sum > 0) || !std::isfinite(sum))
    return Error{Errc::invalid, "the weights of an ensemble add up to nothing"};
  return Ensemble(std::move(members));
}

Result<Ensemble> Ensemble::load(internal::FileReader& in, int nesting) {
  std::vector<Member> members(in.count(12));
  if (members.size() > kMembersMax) return in.fail("too many members in an ensemble");
  for (auto& member : members) {
    member.weight = in.f64();
    auto model = in.model(nesting + 1);
    if (!model) return std::move(model).error();
    member.model = std::move(*model);
  }
  if (!in.ok()) return in.error();
  auto made = make(std::move(members));
  if (!made) return in.fail(made.error().message);
  return made;
}

void Ensemble::save(internal::FileWriter& out) const {
  out.tag(internal::ModelTag::ensemble);
  out.u32(static_cast<std::uint32_t>(members_.size()));
  for (const auto& member : members_) {
    out.f64(member.weight);
    member.model->save(out);
  }
}

bool Ensemble::is_wide() const {
  return std::any_of(members_.begin(), members_.end(),
                     [](const auto& member) { return member.model->is_wide(); });
}

void Ensemble::score(std::span<const float> rows, std::size_t count, std::span<double> scores) const {
  mean(rows, count, scores);
}

void Ensemble::score_wide(std::span<const double> rows, std::size_t count, std::span<double> scores) const {
  mean(rows, count, scores);
}

template <class Number>
void Ensemble::mean(std::span<const Number> rows, std::size_t count, std::span<double> scores) const {
  const std::size_t width = outputs();
  CHECK(rows.size() >= count * inputs() && scores.size() >= count * width);
  constexpr std::size_t kBlock = 256;
  std::vector<double> part(std::min(kBlock, count) * width);
  double weights = 0;
  for (const auto& member : members_) weights += member.weight;
  for (std::size_t first = 0; first < count; first += kBlock) {
    const std::size_t some = std::min(kBlock, count - first);
    double* to = scores.data() + first * width;
    std::fill_n(to, some * width, 0.0);
    for (const auto& member : members_) {
      const auto from = rows.subspan(first * inputs(), some * inputs());
      if constexpr (sizeof(Number) == sizeof(float)) member.model->score(from, some, part);
      if constexpr (sizeof(Number) == sizeof(double)) member.model->score_wide(from, some, part);
      for (std::size_t i = 0; i < some * width; ++i) to[i] += member.weight * part[i];
    }
    for (std::size_t i = 0; i < some * width; ++i) to[i] /= weights;
  }
}

std::string Ensemble::describe() const {
  std::string text = "mean of " + std::to_string(members_.size()) + " models (";
  for (std::size_t i = 0; i < members_.size(); ++i)
    text += (i == 0 ? "" : "; ") + members_[i].model->describe();
  return text + ")";
}

}  // namespace nidus::model
