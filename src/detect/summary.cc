#include "detect/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/digest.h"
#include "base/json_writer.h"
#include "base/text.h"
#include "net/address.h"

namespace nidus::detect {
namespace {

struct Host {
  net::Address address;
  net::IpVersion version = net::IpVersion::v4;
  friend auto operator<=>(const Host&, const Host&) = default;
};

struct HostHash {
  std::size_t operator()(const Host& host) const {
    return static_cast<std::size_t>(checksum64(std::as_bytes(std::span(host.address.bytes))));
  }
};

struct Source {
  std::uint64_t flows = 0;
  std::uint64_t packets = 0;
  bool has_packets = false;
  double score = 0;
  std::map<Host, std::uint64_t> targets;  // flows to each
  std::set<std::uint16_t> ports;
  bool more_targets = false, more_ports = false;
};

struct LabelCount {
  std::uint64_t flows = 0;
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
  bool has_packets = false, has_bytes = false;  // any row said
  double score = 0;                             // highest attack score
  std::optional<std::int64_t> first_us, last_us;
  std::unordered_map<Host, Source, HostHash> sources;
  std::uint64_t flows_beyond = 0;  // of sources for which there was no room
};

constexpr std::string_view kRed = "\x1b[1;31m", kGreen = "\x1b[32m", kDim = "\x1b[2m", kPlain = "\x1b[0m";

// 9.1 MB; powers of 1000.
std::string short_bytes(std::uint64_t bytes) {
  double value = static_cast<double>(bytes);
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  std::size_t unit = 0;
  for (; value >= 999.5 && unit + 1 < std::size(kUnits); ++unit) value /= 1000;
  return unit == 0      ? fmt::format("{} B", bytes)
         : value < 9.95 ? fmt::format("{:.1f} {}", value, kUnits[unit])
                        : fmt::format("{:.0f} {}", value, kUnits[unit]);
}

std::string share_text(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return "-";
  const double share = 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  return part > 0 && share < 0.05 ? "<0.1 %" : fmt::format("{:.1f} %", share);
}

// The most flows first, then by address.
std::vector<std::pair<Host, const Source*>> ranked(const LabelCount& label) {
  std::vector<std::pair<Host, const Source*>> out;
  for (const auto& [host, source] : label.sources) out.emplace_back(host, &source);
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
    return a.second->flows != b.second->flows ? a.second->flows > b.second->flows : a.first < b.first;
  });
  return out;
}

std::string targets_text(const Source& source) {
  std::string where;
  const bool one_port = source.ports.size() == 1 && !source.more_ports;
  if (source.targets.size() == 1 && !source.more_targets) {
    const Host& host = source.targets.begin()->first;
    where = endpoint_text(host.address, host.version,
                          one_port ? std::optional(*source.ports.begin()) : std::nullopt);
  } else {
    where = fmt::format("{}{} hosts", source.more_targets ? "over " : "", source.targets.size());
    if (one_port) where += fmt::format(", port {}", *source.ports.begin());
  }
  if (source.ports.size() > 1) {
    where +=
        fmt::format(", {}{} ports", source.more_ports ? "over " : "", with_thousands(source.ports.size()));
  }
  return where;
}

}  // namespace

struct VerdictSummary::Impl {
  Impl(const Detector& given, SummaryOptions wanted)
      : detector(given), options(wanted), labels(given.manifest().labels.size()) {}

  // Attacks first, the most frequent first; benign last.
  std::vector<std::size_t> order() const {
    std::vector<std::size_t> out(labels.size());
    std::iota(out.begin(), out.end(), std::size_t{0});
    std::stable_sort(out.begin(), out.end(), [&](std::size_t a, std::size_t b) {
      if ((a == 0) != (b == 0)) return b == 0;
      return labels[a].flows > labels[b].flows;
    });
    return out;
  }

  void table(const SummaryStyle& style, std::string& out) const;
  void sources(const SummaryStyle& style, std::string& out) const;

  Detector detector;
  SummaryOptions options;
  std::vector<LabelCount> labels;
  std::uint64_t flows = 0, unjudged = 0, unknown = 0, empty = 0;

  struct Rolling {
    double rate = 0, now = 0;
  };
  std::optional<Rolling> rolling;
};

VerdictSummary::VerdictSummary(const Detector& detector, SummaryOptions options)
    : impl_(std::make_unique<Impl>(detector, options)) {}
VerdictSummary::~VerdictSummary() = default;

std::uint64_t VerdictSummary::flows() const { return impl_->flows; }
std::uint64_t VerdictSummary::attacks() const {
  return impl_->flows - impl_->labels[0].flows - impl_->unjudged;
}
std::uint64_t VerdictSummary::unjudged() const { return impl_->unjudged; }

void VerdictSummary::add_empty(std::uint64_t rows) { impl_->empty += rows; }

void VerdictSummary::add(const Subject& subject, const Verdict& verdict) {
  ++impl_->flows;
  if (!verdict.is_judged()) {
    ++impl_->unjudged;
    return;
  }
  if (verdict.is_unknown) ++impl_->unknown;
  LabelCount& label = impl_->labels[verdict.label];
  ++label.flows;
  label.has_packets = label.has_packets || subject.has_any_packets();
  label.has_bytes = label.has_bytes || subject.has_any_bytes();
  label.packets += subject.packets_both();
  label.bytes += subject.bytes_both();
  label.score = std::max(label.score, verdict.score);
  if (subject.start_us && (!label.first_us || *subject.start_us < *label.first_us))
    label.first_us = subject.start_us;
  if (subject.last_us && (!label.last_us || *subject.last_us > *label.last_us))
    label.last_us = subject.last_us;
  if (!verdict.is_attack() || !subject.has_addresses) return;

  const Host from{subject.tuple.source, subject.tuple.version};
  auto found = label.sources.find(from);
  if (found == label.sources.end()) {
    if (label.sources.size() >= impl_->options.sources_max) {
      ++label.flows_beyond;
      return;
    }
    found = label.sources.try_emplace(from).first;
  }
  Source& source = found->second;
  ++source.flows;
  source.packets += subject.packets_both();
  source.has_packets = source.has_packets || subject.has_any_packets();
  source.score = std::max(source.score, verdict.score);
  const Host to{subject.tuple.destination, subject.tuple.version};
  if (const auto target = source.targets.find(to); target != source.targets.end()) {
    ++target->second;
  } else if (source.targets.size() < impl_->options.targets_max) {
    source.targets[to] = 1;
  } else {
    source.more_targets = true;
  }
  if (!subject.has_ports() || !subject.has_port[1] || source.ports.contains(subject.tuple.destination_port))
    return;
  if (source.ports.size() < impl_->options.ports_max) {
    source.ports.insert(subject.tuple.destination_port);
  } else {
    source.more_ports = true;
  }
}

void VerdictSummary::Impl::table(const SummaryStyle& style, std::string& out) const {
  const auto& names = detector.manifest().labels;
  std::size_t width = 8;
  std::optional<std::int64_t> first, last;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i].flows != 0) width = std::max(width, names[i].size());
    if (labels[i].first_us && (!first || *labels[i].first_us < *first)) first = labels[i].first_us;
    if (labels[i].last_us && (!last || *labels[i].last_us > *last)) last = labels[i].last_us;
  }
  // Times of one day need no date.
  const bool one_day = first && last && iso8601(*first).substr(0, 10) == iso8601(*last).substr(0, 10);
  const auto moment = [&](const std::optional<std::int64_t>& us) {
    if (!us) return std::string("-");
    std::string text = iso8601(*us);
    text[10] = ' ';
    return one_day ? text.substr(11, 10) : text.substr(0, 19);
  };
  const std::size_t time_width = one_day ? 10 : 19;
  const std::string_view dim = style.colours ? kDim : "", plain = style.colours ? kPlain : "";
  auto to = std::back_inserter(out);
  fmt::format_to(to, "\n  {}{:<{}} {:>11} {:>8} {:>12} {:>8} {:>6}  {:<{}}  {}{}\n", dim, "label", width,
                 "flows", "share", "packets", "payload", "score", one_day ? "first" : "first (UTC)",
                 time_width, "last", plain);
  for (const std::size_t i : order()) {
    const LabelCount& label = labels[i];
    if (label.flows == 0) continue;
    const std::string_view colour = !style.colours ? "" : i == 0 ? kGreen : kRed;
    fmt::format_to(to, "  {}{:<{}}{} {:>11} {:>8} {:>12} {:>8} {:>6.3f}  {:<{}}  {}\n", colour, names[i],
                   width, plain, with_thousands(label.flows), share_text(label.flows, flows),
                   label.has_packets ? with_thousands(label.packets) : "-",
                   label.has_bytes ? short_bytes(label.bytes) : "-", label.score, moment(label.first_us),
                   time_width, moment(label.last_us));
  }
}

void VerdictSummary::Impl::sources(const SummaryStyle& style, std::string& out) const {
  struct Line {
    std::string label, source, target;
    std::uint64_t flows;
  };
  std::vector<Line> lines;
  for (const std::size_t i : order()) {
    if (i == 0 || labels[i].sources.empty()) continue;
    const auto ranking = ranked(labels[i]);
    std::string name = detector.manifest().labels[i];
    std::uint64_t rest = labels[i].flows_beyond;
    for (std::size_t k = 0; k < ranking.size(); ++k) {
      const auto& [host, source] = ranking[k];
      if (k >= style.top) {
        rest += source->flows;
        continue;
      }
      lines.push_back({std::exchange(name, ""), net::address_text(host.address, host.version),
                       targets_text(*source), source->flows});
    }
    if (rest == 0) continue;
    const std::uint64_t others = ranking.size() - std::min(ranking.size(), style.top);
    lines.push_back(
        {name, fmt::format("{}{} more", labels[i].flows_beyond != 0 ? "over " : "", with_thousands(others)),
         "", rest});
  }
  if (lines.empty() || style.top == 0) return;
  std::size_t label_width = 8, source_width = 8, target_width = 8, flows_width = 5;
  for (const Line& line : lines) {
    label_width = std::max(label_width, line.label.size());
    source_width = std::max(source_width, line.source.size());
    target_width = std::max(target_width, line.target.size());
    flows_width = std::max(flows_width, with_thousands(line.flows).size());
  }
  const std::string_view dim = style.colours ? kDim : "", red = style.colours ? kRed : "",
                         plain = style.colours ? kPlain : "";
  auto to = std::back_inserter(out);
  fmt::format_to(to, "\n  {}{:<{}}  {:<{}}     {:<{}}  {:>{}}{}\n", dim, "label", label_width, "from",
                 source_width, "to", target_width, "flows", flows_width, plain);
  for (const Line& line : lines) {
    fmt::format_to(to, "  {}{:<{}}{}  {:<{}}  {} {:<{}}  {:>{}}\n", red, line.label, label_width, plain,
                   line.source, source_width, line.target.empty() ? "  " : "->", line.target, target_width,
                   with_thousands(line.flows), flows_width);
  }
}

void VerdictSummary::set_rolling(double rate, double now) { impl_->rolling = Impl::Rolling{rate, now}; }

std::string VerdictSummary::to_text(const SummaryStyle& style) const {
  const Manifest& manifest = impl_->detector.manifest();
  const std::string_view colour = !style.colours ? "" : attacks() == 0 ? kGreen : kRed;
  const std::string_view plain = style.colours ? kPlain : "";
  std::string out;
  fmt::format_to(std::back_inserter(out), "{}{} of {} flows look like attacks{}  (detector {} {}, {})\n",
                 colour, attacks() == 0 ? "None" : with_thousands(attacks()), with_thousands(flows()), plain,
                 manifest.name, manifest.version,
                 impl_->rolling ? fmt::format("threshold rolling for {:g}, {:.3f} now", impl_->rolling->rate,
                                              impl_->rolling->now)
                                : fmt::format("threshold {:.3f}", manifest.threshold.value));
  if (unjudged() != 0) {
    out += fmt::format("{} flows could not be judged: they lack values, and the model cannot do without\n",
                       with_thousands(unjudged()));
  }
  if (impl_->empty != 0) {
    out += fmt::format("{} flows have not one value that the detector looks at: a verdict on them is none\n",
                       with_thousands(impl_->empty));
  }
  if (manifest.unknown.alpha > 0) {
    out +=
        fmt::format("{} flows are unknown: they resemble those of no label, and are given to the nearest\n",
                    with_thousands(impl_->unknown));
  }
  if (flows() == 0) return out;
  impl_->table(style, out);
  impl_->sources(style, out);
  return out;
}

std::string VerdictSummary::to_json(std::size_t top) const {
  const Manifest& manifest = impl_->detector.manifest();
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.field("detector", manifest.name);
  json.field("version", manifest.version);
  json.field("threshold", impl_->rolling ? impl_->rolling->now : manifest.threshold.value);
  if (impl_->rolling) json.field("rolling", impl_->rolling->rate);
  json.field("flows", flows());
  json.field("attacks", attacks());
  if (unjudged() != 0) json.field("unjudged", unjudged());
  if (impl_->empty != 0) json.field("without_values", impl_->empty);
  if (manifest.unknown.alpha > 0) json.field("unknown", impl_->unknown);
  json.key("labels");
  json.begin_array();
  for (const std::size_t i : impl_->order()) {
    const LabelCount& label = impl_->labels[i];
    json.begin_object();
    json.field("label", manifest.labels[i]);
    json.field("flows", label.flows);
    if (label.has_packets || label.flows == 0) json.field("packets", label.packets);
    if (label.has_bytes || label.flows == 0) json.field("payload_bytes", label.bytes);
    json.field("score_max", label.score);
    if (label.first_us) json.field("first", iso8601(*label.first_us));
    if (label.last_us) json.field("last", iso8601(*label.last_us));
    if (i != 0) {
      const auto ranking = ranked(label);
      json.field("sources", ranking.size());
      json.field("flows_of_uncounted_sources", label.flows_beyond);
      json.key("top_sources");
      json.begin_array();
      for (std::size_t k = 0; k < std::min(top, ranking.size()); ++k) {
        const auto& [host, source] = ranking[k];
        json.begin_object();
        json.field("ip", net::address_text(host.address, host.version));
        json.field("flows", source->flows);
        if (source->has_packets) json.field("packets", source->packets);
        json.field("score_max", source->score);
        json.field("targets", source->targets.size());
        json.field("ports", source->ports.size());
        json.field("more_targets", source->more_targets);
        json.field("more_ports", source->more_ports);
        json.end_object();
      }
      json.end_array();
    }
    json.end_object();
  }
  json.end_array();
  json.end_object();
  out += '\n';
  return out;
}

}  // namespace nidus::detect
