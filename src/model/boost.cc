#include "model/boost.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "model/internal/model_stream.h"

namespace nidus::model {
namespace {

constexpr std::size_t kGroupsMax = 1024;

// Scores from the margins of one row.
void squash(const float* margins, std::size_t groups, double* scores) {
  if (groups == 1) {
    scores[0] = 1 / (1 + std::exp(-static_cast<double>(margins[0])));
    return;
  }
  const auto highest = static_cast<double>(*std::max_element(margins, margins + groups));
  double sum = 0;
  for (std::size_t i = 0; i < groups; ++i) {
    scores[i] = std::exp(static_cast<double>(margins[i]) - highest);
    sum += scores[i];
  }
  for (std::size_t i = 0; i < groups; ++i) scores[i] /= sum;
}

}  // namespace

Result<Boost> Boost::make(TreeSet trees, Array<std::uint32_t> groups, std::vector<float> base_margins,
                          Link link) {
  if (trees.width() != 1) return Error{Errc::corrupt, "a leaf of boosted trees holds more than one value"};
  if (!trees.parts().wide_leaves.empty()) return Error{Errc::corrupt, "leaves of boosted trees are floats"};
  if (base_margins.empty() || base_margins.size() > kGroupsMax) {
    return Error{Errc::corrupt, std::to_string(base_margins.size()) + " groups of trees, expected 1 to " +
                                    std::to_string(kGroupsMax)};
  }
  if (!std::all_of(base_margins.begin(), base_margins.end(),
                   [](float margin) { return std::isfinite(margin); })) {
    return Error{Errc::corrupt, "a base margin that is not finite"};
  }
  if (groups.size() != trees.trees()) return Error{Errc::corrupt, "not one group for each tree"};
  for (const auto group : groups) {
    if (group >= base_margins.size()) {
      return Error{Errc::corrupt,
                   "a tree of group " + std::to_string(group) + " of " + std::to_string(base_margins.size())};
    }
  }
  if (link > Link::margin) return Error{Errc::corrupt, "a link that is none"};
  // Sums must stay finite, or a softmax would yield NaN.
  double largest = 0;
  for (const auto value : trees.parts().leaves)
    largest = std::max(largest, std::abs(static_cast<double>(value)));
  for (const auto margin : base_margins) largest = std::max(largest, std::abs(static_cast<double>(margin)));
  if (largest * static_cast<double>(trees.trees() + 1) > 1e38) {
    return Error{Errc::corrupt, "leaf values so large that their sum may not be finite"};
  }
  return Boost(std::move(trees), std::move(groups), std::move(base_margins), link);
}

Result<Boost> Boost::load(internal::FileReader& in) {
  auto trees = TreeSet::load(in);
  if (!trees) return std::move(trees).error().within("boosted trees");
  std::vector<float> margins(in.count(4));
  for (auto& margin : margins) margin = in.f32();
  auto groups = in.array<std::uint32_t>();
  const auto link = in.version() >= 3 ? static_cast<Link>(in.u8()) : Link::probability;
  if (!in.ok()) return in.error();
  return make(std::move(*trees), std::move(groups), std::move(margins), link);
}

void Boost::save(internal::FileWriter& out) const {
  out.tag(internal::ModelTag::boost);
  trees_.save(out);
  out.u32(static_cast<std::uint32_t>(base_margins_.size()));
  for (const auto margin : base_margins_) out.f32(margin);
  out.array(groups_);
  out.u8(static_cast<std::uint8_t>(link_));
}

void Boost::margins(std::span<const float> rows, std::size_t count, std::span<float> out) const {
  const std::size_t groups = outputs();
  CHECK(rows.size() >= count * inputs() && out.size() >= count * groups);
  for (std::size_t i = 0; i < count * groups; ++i) out[i] = base_margins_[i % groups];
  trees_.add_leaves(rows.data(), count, groups == 1 ? std::span<const std::uint32_t>() : groups_.span(),
                    groups, out.data());
}

void Boost::score(std::span<const float> rows, std::size_t count, std::span<double> scores) const {
  const std::size_t groups = outputs();
  CHECK(rows.size() >= count * inputs() && scores.size() >= count * groups);
  constexpr std::size_t kOnStack = 1024, kBlock = 1024;
  std::array<float, kOnStack> on_stack;
  std::vector<float> on_heap;
  const std::size_t block_most = std::min(kBlock, count);
  if (block_most * groups > kOnStack) on_heap.resize(block_most * groups);
  const std::span<float> sums = on_heap.empty() ? std::span<float>(on_stack) : std::span<float>(on_heap);
  for (std::size_t first = 0; first < count; first += kBlock) {
    const std::size_t block = std::min(kBlock, count - first);
    margins(rows.subspan(first * inputs(), block * inputs()), block, sums);
    if (link_ == Link::margin) {
      for (std::size_t i = 0; i < block * groups; ++i)
        scores[first * groups + i] = static_cast<double>(sums[i]);
    } else {
      for (std::size_t i = 0; i < block; ++i)
        squash(&sums[i * groups], groups, &scores[(first + i) * groups]);
    }
  }
}

std::string Boost::describe() const {
  return "boosted trees: " + with_thousands(trees_.trees()) + " trees, " + with_thousands(trees_.nodes()) +
         " nodes, depth " + std::to_string(trees_.depth_max()) + ", " + std::to_string(inputs()) + " inputs";
}

}  // namespace nidus::model
