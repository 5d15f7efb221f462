// The ensemble service's routes: /predict, /predict/batch, /model/info. A flat record instead of `features`
// is what clients of the NSL-KDD app send to /predict.
#include <fmt/format.h>

#include <optional>

#include "base/json_writer.h"
#include "serve/application.h"
#include "serve/internal/answers.h"
#include "serve/internal/batch_rows.h"
#include "serve/internal/records.h"
#include "serve/internal/single_rows.h"

namespace nidus::serve {
namespace {

using http::Request;
using http::Responder;
using http::Response;

// What the clients know as the two labels, whatever ours are called.
const char* label_word(bool attack) { return attack ? "Attack" : "Benign"; }

Response prediction(Application&, const Served& served, const Judged& judged, std::size_t row,
                    double seconds) {
  const ServedDetector& detector = judged.judge_of(served, row);
  const auto& verdict = judged.scores.verdicts[row];
  Response response;
  response.body.reserve(512);
  JsonWriter json(response.body);
  json.begin_object();
  json.field("prediction", verdict.is_attack() ? 1 : 0);
  json.field("prediction_label", label_word(verdict.is_attack()));
  json.field("confidence", verdict.score);
  json.field("attack_probability", verdict.score);
  json.key("model_probabilities");
  json.begin_object();
  const auto members = served.active->members();
  for (std::size_t i = 0; i < members.size(); ++i) {
    const double score = judged.scores.members[row * members.size() + i];
    if (score == score) json.field(members[i].name, score);
  }
  json.end_object();
  if (detector.outputs() > 1) json.field("attack_type", detector.manifest().labels[verdict.label]);
  json.field("inference_time_ms", seconds * 1000);
  json.field("timestamp", internal::epoch_seconds());
  json.field("detector", served.name);
  json.field("detector_version", detector.version());
  json.end_object();
  return response;
}

void predict(Application& app, const Request& request, Responder responder) {
  const auto served = app.detectors.serving(Role::predict);
  if (!served) return responder.send(internal::no_detector(request));
  const ServedDetector& detector = *served->active;
  Wanted wanted;
  wanted.members = true;
  const auto settings = app.settings();
  if (!settings->detectors.configuration.empty())
    wanted.configuration = detector.configuration(settings->detectors.configuration);

  const auto refuse = [&](const RowFault& fault) {
    responder.send(internal::row_failure(app, fault, request));
  };
  JsonReader json(request.body);
  if (json.peek() != JsonReader::Kind::object || !json.enter_object())
    return refuse({"expected a JSON object with 'features'", {}});
  std::optional<internal::SingleRow> row;
  RowReader& reader = internal::reader_of(detector.names());
  RowFault fault;
  std::string_view key;
  while (json.next_key(key)) {
    if (key == "features") {
      if (row) return refuse({"'features' is there twice", {}});
      row.emplace(app, served, wanted);
      if (!reader.read(json, row->row(), fault)) return refuse(fault);
    } else if (key == "configuration") {
      std::string_view name;
      if (!json.read_text(name)) break;
      wanted.configuration = detector.configuration(name);
      if (wanted.configuration == nullptr)
        return refuse({fmt::format("no configuration '{}' of this detector", name.substr(0, 60)), {}});
      if (row) row->set_wanted(wanted);
    } else if (!json.skip()) {
      break;
    }
  }
  if (json.failed() || !json.finish()) return refuse({"malformed JSON: " + json.problem(), {}});
  if (row) return row->judge(std::move(responder), prediction);
  internal::predict_record(app, request, std::move(responder));
}

void predict_batch(Application& app, const Request& request, Responder responder) {
  const auto served = app.detectors.serving(Role::predict);
  if (!served) return responder.send(internal::no_detector(request));
  internal::judge_batch(
      app, served, request, std::move(responder),
      [rows_max = app.settings()->limits.rows_max](std::string_view body, const ServedDetector& detector,
                                                   internal::BatchRows& batch, internal::BatchFault& fault) {
        return internal::read_batch(body, "flows", detector, rows_max, batch, fault);
      },
      [](const Served& by, const internal::BatchRows& batch) {
        Response response;
        const auto& verdicts = batch.judged.scores.verdicts;
        response.body.reserve(batch.count * 24 + 256);
        JsonWriter json(response.body);
        std::size_t attacks = 0;
        json.begin_object();
        json.key("predictions");
        json.begin_array();
        for (std::size_t i = 0; i < batch.count; ++i) {
          json.value(verdicts[i].is_attack() ? 1 : 0);
          attacks += verdicts[i].is_attack() ? 1 : 0;
        }
        json.end_array();
        json.key("probabilities");
        json.begin_array();
        for (std::size_t i = 0; i < batch.count; ++i) json.value(verdicts[i].score);
        json.end_array();
        json.field("count", batch.count);
        json.field("attack_count", attacks);
        json.field("benign_count", batch.count - attacks);
        json.field("inference_time_ms", batch.seconds * 1000);
        json.field("avg_time_per_flow_ms", batch.seconds * 1000 / static_cast<double>(batch.count));
        json.field("detector", by.name);
        json.field("detector_version", by.active->version());
        json.end_object();
        return response;
      });
}

}  // namespace

std::vector<http::Route> routes_of_ensemble(Application& app) {
  const std::uint64_t body_max = app.settings()->limits.body_mb * 1'000'000;
  constexpr std::uint64_t kRowBytesMax = 1 << 20;
  std::vector<http::Route> routes;
  http::Route route;
  route.method = http::Method::post;
  route.content_types = {"application/json"};
  route.scopes = kPredict;

  route.pattern = "/predict";
  route.body_bytes_max = kRowBytesMax;
  route.handler = http::Handler(
      [&app](const Request& request, Responder responder) { predict(app, request, std::move(responder)); });
  routes.push_back(route);

  route.pattern = "/predict/batch";
  route.body_bytes_max = body_max;
  route.cost = 10;
  route.handler = http::Handler([&app](const Request& request, Responder responder) {
    predict_batch(app, request, std::move(responder));
  });
  routes.push_back(route);

  route = {};
  route.pattern = "/model/info";
  route.scopes = kPredict;
  route.handler = http::Handler([&app](const Request& request, Responder responder) {
    const auto served = app.detectors.serving(Role::predict);
    responder.send(served ? internal::json_response(served->active->metadata())
                          : internal::no_detector(request));
  });
  routes.push_back(route);
  return routes;
}

}  // namespace nidus::serve
