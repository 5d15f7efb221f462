#include "cmd/metering.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>

#include "base/json_writer.h"
#include "base/text.h"
#include "cmd/exit_status.h"
#include "cmd/terminal.h"
#include "flow/profile.h"

namespace nidus::cmd {
namespace {

// What the meter can hold: offsets inside a flow are 32-bit microseconds.
constexpr double kTimeoutMaxSeconds = 4294;

std::optional<std::chrono::microseconds> microseconds(const std::optional<double>& seconds) {
  if (!seconds) return std::nullopt;
  return std::chrono::microseconds(std::llround(*seconds * 1e6));
}

std::vector<std::string> profile_names() {
  std::vector<std::string> names;
  for (const auto profile : flow::kProfiles) names.emplace_back(flow::name(profile));
  return names;
}

template <class Counts, class Names, class Add>
void each_counted(const Counts& counts, const Names& names, Add&& add) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (counts[i] != 0) add(names[i], counts[i]);
  }
}

}  // namespace

void MeteringArguments::declare_threads(Arguments& arguments) {
  arguments.option("--threads", threads, "Threads; 0 is one for each processor", 1024);
}

void MeteringArguments::declare(Arguments& arguments) {
  arguments.option("--profile", profile, "How flows are cut and features defined", profile_names());
  arguments.option("--active-timeout", active_timeout, "Seconds after which a long flow is cut", 0,
                   kTimeoutMaxSeconds);
  arguments.option("--idle-timeout", idle_timeout, "Seconds of silence that end a flow; 0 never", 0,
                   kTimeoutMaxSeconds);
  arguments.option("--linger", linger, "Seconds a closed TCP connection waits for stragglers", 0,
                   kTimeoutMaxSeconds);
  arguments.option("--early", early, "Also an early record after N packets of a flow", UINT32_MAX);
  arguments.option("--flows-max", flows_max, "Flows held at once; beyond, the stalest is evicted", 1u << 28);
  arguments.flag("--vlans", vlans, "The outermost VLAN is part of a flow's identity");
  declare_threads(arguments);
}

detect::PipelineOptions MeteringArguments::options() const {
  detect::PipelineOptions options;
  options.threads = threads;
  options.meter.profile = flow::profile_from_name(profile).value_or(flow::Profile::native);
  options.meter.active_timeout = microseconds(active_timeout);
  options.meter.idle_timeout = microseconds(idle_timeout);
  options.meter.tcp_linger = microseconds(linger);
  options.meter.partial_after_packets = static_cast<std::uint32_t>(early);
  options.meter.flows_max = flows_max;
  options.meter.one_packet_flows_max = flows_max * 2;
  options.meter.separate_vlans = vlans;
  return options;
}

CaptureRun run_capture(detect::Pipeline& pipeline, const std::string& path, const detect::RecordSink& sink) {
  CaptureRun run;
  auto capture = net::Capture::open(path);
  if (!capture) {
    complain(capture.error());
    // Whatever the system's reason, a file that cannot be read is bad input.
    run.status = kBadInput;
    return run;
  }
  ProgressBar bar(path == "-" ? "standard input" : path);
  run.statistics = pipeline.run(
      *capture, sink, [&](std::uint64_t done, std::optional<std::uint64_t> size) { bar.show(done, size); },
      &interrupted());
  if (interrupted()) {
    run.status = kInterrupted;
  } else if (const auto& fault = capture->fault()) {
    say(fmt::format("{}; the {} frames before it were read", fault->message,
                    with_thousands(capture->frames())));
    run.status = kBadInput;
  }
  return run;
}

std::string summary_text(std::string_view name, const detect::CaptureStatistics& s) {
  std::string text = fmt::format("{}: {} packets ({}) in {} flows", name, with_thousands(s.frames),
                                 bytes_text(s.wire_bytes), with_thousands(s.meter.flows));
  if (s.first && s.last)
    text += fmt::format(" over {}", duration_text(static_cast<double>((*s.last - *s.first).count()) * 1e-9));
  text += fmt::format("; {}, {}\n", duration_text(s.seconds),
                      rate_text(static_cast<double>(s.frames) / s.seconds, "packets"));
  std::string notes;
  const auto note = [&](std::string_view what, std::uint64_t count) {
    notes += fmt::format("{}{} {}", notes.empty() ? "" : ", ", with_thousands(count), what);
  };
  each_counted(s.decode.faults, net::kFaultNames, note);
  if (s.meter.packets_ignored != 0) note("ignored by the profile", s.meter.packets_ignored);
  if (!notes.empty()) text += fmt::format("  frames not metered: {}\n", notes);
  notes.clear();
  each_counted(s.decode.oddities, net::kOddityNames, note);
  if (s.meter.packets_out_of_order != 0) note("out_of_order", s.meter.packets_out_of_order);
  if (!notes.empty()) text += fmt::format("  oddities: {}\n", notes);
  notes.clear();
  if (s.meter.flows_partial != 0) note("early records", s.meter.flows_partial);
  if (s.meter.flows_evicted != 0) note("evicted for want of room (--flows-max)", s.meter.flows_evicted);
  if (s.meter.flows_unwritten != 0)
    note("of one packet, which the profile does not write", s.meter.flows_unwritten);
  if (s.meter.remainders_dropped != 0)
    note("continuations forgotten for want of room", s.meter.remainders_dropped);
  if (s.context.forgotten != 0)
    note("left their context's windows early, for want of room", s.context.forgotten);
  if (s.context.late + s.context.forced != 0) {
    note("whose context may lack flows that ended before", s.context.late + s.context.forced);
  }
  if (!notes.empty()) text += fmt::format("  flows: {}\n", notes);
  return text;
}

std::string summary_json(std::string_view name, const detect::CaptureStatistics& s) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.field("input", name);
  json.field("captures", s.captures);
  json.field("frames", s.frames);
  json.field("wire_bytes", s.wire_bytes);
  json.field("packets", s.decode.packets);
  json.field("flows", s.meter.flows);
  json.field("flows_partial", s.meter.flows_partial);
  json.field("flows_evicted", s.meter.flows_evicted);
  json.field("flows_unwritten", s.meter.flows_unwritten);
  json.field("packets_ignored", s.meter.packets_ignored);
  json.field("packets_out_of_order", s.meter.packets_out_of_order);
  json.field("remainders_dropped", s.meter.remainders_dropped);
  json.field("meter_bytes", s.meter.bytes_in_use);
  json.field("context_forgotten", s.context.forgotten);
  json.field("context_late", s.context.late);
  json.field("context_forced", s.context.forced);
  if (s.first) json.field("first", iso8601(s.first->microseconds()));
  if (s.last) json.field("last", iso8601(s.last->microseconds()));
  json.field("seconds", s.seconds);
  json.field("stopped", s.stopped);
  json.key("faults");
  json.begin_object();
  each_counted(s.decode.faults, net::kFaultNames, [&](auto what, auto count) { json.field(what, count); });
  json.end_object();
  json.key("oddities");
  json.begin_object();
  each_counted(s.decode.oddities, net::kOddityNames, [&](auto what, auto count) { json.field(what, count); });
  json.end_object();
  json.end_object();
  out += '\n';
  return out;
}

}  // namespace nidus::cmd
