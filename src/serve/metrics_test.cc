#include "serve/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace nidus::serve {
namespace {

using testing::HasSubstr;

TEST(Metrics, AreWrittenAsPrometheusReadsThem) {
  Metrics metrics;
  metrics.counter("predictions_total", "Verdicts", {{"prediction_type", "Attack"}}).add(3);
  metrics.counter("predictions_total", "Verdicts", {{"prediction_type", "Benign"}}).add();
  metrics.gauge("nidus_share", "A share").set(0.25);
  metrics.sampled("nidus_asked", "Asked\nfor", false, [] { return 7.0; });
  auto& histogram = metrics.histogram("latency_seconds", "Time", {0.1, 1});
  histogram.observe(0.1);
  histogram.observe(0.5);
  histogram.observe(5);
  EXPECT_EQ(
      metrics.text(),
      "# HELP latency_seconds Time\n# TYPE latency_seconds histogram\n"
      "latency_seconds_bucket{le=\"0.1\"} 1\nlatency_seconds_bucket{le=\"1\"} 2\n"
      "latency_seconds_bucket{le=\"+Inf\"} 3\nlatency_seconds_sum 5.6\nlatency_seconds_count 3\n"
      "# HELP nidus_asked Asked\\nfor\n# TYPE nidus_asked gauge\nnidus_asked 7\n"
      "# HELP nidus_share A share\n# TYPE nidus_share gauge\nnidus_share 0.25\n"
      "# HELP predictions_total Verdicts\n# TYPE predictions_total counter\n"
      "predictions_total{prediction_type=\"Attack\"} 3\npredictions_total{prediction_type=\"Benign\"} 1\n");
}

TEST(Metrics, LabelsAreEscaped) {
  Metrics metrics;
  metrics.counter("a_total", "A", {{"of", "x\"y\\z\n"}}).add();
  EXPECT_THAT(metrics.text(), HasSubstr("a_total{of=\"x\\\"y\\\\z\\n\"} 1\n"));
}

TEST(Metrics, NothingIsLostWhenThreadsCount) {
  Metrics metrics;
  auto& counter = metrics.counter("n_total", "N");
  auto& histogram = metrics.histogram("h", "H", {1, 2});
  std::vector<std::thread> threads;
  for (int t = 0; t < 20; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10000; ++i) {
        counter.add(2);
        histogram.observe(i % 3);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(counter.value(), 400000u);
  const auto counts = histogram.counts();
  EXPECT_EQ(counts[0] + counts[1] + counts[2], 200000u);
  EXPECT_EQ(histogram.sum(), 20 * 9999.0);
}

}  // namespace
}  // namespace nidus::serve
