#include "detect/binding.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/number.h"
#include "base/text.h"
#include "data/schemas.h"
#include "detect/fingerprint.h"

namespace nidus::detect {
namespace {

std::vector<std::string> feature_keys() {
  std::vector<std::string> keys;
  for (const auto group : {flow::Group::flow, flow::Group::context, flow::Group::sequence}) {
    for (std::size_t i = 0; i < flow::columns_in(group); ++i) {
      keys.push_back(flow::key({group, static_cast<std::uint16_t>(i)}));
    }
  }
  return keys;
}

const data::Column* find_column(const data::Table& table, const std::string& name) {
  if (const auto* const same = table.get(name)) return same;
  const auto wanted = flow::column_from_name(name);
  if (!wanted) return nullptr;
  for (std::size_t i = 0; i < table.columns(); ++i) {
    if (flow::column_from_name(table.column(i).name) == wanted) return &table.column(i);
  }
  return nullptr;
}

}  // namespace

Result<FlowBinding> FlowBinding::bind(const model::Schema& schema, flow::Profile profile) {
  FlowBinding binding(profile);
  for (const auto& column : schema) {
    const auto found = flow::column_from_name(column.name);
    if (!found) {
      return Error{Errc::not_found, fmt::format("flows have no feature '{}'{}", column.name,
                                                did_you_mean(column.name, feature_keys()))};
    }
    binding.of_record_ = binding.of_record_ || found->group == flow::Group::flow;
    Source source{*found, {}};
    if (column.kind == model::Column::Kind::categorical) {
      for (const auto& word : column.vocabulary) {
        source.categories.push_back(parse_number(word).value_or(std::numeric_limits<double>::quiet_NaN()));
      }
    }
    binding.sources_.push_back(std::move(source));
  }
  return binding;
}

template <class Number>
void FlowBinding::fill_with(const flow::FlowRecord& record, Number* row) const {
  flow::FeatureRow values;
  if (of_record_) flow::compute_features(profile_, record, values);
  for (const Source& source : sources_) {
    const double value = source.column.group == flow::Group::flow ? values[source.column.index]
                                                                  : flow::value_beside(source.column, record);
    if (source.categories.empty()) {
      *row++ = static_cast<Number>(value);
      continue;
    }
    const auto found = std::find(source.categories.begin(), source.categories.end(), value);
    *row++ = found == source.categories.end() ? std::numeric_limits<Number>::quiet_NaN()
                                              : static_cast<Number>(found - source.categories.begin());
  }
}

void FlowBinding::fill(const flow::FlowRecord& record, float* row) const { fill_with(record, row); }
void FlowBinding::fill(const flow::FlowRecord& record, double* row) const { fill_with(record, row); }

flow::MeterOptions meter_for(const model::Schema& schema, flow::MeterOptions options) {
  for (const auto& column : schema) {
    if (const auto found = flow::column_from_name(column.name)) flow::ask_for(*found, options);
  }
  options.once = options.partial_after_packets != 0;
  return options;
}

Result<model::Schema> schema_in(const model::Schema& schema, const data::Table& table) {
  model::Schema there = schema;
  for (auto& column : there) {
    const auto* const found = find_column(table, column.name);
    if (found == nullptr) {
      std::vector<std::string> names;
      for (std::size_t i = 0; i < table.columns(); ++i) names.push_back(table.column(i).name);
      return Error{Errc::not_found,
                   fmt::format("no column '{}'{}", column.name, did_you_mean(column.name, names))};
    }
    column.name = found->name;
  }
  return there;
}

std::vector<std::string> numbers_in(const model::Schema& schema, std::span<const std::string> names) {
  data::Table header;
  for (const auto& name : names) header.add(data::Column::text(name, {}));
  const auto there = schema_in(schema, header);
  std::vector<std::string> out;
  if (!there) return out;
  for (const auto& column : *there) {
    if (column.kind == model::Column::Kind::numeric) out.push_back(column.name);
  }
  return out;
}

Result<void> check_profile(const data::Table& table, const std::string& description) {
  if (description.empty()) return {};
  const Fingerprint print = fingerprint(table);
  if (!print.description.empty()) {
    if (print.profile && print.description == description) return {};
    return Error{Errc::unsupported,
                 fmt::format("these flows were metered as '{}' ({}), the detector wants '{}'",
                             print.description, print.evidence, description)};
  }
  const auto wanted = description.substr(0, description.find(' '));
  if (!print.profile || name(*print.profile) == wanted) return {};
  return Error{Errc::unsupported,
               fmt::format("these flows were metered as '{}' ({}), the detector wants '{}'",
                           name(*print.profile), print.evidence, description)};
}

bool is_identity_column(const std::string& column) { return data::is_identity(data::role_of(column)); }

}  // namespace nidus::detect
