#include "serve/row_reader.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "base/number.h"
#include "base/text.h"

namespace nidus::serve {
namespace {

constexpr std::size_t kKeyMax = 256;  // a longer name is no column's, and not worth remembering

// Text out of a request, fit to be shown.
std::string shown(std::string_view text) {
  constexpr std::size_t kMost = 60;
  if (text.size() <= kMost) return std::string(text);
  return std::string(text.substr(0, kMost)) + "…";
}

constexpr double kFloatMax = std::numeric_limits<float>::max();

}  // namespace

FeatureNames::FeatureNames(model::Schema schema) : schema_(std::move(schema)) {
  vocabularies_.resize(schema_.size());
  for (std::uint32_t i = 0; i < schema_.size(); ++i) {
    own_.emplace(to_lower(trim(schema_[i].name)), i);
    if (const auto feature = flow::feature_from_name(schema_[i].name))
      by_feature_.emplace(static_cast<std::uint8_t>(*feature), i);
    if (schema_[i].kind == model::Column::Kind::categorical) vocabularies_[i].emplace(schema_[i]);
  }
}

std::optional<FeatureNames::Match> FeatureNames::find(std::string_view name) const {
  if (name.size() > kKeyMax) return std::nullopt;
  if (const auto found = own_.find(to_lower(trim(name))); found != own_.end())
    return Match{found->second, true};
  if (by_feature_.empty()) return std::nullopt;
  const auto feature = flow::feature_from_name(std::string(name));
  if (!feature) return std::nullopt;
  const auto found = by_feature_.find(static_cast<std::uint8_t>(*feature));
  if (found == by_feature_.end()) return std::nullopt;
  return Match{found->second, false};
}

std::optional<double> FeatureNames::value_of(std::size_t column, std::string_view text) const {
  if (vocabularies_[column]) return vocabularies_[column]->code(trim(text));
  const auto number = parse_number(text);
  if (!number || !(std::abs(*number) <= kFloatMax)) return std::nullopt;
  return number;
}

std::string FeatureNames::fault_of(std::string_view text) {
  const auto number = parse_number(text);
  // A number beyond double became an infinity, too.
  const bool has_digits = text.find_first_of("0123456789") != std::string_view::npos;
  const std::string_view why = !number      ? "expected a number"
                               : has_digits ? "larger than a float"
                                            : "not finite, expected a number";
  return fmt::format("is '{}', {}", shown(text), why);
}

double FeatureNames::value_of(std::size_t column, double number) const {
  if (!vocabularies_[column]) return number;
  std::string text;
  append_number(text, number);
  return vocabularies_[column]->code(text);
}

RowReader::RowReader(std::shared_ptr<const FeatureNames> names) : names_(std::move(names)) {
  seen_.resize(names_->size());
}

std::string RowReader::subject(std::size_t column) const {
  const std::string feature = fmt::format("feature '{}'", names_->schema()[column].name);
  return row_ ? fmt::format("row {}: {}", *row_, feature) : feature;
}

bool RowReader::refuse(RowFault& fault, std::string detail) const {
  fault.detail =
      row_ && !detail.starts_with("row ") ? fmt::format("row {}: {}", *row_, detail) : std::move(detail);
  return false;
}

bool RowReader::read(JsonReader& json, double* row, RowFault& fault) {
  switch (json.peek()) {
    case JsonReader::Kind::object:
      if (!json.enter_object()) return refuse(fault, json.problem());
      return read_members(json, row, fault);
    case JsonReader::Kind::array:
      return read_list(json, row, fault);
    case JsonReader::Kind::text:
    case JsonReader::Kind::number:
    case JsonReader::Kind::truth:
    case JsonReader::Kind::null:
    case JsonReader::Kind::not_finite:
      break;
    case JsonReader::Kind::none:
      (void)json.skip();
      return refuse(fault, "malformed JSON: " + json.problem());
  }
  return refuse(fault, "expected an object from feature names to numbers, or a list of numbers");
}

bool RowReader::read_value(JsonReader& json, std::size_t column, double& value, RowFault& fault) {
  const bool categorical = names_->schema()[column].kind == model::Column::Kind::categorical;
  switch (json.peek()) {
    case JsonReader::Kind::number:
      if (!json.read_number(value)) break;
      if (!(std::abs(value) <= kFloatMax)) return refuse(fault, subject(column) + " is larger than a float");
      if (categorical) value = names_->value_of(column, value);
      return true;
    case JsonReader::Kind::text: {
      std::string_view text;
      if (!json.read_text(text)) break;
      const auto number = names_->value_of(column, text);
      if (!number) return refuse(fault, fmt::format("{} {}", subject(column), FeatureNames::fault_of(text)));
      value = *number;
      return true;
    }
    case JsonReader::Kind::truth: {
      bool truth = false;
      if (!json.read_truth(truth)) break;
      value = names_->value_of(column, truth ? 1.0 : 0.0);
      return true;
    }
    case JsonReader::Kind::null:
      if (!json.read_null()) break;
      return refuse(fault, subject(column) + " is null, expected a number");
    case JsonReader::Kind::not_finite:
      return refuse(fault, subject(column) + " is not finite (NaN or Infinity), expected a number");
    case JsonReader::Kind::object:
      return refuse(fault, subject(column) + " is an object, expected a number");
    case JsonReader::Kind::array:
      return refuse(fault, subject(column) + " is a list, expected a number");
    case JsonReader::Kind::none:
      (void)json.skip();
      break;
  }
  return refuse(fault, "malformed JSON: " + json.problem());
}

RowReader::Step RowReader::step_of(std::string_view key, std::string_view written) const {
  Step step;
  if (written.size() <= kKeyMax) step.written = written;
  if (const auto match = names_->find(key)) {
    step.column = match->column;
    step.own = match->own;
  }
  return step;
}

bool RowReader::read_members(JsonReader& json, double* row, RowFault& fault) {
  // Marks of this row: seen under its own name, under another one.
  round_ += 2;
  const std::uint64_t own = round_ + 1, other = round_;
  std::size_t found = 0, member = 0;
  for (;; ++member) {
    Step fresh;
    const Step* step = nullptr;
    if (member < steps_.size() && !steps_[member].written.empty() &&
        json.next_member_is(steps_[member].written)) {
      step = &steps_[member];
    } else {
      std::string_view key;
      if (json.failed() || !json.next_key(key)) break;
      if (member >= kMembersMax)
        return refuse(fault, fmt::format("more than {} members in one row", kMembersMax));
      fresh = step_of(key, json.written_member());
      if (member < steps_.size()) {
        steps_[member] = std::move(fresh);
      } else {
        steps_.push_back(std::move(fresh));
      }
      step = &steps_[member];
    }
    if (step->column < 0) {
      if (json.skip()) continue;
      break;
    }
    const auto column = static_cast<std::size_t>(step->column);
    double value = 0;
    if (!read_value(json, column, value, fault)) return false;
    std::uint64_t& seen = seen_[column];
    if (seen < other) {
      ++found;
    } else if (step->own && seen == own) {
      return refuse(fault, subject(column) + " is there twice");
    } else if (!step->own && seen == own) {
      continue;  // its own name says more
    } else if (!step->own && row[column] != value) {
      return refuse(fault, subject(column) + " is there under two names with two values");
    }
    seen = step->own ? own : other;
    row[column] = value;
  }
  if (json.failed()) return refuse(fault, "malformed JSON: " + json.problem());
  if (found == names_->size()) return true;
  fault.missing.clear();
  for (std::size_t i = 0; i < names_->size() && fault.missing.size() < RowFault::kMissingMax; ++i) {
    if (seen_[i] < other) fault.missing.push_back(names_->schema()[i].name);
  }
  const std::size_t lacking = names_->size() - found;
  return refuse(fault,
                fmt::format("Missing features: {} of {} are not there: {}{}", lacking, names_->size(),
                            fmt::join(fault.missing, ", "), lacking > fault.missing.size() ? ", …" : ""));
}

bool RowReader::read_list(JsonReader& json, double* row, RowFault& fault) {
  if (!json.enter_array()) return refuse(fault, json.problem());
  std::size_t count = 0;
  while (json.next_element()) {
    if (count >= names_->size()) {  // counted for the message
      if (!json.skip()) break;
    } else if (!read_value(json, count, row[count], fault)) {
      return false;
    }
    ++count;
  }
  if (json.failed()) return refuse(fault, "malformed JSON: " + json.problem());
  if (count == names_->size()) return true;
  return refuse(fault, fmt::format("Expected {} features, got {}", names_->size(), count));
}

}  // namespace nidus::serve
