#include "model/additive_trees.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "model/internal/model_stream.h"

namespace nidus::model {
namespace {

constexpr std::size_t kOutputsMax = 1024;
constexpr std::size_t kKindBytesMax = 256;

double logistic(double margin) { return 1 / (1 + std::exp(-margin)); }

// Scores from the sums of one row, in place.
void link_row(AdditiveTrees::Link link, double factor, std::span<double> sums) {
  using Link = AdditiveTrees::Link;
  switch (link) {
    case Link::identity:
      return;
    case Link::logistic:
    case Link::one_vs_all:
      for (double& sum : sums) sum = logistic(factor * sum);
      return;
    case Link::isolation:
      for (double& sum : sums) sum = std::exp2(-factor * sum);
      return;
    case Link::softmax: {
      double highest = factor * sums[0], all = 0;
      for (const double sum : sums) highest = std::max(highest, factor * sum);
      for (double& sum : sums) all += sum = std::exp(factor * sum - highest);
      for (double& sum : sums) sum /= all;
      return;
    }
  }
}

}  // namespace

double mean_search_path(double rows) {
  if (rows <= 1) return 0;
  if (rows <= 2) return 1;
  constexpr double kEuler = 0.57721566490153286060651209008240243104215933593992;
  return 2 * (std::log(rows - 1) + kEuler) - 2 * (rows - 1) / rows;
}

Result<AdditiveTrees> AdditiveTrees::make(TreeSet trees, Parts parts) {
  const std::size_t outputs = parts.base.size();
  if (outputs == 0 || outputs > kOutputsMax) {
    return Error{Errc::corrupt,
                 std::to_string(outputs) + " outputs of trees, expected 1 to " + std::to_string(kOutputsMax)};
  }
  if (trees.trees() == 0) return Error{Errc::corrupt, "no tree"};
  if (parts.groups.empty() ? trees.width() != outputs : trees.width() != 1)
    return Error{Errc::corrupt, "leaves of " + std::to_string(trees.width()) + " values for " +
                                    std::to_string(outputs) + " outputs"};
  if (!parts.groups.empty() && parts.groups.size() != trees.trees())
    return Error{Errc::corrupt, "not one group for each tree"};
  for (const auto group : parts.groups) {
    if (group >= outputs)
      return Error{Errc::corrupt,
                   "a tree of group " + std::to_string(group) + " of " + std::to_string(outputs)};
  }
  if (parts.link > Link::isolation) return Error{Errc::corrupt, "a link that is none"};
  if (parts.link == Link::softmax && outputs < 2) return Error{Errc::corrupt, "a softmax of one sum"};
  if (parts.kind.size() > kKindBytesMax) return Error{Errc::corrupt, "a kind of trees with too long a name"};
  if (!std::isfinite(parts.factor) ||
      !std::all_of(parts.base.begin(), parts.base.end(), [](double base) { return std::isfinite(base); }))
    return Error{Errc::corrupt, "a base or factor that is not finite"};
  // Sums must stay finite, or a softmax would yield NaN.
  double largest = std::abs(parts.factor);
  for (const double base : parts.base) largest = std::max(largest, std::abs(base));
  for (const float value : trees.parts().leaves)
    largest = std::max(largest, std::abs(static_cast<double>(value)));
  for (const double value : trees.parts().wide_leaves) largest = std::max(largest, std::abs(value));
  if (!(largest * static_cast<double>(trees.trees() + 1) <= 1e150))
    return Error{Errc::corrupt, "values so large that their sum may not be finite"};
  if (parts.link == Link::isolation) {
    const auto negative = [](auto value) { return value < 0; };
    const auto& set = trees.parts();
    if (parts.factor < 0 || std::any_of(parts.base.begin(), parts.base.end(), negative) ||
        std::any_of(set.leaves.begin(), set.leaves.end(), negative) ||
        std::any_of(set.wide_leaves.begin(), set.wide_leaves.end(), negative))
      return Error{Errc::corrupt, "a path of negative length"};
  }
  return AdditiveTrees(std::move(trees), std::move(parts));
}

Result<AdditiveTrees> AdditiveTrees::load(internal::FileReader& in) {
  Parts parts;
  parts.kind = in.text();
  parts.link = static_cast<Link>(in.u8());
  parts.factor = in.f64();
  parts.base = in.reals();
  parts.groups = in.optional_array<std::uint32_t>();
  if (!in.ok()) return in.error();
  auto trees = TreeSet::load(in);
  if (!trees) return std::move(trees).error().within("additive trees");
  return make(std::move(*trees), std::move(parts));
}

void AdditiveTrees::save(internal::FileWriter& out) const {
  out.tag(internal::ModelTag::additive_trees);
  out.text(parts_.kind);
  out.u8(static_cast<std::uint8_t>(parts_.link));
  out.f64(parts_.factor);
  out.reals(parts_.base);
  out.optional_array(parts_.groups);
  trees_.save(out);
}

Scale AdditiveTrees::scale() const {
  switch (parts_.link) {
    case Link::identity:
      return Scale::margin;
    case Link::isolation:
      return Scale::anomaly;
    default:
      return Scale::probability;
  }
}

void AdditiveTrees::sums(std::span<const float> rows, std::size_t count, std::span<double> out) const {
  const std::size_t each = outputs();
  CHECK(rows.size() >= count * inputs() && out.size() >= count * each);
  for (std::size_t i = 0; i < count * each; ++i) out[i] = parts_.base[i % each];
  trees_.add_leaves(rows.data(), count, each == 1 ? std::span<const std::uint32_t>() : parts_.groups.span(),
                    each, out.data());
}

void AdditiveTrees::score(std::span<const float> rows, std::size_t count, std::span<double> scores) const {
  sums(rows, count, scores);
  const std::size_t each = outputs();
  for (std::size_t row = 0; row < count; ++row)
    link_row(parts_.link, parts_.factor, scores.subspan(row * each, each));
}

std::string AdditiveTrees::describe() const {
  return parts_.kind + ": " + with_thousands(trees_.trees()) + " trees, " + with_thousands(trees_.nodes()) +
         " nodes, depth " + std::to_string(trees_.depth_max()) + ", " + std::to_string(inputs()) + " inputs";
}

}  // namespace nidus::model
