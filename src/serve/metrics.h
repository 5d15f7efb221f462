#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Numbers for Prometheus, in its text format 0.0.4. Counting takes no lock and no cache line that threads
// fight for: each counter has a few places, and a thread always takes the same one.
namespace nidus::serve {

namespace internal {
inline constexpr std::size_t kMetricPlaces = 16;
std::size_t metric_place();  // of this thread
}  // namespace internal

class Counter {
 public:
  void add(std::uint64_t n = 1) {
    places_[internal::metric_place()].value.fetch_add(n, std::memory_order_relaxed);
  }
  std::uint64_t value() const;

 private:
  struct alignas(64) Place {
    std::atomic<std::uint64_t> value{0};
  };
  std::array<Place, internal::kMetricPlaces> places_;
};

class Gauge {
 public:
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

class Histogram {
 public:
  explicit Histogram(std::vector<double> bounds);  // ascending upper ends; infinity is added
  void observe(double value) { observe(value, 1); }
  void observe(double value, std::uint64_t times);

  std::span<const double> bounds() const { return bounds_; }
  std::vector<std::uint64_t> counts() const;  // not cumulative, one more than bounds()
  double sum() const;

 private:
  struct alignas(64) Place {
    std::unique_ptr<std::atomic<std::uint64_t>[]> counts;
    std::atomic<double> sum{0};
  };
  std::vector<double> bounds_;
  std::array<Place, internal::kMetricPlaces> places_;
};

// Seconds from 10 microseconds to 10 s, as dashboards expect them.
std::vector<double> latency_bounds();

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

// All metrics of a service. Each is made once, by whoever counts it, and lives as long as the registry. No
// address or id is ever a label.
//
// Thread-safe.
class Metrics {
 public:
  // The one of this name and labels; made if it is not there. The kind and help of a name are those it was
  // first made with. The name, and those of labels, must be good ones (CHECK).
  Counter& counter(const std::string& name, const std::string& help, const MetricLabels& labels = {});
  Gauge& gauge(const std::string& name, const std::string& help, const MetricLabels& labels = {});
  Histogram& histogram(const std::string& name, const std::string& help, std::vector<double> bounds,
                       const MetricLabels& labels = {});
  // A number that is asked for when metrics are read. `counter`: it never falls.
  void sampled(const std::string& name, const std::string& help, bool counter, std::function<double()> ask,
               const MetricLabels& labels = {});

  std::string text() const;

 private:
  struct Metric {
    std::unique_ptr<Counter> counter;
    std::unique_ptr<Gauge> gauge;
    std::unique_ptr<Histogram> histogram;
    std::function<double()> ask;
  };
  struct Family {
    std::string type, help;
    std::map<std::string, Metric> metrics;  // by labels as they are written: `endpoint="/score"`
  };
  Metric& at(const std::string& name, const std::string& help, const char* type, const MetricLabels& labels);

  mutable std::mutex mutex_;  // guards the maps, not the numbers
  std::map<std::string, Family> families_;
};

}  // namespace nidus::serve
