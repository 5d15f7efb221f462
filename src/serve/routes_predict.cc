// /api/v1/predict: rows in JSON, a JSON object a line, separated text or raw floats; verdicts in the same.
// The body is read, judged and answered piece by piece, so it may be longer than memory.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "base/json_writer.h"
#include "base/number.h"
#include "base/text.h"
#include "serve/application.h"
#include "serve/csv_records.h"
#include "serve/internal/answers.h"
#include "serve/internal/kept_verdicts.h"
#include "serve/internal/store_answers.h"
#include "serve/internal/table_rows.h"
#include "serve/internal/verdict_lines.h"

namespace nidus::serve {
namespace {

using http::BodyReader;
using http::BodyWriter;
using http::Request;
using http::Response;
using internal::VerdictForm;

constexpr const char* kRawRows = "application/vnd.nidus.rows";
constexpr const char* kRawVerdicts = "application/vnd.nidus.verdicts";
constexpr std::size_t kExplainMax = 64;
constexpr std::size_t kRowsAtOnce = 2048;
constexpr std::size_t kLineMax = 1 << 20;
constexpr std::size_t kHeldBytes = 1 << 18;  // until then a fault is still answered with a status

// What is asked for beside the rows.
struct Ask {
  std::shared_ptr<const Served> served;
  Wanted wanted;
  std::size_t explain = 0;
  VerdictForm form = VerdictForm::json;
  std::vector<std::uint32_t> order;  // of raw rows: the column that each number belongs to
};

std::optional<VerdictForm> form_of(std::string_view accept, std::string_view content_type) {
  for (const auto& part : split(accept, ',')) {
    const std::string type = to_lower(trim(part.substr(0, part.find(';'))));
    if (type == "application/x-ndjson" || type == "application/jsonl") return VerdictForm::ndjson;
    if (type == "text/csv") return VerdictForm::csv;
    if (type == kRawVerdicts || type == "application/octet-stream") return VerdictForm::binary;
    if (type == "application/json") return VerdictForm::json;
    if (!type.empty() && type != "*/*" && type != "application/*" && type != "text/*") continue;
    break;
  }
  if (!accept.empty() && accept.find("*") == std::string_view::npos) return std::nullopt;
  if (content_type == "application/x-ndjson" || content_type == "application/jsonl")
    return VerdictForm::ndjson;
  if (content_type == "text/csv") return VerdictForm::csv;
  if (content_type == kRawRows || content_type == "application/octet-stream") return VerdictForm::binary;
  return VerdictForm::json;
}

std::string_view content_type_of(VerdictForm form) {
  switch (form) {
    case VerdictForm::json:
      return "application/json";
    case VerdictForm::ndjson:
      return "application/x-ndjson";
    case VerdictForm::csv:
      return "text/csv; charset=utf-8";
    case VerdictForm::binary:
      break;
  }
  return kRawVerdicts;
}

// Errors are answers.
std::optional<Response> read_ask(const Application& app, const Request& request, Ask& ask) {
  const auto refuse = [&](int status, const std::string& why) {
    return http::problem(status, why, request.id);
  };
  const auto state = app.detectors.state();
  if (const auto name = request.query("detector")) {
    ask.served = state->find(*name);
    if (!ask.served) return refuse(404, fmt::format("no detector '{}'", name->substr(0, 60)));
  } else {
    ask.served = state->roles[static_cast<std::size_t>(Role::predict)];
    if (!ask.served) return internal::no_detector(request);
  }
  const ServedDetector& detector = *ask.served->active;
  const auto settings = app.settings();
  const auto configuration = request.query("configuration");
  if (configuration || !settings->detectors.configuration.empty())
    ask.wanted.configuration =
        detector.configuration(configuration ? *configuration : settings->detectors.configuration);
  if (configuration && ask.wanted.configuration == nullptr)
    return refuse(404, fmt::format("no configuration '{}' of this detector", configuration->substr(0, 60)));
  if (const auto explain = request.query("explain")) {
    const auto count = *explain == "true"    ? std::optional<std::int64_t>(5)
                       : *explain == "false" ? std::optional<std::int64_t>(0)
                                             : parse_integer(*explain);
    if (!count || *count < 0 || *count > static_cast<std::int64_t>(kExplainMax))
      return refuse(400, fmt::format("explain: how many reasons? A number from 0 to {}", kExplainMax));
    ask.explain = static_cast<std::size_t>(*count);
    if (ask.explain != 0 && detector.reasoner() == nullptr)
      return refuse(422, "the models of this detector cannot be explained");
    if (ask.explain != 0 && ask.wanted.configuration != nullptr)
      return refuse(422, "only the detector's own weights can be explained, not a configuration");
  }
  const auto form = form_of(request.header("Accept"), request.content_type());
  if (!form) return refuse(406, "verdicts are given as JSON, NDJSON, CSV or application/vnd.nidus.verdicts");
  ask.form = *form;
  if (ask.explain != 0 && (ask.form == VerdictForm::csv || ask.form == VerdictForm::binary))
    return refuse(406, "explanations are given as JSON or NDJSON");
  if (const auto columns = request.query("columns")) {
    std::vector<bool> seen(detector.inputs());
    for (const auto name : split(*columns, ',')) {
      const auto match = detector.names()->find(name);
      if (!match)
        return refuse(400, fmt::format("columns: '{}' is no column of this detector", name.substr(0, 60)));
      if (seen[match->column])
        return refuse(400, fmt::format("columns: '{}' is there twice", name.substr(0, 60)));
      seen[match->column] = true;
      ask.order.push_back(match->column);
    }
    if (ask.order.size() != detector.inputs())
      return refuse(400, fmt::format("columns: {} names, expected {}", ask.order.size(), detector.inputs()));
  }
  return std::nullopt;
}

// Rows come in, verdicts go out, some thousand at a time.
class PredictJob {
 public:
  PredictJob(Application& app, const Request& request, BodyWriter& writer, Ask ask)
      : app_(app),
        request_(request),
        writer_(writer),
        ask_(std::move(ask)),
        lines_(ask_.form, ask_.explain) {}

  const Ask& ask() const { return ask_; }
  std::size_t width() const { return ask_.served->active->inputs(); }

  // Where the next row goes; commit() makes it one.
  double* place() {
    rows_.resize((count_ + 1) * width());
    return rows_.data() + count_ * width();
  }
  bool commit() { return ++count_ < kRowsAtOnce || judge(); }

  // Many rows at once, as they came.
  bool judge_floats(std::span<const float> rows, std::size_t count) {
    app_.judge.judge(ask_.served, rows, count, ask_.wanted, judged_);
    return keep(count) && append({}, count);
  }

  bool refuse(const RowFault& fault, int status = 400) {
    if (!begun_) {
      writer_.send(internal::row_failure(app_, fault, request_, status));
    } else {
      app_.prediction_errors.add();
      app_.log().info("request_cut", {{"id", request_.id}, {"error", std::string_view(fault.detail)}});
    }
    return false;
  }
  bool refuse(const Error& error) {
    if (!begun_) writer_.send(internal::failure(app_, error, request_));
    return false;
  }

  void finish() {
    if (!judge()) return;
    if (total_ == 0) {
      refuse({"no rows", {}});
      return;
    }
    if (ask_.form == VerdictForm::json) out_ += fmt::format("],\"count\":{}}}", total_);
    if (begun_) {
      if (flush()) (void)writer_.end();
      return;
    }
    Response response = head();
    response.body = std::move(out_);
    writer_.send(std::move(response));
  }

 private:
  Response head() const {
    Response response;
    response.content_type = content_type_of(ask_.form);
    response.headers.emplace_back("Nidus-Detector-Version", ask_.served->active->version());
    return response;
  }

  bool judge() {
    if (count_ == 0) return true;
    const std::span<const double> rows(rows_.data(), count_ * width());
    app_.judge.judge(ask_.served, rows, count_, ask_.wanted, judged_);
    const std::size_t count = std::exchange(count_, 0);
    return keep(count) && append(rows, count);
  }

  // Before they are told.
  bool keep(std::size_t count) {
    auto kept = internal::keep_rows(app_, *ask_.served, judged_, count);
    if (kept) return true;
    if (!begun_) {
      writer_.send(internal::store_failure(app_, kept.error(), request_));
      return false;
    }
    return refuse(RowFault{kept.error().message, {}});  // cut off: what is not kept is not told
  }

  bool append(std::span<const double> rows, std::size_t count) {
    if (total_ == 0) {
      if (ask_.form == VerdictForm::json) {
        JsonWriter json(out_);
        json.begin_object();
        json.field("detector", ask_.served->name);
        json.field("version", ask_.served->active->version());
        json.key("verdicts");
        json.begin_array();
      }
      lines_.begin(out_);
    }
    lines_.append(*ask_.served, judged_, rows, count, total_, out_);
    total_ += count;
    return out_.size() < kHeldBytes || flush();
  }

  bool flush() {
    if (!std::exchange(begun_, true) && !writer_.begin(head())) return false;
    const bool written = writer_.write(out_).has_value();
    out_.clear();
    return written;
  }

  Application& app_;
  const Request& request_;
  BodyWriter& writer_;
  Ask ask_;
  internal::VerdictLines lines_;
  std::vector<double> rows_;
  std::size_t count_ = 0;
  std::uint64_t total_ = 0;
  Judged judged_;
  std::string out_;
  bool begun_ = false;
};

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// {"rows": [...]}, {"flows": [...]} as the ensemble service has it, or {"features": {...}} for one.
void predict_json(const Application& app, BodyReader& body, PredictJob& job) {
  std::string text;
  for (;;) {
    auto bytes = body.read();
    if (!bytes) return (void)job.refuse(bytes.error());
    if (bytes->empty()) break;
    text += text_of(*bytes);
    if (text.size() > app.settings()->limits.body_mb * 1'000'000) {
      return (void)job.refuse(
          {fmt::format("more than {} MB of JSON: send it as NDJSON", app.settings()->limits.body_mb), {}},
          413);
    }
  }
  JsonReader json(text);
  RowReader reader(job.ask().served->active->names());
  RowFault fault;
  if (json.peek() != JsonReader::Kind::object || !json.enter_object())
    return (void)job.refuse({"expected a JSON object with 'rows'", {}});
  bool found = false;
  std::string_view key;
  while (json.next_key(key)) {
    if (key != "rows" && key != "flows" && key != "features") {
      if (!json.skip()) break;
      continue;
    }
    if (std::exchange(found, true)) return (void)job.refuse({"rows are there twice", {}});
    if (key == "features") {
      if (!reader.read(json, job.place(), fault)) return (void)job.refuse(fault);
      if (!job.commit()) return;
      continue;
    }
    if (json.peek() != JsonReader::Kind::array || !json.enter_array())
      return (void)job.refuse({fmt::format("'{}' must be a list of rows", key), {}});
    for (std::uint64_t row = 0; json.next_element(); ++row) {
      reader.number_rows(row);
      if (!reader.read(json, job.place(), fault)) return (void)job.refuse(fault);
      if (!job.commit()) return;
    }
    if (json.failed()) break;
  }
  if (json.failed() || !json.finish()) return (void)job.refuse({"malformed JSON: " + json.problem(), {}});
  if (!found) return (void)job.refuse({"'rows' is missing", {}});
  job.finish();
}

// A row each line: an object of features, {"features": …}, or a list.
bool predict_line(std::string_view line, std::uint64_t number, RowReader& reader, PredictJob& job) {
  line = trim(line);
  if (line.empty()) return true;
  RowFault fault;
  reader.number_rows(number);
  JsonReader json(line);
  bool good = false;
  if (line.starts_with("{\"features\"")) {
    good = json.enter_object() && json.next_key_is("\"features\"") && reader.read(json, job.place(), fault);
    std::string_view key;
    while (good && json.next_key(key)) good = json.skip();
  } else {
    good = reader.read(json, job.place(), fault);
  }
  if (!good || !json.finish()) {
    if (fault.detail.empty())
      fault.detail = fmt::format("row {}: malformed JSON: {}", number, json.problem());
    return job.refuse(fault);
  }
  return job.commit();
}

void predict_lines(BodyReader& body, PredictJob& job) {
  RowReader reader(job.ask().served->active->names());
  std::string rest;
  std::uint64_t number = 0;
  for (;;) {
    auto bytes = body.read();
    if (!bytes) return (void)job.refuse(bytes.error());
    if (bytes->empty()) break;
    std::string_view text = text_of(*bytes);
    for (std::size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
      rest += text.substr(0, end);
      text.remove_prefix(end + 1);
      if (!predict_line(rest, number++, reader, job)) return;
      rest.clear();
    }
    rest += text;
    if (rest.size() > kLineMax)
      return (void)job.refuse({fmt::format("row {}: longer than a megabyte", number), {}});
  }
  if (predict_line(rest, number, reader, job)) job.finish();
}

void predict_table(BodyReader& body, PredictJob& job) {
  CsvRecords records;
  internal::TableRows rows(job.ask().served->active->names());
  std::vector<std::string_view> cells;
  RowFault fault;
  bool bound = false;
  for (bool more = true; more;) {
    auto bytes = body.read();
    if (!bytes) return (void)job.refuse(bytes.error());
    more = !bytes->empty();
    more ? records.feed(text_of(*bytes)) : records.end();
    for (auto next = records.next(cells); next != CsvRecords::Next::more && next != CsvRecords::Next::end;
         next = records.next(cells)) {
      if (next == CsvRecords::Next::fault) return (void)job.refuse({records.fault(), {}});
      if (!bound) {
        const auto is_header = rows.bind(cells, fault);
        if (!is_header) return (void)job.refuse(fault);
        bound = true;
        if (*is_header) continue;
      }
      if (!rows.read(cells, records.line(), job.place(), fault)) return (void)job.refuse(fault);
      if (!job.commit()) return;
    }
  }
  job.finish();
}

void predict_floats(BodyReader& body, PredictJob& job) {
  const std::size_t width = job.width(), row_bytes = width * sizeof(float);
  std::string rest;
  std::vector<float> rows, ordered;
  for (;;) {
    auto bytes = body.read();
    if (!bytes) return (void)job.refuse(bytes.error());
    const bool at_end = bytes->empty();
    rest += text_of(*bytes);
    // Whole blocks, and at the end whatever is there.
    const std::size_t whole = rest.size() / row_bytes;
    const std::size_t take = at_end ? whole : whole - whole % kRowsAtOnce;
    for (std::size_t first = 0; first < take; first += kRowsAtOnce) {
      const std::size_t count = std::min(kRowsAtOnce, take - first);
      rows.resize(count * width);
      std::memcpy(rows.data(), rest.data() + first * row_bytes, count * row_bytes);
      if (!job.ask().order.empty()) {
        ordered.resize(rows.size());
        for (std::size_t i = 0; i < count; ++i) {
          for (std::size_t k = 0; k < width; ++k)
            ordered[i * width + job.ask().order[k]] = rows[i * width + k];
        }
        rows.swap(ordered);
      }
      if (job.ask().explain != 0) {
        for (std::size_t i = 0; i < count; ++i) {
          std::copy_n(rows.data() + i * width, width, job.place());
          if (!job.commit()) return;
        }
      } else if (!job.judge_floats(rows, count)) {
        return;
      }
    }
    rest.erase(0, take * row_bytes);
    if (!at_end) continue;
    if (!rest.empty()) {
      return (void)job.refuse(
          {fmt::format("{} bytes are left over: a row is {} numbers of 4 bytes", rest.size(), width), {}});
    }
    return job.finish();
  }
}

void predict(Application& app, const Request& request, BodyReader& body, BodyWriter& writer) {
  Ask ask;
  if (auto refusal = read_ask(app, request, ask)) return writer.send(std::move(*refusal));
  PredictJob job(app, request, writer, std::move(ask));
  const std::string_view type = request.content_type();
  if (type == "application/x-ndjson" || type == "application/jsonl") return predict_lines(body, job);
  if (type == "text/csv") return predict_table(body, job);
  if (type == kRawRows || type == "application/octet-stream") return predict_floats(body, job);
  predict_json(app, body, job);
}

}  // namespace

std::vector<http::Route> routes_of_predict(Application& app) {
  http::Route route;
  route.method = http::Method::post;
  route.pattern = "/api/v1/predict";
  // A stream has no length that could be too much; its memory and pace are bounded.
  route.body_bytes_max = std::uint64_t{1} << 40;
  route.content_types = {"application/json", "application/x-ndjson",     "application/jsonl",
                         "text/csv",         "application/octet-stream", kRawRows};
  route.scopes = kPredict;
  route.cost = 10;
  route.handler = http::StreamHandler([&app](const Request& request, BodyReader& body, BodyWriter& writer) {
    predict(app, request, body, writer);
  });
  return {route};
}

}  // namespace nidus::serve
