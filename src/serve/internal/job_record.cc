#include "serve/internal/job_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/json_writer.h"
#include "serve/json_reader.h"

namespace nidus::serve::internal {
namespace {

constexpr const char* kCaptureJob = "capture";

constexpr std::array<std::pair<std::string_view, detect::VerdictFormat>, 3> kFormats = {
    {{"ndjson", detect::VerdictFormat::ndjson},
     {"csv", detect::VerdictFormat::csv},
     {"eve", detect::VerdictFormat::eve}}};

// One object of texts, numbers and truth values; what is not known is passed over, as a later version may
// have written it. False if it is no such object, or a member is of another type.
template <class Take>
bool read_members(std::string_view text, Take&& take) {
  JsonReader json(text);
  if (json.peek() != JsonReader::Kind::object || !json.enter_object()) return false;
  for (std::string_view key; json.next_key(key);) {
    if (!take(json, std::string(key))) return false;
  }
  return !json.failed() && json.finish();
}

bool read_text_into(JsonReader& json, std::string& into) {
  std::string_view text;
  if (json.peek() != JsonReader::Kind::text || !json.read_text(text)) return false;
  into = text;
  return true;
}

bool read_count_into(JsonReader& json, std::uint64_t& into) {
  double number = 0;
  if (json.peek() != JsonReader::Kind::number || !json.read_number(number)) return false;
  if (!(number >= 0 && number < 1e15)) return false;
  into = static_cast<std::uint64_t>(number);
  return true;
}

}  // namespace

bool JobRecord::is_id(std::string_view text) {
  return text.size() == 32 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

store::Job to_job(const JobRecord& record) {
  store::Job job;
  job.id = record.id;
  job.kind = kCaptureJob;
  job.state = record.state;
  job.progress = record.progress;
  job.owner = record.owner;
  job.error = record.error;
  job.created_us = record.created_us;
  job.changed_us = record.changed_us;
  JsonWriter request(job.request);
  request.begin_object();
  request.field("detector", record.detector);
  request.field("version", record.version);
  request.field("bytes", record.bytes);
  request.field("starts", record.starts);
  request.field("looked_at", record.looked_at);
  request.field("name", record.wish.name);
  for (const auto& [name, format] : kFormats) {
    if (format == record.wish.format) request.field("format", name);
  }
  request.field("summary", record.wish.summary);
  request.field("attacks_only", record.wish.attacks_only);
  request.field("explain", static_cast<std::uint64_t>(record.wish.reasons));
  request.end_object();
  if (record.state != store::JobState::done) return job;
  JsonWriter result(job.result);
  result.begin_object();
  result.field("bytes", record.answer_bytes);
  result.field("packets", record.packets);
  result.field("flows", record.flows);
  result.end_object();
  return job;
}

Result<JobRecord> from_job(const store::Job& job) {
  if (job.kind != kCaptureJob || !JobRecord::is_id(job.id))
    return Error{Errc::corrupt, "job '" + job.id + "' is none on a capture"};
  JobRecord out;
  out.id = job.id;
  out.owner = job.owner;
  out.state = job.state;
  out.progress = job.progress;
  out.error = job.error;
  out.created_us = job.created_us;
  out.changed_us = job.changed_us;
  const bool good = read_members(job.request, [&](JsonReader& json, const std::string& key) {
    std::uint64_t number = 0;
    if (key == "detector") return read_text_into(json, out.detector);
    if (key == "version") return read_text_into(json, out.version);
    if (key == "name") return read_text_into(json, out.wish.name);
    if (key == "bytes") return read_count_into(json, out.bytes);
    if (key == "starts") return read_count_into(json, out.starts);
    if (key == "looked_at") return read_count_into(json, out.looked_at);
    if (key == "summary") return json.read_truth(out.wish.summary);
    if (key == "attacks_only") return json.read_truth(out.wish.attacks_only);
    if (key == "explain") {
      if (!read_count_into(json, number) || number > 1000) return false;
      out.wish.reasons = number;
      return true;
    }
    if (key != "format") return json.skip();
    std::string text;
    if (!read_text_into(json, text)) return false;
    const auto known = std::find_if(kFormats.begin(), kFormats.end(),
                                    [&](const auto& format) { return format.first == text; });
    if (known == kFormats.end()) return false;
    out.wish.format = known->second;
    return true;
  });
  const bool done = job.state == store::JobState::done;
  const bool whole = !done || read_members(job.result, [&](JsonReader& json, const std::string& key) {
    if (key == "bytes") return read_count_into(json, out.answer_bytes);
    if (key == "packets") return read_count_into(json, out.packets);
    if (key == "flows") return read_count_into(json, out.flows);
    return json.skip();
  });
  if (!good || !whole) return Error{Errc::corrupt, "job '" + job.id + "' cannot be understood"};
  return out;
}

}  // namespace nidus::serve::internal
