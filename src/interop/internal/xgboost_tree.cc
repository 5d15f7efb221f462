#include "interop/internal/xgboost_tree.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "base/number.h"
#include "base/text.h"

namespace nidus::interop::internal {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::int64_t kCategoriesMax = 16777216;  // beyond, a float is no category

Error wrong(const JsonValue& at, const std::string& what) {
  return {Errc::corrupt, "byte " + with_thousands(at.offset()) + ": " + what};
}

float below(float value) { return std::nextafter(value, -kInfinity); }

Result<JsonValue> member(const JsonValue& tree, std::string_view name) {
  const auto found = tree.find(name);
  if (!found) return wrong(tree, "a tree without " + std::string(name));
  return *found;
}

Result<std::vector<std::int64_t>> integers(const JsonValue& tree, std::string_view name, std::size_t count) {
  const auto found = member(tree, name);
  if (!found) return found.error();
  auto values = found->integers();
  if (!values) return wrong(*found, std::string(name) + " that are not whole numbers");
  if (values->size() != count)
    return wrong(*found, with_thousands(values->size()) + " " + std::string(name) + " for " +
                             with_thousands(count) + " nodes");
  return std::move(*values);
}

Result<std::vector<float>> floats(const JsonValue& tree, std::string_view name, std::size_t count) {
  const auto found = member(tree, name);
  if (!found) return found.error();
  auto values = found->floats();
  if (!values) return wrong(*found, std::string(name) + " that are not numbers");
  if (values->size() != count)
    return wrong(*found, with_thousands(values->size()) + " " + std::string(name) + " for " +
                             with_thousands(count) + " nodes");
  return std::move(*values);
}

// The sets of categories of a tree: of each node that asks for one, the categories that go right, ascending.
class CategorySets {
 public:
  Result<void> read(const JsonValue& tree, std::size_t nodes) {
    const auto all = tree.find("categories");
    if (!all) return {};
    const auto categories = all->integers();
    const auto owners = tree.find("categories_nodes"), segments = tree.find("categories_segments"),
               sizes = tree.find("categories_sizes");
    if (!categories || !owners || !segments || !sizes) return wrong(*all, "categories that are none");
    const auto owner = owners->integers(), begin = segments->integers(), size = sizes->integers();
    if (!owner || !begin || !size || owner->size() != begin->size() || owner->size() != size->size())
      return wrong(*owners, "categories that are none");
    sets_.resize(nodes);
    std::size_t taken = 0;
    for (std::size_t i = 0; i < owner->size(); ++i) {
      const std::int64_t from = (*begin)[i], count = (*size)[i];
      const auto have = static_cast<std::int64_t>(categories->size());
      if (from < 0 || count < 0 || from > have || count > have - from)
        return wrong(*segments, "categories " + std::to_string(from) + " and " + std::to_string(count) +
                                    " more, of " + std::to_string(have));
      taken += static_cast<std::size_t>(count);
      if (taken > categories->size()) return wrong(*segments, "categories of several nodes");
      if ((*owner)[i] < 0 || static_cast<std::size_t>((*owner)[i]) >= nodes)
        return wrong(*owners, "node " + std::to_string((*owner)[i]) + " of " + with_thousands(nodes));
      auto& set = sets_[static_cast<std::size_t>((*owner)[i])];
      if (set) return wrong(*owners, "node " + std::to_string((*owner)[i]) + " has two sets");
      set.emplace(categories->begin() + from, categories->begin() + from + count);
      std::sort(set->begin(), set->end());
      if (!set->empty() && (set->front() < 0 || set->back() >= kCategoriesMax))
        return wrong(*all, "a category outside 0 to 2^24");
    }
    return {};
  }

  // Null: the node has none.
  const std::vector<std::int64_t>* of(std::size_t node) const {
    return node < sets_.size() && sets_[node] ? &*sets_[node] : nullptr;
  }

 private:
  std::vector<std::optional<std::vector<std::int64_t>>> sets_;
};

// Changes sides at this cut too; at a cut that is there already, no longer.
void toggle(std::vector<float>& cuts, float cut) {
  const auto at = std::lower_bound(cuts.begin(), cuts.end(), cut);
  if (at != cuts.end() && *at == cut) {
    cuts.erase(at);
  } else {
    cuts.insert(at, cut);
  }
}

// What a number between two runs of categories is truncated to: c in the set is c <= x < c + 1, and x <= the
// float below that. Nothing below 0 is a category, but -0 is.
std::vector<float> cuts_of_set(const std::vector<std::int64_t>& set) {
  std::vector<float> cuts;
  for (const auto category : set) {
    const float from = below(static_cast<float>(category)), to = below(static_cast<float>(category + 1));
    if (!cuts.empty() && cuts.back() == from) {
      cuts.back() = to;
    } else if (cuts.empty() || cuts.back() < from) {
      cuts.push_back(from);
      cuts.push_back(to);
    }
  }
  return cuts;
}

// Sends the number that stands for a missing value where missing values go.
void divert(float missing, ForeignTree::Node& node, std::vector<float>& cuts) {
  const auto above = static_cast<std::size_t>(
      std::count_if(cuts.begin(), cuts.end(), [&](float cut) { return missing > cut; }));
  const bool goes_left = (above % 2 == 0) == node.first_left;
  if (goes_left == node.missing_left) return;
  if (missing == -kInfinity) {
    node.first_left = !node.first_left;
  } else {
    toggle(cuts, below(missing));
  }
  toggle(cuts, missing);
}

}  // namespace

Result<ForeignTree> read_xgboost_tree(const JsonValue& json, const XgboostTreeOptions& options, float factor,
                                      TreeBuilder& builder) {
  const auto first = member(json, "left_children");
  if (!first) return first.error();
  const std::size_t count = first->size();
  if (const auto width = json.find("tree_param", "size_leaf_vector")) {
    const auto values = parse_integer(width->text().value_or(""));
    if (!values) return wrong(*width, "a size of leaves that is no number");
    if (*values > 1)
      return Error{Errc::unsupported,
                   "leaves of " + std::to_string(*values) + " values (multi_strategy multi_output_tree)"};
  }
  if (const auto nodes = json.find("tree_param", "num_nodes")) {
    if (parse_integer(nodes->text().value_or("")) != static_cast<std::int64_t>(count))
      return wrong(*first, with_thousands(count) + " left_children, and num_nodes says otherwise");
  }
  const auto lefts = integers(json, "left_children", count);
  if (!lefts) return lefts.error();
  const auto rights = integers(json, "right_children", count);
  if (!rights) return rights.error();
  const auto features = integers(json, "split_indices", count);
  if (!features) return features.error();
  const auto conditions = floats(json, "split_conditions", count);
  if (!conditions) return conditions.error();
  const auto defaults = integers(json, "default_left", count);
  if (!defaults) return defaults.error();
  std::vector<std::int64_t> types(count);
  if (json.find("split_type")) {
    auto read = integers(json, "split_type", count);
    if (!read) return read.error();
    types = std::move(*read);
  }
  std::vector<float> weights(count, std::numeric_limits<float>::quiet_NaN());
  if (json.find("sum_hessian")) {
    auto read = floats(json, "sum_hessian", count);
    if (!read) return read.error();
    weights = std::move(*read);
  }
  CategorySets sets;
  if (auto good = sets.read(json, count); !good) return std::move(good).error();

  ForeignTree tree;
  tree.nodes.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    auto& node = tree.nodes[i];
    node.weight = weights[i];
    // Only the left child tells: behind the right one a leaf may hide something else.
    if ((*lefts)[i] == -1) {
      // Pruned nodes are leaves that nothing leads to, and may hold anything.
      const float value = (*conditions)[i] * factor;
      node.leaf = std::isfinite(value) ? builder.leaf(value) : ForeignTree::kNoValue;
      continue;
    }
    const auto at = [&] { return "node " + with_thousands(i) + ": "; };
    node.left = (*lefts)[i];
    node.right = (*rights)[i];
    if (node.left < 0) return wrong(*first, at() + "child " + std::to_string(node.left));
    if ((*features)[i] < 0 || static_cast<std::size_t>((*features)[i]) >= options.inputs)
      return wrong(*first, at() + "column " + std::to_string((*features)[i]) + " of " +
                               std::to_string(options.inputs));
    node.feature = static_cast<std::uint32_t>((*features)[i]);
    node.missing_left = (*defaults)[i] != 0;
    std::vector<float> cuts;
    if (types[i] == 1) {
      const auto* const set = sets.of(i);
      if (set == nullptr) return wrong(*first, at() + "a split by categories without any");
      cuts = cuts_of_set(*set);
      if (options.outside_is_missing && !node.missing_left && !set->empty()) {
        // The set is kept in words of 32 bits.
        node.first_left = false;
        toggle(cuts, below(0));
        toggle(cuts, below(static_cast<float>((set->back() / 32 + 1) * 32)));
      }
    } else if (types[i] == 0) {
      const float threshold = (*conditions)[i];
      if (std::isnan(threshold)) return wrong(*first, at() + "a threshold that is not a number");
      // x < t is x <= the float below t; nothing is below the lowest.
      if (threshold == -kInfinity) {
        node.first_left = false;
      } else {
        cuts = {below(threshold)};
      }
    } else {
      return Error{Errc::unsupported, at() + "a split of type " + std::to_string(types[i])};
    }
    if (options.missing) divert(*options.missing, node, cuts);
    node.cuts_begin = static_cast<std::uint32_t>(tree.cuts.size());
    tree.cuts.insert(tree.cuts.end(), cuts.begin(), cuts.end());
    node.cuts_end = static_cast<std::uint32_t>(tree.cuts.size());
  }
  return tree;
}

}  // namespace nidus::interop::internal
