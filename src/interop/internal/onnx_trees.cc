#include "interop/internal/onnx_trees.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_map>
#include <utility>

#include "base/text.h"

namespace nidus::interop::internal::onnx {
namespace {

using model::TreeSet;

enum class Mode : std::uint8_t { leq, lt, gte, gt, eq, neq, member, leaf };

struct Vote {
  std::uint32_t output = 0;
  double weight = 0;
};

struct SourceNode {
  Mode mode = Mode::leaf;
  bool missing_is_true = false;
  std::uint32_t feature = 0;
  double value = 0;
  std::uint32_t if_true = 0, if_false = 0;  // in Source::nodes
  std::uint32_t set = 0;                    // of member: in Source::sets
  std::uint32_t first_vote = 0, votes = 0;
};

// The two ways of writing trees in one.
struct Source {
  std::vector<SourceNode> nodes;
  std::vector<std::uint32_t> roots;
  std::vector<Vote> votes;
  std::vector<std::vector<double>> sets;
  std::size_t outputs = 0;
};

constexpr std::int64_t kFeatureMax = 65535;

Error corrupt(const std::string& what) { return {Errc::corrupt, what}; }

std::optional<Mode> mode_of(std::string_view name) {
  static constexpr std::pair<std::string_view, Mode> kNames[] = {
      {"BRANCH_LEQ", Mode::leq}, {"BRANCH_LT", Mode::lt}, {"BRANCH_GTE", Mode::gte},
      {"BRANCH_GT", Mode::gt},   {"BRANCH_EQ", Mode::eq}, {"BRANCH_NEQ", Mode::neq},
      {"LEAF", Mode::leaf}};
  for (const auto& [known, mode] : kNames) {
    if (known == name) return mode;
  }
  return {};
}

// Operator sets 1 and 3: each node with the numbers of its tree and itself.
Result<Source> read_numbered(const Node& node) {
  const auto trees = node.integers("nodes_treeids"), ids = node.integers("nodes_nodeids"),
             features = node.integers("nodes_featureids"), if_true = node.integers("nodes_truenodeids"),
             if_false = node.integers("nodes_falsenodeids"),
             missing = node.integers("nodes_missing_value_tracks_true");
  const auto values = node.numbers("nodes_values");
  const auto* modes = node.find("nodes_modes");
  const std::size_t count = trees.size();
  if (modes == nullptr || ids.size() != count || features.size() != count || if_true.size() != count ||
      if_false.size() != count || values.size() != count || modes->strings.size() != count ||
      (!missing.empty() && missing.size() != count) || count > 0x7fffffff) {
    return corrupt("attributes of nodes of different lengths");
  }
  if (count == 0) return corrupt("no nodes");
  Source source;
  source.nodes.resize(count);
  // Trees are numbered in blocks, and so mostly are nodes.
  std::unordered_map<std::uint64_t, std::uint32_t> places;
  places.reserve(count);
  const auto key = [](std::int64_t tree, std::int64_t id) {
    return static_cast<std::uint64_t>(tree) << 32 | static_cast<std::uint64_t>(id);
  };
  const auto in_range = [](std::int64_t number) { return number >= 0 && number <= 0x7fffffff; };
  for (std::size_t i = 0; i < count; ++i) {
    if (!in_range(trees[i]) || !in_range(ids[i])) return corrupt("a tree or node with a number below 0");
    if (!places.emplace(key(trees[i], ids[i]), static_cast<std::uint32_t>(i)).second)
      return corrupt("tree " + std::to_string(trees[i]) + " has two nodes " + std::to_string(ids[i]));
    if (i == 0 || trees[i] != trees[i - 1]) source.roots.push_back(static_cast<std::uint32_t>(i));
  }
  for (std::size_t i = 0; i < count; ++i) {
    SourceNode& to = source.nodes[i];
    const auto broken = [&](const std::string& what) {
      return corrupt("tree " + std::to_string(trees[i]) + ", node " + std::to_string(ids[i]) + ": " + what);
    };
    const auto mode = mode_of(modes->strings[i]);
    if (!mode) return broken("mode " + std::string(modes->strings[i].substr(0, 32)));
    to.mode = *mode;
    if (to.mode == Mode::leaf) continue;
    if (features[i] < 0 || features[i] > kFeatureMax) return broken("feature " + std::to_string(features[i]));
    to.feature = static_cast<std::uint32_t>(features[i]);
    to.value = values[i];
    to.missing_is_true = !missing.empty() && missing[i] == 1;
    for (const bool yes : {true, false}) {
      const auto id = yes ? if_true[i] : if_false[i];
      const auto found = in_range(id) ? places.find(key(trees[i], id)) : places.end();
      if (found == places.end()) return broken("child " + std::to_string(id));
      (yes ? to.if_true : to.if_false) = found->second;
    }
  }
  // Votes of one leaf side by side.
  const bool classes = node.op == "TreeEnsembleClassifier";
  const std::string prefix = classes ? "class_" : "target_";
  const auto vote_trees = node.integers(prefix + "treeids"), vote_nodes = node.integers(prefix + "nodeids"),
             outputs = node.integers(prefix + "ids");
  const auto weights = node.numbers(prefix + "weights");
  if (vote_trees.size() != weights.size() || vote_nodes.size() != weights.size() ||
      outputs.size() != weights.size()) {
    return corrupt("attributes of leaves of different lengths");
  }
  std::vector<std::pair<std::uint32_t, std::uint32_t>> order;  // node, vote
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const auto found = in_range(vote_trees[i]) && in_range(vote_nodes[i])
                           ? places.find(key(vote_trees[i], vote_nodes[i]))
                           : places.end();
    if (found == places.end()) return corrupt("a weight of a leaf that is not there");
    // Old converters give weights to inner nodes too, which count for nothing.
    if (source.nodes[found->second].mode == Mode::leaf)
      order.emplace_back(found->second, static_cast<std::uint32_t>(i));
  }
  std::sort(order.begin(), order.end());
  for (const auto& [place, vote] : order) {
    SourceNode& leaf = source.nodes[place];
    if (leaf.votes++ == 0) leaf.first_vote = static_cast<std::uint32_t>(source.votes.size());
    if (outputs[vote] < 0 || outputs[vote] > 1023) return corrupt("output " + std::to_string(outputs[vote]));
    source.votes.push_back({static_cast<std::uint32_t>(outputs[vote]), weights[vote]});
  }
  if (classes) {
    const auto* texts = node.find("classlabels_strings");
    source.outputs = texts != nullptr && !texts->strings.empty() ? texts->strings.size()
                                                                 : node.integers("classlabels_int64s").size();
  } else {
    source.outputs =
        static_cast<std::size_t>(std::clamp<std::int64_t>(node.integer("n_targets", 1), 0, 1024));
  }
  return source;
}

// Operator set 5: arrays of inner nodes and of leaves.
Result<Source> read_arrays(const Node& node) {
  const auto features = node.integers("nodes_featureids"), if_true = node.integers("nodes_truenodeids"),
             if_false = node.integers("nodes_falsenodeids"), true_leaf = node.integers("nodes_trueleafs"),
             false_leaf = node.integers("nodes_falseleafs"),
             missing = node.integers("nodes_missing_value_tracks_true"), roots = node.integers("tree_roots"),
             targets = node.integers("leaf_targetids");
  const auto tensor = [&](std::string_view name) {
    const auto* found = node.find(name);
    return found != nullptr && !found->tensors.empty() ? found->tensors[0].values : std::vector<double>();
  };
  const auto splits = tensor("nodes_splits"), modes = tensor("nodes_modes"), weights = tensor("leaf_weights"),
             members = tensor("membership_values");
  const std::size_t count = features.size(), leaves = targets.size();
  if (if_true.size() != count || if_false.size() != count || true_leaf.size() != count ||
      false_leaf.size() != count || splits.size() != count || modes.size() != count ||
      (!missing.empty() && missing.size() != count) || weights.size() != leaves || roots.empty() ||
      count > 0x3fffffff || leaves > 0x3fffffff) {
    return corrupt("attributes of nodes or leaves of different lengths");
  }
  Source source;
  source.nodes.resize(count + leaves);  // the leaves behind
  std::size_t next_member = 0;
  for (std::size_t i = 0; i < count; ++i) {
    SourceNode& to = source.nodes[i];
    if (!(modes[i] >= 0 && modes[i] <= 6)) return corrupt("node " + std::to_string(i) + ": an unknown mode");
    to.mode = static_cast<Mode>(modes[i]);
    if (features[i] < 0 || features[i] > kFeatureMax)
      return corrupt("node " + std::to_string(i) + ": feature " + std::to_string(features[i]));
    to.feature = static_cast<std::uint32_t>(features[i]);
    to.value = splits[i];
    to.missing_is_true = !missing.empty() && missing[i] == 1;
    for (const bool yes : {true, false}) {
      const auto id = yes ? if_true[i] : if_false[i];
      const bool leaf = (yes ? true_leaf[i] : false_leaf[i]) != 0;
      if (id < 0 || id >= static_cast<std::int64_t>(leaf ? leaves : count))
        return corrupt("node " + std::to_string(i) + ": child " + std::to_string(id));
      (yes ? to.if_true : to.if_false) = static_cast<std::uint32_t>(
          leaf ? count + static_cast<std::size_t>(id) : static_cast<std::size_t>(id));
    }
    if (to.mode == Mode::member) {
      std::vector<double> set;
      while (next_member < members.size() && !std::isnan(members[next_member]))
        set.push_back(members[next_member++]);
      if (next_member == members.size()) return corrupt("fewer sets of members than nodes that ask for one");
      ++next_member;
      to.set = static_cast<std::uint32_t>(source.sets.size());
      source.sets.push_back(std::move(set));
    }
  }
  for (std::size_t i = 0; i < leaves; ++i) {
    if (targets[i] < 0 || targets[i] > 1023) return corrupt("output " + std::to_string(targets[i]));
    source.nodes[count + i].first_vote = static_cast<std::uint32_t>(i);
    source.nodes[count + i].votes = 1;
    source.votes.push_back({static_cast<std::uint32_t>(targets[i]), weights[i]});
  }
  for (const auto root : roots) {
    if (root < 0 || root >= static_cast<std::int64_t>(count)) return corrupt("root " + std::to_string(root));
    source.roots.push_back(static_cast<std::uint32_t>(root));
  }
  source.outputs = static_cast<std::size_t>(std::clamp<std::int64_t>(node.integer("n_targets", 1), 0, 1024));
  return source;
}

// Where a node goes by its threshold: left when x <= threshold.
struct Split {
  std::size_t column = 0;
  double threshold = 0;
  bool true_is_left = true;
};

class Layout {
 public:
  Layout(const Source& source, Ensemble& out, bool wide) : source_(source), out_(out), wide_(wide) {}

  // Decides which columns there are, and their cuts.
  Result<void> choose_columns(std::size_t inputs) {
    bool plain = true;
    for (const auto& node : source_.nodes) {
      if (node.mode == Mode::leaf) continue;
      if (std::isnan(node.value) && node.mode != Mode::member)
        return corrupt("a threshold that is not a number");
      out_.features = std::max(out_.features, node.feature + 1);
      plain = plain && node.mode <= Mode::gt;
    }
    if (plain && inputs <= model::Node::kFeaturesMax && out_.features <= inputs) {
      for (std::uint32_t i = 0; i < inputs; ++i) {
        numbers_.emplace(Key{i, {}}, i);
        out_.columns.push_back({i, {}});
      }
    }
    for (const auto& node : source_.nodes) {
      if (node.mode != Mode::leaf) column_of(node);
    }
    if (out_.columns.empty()) out_.columns.push_back({0, {}});
    if (out_.columns.size() > model::Node::kFeaturesMax) {
      return Error{Errc::unsupported, "trees that ask about " + std::to_string(out_.columns.size()) +
                                          " different things: " + std::to_string(model::Node::kFeaturesMax) +
                                          " are the most"};
    }
    if (!wide_) return {};
    out_.cuts.resize(out_.columns.size());
    for (const auto& node : source_.nodes) {
      if (node.mode == Mode::leaf || node.mode > Mode::gt) continue;
      out_.cuts[column_of(node)].push_back(cut_of(node));
    }
    for (auto& cuts : out_.cuts) {
      std::sort(cuts.begin(), cuts.end());
      cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
    }
    return {};
  }

  Result<Split> split_of(const SourceNode& node) const {
    Split split;
    split.column = numbers_.at(key_of(node));
    if (node.mode > Mode::gt) {
      split.threshold = 0.5;
      split.true_is_left = node.mode == Mode::neq;
      return split;
    }
    split.true_is_left = node.mode == Mode::leq || node.mode == Mode::lt;
    const double cut = cut_of(node);
    if ((node.mode == Mode::lt || node.mode == Mode::gte) && std::isinf(node.value) && node.value < 0)
      return Error{Errc::unsupported, "a threshold of minus infinity"};
    if (!wide_) {
      split.threshold = cut;
    } else {
      const auto& cuts = out_.cuts[split.column];
      split.threshold = static_cast<double>(std::lower_bound(cuts.begin(), cuts.end(), cut) - cuts.begin());
    }
    return split;
  }

 private:
  using Key = std::pair<std::uint32_t, std::vector<double>>;

  Key key_of(const SourceNode& node) const {
    if (node.mode == Mode::member) {
      auto set = source_.sets[node.set];
      std::sort(set.begin(), set.end());
      if (set.empty()) set.push_back(std::numeric_limits<double>::quiet_NaN());  // nothing is equal to it
      return {node.feature, std::move(set)};
    }
    if (node.mode == Mode::eq || node.mode == Mode::neq) return {node.feature, {node.value}};
    return {node.feature, {}};
  }

  std::size_t column_of(const SourceNode& node) {
    auto key = key_of(node);
    const auto [found, is_new] = numbers_.emplace(key, out_.columns.size());
    if (is_new) out_.columns.push_back({key.first, std::move(key.second)});
    return found->second;
  }

  // The largest number that goes left.
  double cut_of(const SourceNode& node) const {
    if (node.mode == Mode::leq || node.mode == Mode::gt) return node.value;
    if (wide_) return std::nextafter(node.value, -HUGE_VAL);
    return static_cast<double>(std::nextafter(static_cast<float>(node.value), -HUGE_VALF));
  }

  struct Before {
    bool operator()(const Key& a, const Key& b) const {
      if (a.first != b.first) return a.first < b.first;
      // NaN, which stands for an empty set, behind all numbers.
      return std::lexicographical_compare(
          a.second.begin(), a.second.end(), b.second.begin(), b.second.end(),
          [](double x, double y) { return std::isnan(y) ? !std::isnan(x) : x < y; });
    }
  };

  const Source& source_;
  Ensemble& out_;
  bool wide_;
  std::map<Key, std::size_t, Before> numbers_;
};

// Nodes renumbered: children side by side behind their parents.
Result<TreeSet> lay_out(const Source& source, const Layout& layout, Ensemble& out, bool wide) {
  TreeSet::Parts parts;
  parts.inputs = out.columns.size();
  // One number a leaf, if no tree says anything about more than one output.
  bool grouped = true;
  std::vector<bool> seen(source.nodes.size(), false);
  struct Open {
    std::uint32_t source;
    std::size_t at;
  };
  std::vector<model::Node> nodes;
  std::vector<std::uint32_t> roots{0};
  std::vector<const SourceNode*> leaves;
  std::vector<std::size_t> right;  // nodes that send what is missing to the right
  std::vector<Open> open;
  for (const auto root : source.roots) {
    const std::size_t base = nodes.size();
    nodes.emplace_back();
    open.assign(1, {root, 0});
    std::optional<std::uint32_t> group;
    for (std::size_t next = 0; next < open.size(); ++next) {
      const auto [from, at] = open[next];
      const SourceNode& node = source.nodes[from];
      // A leaf of arrays may belong to several nodes; anything else is in one place.
      if (seen[from] && node.mode != Mode::leaf) return corrupt("a node with two parents");
      seen[from] = true;
      if (nodes.size() > 4 * source.nodes.size() + 16) return corrupt("a leaf with too many parents");
      if (node.mode == Mode::leaf) {
        for (std::uint32_t v = 0; v < node.votes; ++v) {
          const Vote& vote = source.votes[node.first_vote + v];
          if (vote.output >= out.outputs) {
            return corrupt("output " + std::to_string(vote.output) + " of " + std::to_string(out.outputs));
          }
          out.voted[vote.output] = true;
          out.lowest = std::min(out.lowest, vote.weight);
          if (group && *group != vote.output) grouped = false;
          group = vote.output;
        }
        if (leaves.size() >= model::Node::kLeavesMax)
          return Error{Errc::unsupported, "more than 4 million leaves"};
        nodes[base + at] = model::Node::leaf(at, leaves.size());
        leaves.push_back(&node);
        continue;
      }
      auto split = layout.split_of(node);
      if (!split) return std::move(split).error();
      const std::size_t left = nodes.size() - base;
      if (left + 1 >= model::Node::kNodesMax)
        return Error{Errc::unsupported, "a tree of more than 4 million nodes"};
      nodes[base + at] = model::Node::inner(static_cast<float>(split->threshold), split->column, left);
      if (split->true_is_left != node.missing_is_true) right.push_back(base + at);
      nodes.resize(nodes.size() + 2);
      open.push_back({split->true_is_left ? node.if_true : node.if_false, left});
      open.push_back({split->true_is_left ? node.if_false : node.if_true, left + 1});
    }
    out.groups.push_back(group.value_or(0));
    roots.push_back(static_cast<std::uint32_t>(nodes.size()));
  }
  parts.width = grouped ? 1 : out.outputs;
  if (!grouped) out.groups.clear();
  if (leaves.size() * parts.width > (1u << 20) + 64 * (source.votes.size() + source.nodes.size()))
    return Error{Errc::exhausted, "leaves that name few of very many outputs"};
  std::vector<double> values(leaves.size() * parts.width, 0);
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    for (std::uint32_t v = 0; v < leaves[i]->votes; ++v) {
      const Vote& vote = source.votes[leaves[i]->first_vote + v];
      values[i * parts.width + (grouped ? 0 : vote.output)] += vote.weight;
    }
  }
  if (wide) {
    parts.wide_leaves = std::move(values);
  } else {
    parts.leaves = std::vector<float>(values.begin(), values.end());
  }
  if (!right.empty()) {
    std::vector<std::uint64_t> bits((nodes.size() + 63) / 64);
    for (const auto at : right) bits[at / 64] |= std::uint64_t{1} << (at % 64);
    parts.missing_right = std::move(bits);
  }
  parts.nodes = std::move(nodes);
  parts.roots = std::move(roots);
  return TreeSet::make(std::move(parts));
}

}  // namespace

Result<Ensemble> read_ensemble(const Node& node, std::size_t inputs, bool wide) {
  const bool arrays = node.op == "TreeEnsemble";
  auto source = arrays ? read_arrays(node) : read_numbered(node);
  if (!source) return std::move(source).error().within(node.spell());
  Ensemble out;
  out.outputs = source->outputs;
  if (out.outputs == 0 || out.outputs > 1024) return corrupt("no outputs, or too many").within(node.spell());
  out.voted.resize(out.outputs, false);
  if (arrays) {
    const auto aggregate = node.integer("aggregate_function", 1);
    if (aggregate > 1 || aggregate < 0)
      return Error{Errc::unsupported, node.spell() + ": an aggregate of lowest or highest"};
    out.average = aggregate == 0;
  } else {
    const auto aggregate = node.text("aggregate_function", "SUM");
    if (aggregate != "SUM" && aggregate != "AVERAGE")
      return Error{Errc::unsupported, node.spell() + ": aggregate " + std::string(aggregate)};
    out.average = aggregate == "AVERAGE";
    out.base = node.numbers("base_values");
  }
  Layout layout(*source, out, wide);
  if (auto chosen = layout.choose_columns(inputs); !chosen)
    return std::move(chosen).error().within(node.spell());
  if (out.features > inputs) {
    return corrupt("feature " + std::to_string(out.features - 1) + " of " + std::to_string(inputs))
        .within(node.spell());
  }
  auto trees = lay_out(*source, layout, out, wide);
  if (!trees) return std::move(trees).error().within(node.spell());
  out.trees = std::move(*trees);
  return out;
}

}  // namespace nidus::interop::internal::onnx
