// Captures in, verdicts out: what the clients of the capture service ask, and
// the same in our own formats.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "base/json_writer.h"
#include "base/text.h"
#include "serve/application.h"
#include "serve/capture_body.h"
#include "serve/internal/answers.h"
#include "serve/internal/capture_answer.h"
#include "serve/internal/capture_request.h"
#include "serve/spool.h"

namespace nidus::serve {
namespace {

using http::BodyReader;
using http::BodyWriter;
using http::Method;
using http::Request;
using http::Response;
using internal::CaptureRequest;

// Of the lists of all classes together, in memory.
constexpr std::size_t kListBytes = std::size_t{4} << 20;

// "DoS Hulk" as a member of JSON: "dos_hulk".
std::string member_name(std::string_view label) {
  std::string out;
  for (const char c : to_lower(label)) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || static_cast<unsigned char>(c) >= 0x80;
    if (plain) out += c;
    if (!plain && !out.empty() && out.back() != '_') out += '_';
  }
  while (!out.empty() && out.back() == '_') out.pop_back();
  return out;
}

void write_ends(JsonWriter& json, const detect::Subject& subject) {
  const auto& tuple = subject.tuple;
  const bool ports = detect::has_ports(tuple.protocol);
  json.field("index", subject.number - 1);
  json.field("src_ip", net::address_text(tuple.source, tuple.version));
  json.field("dst_ip", net::address_text(tuple.destination, tuple.version));
  json.field("src_port", ports ? tuple.source_port : 0);
  json.field("dst_port", ports ? tuple.destination_port : 0);
  json.field("protocol", tuple.protocol);
}

// Flows of one kind, as JSON objects with commas between.
struct FlowList {
  explicit FlowList(const std::filesystem::path& folder, std::size_t memory)
      : text(folder, {.memory_bytes = memory}) {}
  Spool text;
  std::uint64_t count = 0;
};

// What /detect/ml and /detect/dl collect of the verdicts.
class FlowLists {
 public:
  FlowLists(const ServedDetector& detector, bool ml, const std::filesystem::path& folder)
      : detector_(detector), ml_(ml), folder_(folder) {}

  Result<void> add(const detect::Subject& subject, const detect::Verdict& verdict) {
    ++total_;
    if (!verdict.is_judged()) ++unjudged_;
    if (!verdict.is_attack()) return {};
    ++attacks_;
    const std::string& label = detector_.manifest().labels[verdict.label];
    const std::uint32_t which = ml_ ? verdict.label : 0;
    auto list = lists_.find(which);
    if (list == lists_.end()) {
      const std::size_t memory = std::max<std::size_t>(kListBytes / detector_.manifest().labels.size(), 4096);
      list = lists_.try_emplace(which, folder_, memory).first;
    }
    line_.clear();
    if (list->second.count++ > 0) line_ += ',';
    JsonWriter json(line_);
    json.begin_object();
    write_ends(json, subject);
    if (ml_) {
      json.field("attack", label);
      json.field("attack_type", label);
    } else {
      json.field("reconstruction_error", verdict.score);
    }
    json.field("score", verdict.score);
    json.end_object();
    return list->second.text.append(line_);
  }

  std::uint64_t total() const { return total_; }

  // The answer piece by piece; `extras` are JSON members with a comma before.
  Result<void> write(const std::string& extras,
                     const std::function<Result<void>(std::string_view)>& give) const {
    std::string text;
    JsonWriter json(text);
    json.begin_object();
    json.field("detector", ml_ ? "ML_IDS" : "DL_IDS");
    if (!ml_) json.field("status", 200);
    json.key("summary");
    json.begin_object();
    json.field("total_flows", total_);
    json.field("benign_flows", total_ - attacks_);
    json.field(ml_ ? "attack_flows" : "anomaly_flows", attacks_);
    if (unjudged_ > 0) json.field("unjudged_flows", unjudged_);
    json.end_object();
    text += extras;
    text += ",\"detailed_results\":{";
    // Two labels may be one name; their lists then stand under one.
    std::map<std::string, std::vector<const FlowList*>> named;
    for (const auto& [label, list] : lists_)
      named[ml_ ? member_name(detector_.manifest().labels[label]) + "_flows" : "anomaly_flows"].push_back(
          &list);
    if (!ml_ && named.empty()) text += "\"anomaly_flows\":[]";
    bool first = true;
    for (const auto& [name, lists] : named) {
      if (!std::exchange(first, false)) text += ',';
      append_json_string(text, name);
      std::uint64_t count = 0;
      for (const auto* list : lists) count += list->count;
      text += ml_ ? fmt::format(":{{\"count\":{},\"flows\":[", count) : ":[";
      for (std::size_t i = 0; i < lists.size(); ++i) {
        if (i > 0) text += ',';
        if (auto given = give(text); !given) return given;
        text.clear();
        if (auto given = lists[i]->text.read(give); !given) return given;
      }
      text += ml_ ? "]}" : "]";
    }
    text += "}}";
    return give(text);
  }

 private:
  const ServedDetector& detector_;
  bool ml_;
  std::filesystem::path folder_;
  std::map<std::uint32_t, FlowList> lists_;  // by label
  std::uint64_t total_ = 0, attacks_ = 0, unjudged_ = 0;
  std::string line_;
};

// A detector of the same kind that can judge flows without times; null if there
// is none.
std::shared_ptr<const ServedDetector> timeless(const Application& app,
                                               const std::shared_ptr<const ServedDetector>& first) {
  if (bears_absent_times(first->manifest())) return first;
  for (const auto& served : app.detectors.state()->all) {
    const auto& detector = served->active;
    if (detector->is_anomaly() == first->is_anomaly() && detector->manifest().meter &&
        bears_absent_times(detector->manifest()))
      return detector;
  }
  return nullptr;
}

// Members that every answer about a capture has, each with a comma before it.
std::string facts(const ServedDetector& detector, const sandbox::Metered& metered, const CaptureBody& body,
                  bool packets) {
  std::string out;
  const auto member = [&](std::string_view name, auto&& value) {
    out += ',';
    append_json_string(out, name);
    out += ':';
    JsonWriter json(out);
    json.value(value);
  };
  member("detector_name", detector.name());
  member("detector_version", detector.version());
  member("packets", metered.statistics.frames);
  if (packets) member("timestamps", body.times_absent() ? "absent" : "given");
  if (body.undecodable() > 0) member("undecodable_packets", body.undecodable());
  const auto& statistics = metered.statistics;
  if (statistics.decode.packets < statistics.frames)
    member("unmetered_packets", statistics.frames - statistics.decode.packets);
  member("complete", !metered.fault.has_value());
  if (metered.fault) member("fault", metered.fault->message);
  return out;
}

// /detect/ml, /detect/dl and their /packets.
void detect_flows(Application& app, Role role, bool packets, const Request& request, BodyReader& reader,
                  BodyWriter& writer) {
  CaptureRequest exchange(app, request, reader, writer);
  const auto served = app.detectors.serving(role);
  if (!served) return exchange.refuse(internal::no_detector(request));
  if (!exchange.open(packets)) return;
  auto detector = served->active;
  if (exchange.body().times_absent()) {
    detector = timeless(app, detector);
    if (!detector) {
      return exchange.refuse(http::problem(422,
                                           "No packet has a timestamp, and each detector for this "
                                           "judges by times; send {\"data\", \"timestamp\"}",
                                           request.id, "\"timestamps\":\"absent\""));
    }
  }
  FlowLists lists(*detector, role == Role::ml, app.uploads.folder());
  const auto metered = exchange.judge(
      *detector, {},
      [&](const auto& subject, const auto& verdict, const auto*) { return lists.add(subject, verdict); });
  if (!metered) return;
  const std::string extras = facts(*detector, *metered, exchange.body(), packets);
  exchange.send("application/json", [&](const auto& give) { return lists.write(extras, give); });
}

}  // namespace

namespace internal {

Result<std::shared_ptr<const ServedDetector>> detector_for_captures(const Application& app,
                                                                    const std::optional<std::string>& name) {
  if (name) {
    const auto served = app.detectors.state()->find(*name);
    if (!served) return Error{Errc::not_found, fmt::format("no detector '{}'", *name)};
    return served->active;
  }
  for (const Role role : {Role::ml, Role::dl}) {
    if (const auto served = app.detectors.serving(role)) return served->active;
  }
  return Error{Errc::not_found, ""};
}

}  // namespace internal

namespace {

// /api/v1/detect: all verdicts in one of our formats.
void detect_capture(Application& app, const Request& request, BodyReader& reader, BodyWriter& writer) {
  CaptureRequest exchange(app, request, reader, writer);
  auto detector = internal::detector_for_captures(app, request.query("detector"));
  if (!detector) {
    return exchange.refuse(detector.error().message.empty()
                               ? internal::no_detector(request)
                               : internal::failure(app, detector.error(), request));
  }
  const auto wish = internal::AnswerWish::of(request);
  if (!wish) return exchange.refuse(internal::failure(app, wish.error(), request));
  auto answer = internal::CaptureAnswer::make(*wish, *detector, Spool(app.uploads.folder()));
  if (!answer) return exchange.refuse(internal::failure(app, answer.error(), request));
  if (!exchange.open(false)) return;
  const auto metered = exchange.judge(**detector, answer->question(),
                                      [&](const auto& subject, const auto& verdict, const auto* why) {
                                        return answer->add(subject, verdict, why);
                                      });
  if (!metered) return;
  if (auto done = answer->finish(*metered); !done) return exchange.refuse(done.error());
  // Where no line can say that the capture broke off, the answer breaks off too.
  const bool says_all = answer->says_whether_complete() || !metered->fault;
  exchange.send(answer->content_type(), [&](const auto& give) -> Result<void> {
    if (auto given = answer->text().read(give); !given) return given;
    return says_all ? Result<void>() : *metered->fault;
  });
}

http::Route capture_route(
    Application& app, std::string pattern, bool json,
    std::function<void(Application&, const Request&, BodyReader&, BodyWriter&)> answer) {
  http::Route out;
  out.method = Method::post;
  out.pattern = std::move(pattern);
  const std::uint64_t upload = app.settings()->limits.upload_mb * 1'000'000;
  // Base64 and what stands around it.
  out.body_bytes_max = json ? upload / 3 * 4 + upload / 4 + (1u << 20) : upload + (1u << 16);
  out.content_types = internal::capture_content_types(json);
  out.unpacks = true;
  out.scopes = kUpload;
  out.cost = 20;
  out.handler = http::StreamHandler(
      [&app, answer = std::move(answer)](const Request& request, BodyReader& reader, BodyWriter& writer) {
        answer(app, request, reader, writer);
      });
  return out;
}

}  // namespace

std::vector<http::Route> routes_of_captures(Application& app) {
  std::vector<http::Route> routes;
  for (const bool packets : {false, true}) {
    for (const Role role : {Role::ml, Role::dl}) {
      const std::string pattern =
          std::string("/detect/") + (role == Role::ml ? "ml" : "dl") + (packets ? "/packets" : "");
      routes.push_back(capture_route(app, pattern, true,
                                     [role, packets](auto& a, const auto& request, auto& in, auto& out) {
                                       detect_flows(a, role, packets, request, in, out);
                                     }));
      if (packets) routes.back().content_types = {"application/json"};
    }
  }
  routes.push_back(capture_route(app, "/api/v1/detect", false, detect_capture));
  return routes;
}

}  // namespace nidus::serve
