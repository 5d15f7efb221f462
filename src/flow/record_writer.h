#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "flow/columns.h"
#include "flow/features.h"
#include "flow/profile.h"
#include "flow/record.h"

namespace nidus::flow {

// csv: comma-separated with one header line. ndjson: one object a line, non-finite numbers null. zeek: a
// conn.log with Zeek's own column names and types, whatever the profile.
enum class RecordFormat : std::uint8_t { csv, ndjson, zeek };

struct RecordWriterOptions {
  RecordFormat format = RecordFormat::csv;
  Profile profile = Profile::native;

  // Of the columns. Unset: those of the profile's own files. A feature that has no name there has its
  // canonical one.
  std::optional<Naming> naming;

  // A column community_id: native, nsl-kdd and conn.log. One SHA-1 for each row.
  bool community_id = false;
  std::uint16_t community_id_seed = 0;

  // A column for the label: native, nsl-kdd and conn.log. The tables of the tools always have one.
  bool label = false;

  // native: the features of the flow; also those of what is around it, and of its first packets, so many of
  // them. Where a record has none of the latter (FlowRecord::context, steps), cells are empty.
  bool features = true;
  bool context = false;
  std::uint32_t sequence_packets = 0;

  // cic2017: the 79 columns of the MachineLearning files. cic2018: the 80 of the usual files. Both without
  // addresses. Other profiles have one form only.
  bool short_form = false;

  // Meter::description(), so that every native table says how it was made. Empty: the profile's name.
  std::string description;
};

// Flow records as text, appended to a buffer that the caller owns, writes and clears.
//
// The columns of a profile's tables are those of the files it reproduces, by name and order, NaN and Infinity
// as Java prints them. native has the identity of the flow, all its features, and how it ended:
//
//   flow_id src_ip dst_ip timestamp · features_of(native) · context · sequence · end_reason conn_state
//   history partial profile
//
// Times of day are UTC (the tools used the zone of their machine, which no table records): ISO 8601 with
// microseconds in native; as the files have them, without AM or PM, in cic2017 and cic2018.
//
// No allocation for a value; a row needs at most row_bytes_max() and the label. Not thread-safe: one for each
// thread.
class RecordWriter {
 public:
  explicit RecordWriter(RecordWriterOptions options);

  // Names in the order of the cells.
  std::vector<std::string> columns() const;

  // What stands before the first row: a line of names, Zeek's block of # lines, or nothing for ndjson.
  void header(std::string& out) const;

  // `label`, where there is such a column: empty means none given, which is "NeedManualLabel" in the tools'
  // tables.
  void row(const FlowRecord& record, std::string& out, std::string_view label = {});

  std::size_t row_bytes_max() const { return row_bytes_max_; }

 private:
  enum class Cell : std::uint8_t {
    feature,
    beside,  // context or sequence
    row_number,
    flow_id,
    source_ip,
    destination_ip,
    timestamp,
    end_reason,
    conn_state,
    history,
    community_id,
    partial,
    profile,
    label,
    attempted_category,
    // conn.log
    ts,
    uid,
    proto,
    duration,
    missed_bytes,
    orig_bytes,
    resp_bytes,
    unset,
  };
  struct Column {
    Cell cell;
    FlowColumn flow;
    std::string name;
    std::string_view type;  // Zeek's
    std::string before;     // separator, and the key in ndjson
  };
  struct Row;

  void add(Cell cell, std::string_view name, std::string_view type = {});
  void add(Feature feature, std::string_view name = {}, std::string_view type = {});
  void add(Group group, std::size_t count);
  void choose_native();
  void choose_tool();
  void choose_zeek();
  bool is_text(Cell cell) const;
  char* write(char* out, const Column& column, const Row& row);
  char* write_timestamp(char* out, std::int64_t us);
  std::string_view label_cell(std::string_view label);

  RecordWriterOptions options_;
  Naming naming_;
  std::vector<Column> columns_;
  std::size_t row_bytes_max_ = 0;
  std::uint64_t rows_ = 0;
  std::string row_;  // in the making: growing `out` to the longest row first would clear kilobytes each time
  std::string scratch_;
  std::string label_;
  std::string description_;  // as a cell
};

}  // namespace nidus::flow
