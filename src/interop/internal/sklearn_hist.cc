#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "base/text.h"
#include "interop/internal/sklearn_reader.h"
#include "interop/internal/sklearn_tree_set.h"
#include "model/additive_trees.h"
#include "model/transform.h"

// Histogram gradient boosting. Its rows stay doubles and so do its thresholds: our trees walk over the ranks
// of the numbers among all thresholds of their column. A split by a set of categories becomes a column of its
// own that says whether the number is in the set.
namespace nidus::interop::internal {
namespace {

using model::AdditiveTrees;

// One tree: the columns of the nodes, by name, since their layout has changed with almost every version.
struct HistTree {
  PickleValue value;
  std::size_t count = 0;
  PickleNumbers is_leaf, left, right, feature, threshold, missing_left, leaf, samples;
  std::optional<PickleNumbers> is_categorical, set;
  std::optional<PickleNumbers> sets;  // eight words of 32 bits for each set

  static Result<HistTree> read(SklearnReader& reader, const PickleValue& predictor) {
    if (class_of(predictor) != "TreePredictor")
      return corrupt_at(predictor, predictor.describe() + " instead of a tree");
    HistTree out;
    out.value = predictor;
    const auto nodes = predictor.find("nodes").array();
    if (!nodes || nodes->shape().size() != 1 || nodes->size() == 0) {
      return corrupt_at(predictor, "a tree without nodes");
    }
    if (auto good = reader.charge(predictor, nodes->raw().size()); !good) return std::move(good).error();
    out.count = nodes->size();
    const auto take = [&](const char* name, PickleNumbers& column) {
      const auto field = nodes->field(name);
      if (field) column = *field;
      return field.has_value();
    };
    if (!take("is_leaf", out.is_leaf) || !take("left", out.left) || !take("right", out.right) ||
        !take("feature_idx", out.feature) || !take("missing_go_to_left", out.missing_left) ||
        !take("value", out.leaf) || !take("count", out.samples) ||
        (!take("num_threshold", out.threshold) && !take("threshold", out.threshold))) {
      return corrupt_at(predictor, "a tree whose nodes lack a field");
    }
    out.is_categorical = nodes->field("is_categorical");
    out.set = nodes->field("bitset_idx");
    if (const auto sets = predictor.find("raw_left_cat_bitsets").array()) {
      if (sets->shape().size() == 2 && sets->shape()[1] == 8) out.sets = sets->numbers();
    }
    return out;
  }

  bool splits_by_set(std::size_t i) const { return is_categorical && is_categorical->integer(i) != 0; }
};

// The columns that the trees walk over: first the ranks of each feature, then the sets.
class Columns {
 public:
  explicit Columns(std::size_t features) : cuts_(features) {}

  // Thresholds that are only collected; rank() is asked once all are there and sorted.
  void add(std::size_t feature, double threshold) { cuts_[feature].push_back(threshold); }

  void sort() {
    for (auto& cuts : cuts_) {
      std::sort(cuts.begin(), cuts.end());
      cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
    }
  }

  float rank(std::size_t feature, double threshold) const {
    const auto& cuts = cuts_[feature];
    return static_cast<float>(std::lower_bound(cuts.begin(), cuts.end(), threshold) - cuts.begin());
  }

  std::size_t set_column(std::size_t feature, std::vector<std::uint32_t> set) {
    const auto [at, is_new] = sets_.try_emplace({feature, std::move(set)}, cuts_.size() + sets_.size());
    return at->second;
  }

  std::size_t size() const { return cuts_.size() + sets_.size(); }

  Result<std::shared_ptr<const model::Transform>> transform() && {
    std::vector<model::CutColumn> columns(size());
    const std::size_t features = cuts_.size();
    for (std::size_t i = 0; i < features; ++i) {
      columns[i].input = i;
      columns[i].cuts = std::move(cuts_[i]);
    }
    for (const auto& [key, column] : sets_) {
      columns[column].input = key.first;
      columns[column].is_among = true;
      columns[column].among = key.second;
    }
    return model::make_ranks(features, std::move(columns));
  }

 private:
  std::vector<std::vector<double>> cuts_;
  std::map<std::pair<std::size_t, std::vector<std::uint32_t>>, std::size_t> sets_;
};

// The categories of each feature that training saw; empty for a numeric one.
Result<std::vector<std::vector<std::uint32_t>>> known_categories(const PickleValue& object,
                                                                 std::size_t features) {
  std::vector<std::vector<std::uint32_t>> out(features);
  const PickleValue mapper = object.find("_bin_mapper");
  const PickleValue flags = mapper.find("is_categorical_");
  if (!flags || flags.is_none()) return out;
  const auto categorical = numbers_of(mapper, "is_categorical_", features);
  if (!categorical) return Error(categorical.error());
  const auto bins = parts_of(mapper, "bin_thresholds_");
  if (!bins || bins->size() != features)
    return corrupt_at(object, "categories of other features than there are");
  for (std::size_t i = 0; i < features; ++i) {
    if ((*categorical)[i] == 0) continue;
    const auto values = numbers_of((*bins)[i]);
    if (!values) return Error(values.error());
    for (const double value : *values) {
      if (value >= 0 && value < 256) out[i].push_back(static_cast<std::uint32_t>(value));
    }
  }
  return out;
}

// How a node splits by a set. Ours goes left when the column is 0, so the set that is asked for is the one
// whose members go to the second child: what is unknown or missing is in no set and goes to the first.
Result<TreeGatherer::Split> split_by_set(const HistTree& tree, std::size_t i, Columns& columns,
                                         const std::vector<std::uint32_t>& known) {
  TreeGatherer::Split out;
  const std::size_t set = static_cast<std::size_t>(tree.set ? tree.set->integer(i) : -1);
  if (!tree.sets || set >= tree.sets->size() / 8)
    return corrupt_at(tree.value, "a set of categories that is not there");
  const bool missing_left = tree.missing_left.integer(i) != 0;
  std::vector<std::uint32_t> to_left, to_right;
  for (std::uint32_t category = 0; category < 256; ++category) {
    if ((tree.sets->integer(set * 8 + category / 32) >> (category % 32) & 1) != 0)
      to_left.push_back(category);
  }
  std::set_difference(known.begin(), known.end(), to_left.begin(), to_left.end(),
                      std::back_inserter(to_right));
  const auto feature = static_cast<std::size_t>(tree.feature.integer(i));
  out.feature = columns.set_column(feature, missing_left ? std::move(to_right) : std::move(to_left));
  out.left = static_cast<std::size_t>(tree.left.integer(i));
  out.right = static_cast<std::size_t>(tree.right.integer(i));
  if (!missing_left) std::swap(out.left, out.right);
  out.threshold = 0.5f;
  return out;
}

Result<Artefact> read_hist_gradient_boosting(SklearnReader& reader, const PickleValue& object) {
  auto begun = begin_classifier(object);
  if (!begun) return begun;
  Artefact& out = *begun;
  // From 1.4 on categories are numbered, and stand in front, before the trees see them.
  std::optional<Artefact> encoded;
  if (const PickleValue before = object.find("_preprocessor"); before && !before.is_none()) {
    auto read = reader.read_estimator(before);
    if (!read) return read;
    encoded = std::move(*read);
    if (encoded->columns.size() == out.columns.size()) out.columns = encoded->columns;
  }
  const std::size_t inputs = out.columns.size(), outputs = out.classes.size() == 2 ? 1 : out.classes.size();
  const auto rounds = parts_of(object, "_predictors");
  if (!rounds) return Error(rounds.error());
  auto base = numbers_of(object, "_baseline_prediction", outputs);
  if (!base) return std::move(base).error();
  auto known = known_categories(object, inputs);
  if (!known) return std::move(known).error();
  if (inputs == 0 || rounds->empty()) return corrupt_at(object, object.describe() + " without trees");
  out.origin += ", " + with_thousands(rounds->size() * outputs) + " trees";
  if (reader.outline()) return out;

  std::vector<HistTree> trees;
  std::vector<std::uint32_t> groups;
  Columns columns(inputs);
  for (const PickleValue& round : *rounds) {
    if (round.size() != outputs)
      return corrupt_at(object, "a round of " + std::to_string(round.size()) + " trees");
    for (std::size_t k = 0; k < outputs; ++k) {
      auto tree = HistTree::read(reader, round[k]);
      if (!tree) return std::move(tree).error();
      for (std::size_t i = 0; i < tree->count; ++i) {
        if (tree->is_leaf.integer(i) != 0) continue;
        const auto feature = static_cast<std::size_t>(tree->feature.integer(i));
        if (feature >= inputs)
          return corrupt_at(tree->value, "a node that splits feature " + std::to_string(feature) + " of " +
                                             std::to_string(inputs));
        if (tree->splits_by_set(i)) {
          if (auto split = split_by_set(*tree, i, columns, (*known)[feature]); !split)
            return std::move(split).error();
          continue;
        }
        const double threshold = tree->threshold.real(i);
        if (std::isnan(threshold)) return corrupt_at(tree->value, "a threshold that is no number");
        columns.add(feature, threshold);
      }
      groups.push_back(static_cast<std::uint32_t>(k));
      trees.push_back(std::move(*tree));
    }
  }
  columns.sort();
  if (columns.size() > model::Node::kFeaturesMax) {
    return unsupported_at(
        object, std::to_string(columns.size()) + " features and sets of categories; trees take 1,024");
  }
  TreeGatherer gatherer(columns.size(), 1);
  for (const HistTree& tree : trees) {
    const auto split = [&](std::size_t i) {
      TreeGatherer::Split what;
      what.is_leaf = tree.is_leaf.integer(i) != 0;
      if (!what.is_leaf) {
        const auto feature = static_cast<std::size_t>(tree.feature.integer(i));
        if (tree.splits_by_set(i)) {
          what = *split_by_set(tree, i, columns, (*known)[feature]);
        } else {
          what.left = static_cast<std::size_t>(tree.left.integer(i));
          what.right = static_cast<std::size_t>(tree.right.integer(i));
          what.feature = feature;
          what.threshold = columns.rank(feature, tree.threshold.real(i));
          what.missing_right = tree.missing_left.integer(i) == 0;
        }
      }
      what.weight = static_cast<float>(tree.samples.real(i));
      return what;
    };
    auto added = gatherer.add(tree.count, split, [&](std::size_t i, std::size_t, std::span<double> leaf) {
      leaf[0] = tree.leaf.real(i);
    });
    if (!added) return std::move(added).error().within(tree.value.where());
  }
  auto set = gatherer.finish();
  if (!set) return std::move(set).error().within(object.where());
  AdditiveTrees::Parts parts;
  parts.groups = std::move(groups);
  parts.base = std::move(*base);
  parts.link = reader.margins() ? AdditiveTrees::Link::identity
               : outputs == 1   ? AdditiveTrees::Link::logistic
                                : AdditiveTrees::Link::softmax;
  parts.kind = "histogram gradient boosting";
  auto model = AdditiveTrees::make(std::move(*set), std::move(parts));
  if (!model) return std::move(model).error().within(object.where());
  auto ranks = std::move(columns).transform();
  if (!ranks) return std::move(ranks).error().within(object.where());
  if (encoded) {
    ranks = model::chain({encoded->transform, *ranks});
    if (!ranks) return std::move(ranks).error().within(object.where());
  }
  auto whole =
      model::TransformedModel::make(std::move(*ranks), std::make_shared<AdditiveTrees>(std::move(*model)));
  if (!whole) return std::move(whole).error().within(object.where());
  out.model = std::make_shared<model::TransformedModel>(std::move(*whole));
  return out;
}

}  // namespace

SklearnFunction hist_gradient_boosting(std::string_view name) {
  return name == "HistGradientBoostingClassifier" ? read_hist_gradient_boosting : nullptr;
}

}  // namespace nidus::interop::internal
