#include "learn/report.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/json_writer.h"
#include "base/text.h"

namespace nidus::learn {
namespace {

std::string share(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? "-" : fmt::format("{:.4f}", static_cast<double>(part) / static_cast<double>(whole));
}

std::string groups_text(const std::vector<GroupFigures>& groups, const std::string& what) {
  if (groups.size() < 2) return "";
  std::size_t width = what.size();
  for (const auto& group : groups) width = std::max(width, group.name.size());
  std::string out = fmt::format("\n{:<{}} {:>10} {:>10} {:>10} {:>10}\n", what, width, "attacks", "recall",
                                "benign", "fpr");
  for (const auto& group : groups) {
    out += fmt::format("{:<{}} {:>10} {:>10} {:>10} {:>10}\n", group.name, width,
                       with_thousands(group.attacks), share(group.found, group.attacks),
                       with_thousands(group.benign), share(group.false_alarms, group.benign));
  }
  return out;
}

void add_groups(const std::vector<GroupFigures>& groups, std::string_view key, std::string_view name,
                JsonWriter& json) {
  json.key(key);
  json.begin_array();
  for (const auto& group : groups) {
    json.begin_object();
    json.field(name, group.name);
    json.field("attacks", group.attacks);
    json.field("attacks_found", group.found);
    json.field("benign", group.benign);
    json.field("false_alarms", group.false_alarms);
    json.end_object();
  }
  json.end_array();
}

}  // namespace

std::string Report::to_text() const {
  std::string out = fmt::format("detector {} {}\n\n", detector, version);
  out += evaluation.to_text();
  out += groups_text(groups, "group   ");
  out += groups_text(periods, period);
  if (const std::string said = leaks.to_text(); !said.empty()) out += "\n" + said;
  if (explained) out += "\n" + explained->to_text();
  if (other) {
    out += "\n" + other->comparison.to_text(fmt::format("{} {}", detector, version),
                                            fmt::format("{} {}", other->detector, other->version));
    if (other->explained)
      out += fmt::format("\n{} {}: ", other->detector, other->version) + other->explained->to_text();
  }
  return out;
}

std::string Report::to_json() const {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.field("detector", detector);
  json.field("version", version);
  json.key("evaluation");
  evaluation.to_json(json, Evaluation::Pictures::yes);
  add_groups(groups, "groups", "group", json);
  if (!periods.empty()) add_groups(periods, "periods", "from", json);
  json.key("leaks");
  leaks.to_json(json);
  if (explained) {
    json.key("explained");
    explained->to_json(json);
  }
  if (other) {
    json.key("compared_with");
    json.begin_object();
    json.field("detector", other->detector);
    json.field("version", other->version);
    json.key("evaluation");
    other->evaluation.to_json(json, Evaluation::Pictures::yes);
    json.key("comparison");
    other->comparison.to_json(json);
    if (other->explained) {
      json.key("explained");
      other->explained->to_json(json);
    }
    json.end_object();
  }
  json.end_object();
  out += '\n';
  return out;
}

}  // namespace nidus::learn
