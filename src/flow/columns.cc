#include "flow/columns.h"

#include <algorithm>

#include "base/number.h"
#include "base/text.h"
#include "flow/context.h"

namespace nidus::flow {
namespace {

constexpr std::string_view kSize = "seq_size_", kGap = "seq_gap_";

std::optional<FlowColumn> sequence_column(std::string_view name) {
  for (const std::string_view prefix : {kSize, kGap}) {
    if (!name.starts_with(prefix)) continue;
    const std::string_view digits = name.substr(prefix.size());
    const auto packet = parse_integer(digits);
    if (!packet || *packet < 1 || *packet > static_cast<std::int64_t>(kSequenceMax)) return std::nullopt;
    if (digits != std::to_string(*packet)) return std::nullopt;
    const auto index = static_cast<std::uint16_t>(2 * (*packet - 1) + (prefix == kGap));
    return FlowColumn{Group::sequence, index};
  }
  return std::nullopt;
}

}  // namespace

std::string_view name(Group group) {
  switch (group) {
    case Group::flow:
      return "flow";
    case Group::context:
      return "context";
    case Group::sequence:
      return "sequence";
  }
  return "";
}

std::optional<Group> group_from_name(std::string_view text) {
  for (const Group group : {Group::flow, Group::context, Group::sequence}) {
    if (equal_ignoring_case(trim(text), name(group))) return group;
  }
  return std::nullopt;
}

std::optional<FlowColumn> column_from_name(std::string_view text) {
  if (const auto feature = feature_from_name(text)) {
    return FlowColumn{Group::flow, static_cast<std::uint16_t>(*feature)};
  }
  const std::string name = to_lower(trim(text));
  if (name.starts_with("seq_")) return sequence_column(name);
  if (!name.starts_with("ctx_")) return std::nullopt;
  const auto context = context_features();
  const auto found =
      std::find_if(context.begin(), context.end(), [&](const ContextInfo& info) { return info.key == name; });
  if (found == context.end()) return std::nullopt;
  return FlowColumn{Group::context, static_cast<std::uint16_t>(found - context.begin())};
}

std::string key(FlowColumn column) {
  switch (column.group) {
    case Group::flow:
      return std::string(key(static_cast<Feature>(column.index)));
    case Group::context:
      return std::string(context_features()[column.index].key);
    case Group::sequence:
      return std::string(column.index % 2 == 0 ? kSize : kGap) + std::to_string(column.index / 2 + 1);
  }
  return "";
}

std::string_view unit(FlowColumn column) {
  switch (column.group) {
    case Group::flow:
      return features()[column.index].unit;
    case Group::context:
      return context_features()[column.index].unit;
    case Group::sequence:
      return column.index % 2 == 0 ? "bytes" : "us";
  }
  return "";
}

std::size_t columns_in(Group group) {
  switch (group) {
    case Group::flow:
      return kFeatures;
    case Group::context:
      return kContextFeatures;
    case Group::sequence:
      return kSequenceFeatures;
  }
  return 0;
}

void ask_for(FlowColumn column, MeterOptions& options) {
  if (column.group == Group::context) options.context = true;
  if (column.group != Group::sequence) return;
  options.sequence_packets = std::max<std::uint32_t>(options.sequence_packets, column.index / 2 + 1);
}

}  // namespace nidus::flow
