#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/json_writer.h"
#include "base/text.h"
#include "cmd/arguments.h"
#include "cmd/exit_status.h"
#include "cmd/inputs.h"
#include "cmd/inspect_foreign.h"
#include "cmd/inspect_table.h"
#include "cmd/metering.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"
#include "detect/detector.h"
#include "detect/subject.h"
#include "interop/import.h"
#include "model/explain.h"
#include "model/model_file.h"
#include "net/capture.h"
#include "net/decode.h"

namespace nidus::cmd {
namespace {

// What is known of an input, under headings: printed as aligned lines, or as one JSON object. The lines show
// the beginning of what is long.
class Facts {
 public:
  void add(std::string name, std::string value) {
    std::string json;
    append_json_string(json, value);
    if (value.size() > kTextMax) {
      std::size_t end = kTextMax;
      while (end > 0 && (static_cast<unsigned char>(value[end]) & 0xc0) == 0x80) --end;  // inside a character
      value = fmt::format("{} … (whole with --json)", value.substr(0, end));
    }
    facts_.push_back({std::move(name), std::move(value), std::move(json)});
  }
  void add(std::string name, std::uint64_t value) {
    facts_.push_back({std::move(name), with_thousands(value), std::to_string(value)});
  }
  void add(std::string name, const std::vector<std::string>& values) {
    std::string text, json;
    JsonWriter writer(json);
    writer.begin_array();
    for (std::size_t i = 0; i < values.size(); ++i) {
      writer.value(values[i]);
      if (i < kListed) text += (text.empty() ? "" : ", ") + values[i];
    }
    writer.end_array();
    if (values.size() > kListed) text += fmt::format(" and {} more", values.size() - kListed);
    facts_.push_back({std::move(name), std::move(text), std::move(json)});
  }
  // `json` is any JSON value, and `text` what a person is told of it.
  void add_json(std::string name, std::string text, std::string json) {
    facts_.push_back({std::move(name), std::move(text), std::move(json)});
  }

  std::string text() const {
    std::size_t width = 0;
    for (const auto& fact : facts_) width = std::max(width, fact.name.size());
    std::string out;
    for (const auto& fact : facts_) out += fmt::format("  {:<{}}  {}\n", fact.name, width, fact.text);
    return out;
  }

  void json(JsonWriter& json) const {
    for (const auto& fact : facts_) {
      json.key(fact.name);
      json.raw(fact.json);
    }
  }

 private:
  static constexpr std::size_t kTextMax = 200, kListed = 12;

  struct Fact {
    std::string name, text, json;
  };
  std::vector<Fact> facts_;
};

std::string link_text(net::LinkType link) {
  switch (link) {
    case net::LinkType::ethernet:
      return "Ethernet";
    case net::LinkType::linux_sll:
      return "Linux cooked";
    case net::LinkType::linux_sll2:
      return "Linux cooked v2";
    case net::LinkType::raw_ip:
    case net::LinkType::raw_ip_bsd:
    case net::LinkType::raw_ip_openbsd:
    case net::LinkType::raw_ipv4:
    case net::LinkType::raw_ipv6:
      return "raw IP";
    case net::LinkType::bsd_null:
    case net::LinkType::bsd_loop:
      return "BSD loopback";
    case net::LinkType::ppp:
    case net::LinkType::ppp_hdlc:
    case net::LinkType::ppp_with_direction:
    case net::LinkType::pppoe:
      return "PPP";
    case net::LinkType::ieee80211:
    case net::LinkType::ieee80211_radiotap:
    case net::LinkType::ieee80211_prism:
    case net::LinkType::ieee80211_avs:
      return "802.11";
    default:  // numbers of the registry without a word of ours are valid values too
      return fmt::format("link type {}", static_cast<unsigned>(link));
  }
}

template <class Map, class Name>
std::string counted(const Map& counts, Name&& name) {
  std::vector<std::pair<std::uint64_t, std::string>> sorted;
  for (const auto& [key, count] : counts) {
    if (count != 0) sorted.emplace_back(count, name(key));
  }
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::string out;
  for (const auto& [count, what] : sorted)
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", what, with_thousands(count));
  return out.empty() ? "none" : out;
}

int inspect_capture(const std::string& path, Facts& facts) {
  auto capture = net::Capture::open(path);
  if (!capture) {
    complain(capture.error());
    return kBadInput;
  }
  net::Decoder decoder;
  std::map<net::LinkType, std::uint64_t> links;
  std::array<std::uint64_t, 256> protocols{};
  std::uint64_t wire_bytes = 0, captured_bytes = 0, ipv6 = 0, tunnelled = 0, snapped = 0;
  Timestamp first, last;
  net::Frame frame;
  net::Packet packet;
  ProgressBar bar(path);
  for (bool more = true; more && !interrupted();) {
    switch (capture->next(frame)) {
      case net::Next::end:
        more = false;
        continue;
      case net::Next::idle:
        continue;
      case net::Next::frame:
        break;
    }
    if (capture->frames() == 1) first = last = frame.time;
    first = std::min(first, frame.time);
    last = std::max(last, frame.time);
    ++links[frame.link];
    wire_bytes += frame.wire_bytes;
    captured_bytes += frame.bytes.size();
    snapped += frame.bytes.size() < frame.wire_bytes ? 1 : 0;
    if (decoder.decode(frame, packet) == net::Fault::none) {
      ++protocols[packet.tuple.protocol];
      ipv6 += packet.tuple.version == net::IpVersion::v6 ? 1 : 0;
      tunnelled += packet.tunnel_depth != 0 ? 1 : 0;
    }
    if (capture->frames() % 65536 == 0) bar.show(capture->bytes_read(), capture->size());
  }
  facts.add("kind", "capture");
  facts.add("format", capture->format());
  facts.add("link", counted(links, link_text));
  facts.add("frames", capture->frames());
  facts.add("wire_bytes", wire_bytes);
  facts.add("captured_bytes", captured_bytes);
  if (snapped != 0) facts.add("frames_cut_short", snapped);
  if (capture->frames() != 0) {
    facts.add("first", iso8601(first.microseconds()));
    facts.add("last", iso8601(last.microseconds()));
    facts.add("span", duration_text(static_cast<double>((last - first).count()) * 1e-9));
  }
  std::map<int, std::uint64_t> by_protocol;
  for (int i = 0; i < 256; ++i) by_protocol[i] = protocols[static_cast<std::size_t>(i)];
  facts.add("packets", decoder.counts().packets);
  facts.add("protocols",
            counted(by_protocol, [](int p) { return detect::protocol_text(static_cast<std::uint8_t>(p)); }));
  facts.add("ipv6_packets", ipv6);
  if (tunnelled != 0) facts.add("tunnelled_packets", tunnelled);
  std::map<std::size_t, std::uint64_t> faults, oddities;
  for (std::size_t i = 0; i < net::kFaultNames.size(); ++i) faults[i] = decoder.counts().faults[i];
  for (std::size_t i = 0; i < net::kOddityNames.size(); ++i) oddities[i] = decoder.counts().oddities[i];
  facts.add("not_packets", counted(faults, [](std::size_t i) { return std::string(net::kFaultNames[i]); }));
  facts.add("oddities", counted(oddities, [](std::size_t i) { return std::string(net::kOddityNames[i]); }));
  if (interrupted()) return kInterrupted;
  if (!capture->fault()) return kFine;
  facts.add("fault", capture->fault()->message);
  return kBadInput;
}

std::vector<std::string> names_of(const model::Schema& schema) {
  std::vector<std::string> names;
  for (const auto& column : schema) names.push_back(column.name);
  return names;
}

// The columns that took away most impurity in training.
std::string gain_text(const model::Model& model, const model::Schema& schema) {
  const auto gain = model::gain_importance(model);
  if (!gain) return "not known: " + gain.error().message;
  std::vector<std::size_t> order(schema.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return (*gain)[a] > (*gain)[b]; });
  constexpr std::size_t kMost = 10;
  std::string out;
  for (std::size_t i = 0; i < std::min(kMost, order.size()); ++i) {
    if ((*gain)[order[i]] == 0) break;
    out +=
        fmt::format("{}{} {:.1f} %", out.empty() ? "" : ", ", schema[order[i]].name, 100 * (*gain)[order[i]]);
  }
  return out;
}

int inspect_model(const std::string& path, Facts& facts) {
  const auto file = model::load_model(path);
  if (!file) return complain(file.error());
  facts.add("kind", "model file");
  facts.add("model", file->model->describe());
  facts.add("inputs", file->model->inputs());
  facts.add("classes", file->classes);
  facts.add("columns", names_of(file->schema));
  facts.add("gain", gain_text(*file->model, file->schema));
  if (!file->note.empty()) facts.add("note", file->note);
  return kFine;
}

// Whether the line lies above every score.
bool is_beyond_reach(const detect::Detector& detector) {
  const auto& threshold = detector.manifest().threshold;
  return threshold.rule == detect::Manifest::Threshold::Rule::line && threshold.value > 1 &&
         detector.model().scale() == model::Scale::probability;
}

int inspect_detector(const std::string& path, Facts& facts) {
  const auto detector = detect::Detector::load(path);
  if (!detector) return complain(detector.error());
  const detect::Manifest& m = detector->manifest();
  facts.add("kind", "detector");
  facts.add("name", m.name);
  facts.add("version", m.version);
  facts.add("answers", std::string(detect::name(m.kind)));
  facts.add("model", detector->model().describe());
  facts.add("metered_as", m.meter ? m.meter_description : "tables only");
  std::vector<std::string> labels;
  for (const auto& label : m.labels) {
    const auto rows = m.trained_on.rows.find(label);
    const std::uint64_t count = rows == m.trained_on.rows.end() ? 0 : rows->second;
    labels.push_back(fmt::format("{} ({} {})", label, with_thousands(count), count == 1 ? "row" : "rows"));
  }
  facts.add("labels", labels);
  facts.add("threshold",
            fmt::format("{:.6g}, chosen on {} for a false-positive rate of {} (there: {:.5f} of {}){}",
                        m.threshold.value, m.threshold.chosen_on, m.threshold.wanted_rate,
                        m.threshold.realised_rate, with_thousands(m.threshold.benign_rows),
                        is_beyond_reach(*detector) ? "; no score reaches it: never an alarm" : ""));
  facts.add("trained_on", m.trained_on.sources);
  facts.add("seed", m.trained_on.seed);
  facts.add("command", m.trained_on.command);
  facts.add("golden_rows", m.golden.size());
  facts.add("inputs", m.schema.size());
  facts.add("columns", names_of(m.schema));
  facts.add("gain", gain_text(detector->model(), m.schema));
  for (const auto& [on, figures] : m.figures) {
    facts.add_json("figures_" + on, detect::main_figures(figures), figures);
  }
  return kFine;
}

// Appends what there is to say of the input.
int inspect(const std::string& path, bool as_json, std::string& out) {
  const auto kind = kind_of(path);
  if (!kind) {
    complain(kind.error());
    return kBadInput;
  }
  Facts facts;
  int status = kFine;
  switch (*kind) {
    case InputKind::table:
      if (path.ends_with(".json")) {
        const auto found = interop::describe_service_file(path);
        if (!found) return complain(found.error());
        for (const auto& [name, value] : *found) facts.add(name, value);
        if (!found->empty()) break;
      }
      return inspect_table(path, as_json, out);
    case InputKind::capture:
      status = inspect_capture(path, facts);
      break;
    case InputKind::detector:
      status = inspect_detector(path, facts);
      break;
    case InputKind::model_file:
      status = inspect_model(path, facts);
      break;
    case InputKind::foreign: {
      std::vector<std::pair<std::string, std::string>> found;
      status = inspect_foreign(path, found);
      for (std::size_t i = 0; i < found.size();) {
        std::vector<std::string> values;
        const std::string name = found[i].first;
        for (; i < found.size() && found[i].first == name; ++i) values.push_back(std::move(found[i].second));
        if (values.size() == 1) {
          facts.add(name, std::move(values.front()));
        } else {
          std::string list;
          JsonWriter writer(list);
          writer.begin_array();
          for (const auto& value : values) writer.value(value);
          writer.end_array();
          facts.add_json(name, fmt::format("{}", fmt::join(values, "; ")), std::move(list));
        }
      }
      break;
    }
  }
  if (as_json) {
    JsonWriter json(out);
    json.begin_object();
    json.field("input", path);
    facts.json(json);
    json.end_object();
    out += '\n';
  } else if (!facts.text().empty()) {
    out += path + "\n" + facts.text();
  }
  return status;
}

}  // namespace

int run_inspect(std::span<const std::string> words) {
  std::vector<std::string> inputs;
  bool as_json = false;
  Arguments arguments("inspect", "Says what is in captures, tables, detectors and model files.");
  arguments.inputs(inputs, "input", "Files or folders");
  arguments.flag("--json", as_json, "One JSON object a line for each input");
  if (const auto status = arguments.read(words)) return *status;
  catch_interrupts();
  int status = kFine;
  for (const auto& input : inputs) {
    std::string text;
    status = worse(status, inspect(input, as_json, text));
    std::fwrite(text.data(), 1, text.size(), stdout);
    if (interrupted()) return kInterrupted;
  }
  return status;
}

}  // namespace nidus::cmd
