#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "flow/features.h"
#include "flow/meter.h"

// Everything that a flow can be asked for, as columns of a table or of a detector's schema.
namespace nidus::flow {

// flow: a feature of the record (features.h). context: of what is around it (context.h). sequence: of one of
// its first packets, `seq_size_i` and `seq_gap_i` for i = 1 … kSequenceMax: payload bytes, negative in
// reverse, and microseconds since the packet before; NaN for a packet that the flow has not had.
enum class Group : std::uint8_t { flow, context, sequence };
std::string_view name(Group group);
std::optional<Group> group_from_name(std::string_view name);

inline constexpr std::size_t kSequenceFeatures = 2 * kSequenceMax;

struct FlowColumn {
  Group group = Group::flow;
  // Its Feature; or place in FlowContext::values; or 2 (i - 1) for the size of packet i and one more for its
  // gap.
  std::uint16_t index = 0;

  friend bool operator==(const FlowColumn&, const FlowColumn&) = default;
};

// By any of the names that a feature has; those of the other groups by their one name. Blanks around it and
// case do not matter.
std::optional<FlowColumn> column_from_name(std::string_view name);

// The canonical name, and the unit.
std::string key(FlowColumn column);
std::string_view unit(FlowColumn column);

// How many there are in a group; of `flow`, in the order of native tables.
std::size_t columns_in(Group group);

// Tells the meter what a table with this column needs.
void ask_for(FlowColumn column, MeterOptions& options);

// The value of a column that is not of the record itself. NaN where the record has no context, or not so many
// steps.
inline double value_beside(FlowColumn column, const FlowRecord& record) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  if (column.group == Group::context) return record.context ? record.context->values[column.index] : kNaN;
  const std::size_t packet = column.index / 2;
  if (record.steps == nullptr || packet >= record.sequence_packets) return kNaN;
  const PacketStep& step = record.steps[packet];
  if (column.index % 2 != 0) return step.gap_us;
  return step.reverse ? -static_cast<double>(step.payload_bytes) : step.payload_bytes;
}

}  // namespace nidus::flow
