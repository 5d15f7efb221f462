#include "interop/xgboost.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

#include "base/number.h"
#include "base/text.h"
#include "interop/internal/json.h"
#include "interop/internal/tree_builder.h"
#include "interop/internal/xgboost_binary.h"
#include "interop/internal/xgboost_tree.h"
#include "model/boost.h"

namespace nidus::interop {
namespace {

using internal::ForeignTree;
using internal::JsonDocument;
using internal::JsonValue;
using internal::TreeBuilder;
using model::Boost;

constexpr std::int64_t kGroupsMax = 1024;
constexpr std::string_view kSaveAgain =
    ": save it again as .json or .ubj with the XGBoost that wrote it (Booster.save_model)";

enum class Form { none, text, binary, old };

Form form_of(std::span<const std::byte> bytes) {
  std::string_view text = as_text(bytes.first(std::min<std::size_t>(bytes.size(), 4096)));
  if (text.starts_with("binf") || text.starts_with("CONFIG-offset:")) return Form::old;
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || text[first] != '{') return Form::none;
  const auto second = text.find_first_not_of(" \t\r\n", first + 1);
  if (second == std::string_view::npos) return Form::none;
  if (text[second] == '"') return Form::text;
  // A length, of any integer type of UBJSON.
  return first == 0 && std::string_view("iUIlL#N").find(text[1]) != std::string_view::npos ? Form::binary
                                                                                           : Form::none;
}

struct Version {
  std::array<std::int64_t, 3> parts{};
  std::size_t known = 3;  // binary models do not tell the last
  bool before(std::int64_t major, std::int64_t minor) const {
    return std::pair(parts[0], parts[1]) < std::pair(major, minor);
  }
  std::string spelled() const {
    return std::to_string(parts[0]) + "." + std::to_string(parts[1]) +
           (known < 3 ? "" : "." + std::to_string(parts[2]));
  }
};

// "5E-1", "0.500000", "[5E-1,2E-1]": what base_score was written like over the years.
std::optional<std::vector<float>> parse_floats(std::string_view text) {
  text = trim(text);
  if (text.size() >= 2 &&
      ((text.front() == '[' && text.back() == ']') || (text.front() == '(' && text.back() == ')')))
    text = text.substr(1, text.size() - 2);
  std::vector<float> out;
  for (const auto piece : split(text, ',')) {
    const auto one = trim(piece);
    float value = 0;
    const auto [end, fault] = std::from_chars(one.data(), one.data() + one.size(), value);
    if (fault != std::errc() || end != one.data() + one.size()) return std::nullopt;
    out.push_back(value);
  }
  return out;
}

// What an objective makes of trees, and how its base score becomes a margin.
struct Objective {
  std::string_view name;
  bool many;  // one group for each class
  bool logit;
  Boost::Link link;
};
constexpr Objective kObjectives[] = {
    {"binary:logistic", false, true, Boost::Link::probability},
    {"reg:logistic", false, true, Boost::Link::probability},
    {"binary:logitraw", false, false, Boost::Link::margin},
    {"binary:hinge", false, false, Boost::Link::margin},
    {"multi:softprob", true, false, Boost::Link::probability},
    {"multi:softmax", true, false, Boost::Link::probability},
};

class XgboostReader {
 public:
  XgboostReader(const JsonValue& root, const XgboostOptions& options) : root_(root), options_(options) {}

  Result<Artefact> read() && {
    if (auto good = find_parts(); !good) return std::move(good).error();
    if (auto good = read_parameters(); !good) return std::move(good).error();
    read_wrapper();
    if (auto good = read_base(); !good) return std::move(good).error();
    if (auto good = read_trees(); !good) return std::move(good).error();
    auto set = std::move(builder_).finish(inputs_);
    if (!set) return std::move(set).error();
    auto boost = Boost::make(std::move(*set), std::move(groups_), base_margins_, objective_.link);
    if (!boost) return std::move(boost).error();

    out_.kind = Artefact::Kind::model;
    out_.origin = "XGBoost " + version_.spelled() + " " + std::string(objective_.name) +
                  (is_dart_ ? ", dart" : "") + (was_snapshot_ ? ", snapshot of a Booster" : "");
    out_.model = std::make_shared<const Boost>(std::move(*boost));
    if (objective_.link == Boost::Link::margin) out_.threshold = 0;
    if (auto good = read_columns(); !good) return std::move(good).error();
    if (auto good = read_classes(); !good) return std::move(good).error();
    return std::move(out_);
  }

 private:
  // The model within a snapshot, and the objects every reader needs.
  Result<void> find_parts() {
    auto model = root_;
    if (const auto inner = root_.find("Model"); inner && root_.find("Config")) {
      was_snapshot_ = true;
      config_ = root_.find("Config");
      model = *inner;
    }
    const auto learner = model.find("learner");
    if (!learner || !learner->is_object()) return model.wrong("no learner: this is no model of XGBoost");
    learner_ = learner;
    if (const auto version = model.find("version")) {
      const auto parts = version->integers();
      if (!parts || parts->size() < 2 || parts->size() > 3)
        return version->wrong("a version that is not three numbers");
      version_.known = parts->size();
      std::copy_n(parts->begin(), version_.known, version_.parts.begin());
    }
    booster_ = learner_->find("gradient_booster");
    if (!booster_) return learner_->wrong("a learner without gradient_booster");
    const auto name = booster_->find("name");
    const std::string kind = name ? name->text().value_or("") : "";
    if (kind == "gblinear")
      return Error{Errc::unsupported, "booster gblinear, a linear model: only trees are read (gbtree, dart)"};
    if (kind != "gbtree" && kind != "dart")
      return Error{Errc::unsupported, "booster '" + kind + "': only gbtree and dart are read"};
    // Dart wraps the trees before 3.3 and is called gbtree since.
    trees_ = booster_->find("gbtree", "model");
    if (!trees_) trees_ = booster_->find("model");
    if (!trees_ || !trees_->is_object()) return booster_->wrong("a booster without trees");
    return {};
  }

  // A number that is written as a text, as all numbers of *_param objects are.
  Result<std::int64_t> parameter(std::string_view name, std::int64_t otherwise) const {
    const auto found = learner_->find("learner_model_param", name);
    if (!found) return otherwise;
    const auto text = found->text();
    const auto value = text ? parse_integer(*text) : found->integer();
    if (!value) return found->wrong(std::string(name) + " is no whole number");
    return *value;
  }

  Result<void> read_parameters() {
    const auto name = learner_->find("objective", "name");
    const std::string spelled = name ? name->text().value_or("") : "";
    const auto* const found =
        std::find_if(std::begin(kObjectives), std::end(kObjectives),
                     [&](const Objective& objective) { return objective.name == spelled; });
    if (found == std::end(kObjectives)) {
      std::string known;
      for (const auto& objective : kObjectives)
        known += (known.empty() ? "" : ", ") + std::string(objective.name);
      return Error{Errc::unsupported, "objective '" + spelled + "' is not one that judges: " + known};
    }
    objective_ = *found;
    const auto inputs = parameter("num_feature", 0), classes = parameter("num_class", 0),
               targets = parameter("num_target", 1);
    for (const auto* const one : {&inputs, &classes, &targets}) {
      if (!*one) return one->error();
    }
    if (*targets > 1) return Error{Errc::unsupported, "a model of " + std::to_string(*targets) + " targets"};
    if (*inputs < 1 || *inputs > 0x7fffffff) return learner_->wrong("num_feature " + std::to_string(*inputs));
    const std::int64_t least = objective_.many ? 2 : 0, most = objective_.many ? kGroupsMax : 1;
    if (*classes < least || *classes > most)
      return learner_->wrong("num_class " + std::to_string(*classes) + " with " + spelled);
    inputs_ = static_cast<std::size_t>(*inputs);
    outputs_ = objective_.many ? static_cast<std::size_t>(*classes) : 1;
    return {};
  }

  Result<void> read_base() {
    const auto found = learner_->find("learner_model_param", "base_score");
    if (!found) return learner_->wrong("a learner without base_score");
    std::optional<std::vector<float>> scores;
    if (const auto text = found->text()) {
      scores = parse_floats(*text);
    } else if (const auto number = found->number_as_float()) {
      scores.emplace(1, *number);
    }
    if (!scores || (scores->size() != 1 && scores->size() != outputs_))
      return found->wrong("base_score is not one number, nor one for each class");
    // Before 1.3 binary:logitraw took it as a probability too.
    const bool logit = objective_.logit || (objective_.name == "binary:logitraw" && version_.before(1, 3));
    base_margins_.assign(outputs_, (*scores)[0]);
    if (scores->size() == outputs_) base_margins_ = *scores;
    for (float& margin : base_margins_) {
      if (!logit) continue;
      constexpr float kLeast = 1e-6f;
      if (!version_.before(3, 2)) margin = std::clamp(margin, kLeast, 1 - kLeast);
      if (!(margin > 0 && margin < 1)) return found->wrong("base_score is no probability");
      margin = -std::log(1.0f / margin - 1.0f);
    }
    return {};
  }

  Result<void> read_trees() {
    const auto list = trees_->find("trees"), info = trees_->find("tree_info");
    if (!list || !list->is_array()) return trees_->wrong("a booster without trees");
    const auto trees = list->elements();
    const auto groups = info ? info->integers() : std::nullopt;
    if (!groups || groups->size() != trees.size())
      return trees_->wrong("tree_info that is not one number for each tree");
    if (const auto count = trees_->find("gbtree_model_param", "num_trees")) {
      if (parse_integer(count->text().value_or("")) != static_cast<std::int64_t>(trees.size()))
        return list->wrong(with_thousands(trees.size()) + " trees, and num_trees says otherwise");
    }
    if (trees.empty()) return Error{Errc::unsupported, "a model without trees"};
    const auto drops = read_drops(trees.size());
    if (!drops) return drops.error();
    const auto used = trees_to_use(trees.size());
    if (!used) return used.error();
    const internal::XgboostTreeOptions options = {inputs_, missing_,
                                                  !version_.before(1, 6) && version_.before(1, 7)};
    for (std::size_t i = 0; i < *used; ++i) {
      const std::int64_t group = (*groups)[i];
      if (group < 0 || static_cast<std::size_t>(group) >= outputs_)
        return info->wrong("tree " + std::to_string(i) + " of group " + std::to_string(group) + " of " +
                           std::to_string(outputs_));
      groups_.push_back(static_cast<std::uint32_t>(group));
      const float factor = i < drops->size() ? (*drops)[i] : 1.0f;
      const auto tree = internal::read_xgboost_tree(trees[i], options, factor, builder_);
      auto good = tree ? builder_.add(*tree) : tree.error();
      if (!good) return std::move(good).error().within("tree " + with_thousands(i));
    }
    return version_.before(1, 3) ? add_base_last() : Result<void>();
  }

  // Before 1.3 the leaves were added up first, and their sum to the base.
  Result<void> add_base_last() {
    for (std::size_t i = 0; i < outputs_; ++i) {
      if (base_margins_[i] == 0) continue;
      ForeignTree constant;
      constant.nodes.emplace_back().leaf = builder_.leaf(std::exchange(base_margins_[i], 0.0f));
      if (auto good = builder_.add(constant); !good) return good;
      groups_.push_back(static_cast<std::uint32_t>(i));
    }
    return {};
  }

  // Dart's weights of trees, of the first of them; the others weigh 1. They stand beside the trees since 3.4,
  // beside the model before.
  Result<std::vector<float>> read_drops(std::size_t trees) {
    auto found = trees_->find("weight_drop");
    if (!found) found = booster_->find("weight_drop");
    if (!found) return std::vector<float>();
    const auto weights = found->floats();
    if (!weights || weights->size() > trees) return found->wrong("weight_drop that is not a number a tree");
    is_dart_ = !weights->empty();
    return *weights;
  }

  std::optional<std::int64_t> attribute(std::string_view name) const {
    const auto found = learner_->find("attributes", name);
    const auto text = found ? found->text() : std::nullopt;
    return text ? parse_integer(*text) : std::nullopt;
  }

  // How many trees one round added for one group. Files did not say so before 1.6.
  std::int64_t parallel_trees(std::int64_t best) {
    const auto said = [](const std::optional<JsonValue>& value) -> std::optional<std::int64_t> {
      if (!value) return std::nullopt;
      const auto text = value->text();
      const auto number = text ? parse_integer(*text) : value->integer();
      return number && *number > 0 ? number : std::nullopt;
    };
    if (const auto count = said(trees_->find("gbtree_model_param", "num_parallel_tree"))) return *count;
    if (config_) {
      const auto booster = config_->find("learner", "gradient_booster");
      for (const auto& place : {booster, booster ? booster->find("gbtree") : std::nullopt}) {
        if (!place) continue;
        if (const auto count = said(place->find("gbtree_train_param", "num_parallel_tree"))) return *count;
        if (const auto count = said(place->find("gbtree_model_param", "num_parallel_tree"))) return *count;
      }
    }
    const auto limit = attribute("best_ntree_limit");
    if (limit && *limit > 0 && *limit % (best + 1) == 0) return *limit / (best + 1);
    if (parallel_trees_) return *parallel_trees_;
    out_.notes.push_back(
        "this version of XGBoost did not write num_parallel_tree, which is taken for 1 to count rounds");
    return 1;
  }

  // The first so many.
  Result<std::size_t> trees_to_use(std::size_t trees) {
    const auto best = attribute("best_iteration");
    if (!best) return trees;
    if (*best < 0 || *best >= 0x7fffffff) return learner_->wrong("a best_iteration that is none");
    std::size_t used = 0;
    if (const auto rounds = trees_->find("iteration_indptr")) {
      const auto begins = rounds->integers();
      if (!begins || begins->empty() || begins->front() != 0 ||
          !std::is_sorted(begins->begin(), begins->end()) ||
          begins->back() != static_cast<std::int64_t>(trees))
        return rounds->wrong("iteration_indptr does not divide the trees");
      if (static_cast<std::size_t>(*best) + 1 >= begins->size()) return trees;
      used = static_cast<std::size_t>((*begins)[static_cast<std::size_t>(*best) + 1]);
    } else {
      const auto a_round = static_cast<double>(parallel_trees(*best)) * static_cast<double>(outputs_);
      const double count = a_round * static_cast<double>(*best + 1);
      if (count >= static_cast<double>(trees)) return trees;
      used = static_cast<std::size_t>(count);
    }
    if (used == 0) return learner_->wrong("a best_iteration without trees");
    if (used >= trees) return trees;
    const bool to_best = options_.rounds == XgboostOptions::Rounds::best;
    out_.notes.push_back("training stopped early, best was round " + std::to_string(*best + 1) + ": " +
                         (to_best ? "the first " + with_thousands(used) + " of " + with_thousands(trees) +
                                        " trees are used, as by XGBClassifier"
                                  : "all " + with_thousands(trees) +
                                        " trees are used, as by Booster.predict, not only the first " +
                                        with_thousands(used)));
    return to_best ? used : trees;
  }

  // What the wrappers of 1.x left in the file, as JSON in a text, and our own writer.
  void read_wrapper() {
    missing_ = options_.missing;
    const auto found = learner_->find("attributes", "scikit_learn");
    const auto text = found ? found->text() : std::nullopt;
    if (text) {
      const auto json = JsonDocument::read_text(std::as_bytes(std::span(*text)));
      if (json) {
        const auto root = json->root();
        if (const auto classes = root.find("classes_")) {
          for (const auto& label : classes->elements()) {
            std::string spelled = label.text().value_or("");
            if (const auto number = label.number()) append_number(spelled, *number);
            wrapper_classes_.push_back(std::move(spelled));
          }
        }
        if (const auto missing = root.find("missing"); missing && !missing_)
          missing_ = missing->number_as_float();
        if (const auto count = root.find("num_parallel_tree")) {
          const auto trees = count->integer();
          if (trees && *trees > 0) parallel_trees_ = *trees;
        }
      }
    }
    // What our own writer left.
    const auto ours = learner_->find("attributes", "nidus_classes");
    if (const auto list = ours ? ours->text() : std::nullopt) {
      const auto json = JsonDocument::read_text(std::as_bytes(std::span(*list)));
      if (json) wrapper_classes_ = json->root().texts().value_or(std::vector<std::string>());
    }
    if (missing_ && std::isnan(*missing_)) missing_.reset();
    if (missing_) {
      std::string note = "the number ";
      append_number(note, static_cast<double>(*missing_));
      out_.notes.push_back(note + " in a row counts as missing, as it did in training");
    }
  }

  Result<void> read_classes() {
    const std::size_t wanted = std::max<std::size_t>(outputs_, 2);
    if (!options_.classes.empty()) {
      if (options_.classes.size() != wanted)
        return Error{Errc::invalid, std::to_string(options_.classes.size()) + " names for " +
                                        std::to_string(wanted) + " classes"};
      out_.classes = options_.classes;
    } else if (wrapper_classes_.size() == wanted) {
      out_.classes = wrapper_classes_;
    }
    return {};
  }

  Result<void> read_columns() {
    const auto names = learner_->find("feature_names");
    const auto list = names ? names->texts() : std::vector<std::string>();
    if (!list) return names->wrong("feature_names that are not texts");
    if (!list->empty() && list->size() != inputs_)
      return names->wrong(with_thousands(list->size()) + " names for " + with_thousands(inputs_) +
                          " columns");
    std::vector<std::string> sorted = *list;
    std::sort(sorted.begin(), sorted.end());
    if (const auto twice = std::adjacent_find(sorted.begin(), sorted.end()); twice != sorted.end())
      return names->wrong("two columns are called '" + *twice + "'");
    model::Schema columns(inputs_);
    for (std::size_t i = 0; i < list->size(); ++i) columns[i].name = (*list)[i];
    const auto vocabularies = read_vocabularies(columns);
    if (!vocabularies) return vocabularies.error();
    if (!list->empty() || *vocabularies) out_.columns = std::move(columns);
    return {};
  }

  // The categories of each column in the order of their codes, since 3.1. Whether there are some.
  Result<bool> read_vocabularies(model::Schema& columns) {
    const auto types = learner_->find("feature_types");
    const auto kinds = types ? types->texts() : std::nullopt;
    bool any = kinds && std::find(kinds->begin(), kinds->end(), "c") != kinds->end();
    const auto all = trees_->find("cats", "enc");
    const auto encodings = all ? all->elements() : std::vector<JsonValue>();
    if (any && encodings.empty())
      out_.notes.push_back("columns of categories are taken as the numbers that XGBoost gave to them");
    if (encodings.size() > columns.size()) return all->wrong("categories of more columns than there are");
    for (std::size_t i = 0; i < encodings.size(); ++i) {
      std::vector<std::string> texts;
      const auto values = encodings[i].find("values");
      if (!values || values->size() == 0) continue;
      const auto offsets = encodings[i].find("offsets");
      if (offsets) {
        const auto letters = values->integers(), begins = offsets->integers();
        if (!letters || !begins || begins->empty()) return values->wrong("categories that are no texts");
        for (std::size_t k = 0; k + 1 < begins->size(); ++k) {
          const std::int64_t from = (*begins)[k], to = (*begins)[k + 1];
          if (from < 0 || to < from || to > static_cast<std::int64_t>(letters->size()))
            return offsets->wrong("a category outside of the texts");
          std::string text;
          for (auto at = from; at < to; ++at)
            text += static_cast<char>((*letters)[static_cast<std::size_t>(at)]);
          texts.push_back(std::move(text));
        }
      } else {
        const auto numbers = values->doubles();
        if (!numbers) return values->wrong("categories that are no numbers");
        for (const double number : *numbers) append_number(texts.emplace_back(), number);
      }
      std::vector<std::string> sorted = texts;
      std::sort(sorted.begin(), sorted.end());
      if (const auto twice = std::adjacent_find(sorted.begin(), sorted.end()); twice != sorted.end())
        return values->wrong("the category '" + *twice + "' is there twice");
      columns[i].kind = model::Column::Kind::categorical;
      columns[i].vocabulary = std::move(texts);
      any = true;
    }
    return any && !encodings.empty();
  }

  JsonValue root_;
  const XgboostOptions& options_;
  bool was_snapshot_ = false, is_dart_ = false;
  std::optional<JsonValue> config_, learner_, booster_, trees_;
  Version version_;
  Objective objective_ = kObjectives[0];
  std::size_t inputs_ = 0, outputs_ = 1;
  std::optional<float> missing_;
  std::vector<std::string> wrapper_classes_;
  std::optional<std::int64_t> parallel_trees_;
  std::vector<float> base_margins_;
  std::vector<std::uint32_t> groups_;
  TreeBuilder builder_;
  Artefact out_;
};

}  // namespace

bool looks_like_xgboost(std::span<const std::byte> bytes) {
  switch (form_of(bytes)) {
    case Form::old:
      return true;
    case Form::none:
      return false;
    case Form::text:
    case Form::binary:
      break;
  }
  const auto begin = as_text(bytes.first(std::min<std::size_t>(bytes.size(), 4096)));
  return begin.find("learner") != std::string_view::npos;
}

Result<Artefact> read_xgboost(std::span<const std::byte> bytes, const XgboostOptions& options) {
  const Form form = form_of(bytes);
  if (form == Form::old) {
    const auto translated = internal::xgboost_binary_as_json(bytes);
    if (!translated) {
      auto error = translated.error();
      if (error.code == Errc::unsupported) error.message += kSaveAgain;
      return error;
    }
    const auto document = JsonDocument::read_text(std::as_bytes(std::span(*translated)));
    if (!document) return Error(document.error()).within("a binary model, read as JSON");
    return XgboostReader(document->root(), options).read();
  }
  if (form == Form::none)
    return Error{Errc::corrupt, "neither JSON nor UBJSON; if this is a model in XGBoost's old binary format" +
                                    std::string(kSaveAgain)};
  const auto document =
      form == Form::text ? JsonDocument::read_text(bytes) : JsonDocument::read_ubjson(bytes);
  if (!document) return document.error();
  return XgboostReader(document->root(), options).read();
}

}  // namespace nidus::interop
