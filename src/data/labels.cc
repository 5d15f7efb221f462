#include "data/labels.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/text.h"

namespace nidus::data {
namespace {

std::string_view tidy(std::string_view label) {
  label = trim(label);
  if (label.size() > 1 && label.back() == '.') label.remove_suffix(1);
  return label;
}

// The class of a label by the options; empty for none.
std::string class_of(std::string_view raw, const LabelOptions& options) {
  const auto label = tidy(raw);
  if (label.empty()) return {};
  std::string merged(label);
  bool named = false;
  for (const auto& [from, to] : options.merge) {
    if (from != "*" && equal_ignoring_case(tidy(from), label)) {
      merged = trim(to);
      named = true;
    }
  }
  if (merged.empty()) return {};
  if (is_benign(merged)) return "benign";
  if (!named) {
    if (const auto rest = options.merge.find("*"); rest != options.merge.end()) merged = trim(rest->second);
    if (merged.empty()) return {};
    if (is_benign(merged)) return "benign";
  }
  return options.binary ? "attack" : merged;
}

}  // namespace

std::vector<std::uint64_t> Labels::counts() const {
  std::vector<std::uint64_t> counts(classes.size());
  for (const auto code : codes) {
    if (code != kUnlabelled) ++counts[code];
  }
  return counts;
}

bool is_benign(std::string_view label) {
  label = tidy(label);
  return equal_ignoring_case(label, "benign") || equal_ignoring_case(label, "normal") || label == "0";
}

Result<Labels> read_labels(const Table& table, std::string_view name, const LabelOptions& options) {
  const auto required = table.require(name);
  if (!required) return Error(required.error()).within("label");
  const Column& column = **required;

  // A class for each different cell first: tables have millions of rows and a handful of labels.
  std::vector<std::string> spellings;
  std::vector<std::uint32_t> spelling_of(column.size(), kMissing);
  if (column.kind == Kind::text) {
    spellings = column.vocabulary;
    spelling_of = column.codes;
  } else {
    Dictionary dictionary;
    for (std::size_t row = 0; row < column.size(); ++row) {
      spelling_of[row] = dictionary.code(column.cell(row), spellings);
      if (spellings.size() > 4 * options.classes_max) break;
    }
  }
  std::vector<std::string> class_names(spellings.size());
  std::set<std::string> attacks;
  bool any = false, benign = options.binary;
  for (std::size_t i = 0; i < spellings.size(); ++i) {
    class_names[i] = class_of(spellings[i], options);
    if (class_names[i].empty()) continue;
    any = true;
    if (class_names[i] == "benign") {
      benign = true;
    } else {
      attacks.insert(class_names[i]);
    }
    if (attacks.size() > options.classes_max) {
      return Error{Errc::exhausted, "column '" + column.name + "' has more than " +
                                        std::to_string(options.classes_max) + " classes: is it the label?"};
    }
  }
  if (!any) return Error{Errc::invalid, "column '" + column.name + "' has no labelled row"};

  Labels labels;
  if (benign) labels.classes.emplace_back("benign");
  if (options.binary) attacks.insert("attack");
  labels.classes.insert(labels.classes.end(), attacks.begin(), attacks.end());
  std::vector<std::uint32_t> code_of(spellings.size(), kUnlabelled);
  for (std::size_t i = 0; i < spellings.size(); ++i) {
    const auto found = std::find(labels.classes.begin(), labels.classes.end(), class_names[i]);
    if (found != labels.classes.end())
      code_of[i] = static_cast<std::uint32_t>(found - labels.classes.begin());
  }
  labels.codes.reserve(column.size());
  for (const auto spelling : spelling_of) {
    labels.codes.push_back(spelling == kMissing ? kUnlabelled : code_of[spelling]);
  }
  return labels;
}

}  // namespace nidus::data
