#include "cmd/inspect_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "base/json_writer.h"
#include "base/text.h"
#include "cmd/exit_status.h"
#include "cmd/terminal.h"
#include "data/inspection.h"
#include "detect/fingerprint.h"
#include "flow/features.h"

namespace nidus::cmd {
namespace {

// Labels shown to a person; JSON has them all.
constexpr std::size_t kLabelsShown = 40;

struct TableFacts {
  data::Inspection table;
  std::string metered_as;
  std::size_t flow_features = 0, texts = 0;
};

std::string line_text(const std::string& name, const std::string& value) {
  return fmt::format("  {:<15}  {}\n", name, value);
}

std::string labels_text(const std::map<std::string, std::uint64_t>& labels) {
  std::vector<std::pair<std::uint64_t, std::string>> sorted;
  for (const auto& [label, rows] : labels) sorted.emplace_back(rows, label.empty() ? "(none)" : label);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::string out;
  for (std::size_t i = 0; i < std::min(sorted.size(), kLabelsShown); ++i) {
    out += fmt::format("{}{} {}", i == 0 ? "" : ", ", sorted[i].second, with_thousands(sorted[i].first));
  }
  if (sorted.size() > kLabelsShown) out += fmt::format(", and {} more", sorted.size() - kLabelsShown);
  return out;
}

std::string roles_text(const std::vector<data::ColumnFacts>& columns) {
  std::array<std::size_t, 7> counts{};
  for (const auto& column : columns) ++counts[static_cast<std::size_t>(column.role)];
  std::string out;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", counts[i], data::name(static_cast<data::Role>(i)));
  }
  return out;
}

std::string content_text(const data::ColumnFacts& column) {
  const std::uint64_t cells = column.numbers + column.texts;
  if (cells == 0) return "nothing";
  if (column.kind == data::Kind::text) {
    const bool more = column.different >= data::kDifferentMax;
    return fmt::format("{}{} different", more ? "more than " : "", with_thousands(column.different));
  }
  if (column.smallest > column.largest) return "infinite only";
  if (column.smallest == column.largest) return fmt::format("always {}", column.smallest);
  return fmt::format("{} to {}", column.smallest, column.largest);
}

std::string to_text(const TableFacts& facts) {
  const data::Inspection& table = facts.table;
  const data::TableReport& report = table.report;
  std::string out = line_text("kind", "table");
  out +=
      line_text("format", report.dialect + (report.compression == "none" ? "" : ", " + report.compression) +
                              (report.headerless ? ", without a header" : ""));
  out += line_text("recognised_as", table.schema == nullptr
                                        ? "no data set that we know"
                                        : fmt::format("{}: {}", table.schema->key, table.schema->title));
  out += line_text("rows", with_thousands(report.rows));
  out += line_text("columns",
                   fmt::format("{}: {} numeric, {} text; {}", table.columns.size(),
                               table.columns.size() - facts.texts, facts.texts, roles_text(table.columns)));
  out += line_text("flow_features", std::to_string(facts.flow_features));
  out += line_text("metered_as", facts.metered_as);
  for (const auto& [column, labels] : table.labels) {
    out += line_text("labels", fmt::format("{}: {}", column, labels_text(labels)));
  }
  out += line_text("findings", table.findings.empty() ? "none" : std::to_string(table.findings.size()));
  for (const auto& finding : table.findings) {
    out += fmt::format("    {} {}", with_thousands(finding.count), finding.what);
    if (finding.line != 0) out += fmt::format(", first on line {}", finding.line);
    if (!finding.where.empty()) out += ": " + finding.where;
    out += '\n';
  }
  std::size_t width = 6;
  for (const auto& column : table.columns) width = std::max(width, column.name.size());
  width = std::min<std::size_t>(width, 32);
  out += fmt::format("\n    {:<{}}  {:<7}  {:<7}  {:>10}  {}\n", "column", width, "type", "role", "missing",
                     "content");
  for (const auto& column : table.columns) {
    out += fmt::format("    {:<{}}  {:<7}  {:<7}  {:>10}  {}\n", column.name, width,
                       column.kind == data::Kind::text ? "text" : "numeric", data::name(column.role),
                       with_thousands(column.missing), content_text(column));
  }
  return out;
}

void to_json(const TableFacts& facts, std::string& out) {
  const data::Inspection& table = facts.table;
  const data::TableReport& report = table.report;
  JsonWriter json(out);
  json.begin_object();
  json.field("input", report.file);
  json.field("kind", "table");
  json.field("format", report.dialect);
  json.field("compression", report.compression);
  json.field("headerless", report.headerless);
  json.field("bytes", report.bytes);
  json.key("recognised_as");
  if (table.schema == nullptr) {
    json.null();
  } else {
    json.begin_object();
    json.field("key", table.schema->key);
    json.field("title", table.schema->title);
    json.field("label", table.schema->label);
    json.end_object();
  }
  json.field("rows", report.rows);
  json.field("bad_rows", report.bad_rows());
  json.field("flow_features", facts.flow_features);
  json.field("metered_as", facts.metered_as);
  json.key("labels");
  json.begin_object();
  for (const auto& [column, labels] : table.labels) {
    json.key(column);
    json.begin_object();
    for (const auto& [label, rows] : labels) json.field(label, rows);
    json.end_object();
  }
  json.end_object();
  json.key("findings");
  json.begin_array();
  for (const auto& finding : table.findings) {
    json.begin_object();
    json.field("key", finding.key);
    json.field("what", finding.what);
    json.field("count", finding.count);
    if (finding.line != 0) json.field("first_line", finding.line);
    if (!finding.where.empty()) json.field("where", finding.where);
    json.end_object();
  }
  json.end_array();
  json.key("columns");
  json.begin_array();
  for (const auto& column : table.columns) {
    json.begin_object();
    json.field("name", column.name);
    json.field("type", column.kind == data::Kind::text ? "text" : "numeric");
    json.field("role", data::name(column.role));
    json.field("missing", column.missing);
    json.field("infinite", column.infinite);
    if (column.kind == data::Kind::text) {
      json.field("different", column.different);
    } else if (column.smallest <= column.largest) {
      json.field("smallest", column.smallest);
      json.field("largest", column.largest);
    }
    json.end_object();
  }
  json.end_array();
  json.end_object();
  out += '\n';
}

}  // namespace

int inspect_table(const std::string& path, bool as_json, std::string& out) {
  data::TableOptions options;
  options.threads = 0;
  std::optional<detect::Fingerprint> print;
  ProgressBar bar(path);
  auto inspection = data::inspect_table(path, options, [&](const data::Table& piece, const auto&) {
    // How the rows were metered shows in any thousand of them.
    if (!print) print = detect::fingerprint(piece);
    return !interrupted();
  });
  if (interrupted()) return kInterrupted;
  if (!inspection) return complain(inspection.error());
  TableFacts facts;
  facts.table = std::move(*inspection);
  facts.metered_as = fmt::format("{} ({})",
                                 !print->description.empty() ? print->description
                                 : print->profile            ? std::string(flow::name(*print->profile))
                                                             : "unknown",
                                 print->evidence);
  for (const auto& column : facts.table.columns) {
    facts.texts += column.kind == data::Kind::text ? 1 : 0;
    facts.flow_features += flow::feature_from_name(column.name) ? 1 : 0;
  }
  if (as_json) {
    to_json(facts, out);
  } else {
    out += path + "\n" + to_text(facts);
  }
  return kFine;
}

}  // namespace nidus::cmd
