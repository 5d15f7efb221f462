#include "interop/lightgbm.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
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
using internal::TreeBuilder;
using model::AdditiveTrees;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kZero = static_cast<double>(1e-35f);  // LightGBM's kZeroThreshold
constexpr std::int64_t kClassesMax = 1024;

double below(double value) { return std::nextafter(value, -kInfinity); }

// LightGBM takes numbers closer to 0 than kZero for 0 before it asks: a threshold among them lies where it
// tells the same rows apart.
double settled(double threshold) {
  if (threshold >= -kZero && threshold < 0) return below(-kZero);
  if (threshold >= 0 && threshold < kZero) return kZero;
  return threshold;
}

// The key=value lines of the head or of one tree, and where they begin.
struct Block {
  std::size_t line = 0;
  std::map<std::string_view, std::string_view> values;
};

Error wrong(const Block& block, const std::string& what) {
  return {Errc::corrupt, "line " + with_thousands(block.line) + ": " + what};
}

Result<std::string_view> value_of(const Block& block, std::string_view key) {
  const auto found = block.values.find(key);
  if (found == block.values.end()) return wrong(block, std::string(key) + " is missing");
  return found->second;
}

template <class Number>
std::optional<Number> parsed(std::string_view text) {
  if constexpr (std::is_same_v<Number, double>) {
    return parse_number(text);
  } else {
    const auto value = parse_integer(text);
    if (!value || *value < std::numeric_limits<Number>::min() ||
        static_cast<std::uint64_t>(std::max<std::int64_t>(*value, 0)) > std::numeric_limits<Number>::max())
      return std::nullopt;
    return static_cast<Number>(*value);
  }
}

template <class Number>
Result<Number> number(const Block& block, std::string_view key) {
  const auto text = value_of(block, key);
  if (!text) return text.error();
  const auto value = parsed<Number>(*text);
  if (!value)
    return wrong(block, std::string(key) + " is no number of its kind: '" + std::string(*text) + "'");
  return *value;
}

// So many numbers between blanks.
template <class Number>
Result<std::vector<Number>> numbers(const Block& block, std::string_view key, std::size_t count) {
  const auto text = value_of(block, key);
  if (!text) return text.error();
  std::vector<Number> out;
  for (const auto piece : split(trim(*text), ' ')) {
    if (piece.empty()) continue;
    const auto value = parsed<Number>(piece);
    if (!value)
      return wrong(block,
                   std::string(key) + " is no list of numbers: '" + std::string(piece.substr(0, 40)) + "'");
    out.push_back(*value);
  }
  if (out.size() != count)
    return wrong(block, std::string(key) + " has " + with_thousands(out.size()) + " entries, expected " +
                            with_thousands(count));
  return out;
}

// How a column is looked at. LightGBM says so at each split; in what it writes all splits of a column agree.
enum class Missing : std::uint8_t { none, zero, nan, category };

struct Split {
  std::uint32_t column = 0;
  bool first_left = true, missing_left = true;
  std::vector<double> cuts;
};

struct Tree {
  std::vector<Split> splits;
  std::vector<std::int64_t> lefts, rights;
  std::vector<double> leaves;
  std::vector<double> split_weights, leaf_weights;  // empty if not known
};

// A set of whole numbers to cut into: c is in it when x is truncated to c, and nothing below 0 is.
std::vector<double> cuts_of_set(const std::vector<std::uint32_t>& words, std::size_t begin, std::size_t end) {
  std::vector<double> cuts;
  bool inside = false;
  for (std::size_t bit = 0; bit <= (end - begin) * 32; ++bit) {
    const bool is_in = bit < (end - begin) * 32 && (words[begin + bit / 32] >> (bit % 32) & 1) != 0;
    if (is_in != inside) cuts.push_back(bit == 0 ? -1.0 : below(static_cast<double>(bit)));
    inside = is_in;
  }
  return cuts;
}

class LightGbmReader {
 public:
  explicit LightGbmReader(std::string_view text) : rest_(text) {}

  Result<Artefact> read() && {
    if (auto good = read_head(); !good) return std::move(good).error();
    while (rest_line_.starts_with("Tree=")) {
      const auto block = read_block();
      auto good = read_tree(block);
      if (!good) return std::move(good).error().within("tree " + with_thousands(trees_.size()));
    }
    if (trees_.empty()) return wrong(head_, "no tree follows");
    if (rest_line_ != "end of trees" && !rest_line_.starts_with("feature importances:"))
      return Error{Errc::corrupt,
                   "the file ends within its trees, behind tree " + with_thousands(trees_.size() - 1)};
    if (trees_.size() % per_round_ != 0)
      return wrong(head_,
                   with_thousands(trees_.size()) + " trees, and " + std::to_string(per_round_) + " a round");
    read_tail();
    return make();
  }

 private:
  bool next_line() {
    if (rest_.empty()) {
      rest_line_ = {};
      return false;
    }
    const auto end = rest_.find('\n');
    rest_line_ = rest_.substr(0, end);
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    if (rest_line_.ends_with('\r')) rest_line_.remove_suffix(1);
    ++line_;
    return true;
  }

  // From the present line to the next tree, or the end of them.
  Block read_block() {
    Block block;
    block.line = line_;
    do {
      const auto equals = rest_line_.find('=');
      if (equals == std::string_view::npos) {
        if (!rest_line_.empty()) block.values.emplace(rest_line_, std::string_view());
      } else {
        block.values.insert_or_assign(rest_line_.substr(0, equals), rest_line_.substr(equals + 1));
      }
    } while (next_line() && !rest_line_.starts_with("Tree=") && rest_line_ != "end of trees" &&
             !rest_line_.starts_with("feature importances:"));
    return block;
  }

  Result<void> read_head() {
    next_line();
    if (rest_line_ != "tree")
      return Error{Errc::corrupt, "the first line is not 'tree': this is no text model of LightGBM"};
    next_line();
    head_ = read_block();
    const auto highest = number<std::uint32_t>(head_, "max_feature_idx");
    if (!highest) return highest.error();
    inputs_ = std::size_t{*highest} + 1;
    if (const auto names = head_.values.find("feature_names"); names != head_.values.end())
      names_ = split(trim(names->second), ' ');
    if (names_.size() != inputs_)
      return wrong(head_, with_thousands(names_.size()) + " feature_names for " + with_thousands(inputs_) +
                              " columns");
    const auto classes = number<std::uint32_t>(head_, "num_class"),
               per_round = number<std::uint32_t>(head_, "num_tree_per_iteration");
    if (!classes) return classes.error();
    if (!per_round) return per_round.error();
    if (const auto version = head_.values.find("version"); version != head_.values.end())
      version_ = version->second;
    averages_ = head_.values.contains("average_output");
    return read_objective(*classes, *per_round);
  }

  // "binary sigmoid:1.5", "multiclass num_class:3".
  Result<void> read_objective(std::uint32_t classes, std::uint32_t per_round) {
    const auto found = head_.values.find("objective");
    const auto words = split(found == head_.values.end() ? std::string_view() : found->second, ' ');
    objective_ = words[0];
    double sigmoid = 1;
    for (const auto word : words) {
      if (!word.starts_with("sigmoid:")) continue;
      const auto value = parse_number(word.substr(8));
      if (!value || !std::isfinite(*value) || *value <= 0) return wrong(head_, "a sigmoid that is none");
      sigmoid = *value;
    }
    bool many = false;
    if (objective_ == "binary") {
      link_ = AdditiveTrees::Link::logistic;
      factor_ = sigmoid;
    } else if (objective_ == "cross_entropy" || objective_ == "xentropy") {
      link_ = AdditiveTrees::Link::logistic;
    } else if (objective_ == "multiclass" || objective_ == "softmax") {
      link_ = AdditiveTrees::Link::softmax;
      many = true;
    } else if (objective_ == "multiclassova") {
      link_ = AdditiveTrees::Link::one_vs_all;
      factor_ = sigmoid;
      many = true;
    } else if (objective_.empty()) {
      return Error{
          Errc::unsupported,
          "no objective, as of a model trained with one of its own: what its sums mean is not known"};
    } else {
      return Error{Errc::unsupported, "objective '" + std::string(objective_) +
                                          "' is not one that judges: binary, cross_entropy, multiclass, "
                                          "multiclassova"};
    }
    if (per_round != classes || (many ? classes < 2 || classes > kClassesMax : classes != 1))
      return wrong(head_, std::to_string(classes) + " classes and " + std::to_string(per_round) +
                              " trees a round with " + std::string(objective_));
    per_round_ = per_round;
    return {};
  }

  Result<void> read_tree(const Block& block) {
    Tree tree;
    const auto leaves = number<std::uint32_t>(block, "num_leaves");
    if (!leaves) return leaves.error();
    if (*leaves == 0 || *leaves > model::Node::kNodesMax / 2)
      return wrong(block, with_thousands(*leaves) + " leaves");
    if (const auto linear = block.values.find("is_linear");
        linear != block.values.end() && trim(linear->second) != "0")
      return Error{Errc::unsupported,
                   "a linear tree (linear_tree=true): leaves are numbers here, not regressions"};
    auto values = numbers<double>(block, "leaf_value", *leaves);
    if (!values) return values.error();
    tree.leaves = std::move(*values);
    if (*leaves > 1) {
      if (auto good = read_splits(block, *leaves, tree); !good) return good;
    }
    trees_.push_back(std::move(tree));
    return {};
  }

  Result<void> read_splits(const Block& block, std::size_t leaves, Tree& tree) {
    const std::size_t count = leaves - 1;
    const auto features = numbers<std::int32_t>(block, "split_feature", count),
               types = numbers<std::int32_t>(block, "decision_type", count);
    for (const auto* const one : {&features, &types}) {
      if (!*one) return one->error();
    }
    const auto thresholds = numbers<double>(block, "threshold", count);
    if (!thresholds) return thresholds.error();
    auto lefts = numbers<std::int64_t>(block, "left_child", count),
         rights = numbers<std::int64_t>(block, "right_child", count);
    for (const auto* const one : {&lefts, &rights}) {
      if (!*one) return one->error();
    }
    std::vector<std::uint32_t> boundaries, words;
    const auto sets = number<std::uint32_t>(block, "num_cat");
    if (!sets) return sets.error();
    if (*sets > count) return wrong(block, with_thousands(*sets) + " sets of categories");
    if (*sets > 0) {
      auto read = numbers<std::uint32_t>(block, "cat_boundaries", std::size_t{*sets} + 1);
      if (!read) return read.error();
      boundaries = std::move(*read);
      if (boundaries.front() != 0 || !std::is_sorted(boundaries.begin(), boundaries.end()))
        return wrong(block, "cat_boundaries do not divide anything");
      read = numbers<std::uint32_t>(block, "cat_threshold", boundaries.back());
      if (!read) return read.error();
      words = std::move(*read);
    }
    std::vector<bool> taken(*sets);
    tree.splits.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      Split& split = tree.splits[i];
      const std::int32_t feature = (*features)[i], type = (*types)[i];
      if (feature < 0 || static_cast<std::size_t>(feature) >= inputs_)
        return wrong(block, "split " + with_thousands(i) + ": column " + std::to_string(feature) + " of " +
                                with_thousands(inputs_));
      if (type < 0 || type > 15 || (type >> 2) == 3)
        return wrong(block, "split " + with_thousands(i) + ": decision_type " + std::to_string(type));
      const double threshold = (*thresholds)[i];
      auto missing = static_cast<Missing>(type >> 2);
      if ((type & 1) != 0) {
        const auto set = static_cast<std::size_t>(threshold >= 0 && threshold < *sets ? threshold : *sets);
        if (set >= *sets || static_cast<double>(set) != threshold || taken[set])
          return wrong(block, "split " + with_thousands(i) + ": a set of categories that is none");
        taken[set] = true;
        missing = Missing::category;
        split.first_left = split.missing_left = false;
        split.cuts = cuts_of_set(words, boundaries[set], boundaries[set + 1]);
      } else {
        if (std::isnan(threshold)) return wrong(block, "split " + with_thousands(i) + ": no threshold");
        split.missing_left = (type & 2) != 0;
        split.cuts = {settled(threshold)};
      }
      const auto column = columns_.try_emplace({static_cast<std::uint32_t>(feature), missing},
                                               static_cast<std::uint32_t>(columns_.size()));
      split.column = column.first->second;
      if (column.second) cuts_.emplace_back();
      auto& all = cuts_[split.column];
      all.insert(all.end(), split.cuts.begin(), split.cuts.end());
    }
    // Weights are for explanations; old files may lack them.
    if (block.values.contains("leaf_count") && block.values.contains("internal_count")) {
      auto leaf_counts = numbers<double>(block, "leaf_count", leaves);
      auto counts = numbers<double>(block, "internal_count", count);
      if (!leaf_counts) return leaf_counts.error();
      if (!counts) return counts.error();
      tree.leaf_weights = std::move(*leaf_counts);
      tree.split_weights = std::move(*counts);
    }
    tree.lefts = std::move(*lefts);
    tree.rights = std::move(*rights);
    return {};
  }

  // What stands behind the trees: of interest are the categories of data frames.
  void read_tail() {
    do {
      constexpr std::string_view kKey = "pandas_categorical:";
      if (rest_line_.starts_with(kKey)) categories_ = rest_line_.substr(kKey.size());
    } while (next_line());
  }

  Result<Artefact> make() {
    // Ranks for doubles: one column for each that is looked at, in one way.
    if (columns_.empty()) {
      columns_.try_emplace({0, Missing::none}, 0);
      cuts_.emplace_back();
    }
    std::vector<model::CutColumn> ranks(columns_.size());
    for (const auto& [key, column] : columns_) {
      auto& cuts = cuts_[column];
      std::sort(cuts.begin(), cuts.end());
      cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
      model::CutColumn& rank = ranks[column];
      rank.input = key.first;
      rank.cuts = cuts;
      rank.missing_is_zero = key.second == Missing::none;
      if (key.second == Missing::zero) rank.zero_is_missing = kZero;
    }
    TreeBuilder builder;
    std::vector<std::uint32_t> groups;
    for (const Tree& tree : trees_) {
      groups.push_back(static_cast<std::uint32_t>(groups.size() % per_round_));
      const auto converted = convert(tree, builder);
      auto good = converted ? builder.add(*converted) : converted.error();
      if (!good) return std::move(good).error().within("tree " + with_thousands(groups.size() - 1));
    }
    auto set = std::move(builder).finish(ranks.size());
    if (!set) return std::move(set).error();
    AdditiveTrees::Parts parts;
    parts.base.assign(per_round_, 0);
    parts.groups = std::move(groups);
    parts.link = link_;
    parts.kind = "LightGBM";
    parts.factor = factor_;
    if (averages_) parts.factor /= static_cast<double>(trees_.size() / per_round_);
    auto trees = AdditiveTrees::make(std::move(*set), std::move(parts));
    if (!trees) return std::move(trees).error();
    auto before = model::make_ranks(inputs_, std::move(ranks));
    if (!before) return std::move(before).error();
    auto whole = model::TransformedModel::make(std::move(*before),
                                               std::make_shared<const AdditiveTrees>(std::move(*trees)));
    if (!whole) return std::move(whole).error();
    Artefact out;
    out.kind = Artefact::Kind::model;
    out.origin = "LightGBM " + std::string(version_) + " " + std::string(objective_) +
                 (averages_ ? ", random forest" : "");
    out.model = std::make_shared<const model::TransformedModel>(std::move(*whole));
    if (auto good = read_columns(out); !good) return std::move(good).error();
    return out;
  }

  // Splits first, then leaves: leaf number n is child ~n.
  Result<ForeignTree> convert(const Tree& tree, TreeBuilder& builder) const {
    ForeignTree out;
    const std::size_t splits = tree.splits.size();
    out.nodes.resize(splits + tree.leaves.size());
    for (std::size_t i = 0; i < splits; ++i) {
      auto& node = out.nodes[i];
      const Split& split = tree.splits[i];
      const auto child = [&](std::int64_t number) {
        return number >= 0 ? (number < static_cast<std::int64_t>(splits) ? number : kOutside)
               : ~number < static_cast<std::int64_t>(tree.leaves.size())
                   ? static_cast<std::int64_t>(splits) + ~number
                   : kOutside;
      };
      node.left = child(tree.lefts[i]);
      node.right = child(tree.rights[i]);
      node.feature = split.column;
      node.first_left = split.first_left;
      node.missing_left = split.missing_left;
      node.cuts_begin = static_cast<std::uint32_t>(out.cuts.size());
      for (const double cut : split.cuts) {
        const auto& all = cuts_[split.column];
        out.cuts.push_back(static_cast<float>(std::lower_bound(all.begin(), all.end(), cut) - all.begin()));
      }
      node.cuts_end = static_cast<std::uint32_t>(out.cuts.size());
      node.weight = tree.split_weights.empty() ? kUnknown : static_cast<float>(tree.split_weights[i]);
    }
    for (std::size_t i = 0; i < tree.leaves.size(); ++i) {
      auto& node = out.nodes[splits + i];
      node.leaf = std::isfinite(tree.leaves[i]) ? builder.leaf(tree.leaves[i]) : ForeignTree::kNoValue;
      // A tree of one leaf has no counts, and explains nothing.
      node.weight = splits == 0                 ? 1.0f
                    : tree.leaf_weights.empty() ? kUnknown
                                                : static_cast<float>(tree.leaf_weights[i]);
    }
    return out;
  }

  Result<void> read_columns(Artefact& out) const {
    model::Schema columns(inputs_);
    bool named = false;
    for (std::size_t i = 0; i < inputs_; ++i) {
      columns[i].name = names_[i];
      named |= columns[i].name != "Column_" + std::to_string(i);
    }
    if (!named) {
      // Those are what LightGBM calls columns without names.
      for (auto& column : columns) column.name.clear();
    } else {
      auto names = names_;
      std::sort(names.begin(), names.end());
      if (const auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end())
        return wrong(head_, "two columns are called '" + std::string(*twice) + "'");
    }
    if (read_vocabularies(columns, out) || named) out.columns = std::move(columns);
    return {};
  }

  // The categories of a data frame, in the order of their codes, for each column that had some. Which columns
  // those are is seen from feature_infos: [low:high] of numbers, a:b:c of categories. Whether there are some.
  bool read_vocabularies(model::Schema& columns, Artefact& out) const {
    const auto infos = head_.values.find("feature_infos");
    std::vector<std::size_t> categorical;
    if (infos != head_.values.end()) {
      const auto pieces = split(trim(infos->second), ' ');
      for (std::size_t i = 0; i < pieces.size() && i < columns.size(); ++i) {
        if (!pieces[i].starts_with('[') && pieces[i] != "none") categorical.push_back(i);
      }
    }
    if (categorical.empty()) return false;
    const auto json = JsonDocument::read_text(std::as_bytes(std::span(categories_)));
    const auto lists = json ? json->root().elements() : std::vector<internal::JsonValue>();
    bool fits = lists.size() == categorical.size();
    for (std::size_t i = 0; fits && i < lists.size(); ++i) {
      std::vector<std::string> texts;
      for (const auto& element : lists[i].elements()) {
        std::string text = element.text().value_or("");
        if (const auto value = element.number()) append_number(text, *value);
        if (const auto value = element.boolean()) text = *value ? "True" : "False";
        texts.push_back(std::move(text));
      }
      auto sorted = texts;
      std::sort(sorted.begin(), sorted.end());
      fits = !texts.empty() && std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end();
      columns[categorical[i]].kind = model::Column::Kind::categorical;
      columns[categorical[i]].vocabulary = std::move(texts);
    }
    if (fits) return true;
    for (const auto i : categorical) {
      columns[i].kind = model::Column::Kind::numeric;
      columns[i].vocabulary.clear();
    }
    out.notes.push_back("columns of categories are taken as the numbers that LightGBM was given for them");
    return false;
  }

  static constexpr std::int64_t kOutside = std::numeric_limits<std::int64_t>::max();
  static constexpr float kUnknown = std::numeric_limits<float>::quiet_NaN();

  std::string_view rest_, rest_line_, version_ = "?", objective_, categories_;
  std::size_t line_ = 0, inputs_ = 0, per_round_ = 1;
  bool averages_ = false;
  AdditiveTrees::Link link_ = AdditiveTrees::Link::logistic;
  double factor_ = 1;
  Block head_;
  std::vector<std::string_view> names_;  // of the columns
  std::vector<Tree> trees_;
  std::map<std::pair<std::uint32_t, Missing>, std::uint32_t> columns_;
  std::vector<std::vector<double>> cuts_;  // by column
};

}  // namespace

bool looks_like_lightgbm(std::string_view text) {
  return text.starts_with("tree\n") || text.starts_with("tree\r\n");
}

Result<Artefact> read_lightgbm(std::string_view text) { return LightGbmReader(text).read(); }

}  // namespace nidus::interop
