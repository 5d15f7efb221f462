#include "serve/internal/batch_rows.h"

#include <fmt/format.h>

#include "serve/internal/kept_verdicts.h"
#include "serve/internal/store_answers.h"

namespace nidus::serve::internal {
namespace {

constexpr std::size_t kSmallBytes = 32 << 10;  // judged on the connection's thread: less than a millisecond

http::Response judge_now(Application& app, const std::shared_ptr<const Served>& served,
                         const http::Request& request, const BatchReader& read, const BatchWriter& write) {
  const auto start = std::chrono::steady_clock::now();
  thread_local BatchRows batch;
  BatchFault fault;
  batch.count = 0;
  batch.configuration.clear();
  if (!read(request.body, *served->active, batch, fault))
    return row_failure(app, fault.row, request, fault.status);
  Wanted wanted;
  const auto settings = app.settings();
  const std::string& name =
      batch.configuration.empty() ? settings->detectors.configuration : batch.configuration;
  if (!name.empty()) wanted.configuration = served->active->configuration(name);
  if (!batch.configuration.empty() && wanted.configuration == nullptr) {
    return row_failure(app, {fmt::format("no configuration '{}' of this detector", batch.configuration), {}},
                       request);
  }
  app.judge.judge(served, std::span<const double>(batch.rows), batch.count, wanted, batch.judged);
  if (auto kept = keep_rows(app, *served, batch.judged, batch.count); !kept)
    return store_failure(app, kept.error(), request);
  batch.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  app.metrics
      .histogram("batch_prediction_sizes", "Rows of batches",
                 {1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 100000})
      .observe(static_cast<double>(batch.count));
  auto response = write(*served, batch);
  // One huge batch must not keep its memory for as long as the thread lives.
  constexpr std::size_t kKept = std::size_t{1} << 20;
  if (batch.rows.capacity() > kKept) batch = {};
  return response;
}

}  // namespace

bool read_batch(std::string_view body, std::string_view key, const ServedDetector& detector,
                std::size_t rows_max, BatchRows& batch, BatchFault& fault) {
  const auto refuse = [&](std::string detail) {
    fault.row.detail = std::move(detail);
    return false;
  };
  JsonReader json(body);
  RowReader reader(detector.names());
  const std::size_t width = detector.inputs();
  if (json.peek() != JsonReader::Kind::object || !json.enter_object())
    return refuse(fmt::format("expected a JSON object with '{}'", key));
  bool found = false;
  std::string_view name;
  while (json.next_key(name)) {
    if (name == "configuration") {
      std::string_view text;
      if (!json.read_text(text)) break;
      batch.configuration = text;
      continue;
    }
    if (name != key) {
      if (!json.skip()) break;
      continue;
    }
    if (std::exchange(found, true)) return refuse(fmt::format("'{}' is there twice", key));
    if (json.peek() != JsonReader::Kind::array) {
      if (json.peek() == JsonReader::Kind::none) break;
      return refuse(fmt::format("'{}' must be a list of rows", key));
    }
    if (!json.enter_array()) break;
    while (json.next_element()) {
      if (batch.count >= rows_max) {
        fault.status = 413;
        return refuse(fmt::format("more than {} rows in one batch", rows_max));
      }
      if (batch.rows.size() < (batch.count + 1) * width)
        batch.rows.resize(std::max((batch.count + 1) * width, 2 * batch.rows.size()));
      reader.number_rows(batch.count);
      if (!reader.read(json, batch.rows.data() + batch.count * width, fault.row)) return false;
      ++batch.count;
    }
    if (json.failed()) break;
  }
  if (json.failed() || !json.finish()) return refuse("malformed JSON: " + json.problem());
  if (!found) return refuse(fmt::format("'{}' is missing", key));
  if (batch.count == 0) return refuse("an empty batch");
  return true;
}

void judge_batch(Application& app, std::shared_ptr<const Served> served, const http::Request& request,
                 http::Responder responder, BatchReader read, BatchWriter write) {
  if (request.body.size() <= kSmallBytes && !keeps_rows(app)) {
    responder.send(judge_now(app, served, request, read, write));
    return;
  }
  // A function of the standard library can be copied, a responder cannot.
  const auto waiting = std::make_shared<http::Responder>(std::move(responder));
  const bool taken = app.pool.post([&app, served = std::move(served), &request, waiting,
                                    read = std::move(read), write = std::move(write)] {
    if (waiting->gone()) return;
    waiting->send(judge_now(app, served, request, read, write));
  });
  if (!taken) waiting->send(too_busy(request));
}

}  // namespace nidus::serve::internal
