#include "interop/xgboost_writer.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json_writer.h"
#include "base/text.h"

namespace nidus::interop {
namespace {

using model::Boost;
using model::TreeSet;

constexpr float kFloatInfinity = std::numeric_limits<float>::infinity();
constexpr std::int64_t kNoParent = 2147483647;

// As XGBoost spells floats: 5E-1, always with an exponent, so that no reader takes one for an integer.
std::string spelled(float value) {
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value, std::chars_format::scientific).ptr;
  std::string out(text, end);
  const auto mark = out.find('e');
  const bool negative = out[mark + 1] == '-';
  auto digits = out.find_first_not_of('0', mark + 2);
  if (digits == std::string::npos) digits = out.size() - 1;
  return out.substr(0, mark) + (negative ? "E-" : "E") + out.substr(digits);
}

template <class Values, class Spell>
void write_array(JsonWriter& json, std::string_view name, const Values& values, Spell spell) {
  std::string text = "[";
  for (const auto& value : values) {
    if (text.size() > 1) text += ',';
    text += spell(value);
  }
  json.key(name);
  json.raw(text + "]");
}

std::string integer(std::int64_t value) { return std::to_string(value); }

// One tree in the arrays of XGBoost.
struct Arrays {
  std::vector<std::int64_t> lefts, rights, parents, features, defaults;
  std::vector<float> conditions, weights, hessians;

  void resize(std::size_t count) {
    lefts.assign(count, -1);
    rights.assign(count, -1);
    parents.assign(count, kNoParent);
    features.assign(count, 0);
    defaults.assign(count, 0);
    conditions.assign(count, 0);
    weights.assign(count, 0);
    hessians.assign(count, 0);
  }
};

void write_tree(JsonWriter& json, const Arrays& tree, std::size_t number, std::size_t inputs) {
  const std::vector<std::int64_t> none, zeros(tree.lefts.size());
  json.begin_object();
  write_array(json, "base_weights", tree.weights, spelled);
  write_array(json, "categories", none, integer);
  write_array(json, "categories_nodes", none, integer);
  write_array(json, "categories_segments", none, integer);
  write_array(json, "categories_sizes", none, integer);
  write_array(json, "default_left", tree.defaults, integer);
  json.field("id", number);
  write_array(json, "left_children", tree.lefts, integer);
  write_array(json, "loss_changes", std::vector<float>(tree.lefts.size()), spelled);
  write_array(json, "parents", tree.parents, integer);
  write_array(json, "right_children", tree.rights, integer);
  write_array(json, "split_conditions", tree.conditions, spelled);
  write_array(json, "split_indices", tree.features, integer);
  write_array(json, "split_type", zeros, integer);
  write_array(json, "sum_hessian", tree.hessians, spelled);
  json.key("tree_param");
  json.begin_object();
  json.field("num_deleted", "0");
  json.field("num_feature", std::to_string(inputs));
  json.field("num_nodes", std::to_string(tree.lefts.size()));
  json.field("size_leaf_vector", "0");
  json.end_object();
  json.end_object();
}

// `covers` begins at those of the tree, if there are some, and is moved behind them.
Result<Arrays> arrays_of(const TreeSet& set, std::size_t index, std::span<const float>& covers) {
  const auto nodes = set.tree_unshared(index);
  const auto& parts = set.parts();
  Arrays out;
  out.resize(nodes.size());
  if (!covers.empty()) {
    out.hessians[0] = covers[0];
    covers = covers.subspan(1);
  }
  // XGBoost takes the node behind the left child for the right one, whatever is written, as we do. So where
  // the sides change, the children change places.
  std::vector<std::size_t> places(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) places[i] = i;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const model::Node node = nodes[i];
    const std::size_t at = places[i];
    if (i > 0 && out.parents[at] == kNoParent)
      return Error{Errc::unsupported, "tree " + with_thousands(index) + ": a node without a parent"};
    if (node.is_leaf()) {
      out.conditions[at] = out.weights[at] = static_cast<float>(set.value(node.leaf_number(), 0));
      continue;
    }
    const std::size_t left = node.left(), bit = parts.roots[index] + i;
    const bool missing_right =
        !parts.missing_right.empty() && (parts.missing_right[bit / 64] >> (bit % 64) & 1) != 0;
    // All numbers go left of a threshold at infinity: none is below the lowest, with the sides changed.
    const bool swapped = node.threshold() == kFloatInfinity;
    out.conditions[at] = swapped ? -kFloatInfinity : std::nextafter(node.threshold(), kFloatInfinity);
    out.defaults[at] = missing_right != swapped ? 0 : 1;
    out.features[at] = static_cast<std::int64_t>(node.feature());
    out.lefts[at] = static_cast<std::int64_t>(left);
    out.rights[at] = out.lefts[at] + 1;
    for (const std::size_t child : {left, left + 1}) {
      if (out.parents[child] != kNoParent)
        return Error{Errc::unsupported, "tree " + with_thousands(index) +
                                            ": a node with several parents, as sets of categories may have"};
      out.parents[child] = static_cast<std::int64_t>(at);
    }
    if (swapped) std::swap(places[left], places[left + 1]);
    if (covers.empty()) continue;
    const float share = covers[0], lighter = out.hessians[at] * std::abs(share);
    covers = covers.subspan(1);
    const float heavier = out.hessians[at] - lighter;
    out.hessians[places[left]] = std::signbit(share) ? heavier : lighter;
    out.hessians[places[left + 1]] = std::signbit(share) ? lighter : heavier;
  }
  return out;
}

// The base score that means this margin to XGBoost, which computes with floats; nothing if none does exactly.
std::optional<float> base_score_of(float margin, bool logit) {
  if (!logit) return margin;
  constexpr float kLeast = 1e-6f;  // XGBoost 3.2 takes nothing closer to 0 and 1
  auto score = static_cast<float>(1 / (1 + std::exp(-static_cast<double>(margin))));
  constexpr int kAround = 16;
  for (int i = 0; i < kAround; ++i) score = std::nextafter(score, 0.0f);
  for (int i = 0; i < 2 * kAround; ++i, score = std::nextafter(score, 1.0f)) {
    if (score < kLeast || score > 1 - kLeast) continue;
    if (-std::log(1.0f / score - 1.0f) == margin) return score;
  }
  return std::nullopt;
}

class XgboostWriter {
 public:
  XgboostWriter(const Boost& boost, const model::Schema& schema, std::span<const std::string> classes)
      : boost_(boost), schema_(schema), classes_(classes), json_(out_) {}

  Result<std::string> write() && {
    const std::size_t outputs = boost_.outputs();
    if (schema_.size() != boost_.inputs() && !schema_.empty())
      return Error{Errc::invalid, with_thousands(schema_.size()) + " columns for a model of " +
                                      with_thousands(boost_.inputs())};
    if (!classes_.empty() && classes_.size() != std::max<std::size_t>(outputs, 2))
      return Error{Errc::invalid, std::to_string(classes_.size()) + " classes for a model of " +
                                      std::to_string(std::max<std::size_t>(outputs, 2))};
    if (outputs > 1 && boost_.link() == Boost::Link::margin)
      return Error{Errc::unsupported, "margins of several classes are no objective of XGBoost"};
    choose_base();

    json_.begin_object();
    json_.key("learner");
    json_.begin_object();
    write_attributes();
    if (auto good = write_columns(); !good) return std::move(good).error();
    json_.key("gradient_booster");
    json_.begin_object();
    json_.key("model");
    if (auto good = write_trees(); !good) return std::move(good).error();
    json_.field("name", "gbtree");
    json_.end_object();
    write_parameters();
    json_.end_object();
    // What is written below is the format of this version, which later ones read.
    json_.key("version");
    json_.raw("[1,7,6]");
    json_.end_object();
    return std::move(out_);
  }

 private:
  // One score for all groups; what it cannot say is said by first trees.
  void choose_base() {
    const auto margins = boost_.base_margins();
    const bool logit = boost_.outputs() == 1 && boost_.link() == Boost::Link::probability;
    const bool equal =
        std::all_of(margins.begin(), margins.end(), [&](float margin) { return margin == margins[0]; });
    const auto score = equal ? base_score_of(margins[0], logit) : std::nullopt;
    base_score_ = score.value_or(logit ? 0.5f : 0.0f);
    has_first_ = !score;
  }

  void write_attributes() {
    json_.key("attributes");
    json_.begin_object();
    if (!classes_.empty()) {
      std::string list;
      JsonWriter names(list);
      names.begin_array();
      for (const auto& name : classes_) names.value(std::string_view(name));
      names.end_array();
      json_.field("nidus_classes", std::string_view(list));
    }
    json_.end_object();
  }

  Result<void> write_columns() {
    std::vector<std::string> names;
    for (const auto& column : schema_) {
      names.push_back(column.name);
      for (char& c : names.back()) {
        if (c == '[' || c == ']' || c == '<') c = '_';
      }
    }
    if (std::any_of(names.begin(), names.end(), [](const auto& name) { return name.empty(); })) names.clear();
    auto sorted = names;
    std::sort(sorted.begin(), sorted.end());
    if (const auto twice = std::adjacent_find(sorted.begin(), sorted.end()); twice != sorted.end())
      return Error{Errc::invalid, "two columns would be called '" + *twice + "'"};
    json_.key("feature_names");
    json_.begin_array();
    for (const auto& name : names) json_.value(std::string_view(name));
    json_.end_array();
    json_.key("feature_types");
    json_.begin_array();
    for (std::size_t i = 0; i < names.size(); ++i) json_.value("float");
    json_.end_array();
    return {};
  }

  // Rounds of one tree a class, as every XGBoost counts them. The order within a class stays, and where one
  // has fewer trees than another, leaves of -0 fill up, which change no sum.
  Result<void> write_trees() {
    const auto& set = boost_.trees();
    const std::size_t outputs = boost_.outputs();
    std::vector<std::vector<Arrays>> by_class(outputs);
    const auto leaf = [](float value) {
      Arrays out;
      out.resize(1);
      out.conditions[0] = out.weights[0] = value;
      return out;
    };
    for (std::size_t k = 0; has_first_ && k < outputs; ++k)
      by_class[k].push_back(leaf(boost_.base_margins()[k]));
    std::span<const float> covers = set.parts().covers.span();
    for (std::size_t i = 0; i < set.trees(); ++i) {
      auto tree = arrays_of(set, i, covers);
      if (!tree) return tree.error();
      by_class[boost_.groups()[i]].push_back(std::move(*tree));
    }
    std::size_t rounds = 0;
    for (const auto& trees : by_class) rounds = std::max(rounds, trees.size());
    const std::size_t count = rounds * outputs;
    std::vector<std::int64_t> begins, groups;
    for (std::size_t i = 0; i <= rounds; ++i) begins.push_back(static_cast<std::int64_t>(i * outputs));
    for (std::size_t i = 0; i < count; ++i) groups.push_back(static_cast<std::int64_t>(i % outputs));

    json_.begin_object();
    json_.key("gbtree_model_param");
    json_.begin_object();
    json_.field("num_parallel_tree", "1");
    json_.field("num_trees", std::to_string(count));
    json_.field("size_leaf_vector", "0");
    json_.end_object();
    write_array(json_, "iteration_indptr", begins, integer);
    write_array(json_, "tree_info", groups, integer);
    json_.key("trees");
    json_.begin_array();
    for (std::size_t i = 0; i < count; ++i) {
      const auto& trees = by_class[i % outputs];
      const std::size_t round = i / outputs;
      write_tree(json_, round < trees.size() ? trees[round] : leaf(-0.0f), i, boost_.inputs());
    }
    json_.end_array();
    json_.end_object();
    return {};
  }

  void write_parameters() {
    const std::size_t outputs = boost_.outputs();
    json_.key("learner_model_param");
    json_.begin_object();
    json_.field("base_score", std::string_view(spelled(base_score_)));
    json_.field("boost_from_average", "0");
    json_.field("num_class", std::to_string(outputs == 1 ? 0 : outputs));
    json_.field("num_feature", std::to_string(boost_.inputs()));
    json_.field("num_target", "1");
    json_.end_object();
    json_.key("objective");
    json_.begin_object();
    if (outputs > 1) {
      json_.field("name", "multi:softprob");
      json_.key("softmax_multiclass_param");
      json_.begin_object();
      json_.field("num_class", std::to_string(outputs));
    } else {
      json_.field("name", boost_.link() == Boost::Link::margin ? "binary:logitraw" : "binary:logistic");
      json_.key("reg_loss_param");
      json_.begin_object();
      json_.field("scale_pos_weight", "1");
    }
    json_.end_object();
    json_.end_object();
  }

  const Boost& boost_;
  const model::Schema& schema_;
  std::span<const std::string> classes_;
  std::string out_;
  JsonWriter json_;
  float base_score_ = 0.5f;
  bool has_first_ = false;  // a first tree of each class holds its base margin
};

}  // namespace

Result<std::string> write_xgboost(const Boost& boost, const model::Schema& schema,
                                  std::span<const std::string> classes) {
  return XgboostWriter(boost, schema, classes).write();
}

}  // namespace nidus::interop
