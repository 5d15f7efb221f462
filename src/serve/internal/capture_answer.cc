#include "serve/internal/capture_answer.h"

#include <fmt/format.h>

#include <utility>

#include "base/json_writer.h"
#include "base/number.h"
#include "base/text.h"

namespace nidus::serve::internal {

Result<AnswerWish> AnswerWish::of(const http::Request& request) {
  AnswerWish wish;
  std::string format = request.query("format").value_or("");
  if (format.empty()) {
    const std::string accept = to_lower(request.header("accept"));
    if (accept.find("text/csv") != std::string::npos) format = "csv";
  }
  if (format == "csv") {
    wish.format = detect::VerdictFormat::csv;
  } else if (format == "eve") {
    wish.format = detect::VerdictFormat::eve;
  } else if (format == "summary") {
    wish.summary = true;
  } else if (!format.empty() && format != "ndjson") {
    return Error{Errc::invalid, "format is to be ndjson, csv, eve or summary"};
  }
  const auto truth = request.query("attacks_only");
  wish.attacks_only = truth && *truth != "0" && *truth != "false";
  if (const auto explain = request.query("explain")) {
    const auto count = explain->empty() ? std::optional<std::int64_t>(3) : parse_integer(*explain);
    if (!count || *count < 0 || *count > 1000)
      return Error{Errc::invalid, "explain is to be a number of features from 0 to 1000"};
    wish.reasons = static_cast<std::size_t>(*count);
  }
  wish.name = request.query("name").value_or("upload");
  return wish;
}

const char* AnswerWish::content_type() const {
  if (summary) return "application/json";
  return format == detect::VerdictFormat::csv ? "text/csv; charset=utf-8" : "application/x-ndjson";
}

Result<CaptureAnswer> CaptureAnswer::make(const AnswerWish& wish,
                                          std::shared_ptr<const ServedDetector> detector, Spool text) {
  if (wish.reasons > 0 && detector->reasoner() == nullptr)
    return Error{Errc::unsupported, fmt::format("the models of {} cannot be explained", detector->name())};
  CaptureAnswer answer(std::move(detector), std::move(text));
  answer.summary_only_ = wish.summary;
  answer.ndjson_ = !wish.summary && wish.format == detect::VerdictFormat::ndjson;
  answer.content_type_ = wish.content_type();
  answer.question_.reasons = wish.summary ? 0 : wish.reasons;
  detect::VerdictWriterOptions options;
  options.format = wish.format;
  options.attacks_only = wish.attacks_only;
  options.reasons = answer.question_.reasons > 0 ? answer.detector_->reasoner() : nullptr;
  answer.writer_ = std::make_unique<detect::VerdictWriter>(options, answer.detector_->detector());
  answer.summary_ = std::make_unique<detect::VerdictSummary>(answer.detector_->detector());
  answer.question_.explains = [writer = answer.writer_.get()](const detect::Verdict& verdict) {
    return writer->writes(verdict);
  };
  answer.question_.name = wish.name;
  if (!wish.summary) answer.writer_->header(answer.held_);
  return answer;
}

Result<void> CaptureAnswer::add(const detect::Subject& subject, const detect::Verdict& verdict,
                                const detect::Explanation* why) {
  summary_->add(subject, verdict);
  if (summary_only_) return {};
  writer_->verdict(subject, verdict, held_, why);
  return held_.size() < kHeldBytes ? Result<void>() : flush();
}

Result<void> CaptureAnswer::flush() {
  auto done = text_.append(held_);
  held_.clear();
  return done;
}

Result<void> CaptureAnswer::finish(const sandbox::Metered& metered) {
  if (summary_only_ || ndjson_) {
    std::string& out = held_;
    if (ndjson_) out += "{\"summary\":";
    std::string json = summary_->to_json(5);
    while (!json.empty() && (json.back() == '\n' || json.back() == '}')) {
      const bool brace = json.back() == '}';
      json.pop_back();
      if (brace) break;
    }
    out += json;
    const auto& s = metered.statistics;
    out += fmt::format(",\"packets\":{},\"wire_bytes\":{},\"complete\":{}", s.frames, s.wire_bytes,
                       !metered.fault);
    if (metered.fault) {
      out += ",\"fault\":";
      append_json_string(out, metered.fault->message);
    }
    out += ",\"detector_version\":";
    append_json_string(out, detector_->version());
    out += ndjson_ ? "}}\n" : "}\n";
  }
  return flush();
}

}  // namespace nidus::serve::internal
