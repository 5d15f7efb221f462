#include "data/labels.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/text.h"

namespace nidus::data {
namespace {

std::string_view tidy(std::string_view label) {
  label = trim(label);
  if (label.size() > 1 && label.back() == '.') label.remove_suffix(1);
  return label;
}

// What IoT-23 as published has in one cell: "Malicious   PartOfAHorizontalPortScan", "Benign   -".
struct Parted {
  std::string_view verdict, detail;
};
Parted parted(std::string_view label) {
  label = trim(label);
  const auto gap = label.find("  ");
  if (gap == std::string_view::npos) return {label, {}};
  return {label.substr(0, gap), trim(label.substr(gap))};
}

bool says_nothing(std::string_view detail) { return detail.empty() || detail == "-" || detail == "(empty)"; }

// The different cells of a column, and which of them each row has; kMissing for none.
struct Spellings {
  std::vector<std::string> texts;
  std::vector<std::uint32_t> codes;
};
// Of a column of numbers it stops behind `most` different ones.
Spellings spellings_of(const Column& column, std::size_t most) {
  if (column.kind == Kind::text) return {column.vocabulary, column.codes};
  Spellings out;
  out.codes.assign(column.size(), kMissing);
  Dictionary dictionary;
  for (std::size_t row = 0; row < column.size() && out.texts.size() <= most; ++row) {
    out.codes[row] = dictionary.code(column.cell(row), out.texts);
  }
  return out;
}

// The class of a label by the options; empty for none.
std::string class_of(std::string_view raw, const LabelOptions& options) {
  auto label = tidy(raw);
  if (const auto parts = parted(label); is_benign(parts.verdict)) label = parts.verdict;
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
  return read_labels(**required, options);
}

Result<Labels> read_labels(const Column& column, const LabelOptions& options) {
  // A class for each different cell first: tables have millions of rows and a handful of labels.
  const auto [spellings, spelling_of] = spellings_of(column, 4 * options.classes_max);
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

Column whole_labels(const Column& verdict, const Column& detail) {
  CHECK(verdict.size() == detail.size());
  const auto verdicts = spellings_of(verdict, verdict.size()), details = spellings_of(detail, detail.size());
  Column out;
  out.name = verdict.name;
  out.kind = Kind::text;
  out.codes.reserve(verdict.size());
  Dictionary dictionary;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> known;
  for (std::size_t row = 0; row < verdict.size(); ++row) {
    const std::pair codes(verdicts.codes[row], details.codes[row]);
    auto found = known.find(codes);
    if (found == known.end()) {
      const auto parts = codes.first == kMissing ? Parted{} : parted(verdicts.texts[codes.first]);
      std::string_view label = parts.verdict;
      if (!label.empty() && !is_benign(label)) {
        const auto named = codes.second == kMissing ? std::string_view{} : trim(details.texts[codes.second]);
        // A detail called benign of what is not would turn the verdict round.
        for (const auto more : {parts.detail, named}) {
          if (!says_nothing(more) && !is_benign(more)) label = more;
        }
      }
      found = known.emplace(codes, dictionary.code(label, out.vocabulary)).first;
    }
    out.codes.push_back(found->second);
  }
  return out;
}

}  // namespace nidus::data
