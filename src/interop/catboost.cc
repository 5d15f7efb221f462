#include "interop/catboost.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/number.h"
#include "base/text.h"
#include "interop/internal/json.h"
#include "interop/internal/tree_builder.h"
#include "model/additive_trees.h"

namespace nidus::interop {
namespace {

using internal::ForeignTree;
using internal::JsonDocument;
using internal::JsonValue;
using internal::TreeBuilder;
using model::AdditiveTrees;

constexpr std::size_t kSplitsMax =
    20;  // of a symmetric tree, which has 2^splits leaves; CatBoost's limit is 16
constexpr std::size_t kOutputsMax = 1024;

// -1 if it is not there or no whole number.
std::int64_t whole(const std::optional<JsonValue>& value) {
  return value ? value->integer().value_or(-1) : -1;
}

// A column and where a row without a value goes.
struct Feature {
  std::uint32_t column = 0;
  bool missing_left = true;
};

class CatBoostReader {
 public:
  explicit CatBoostReader(const JsonValue& root) : root_(root) {}

  Result<Artefact> read() && {
    if (auto good = read_loss(); !good) return std::move(good).error();
    if (auto good = read_features(); !good) return std::move(good).error();
    if (auto good = read_scale(); !good) return std::move(good).error();
    const auto symmetric = root_.find("oblivious_trees"), other = root_.find("trees");
    if (symmetric.has_value() == other.has_value() || !(symmetric ? symmetric : other)->is_array())
      return root_.wrong("neither oblivious_trees nor trees: this is no model of CatBoost");
    const auto trees = (symmetric ? symmetric : other)->elements();
    if (trees.empty()) return Error{Errc::unsupported, "a model without trees"};
    for (std::size_t i = 0; i < trees.size(); ++i) {
      auto tree = symmetric ? read_symmetric(trees[i]) : read_other(trees[i]);
      auto good = tree ? builder_.add(*tree) : tree.error();
      if (!good) return std::move(good).error().within("tree " + with_thousands(i));
    }
    // The bias comes last, as there.
    if (std::any_of(bias_.begin(), bias_.end(), [](double bias) { return bias != 0; })) {
      ForeignTree constant;
      constant.nodes.emplace_back().leaf = builder_.leaf(std::span<const double>(bias_));
      constant.nodes[0].weight = 1;
      if (auto good = builder_.add(constant); !good) return std::move(good).error();
    }
    auto set = std::move(builder_).finish(features_.size());
    if (!set) return std::move(set).error();
    AdditiveTrees::Parts parts;
    parts.base.assign(bias_.size(), 0);
    parts.link = link_;
    parts.kind = "CatBoost";
    auto model = AdditiveTrees::make(std::move(*set), std::move(parts));
    if (!model) return std::move(model).error();
    out_.kind = Artefact::Kind::model;
    out_.origin = "CatBoost " + version() + loss_;
    out_.model = std::make_shared<const AdditiveTrees>(std::move(*model));
    read_classes();
    return std::move(out_);
  }

 private:
  // "1.2.10 " out of "… CatBoost release 1.2.10. commit_hash…".
  std::string version() const {
    const auto info = root_.find("model_info", "catboost_version_info");
    const std::string text = info ? info->text().value_or("") : "";
    constexpr std::string_view kBefore = "CatBoost release ";
    const auto at = text.find(kBefore);
    if (at == std::string::npos) return "";
    const auto begin = at + kBefore.size(), end = text.find_first_not_of("0123456789.", begin);
    auto version = text.substr(begin, end == std::string::npos ? end : end - begin);
    while (version.ends_with('.')) version.pop_back();
    return version + " ";
  }

  // The parameters are JSON, in a text or not.
  Result<void> read_loss() {
    const auto params = root_.find("model_info", "params");
    if (!params) return root_.wrong("no model_info with params, which say what was trained");
    std::optional<std::string> loss;
    if (const auto text = params->text()) {
      const auto json = JsonDocument::read_text(std::as_bytes(std::span(*text)));
      if (!json) return params->wrong("params that are no JSON: " + json.error().message);
      const auto type = json->root().find("loss_function", "type");
      loss = type ? type->text() : std::nullopt;
    } else {
      const auto type = params->find("loss_function", "type");
      loss = type ? type->text() : std::nullopt;
    }
    if (!loss) return params->wrong("params without a loss_function");
    loss_ = *loss;
    if (loss_ == "Logloss" || loss_ == "CrossEntropy") {
      link_ = AdditiveTrees::Link::logistic;
    } else if (loss_ == "MultiClass") {
      link_ = AdditiveTrees::Link::softmax;
    } else if (loss_ == "MultiClassOneVsAll") {
      link_ = AdditiveTrees::Link::one_vs_all;
    } else {
      return Error{Errc::unsupported, "loss_function '" + loss_ +
                                          "' is not one that judges: Logloss, CrossEntropy, MultiClass, "
                                          "MultiClassOneVsAll"};
    }
    return {};
  }

  Result<void> read_features() {
    const auto info = root_.find("features_info");
    if (!info) return root_.wrong("no features_info");
    for (const char* kind : {"categorical_features", "text_features", "embedding_features"}) {
      const auto found = info->find(kind);
      if (!found || found->size() == 0) continue;
      const auto name = found->elements()[0].find("feature_id");
      const std::string spelled = name ? name->text().value_or("") : "";
      return Error{Errc::unsupported,
                   std::string(kind) + (spelled.empty() ? "" : " ('" + spelled + "')") +
                       ": only models over numbers are read; encode texts before training"};
    }
    const auto list = info->find("float_features");
    if (!list || list->size() == 0) return info->wrong("no float_features");
    const auto all = list->elements();
    features_.resize(all.size());
    out_.columns.resize(all.size());
    std::vector<bool> seen(all.size()), taken(all.size());
    bool named = false;
    for (const auto& feature : all) {
      const auto index = feature.find("feature_index"), flat = feature.find("flat_feature_index");
      const std::int64_t number = whole(index), column = whole(flat);
      const auto below = static_cast<std::int64_t>(all.size());
      if (number < 0 || number >= below || column < 0 || column >= below ||
          seen[static_cast<std::size_t>(number)] || taken[static_cast<std::size_t>(column)])
        return feature.wrong("a feature that is not one of " + with_thousands(all.size()));
      seen[static_cast<std::size_t>(number)] = taken[static_cast<std::size_t>(column)] = true;
      Feature& one = features_[static_cast<std::size_t>(number)];
      one.column = static_cast<std::uint32_t>(column);
      if (const auto treatment = feature.find("nan_value_treatment")) {
        const auto text = treatment->text().value_or("");
        if (text != "AsIs" && text != "AsFalse" && text != "AsTrue")
          return Error{Errc::unsupported, "nan_value_treatment '" + text + "'"};
        one.missing_left = text != "AsTrue";
      }
      const auto name = feature.find("feature_id");
      auto& to = out_.columns[one.column].name;
      to = name ? name->text().value_or("") : "";
      named |= !to.empty();
    }
    if (!named) {
      out_.columns.clear();
      return {};
    }
    std::vector<std::string> names;
    for (const auto& column : out_.columns) names.push_back(column.name);
    std::sort(names.begin(), names.end());
    if (const auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end())
      return list->wrong("two columns are called '" + *twice + "'");
    return {};
  }

  // [scale, [bias…]], in older versions [scale, bias].
  Result<void> read_scale() {
    bias_ = {0};
    const auto found = root_.find("scale_and_bias");
    if (!found) return {};
    const auto parts = found->elements();
    const auto scale = parts.size() == 2 ? parts[0].number() : std::nullopt;
    if (!scale || !std::isfinite(*scale)) return found->wrong("scale_and_bias that is none");
    scale_ = *scale;
    auto bias = parts[1].doubles();
    if (const auto one = parts[1].number()) bias.emplace(1, *one);
    if (!bias || bias->empty() || bias->size() > kOutputsMax)
      return found->wrong("scale_and_bias that is none");
    bias_ = std::move(*bias);
    const bool many = link_ != AdditiveTrees::Link::logistic;
    if (many != (bias_.size() > 1))
      return found->wrong(std::to_string(bias_.size()) + " biases with loss_function " + loss_);
    return {};
  }

  // Asks x > border.
  Result<void> read_split(const JsonValue& json, ForeignTree& tree, ForeignTree::Node& node) const {
    const auto type = json.find("split_type");
    const auto kind = type ? type->text().value_or("") : "FloatFeature";
    if (kind != "FloatFeature") return Error{Errc::unsupported, "a split of type " + kind};
    const auto index = json.find("float_feature_index"), border = json.find("border");
    const std::int64_t number = whole(index);
    const float cut = border ? border->number_as_float().value_or(std::nanf("")) : std::nanf("");
    if (number < 0 || static_cast<std::size_t>(number) >= features_.size())
      return json.wrong("a split by a feature that is none of " + with_thousands(features_.size()));
    if (std::isnan(cut)) return json.wrong("a split without a border");
    const Feature& feature = features_[static_cast<std::size_t>(number)];
    node.feature = feature.column;
    node.missing_left = feature.missing_left;
    node.cuts_begin = static_cast<std::uint32_t>(tree.cuts.size());
    tree.cuts.push_back(cut);
    node.cuts_end = static_cast<std::uint32_t>(tree.cuts.size());
    return {};
  }

  std::uint32_t leaf(std::span<const double> values) {
    std::vector<double> scaled(values.begin(), values.end());
    for (double& value : scaled) {
      value *= scale_;
      if (!std::isfinite(value)) return ForeignTree::kNoValue;
    }
    return builder_.leaf(std::span<const double>(scaled));
  }

  // All nodes of a level ask the same; split i gives bit i of the number of the leaf.
  Result<ForeignTree> read_symmetric(const JsonValue& json) {
    const auto splits = json.find("splits"), leaf_values = json.find("leaf_values"),
               leaf_weights = json.find("leaf_weights");
    // A tree that is one leaf has no splits, or null for them.
    const auto asked = splits ? splits->elements() : std::vector<JsonValue>();
    const std::size_t depth = asked.size();
    if (depth > kSplitsMax) return json.wrong(std::to_string(depth) + " splits");
    const std::size_t leaves = std::size_t{1} << depth, width = bias_.size();
    const auto values = leaf_values ? leaf_values->doubles() : std::nullopt;
    if (!values || values->size() != leaves * width)
      return json.wrong("leaf_values that are not " + with_thousands(leaves * width) + " numbers");
    std::vector<double> weights(leaves, std::numeric_limits<double>::quiet_NaN());
    if (leaf_weights && leaf_weights->size() > 0) {
      auto given = leaf_weights->doubles();
      if (!given || given->size() != leaves) return leaf_weights->wrong("not one weight for each leaf");
      weights = std::move(*given);
    }
    ForeignTree tree;
    std::vector<ForeignTree::Node> levels(depth);
    for (std::size_t level = 0; level < depth; ++level) {
      if (auto good = read_split(asked[depth - 1 - level], tree, levels[level]); !good)
        return std::move(good).error();
    }
    // As a heap: the children of i are 2i + 1 and 2i + 2, the leaves come last and in order.
    tree.nodes.resize(2 * leaves - 1);
    for (std::size_t i = tree.nodes.size(); i-- > 0;) {
      auto& node = tree.nodes[i];
      if (i + 1 >= leaves) {
        const std::size_t number = i + 1 - leaves;
        node.leaf = leaf(std::span(*values).subspan(number * width, width));
        node.weight = static_cast<float>(weights[number]);
        continue;
      }
      std::size_t level = 0;
      while ((std::size_t{2} << level) <= i + 1) ++level;
      node = levels[level];
      node.left = static_cast<std::int64_t>(2 * i + 1);
      node.right = static_cast<std::int64_t>(2 * i + 2);
      node.weight = tree.nodes[2 * i + 1].weight + tree.nodes[2 * i + 2].weight;
    }
    return tree;
  }

  // Objects within objects.
  Result<ForeignTree> read_other(const JsonValue& json) {
    ForeignTree tree;
    std::vector<JsonValue> sources = {json};
    tree.nodes.emplace_back();
    for (std::size_t i = 0; i < sources.size(); ++i) {
      const JsonValue source = sources[i];
      ForeignTree::Node node;
      const auto left = source.find("left"), right = source.find("right"), split = source.find("split");
      if (left && right && split) {
        if (auto good = read_split(*split, tree, node); !good) return std::move(good).error();
        node.left = static_cast<std::int64_t>(sources.size());
        node.right = node.left + 1;
        sources.push_back(*left);
        sources.push_back(*right);
        tree.nodes.resize(sources.size());
      } else {
        const auto value = source.find("value");
        auto values = value ? value->doubles() : std::nullopt;
        if (const auto one = value ? value->number() : std::nullopt) values.emplace(1, *one);
        if (!values || values->size() != bias_.size())
          return source.wrong("a leaf without " + std::to_string(bias_.size()) + " values");
        node.leaf = leaf(*values);
        const auto weight = source.find("weight");
        const auto number = weight ? weight->number() : std::nullopt;
        node.weight = static_cast<float>(number.value_or(std::numeric_limits<double>::quiet_NaN()));
      }
      tree.nodes[i] = node;
    }
    for (std::size_t i = tree.nodes.size(); i-- > 0;) {
      auto& node = tree.nodes[i];
      if (node.left >= 0)
        node.weight = tree.nodes[static_cast<std::size_t>(node.left)].weight +
                      tree.nodes[static_cast<std::size_t>(node.right)].weight;
    }
    return tree;
  }

  void read_classes() {
    const auto names = root_.find("model_info", "class_params", "class_names");
    if (!names) return;
    std::vector<std::string> classes;
    for (const auto& name : names->elements()) {
      std::string spelled = name.text().value_or("");
      if (const auto number = name.number()) append_number(spelled, *number);
      classes.push_back(std::move(spelled));
    }
    if (classes.size() == std::max<std::size_t>(bias_.size(), 2)) out_.classes = std::move(classes);
  }

  JsonValue root_;
  std::string loss_;
  AdditiveTrees::Link link_ = AdditiveTrees::Link::logistic;
  std::vector<Feature> features_;  // by number among the float features
  double scale_ = 1;
  std::vector<double> bias_;  // one for each output
  TreeBuilder builder_;
  Artefact out_;
};

}  // namespace

bool looks_like_catboost(std::span<const std::byte> bytes) {
  const auto begin = bytes.first(std::min<std::size_t>(bytes.size(), 4096));
  const std::string_view text(reinterpret_cast<const char*>(begin.data()), begin.size());
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || text[first] != '{') return false;
  return text.find("\"features_info\"") != std::string_view::npos ||
         text.find("\"oblivious_trees\"") != std::string_view::npos;
}

Result<Artefact> read_catboost(std::span<const std::byte> bytes) {
  // Trees that are not symmetric are as deep in the file as they are.
  const auto document = JsonDocument::read_text(bytes, {.depth = 1024});
  if (!document) return document.error();
  return CatBoostReader(document->root()).read();
}

}  // namespace nidus::interop
