// What users of the NSL-KDD app expect: /predict with a flat record, /batch_predict with a table.
#include <fmt/format.h>

#include <ctime>
#include <utility>

#include "base/json_writer.h"
#include "base/number.h"
#include "base/text.h"
#include "serve/application.h"
#include "serve/csv_records.h"
#include "serve/internal/answers.h"
#include "serve/internal/kept_verdicts.h"
#include "serve/internal/record_classes.h"
#include "serve/internal/records.h"
#include "serve/internal/single_rows.h"
#include "serve/internal/store_answers.h"
#include "serve/internal/table_rows.h"
#include "serve/multipart.h"

namespace nidus::serve {
namespace {

using http::BodyReader;
using http::BodyWriter;
using http::Request;
using http::Responder;
using http::Response;

http::Response record_prediction(Application&, const Served& served, const Judged& judged, std::size_t row,
                                 double seconds) {
  const ServedDetector& detector = judged.judge_of(served, row);
  const internal::RecordClasses classes(detector);
  std::vector<double> probabilities(classes.names().size());
  const auto answer = classes.answer(judged, row, probabilities);
  const bool is_attack = judged.scores.verdicts[row].is_attack();
  Response response;
  JsonWriter json(response.body);
  json.begin_object();
  json.field("prediction", answer.index);
  json.field("prediction_label", classes.names()[answer.index]);
  json.field("predicted_class", classes.names()[answer.index]);
  json.field("predicted_index", answer.index);
  json.field("is_anomaly", is_attack);
  json.field("confidence", answer.confidence);
  json.field("attack_probability", judged.scores.verdicts[row].score);
  json.key("probabilities");
  json.begin_object();
  for (std::size_t i = 0; i < probabilities.size(); ++i) json.field(classes.names()[i], probabilities[i]);
  json.end_object();
  json.field("inference_time_ms", seconds * 1000);
  json.field("timestamp", internal::epoch_seconds());
  json.field("detector", served.name);
  json.field("detector_version", detector.version());
  json.end_object();
  return response;
}

std::string utc(const char* format) {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[64];
  const std::size_t size = std::strftime(text, sizeof(text), format, &parts);
  return {text, size};
}

// A table that comes in and goes out with verdicts behind its columns, some thousand rows at a time.
class TableJob {
 public:
  TableJob(Application& app, std::shared_ptr<const Served> served, const Request& request, BodyWriter& writer)
      : app_(app),
        served_(std::move(served)),
        request_(request),
        writer_(writer),
        classes_(*served_->active),
        rows_of_(served_->active->names()) {}

  // False once an answer was given or the client is gone.
  bool feed(std::string_view bytes) {
    records_.feed(bytes);
    return take();
  }

  void finish() {
    records_.end();
    if (!take()) return;
    if (!bound_) return refuse({"an empty table", {}});
    if (!judge()) return;
    if (total_ == 0) return refuse({"a table without rows", {}});
    if (!has_begun_) {
      Response response = head();
      response.body = std::move(out_);
      return writer_.send(std::move(response));
    }
    if (flush()) (void)writer_.end();
  }

 private:
  static constexpr std::size_t kRows = 1024;  // judged at once
  static constexpr std::size_t kHeldBytes = 1u
                                            << 20;  // until then a fault can still be answered with a status

  void refuse(const RowFault& fault) {
    if (!has_begun_) writer_.send(internal::row_failure(app_, fault, request_));
    // Else the answer stays without its end, and the client sees that it is not whole.
    if (has_begun_)
      app_.log().info("request_cut", {{"id", request_.id}, {"error", std::string_view(fault.detail)}});
  }

  Response head() const {
    Response response;
    response.content_type = "text/csv; charset=utf-8";
    response.headers.emplace_back("Content-Disposition", "attachment; filename=\"anomaly_detection_results_" +
                                                             utc("%Y%m%d_%H%M%S") + ".csv\"");
    return response;
  }

  bool take() {
    for (;;) {
      switch (records_.next(cells_)) {
        case CsvRecords::Next::more:
        case CsvRecords::Next::end:
          return true;
        case CsvRecords::Next::fault:
          return refuse({records_.fault(), {}}), false;
        case CsvRecords::Next::record:
          break;
      }
      RowFault fault;
      if (!bound_) {
        const auto is_header = rows_of_.bind(cells_, fault);
        if (!is_header) return refuse(fault), false;
        bound_ = true;
        write_header();
        if (*is_header) continue;
      }
      const std::size_t width = served_->active->inputs();
      rows_.resize((count_ + 1) * width);
      if (!rows_of_.read(cells_, records_.line(), rows_.data() + count_ * width, fault))
        return refuse(fault), false;
      // The input columns as they will stand before the verdict.
      for (std::size_t i = 0; i < cells_.size(); ++i) {
        if (i != 0) lines_ += ',';
        append_csv_cell(lines_, cells_[i]);
      }
      ends_.push_back(lines_.size());
      ++count_;
      if (count_ == kRows && !judge()) return false;
    }
  }

  void write_header() {
    for (std::size_t i = 0; i < rows_of_.columns().size(); ++i) {
      if (i != 0) out_ += ',';
      append_csv_cell(out_, rows_of_.columns()[i]);
    }
    out_ += ",Predicted_Class,Predicted_Index,Is_Anomaly,Confidence";
    for (const auto& name : classes_.names()) {
      out_ += ',';
      append_csv_cell(out_, "Prob_" + name);
    }
    out_ += ",Prediction_Timestamp\n";
  }

  bool judge() {
    if (count_ == 0) return true;
    // Reads whatever serves now, so that a version is not kept for as long as a client is slow; one that
    // takes other columns would not fit what was bound.
    app_.judge.judge(served_, std::span<const double>(rows_), count_, {}, judged_);
    if (auto kept = internal::keep_rows(app_, *served_, judged_, count_); !kept) {
      if (!has_begun_) writer_.send(internal::store_failure(app_, kept.error(), request_));
      return false;
    }
    const std::string time = utc("%Y-%m-%d %H:%M:%S");
    std::vector<double> probabilities(classes_.names().size());
    for (std::size_t i = 0; i < count_; ++i) {
      const auto answer = classes_.answer(judged_, i, probabilities);
      const std::size_t from = i == 0 ? 0 : ends_[i - 1];
      out_.append(lines_, from, ends_[i] - from);
      out_ += ',';
      append_csv_cell(out_, classes_.names()[answer.index]);
      out_ += ',';
      append_number(out_, static_cast<std::uint64_t>(answer.index));
      out_ += judged_.scores.verdicts[i].is_attack() ? ",True," : ",False,";
      append_number(out_, answer.confidence);
      for (const double probability : probabilities) {
        out_ += ',';
        append_number(out_, probability);
      }
      out_ += ',';
      out_ += time;
      out_ += '\n';
    }
    total_ += count_;
    count_ = 0;
    lines_.clear();
    ends_.clear();
    return out_.size() < kHeldBytes || flush();
  }

  bool flush() {
    if (!std::exchange(has_begun_, true) && !writer_.begin(head())) return false;
    const bool written = writer_.write(out_).has_value();
    out_.clear();
    return written;
  }

  Application& app_;
  std::shared_ptr<const Served> served_;
  const Request& request_;
  BodyWriter& writer_;
  internal::RecordClasses classes_;
  internal::TableRows rows_of_;
  CsvRecords records_;
  std::vector<std::string_view> cells_;
  std::vector<double> rows_;
  std::size_t count_ = 0;
  std::uint64_t total_ = 0;
  std::string lines_, out_;
  std::vector<std::size_t> ends_;
  Judged judged_;
  bool bound_ = false, has_begun_ = false;
};

// The detector that is named, else the one for records, else the one for flows.
std::shared_ptr<const Served> detector_for(const Application& app, const Request& request) {
  const auto state = app.detectors.state();
  if (const auto name = request.query("detector")) return state->find(*name);
  const auto& records = state->roles[static_cast<std::size_t>(Role::records)];
  return records ? records : state->roles[static_cast<std::size_t>(Role::predict)];
}

void batch_predict(Application& app, const Request& request, BodyReader& body, BodyWriter& writer) {
  auto served = detector_for(app, request);
  if (!served) return writer.send(internal::no_detector(request));
  TableJob job(app, std::move(served), request, writer);
  const auto text = [](std::span<const std::byte> bytes) {
    return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  if (request.content_type() == "text/csv") {
    for (;;) {
      auto bytes = body.read();
      if (!bytes) return writer.send(internal::failure(app, bytes.error(), request));
      if (bytes->empty()) return job.finish();
      if (!job.feed(text(*bytes))) return;
    }
  }
  auto parts = Multipart::open(request.header("Content-Type"), body);
  if (!parts) return writer.send(internal::failure(app, parts.error(), request));
  for (;;) {
    auto part = parts->next();
    if (!part) return writer.send(internal::failure(app, part.error(), request));
    if (!*part) return writer.send(http::problem(400, "The form has no field 'file'", request.id));
    if ((*part)->name != "file") continue;
    for (;;) {
      auto bytes = parts->read();
      if (!bytes) return writer.send(internal::failure(app, bytes.error(), request));
      if (bytes->empty()) return job.finish();
      if (!job.feed(text(*bytes))) return;
    }
  }
}

}  // namespace

void internal::predict_record(Application& app, const Request& request, Responder responder) {
  const auto state = app.detectors.state();
  const auto& records = state->roles[static_cast<std::size_t>(Role::records)];
  RowFault first;
  const auto tried = [&](const std::shared_ptr<const Served>& served) {
    JsonReader json(request.body);
    RowFault fault;
    SingleRow row(app, served, {});
    if (reader_of(served->active->names()).read(json, row.row(), fault) && json.finish()) {
      row.judge(std::move(responder), record_prediction);
      return true;
    }
    // What is wrong is said of the detector that was most likely meant.
    if (first.detail.empty()) first = std::move(fault);
    return false;
  };
  if (records && tried(records)) return;
  for (const auto& served : state->all) {
    if (served != records && tried(served)) return;
  }
  // An empty object, or one that has little of any record, was meant for the ensemble.
  if (!records || first.missing.size() == RowFault::kMissingMax)
    first.detail = "'features' is missing, and this is no record of a detector that is loaded";
  responder.send(row_failure(app, first, request));
}

std::vector<http::Route> routes_of_records(Application& app) {
  http::Route route;
  route.method = http::Method::post;
  route.pattern = "/batch_predict";
  route.body_bytes_max = app.settings()->limits.upload_mb * 1'000'000;
  route.content_types = {"multipart/form-data", "text/csv"};
  route.scopes = kPredict;
  route.cost = 20;
  route.handler = http::StreamHandler([&app](const Request& request, BodyReader& body, BodyWriter& writer) {
    batch_predict(app, request, body, writer);
  });
  return {route};
}

}  // namespace nidus::serve
