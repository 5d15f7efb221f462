#include "serve/internal/single_rows.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "serve/internal/kept_verdicts.h"
#include "serve/internal/row_batch.h"
#include "serve/internal/store_answers.h"

namespace nidus::serve::internal {
namespace {

using Clock = std::chrono::steady_clock;

struct Ticket {
  http::Responder responder;
  AnswerWriter write = nullptr;
  Clock::time_point start;
};

// An answer that waits until its verdict is on disk.
struct HeldAnswer {
  http::Responder responder;
  http::Response response;
};

struct Batch {
  RowBatch<Ticket> rows;
  bool is_planned = false;
};

// A thread serves one server, and so one application.
Batch& batch_of_thread() {
  thread_local Batch batch;
  return batch;
}

struct BatchMetrics {
  explicit BatchMetrics(Metrics& metrics)
      : rows(metrics.histogram("nidus_batch_rows", "Requests for one row that were judged together",
                               {1, 2, 4, 8, 16, 32, 64, 128, 256})),
        wait(metrics.histogram("nidus_batch_wait_seconds", "From reading a row to judging it",
                               latency_bounds())),
        latency(metrics.histogram("prediction_latency_seconds", "From reading a row to its verdict",
                                  latency_bounds())),
        arrived(metrics.counter("nidus_batches_total", "Batches judged, by what ended them",
                                {{"reason", "all_arrived"}})),
        full(metrics.counter("nidus_batches_total", "Batches judged, by what ended them",
                             {{"reason", "full"}})) {}
  Histogram &rows, &wait, &latency;
  Counter &arrived, &full;
};

// Looked up once for each thread and application.
BatchMetrics& metrics_of(Application& app) {
  thread_local const Metrics* of = nullptr;
  thread_local std::unique_ptr<BatchMetrics> metrics;
  if (of != &app.metrics) {
    metrics = std::make_unique<BatchMetrics>(app.metrics);
    of = &app.metrics;
  }
  return *metrics;
}

double seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

void judge_batch(Application& app) {
  auto& batch = batch_of_thread();
  auto& metrics = metrics_of(app);
  metrics.rows.observe(static_cast<double>(batch.rows.size()));
  (batch.rows.is_full() ? metrics.full : metrics.arrived).add();
  const auto start = Clock::now();
  Clock::time_point judged_at{};
  const bool keeps = keeps_rows(app);
  store::Keep keep;
  std::vector<HeldAnswer> held;
  batch.rows.judge(app.judge,
                   [&](Ticket& ticket, const Served& served, const Judged& judged, std::size_t row) {
                     if (row == 0) judged_at = Clock::now();
                     const double latency = seconds(judged_at - ticket.start);
                     metrics.wait.observe(seconds(start - ticket.start));
                     metrics.latency.observe(latency);
                     auto response = ticket.write(app, served, judged, row, latency);
                     auto kept = keeps ? kept_row(app, served, judged, row) : std::nullopt;
                     if (!kept) return ticket.responder.send(std::move(response));
                     keep.verdicts.push_back(std::move(*kept));
                     held.push_back({std::move(ticket.responder), std::move(response)});
                   });
  if (held.empty()) return;
  std::vector<store::Change> changes;
  changes.emplace_back(std::move(keep));
  // A function of the standard library can be copied, a responder cannot.
  auto waiting = std::make_shared<std::vector<HeldAnswer>>(std::move(held));
  app.store()->write(std::move(changes), [&app, waiting](const Result<store::Store::Numbers>& written) {
    for (auto& one : *waiting) {
      if (!written) one.response = not_kept(app, written.error(), one.responder.request_id());
      one.responder.send(std::move(one.response));
    }
  });
}

}  // namespace

RowReader& reader_of(const std::shared_ptr<const FeatureNames>& names) {
  constexpr std::size_t kKept = 16;
  thread_local std::vector<std::unique_ptr<RowReader>> readers;
  for (auto& reader : readers) {
    if (reader->shared_names() == names) return *reader;
  }
  if (readers.size() == kKept) readers.erase(readers.begin());
  return *readers.emplace_back(std::make_unique<RowReader>(names));
}

SingleRow::SingleRow(Application& app, std::shared_ptr<const Served> served, const Wanted& wanted)
    : app_(app), served_(std::move(served)), wanted_(wanted) {
  row_ = batch_of_thread().rows.place(served_, wanted_);
}

void SingleRow::set_wanted(const Wanted& wanted) {
  const std::vector<double> read(row_, row_ + served_->active->inputs());
  wanted_ = wanted;
  row_ = batch_of_thread().rows.place(served_, wanted_);
  std::copy(read.begin(), read.end(), row_);
}

void SingleRow::judge(http::Responder responder, AnswerWriter write) {
  auto& batch = batch_of_thread();
  batch.rows.commit(served_, wanted_, Ticket{std::move(responder), write, start_});
  if (batch.rows.is_full()) {
    judge_batch(app_);
    return;
  }
  if (std::exchange(batch.is_planned, true)) return;
  http::after_arrived([&app = app_] {
    batch_of_thread().is_planned = false;
    if (batch_of_thread().rows.size() != 0) judge_batch(app);
  });
}

}  // namespace nidus::serve::internal
