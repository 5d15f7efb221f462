#include "serve/metrics.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/number.h"

namespace nidus::serve {
namespace internal {

std::size_t metric_place() {
  static std::atomic<std::size_t> next{0};
  thread_local const std::size_t place = next.fetch_add(1, std::memory_order_relaxed) % kMetricPlaces;
  return place;
}

}  // namespace internal

namespace {

bool is_name(std::string_view name, bool colons) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  return std::all_of(name.begin(), name.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (colons && c == ':');
  });
}

void append_escaped(std::string& out, std::string_view text, bool quotes) {
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else {
      if (c == '\\' || (quotes && c == '"')) out += '\\';
      out += c;
    }
  }
}

std::string written(const MetricLabels& labels) {
  std::string out;
  for (const auto& [name, value] : labels) {
    CHECK(is_name(name, false));
    if (!out.empty()) out += ',';
    out += name;
    out += "=\"";
    append_escaped(out, value, true);
    out += '"';
  }
  return out;
}

void append_value(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else {
    append_number(out, value);
  }
}

void append_sample(std::string& out, std::string_view name, std::string_view suffix, std::string_view labels,
                   std::string_view more, double value) {
  out += name;
  out += suffix;
  if (!labels.empty() || !more.empty()) {
    out += '{';
    out += labels;
    if (!labels.empty() && !more.empty()) out += ',';
    out += more;
    out += '}';
  }
  out += ' ';
  append_value(out, value);
  out += '\n';
}

}  // namespace

std::uint64_t Counter::value() const {
  std::uint64_t sum = 0;
  for (const auto& place : places_) sum += place.value.load(std::memory_order_relaxed);
  return sum;
}

Histogram::Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)) {
  CHECK(std::is_sorted(bounds_.begin(), bounds_.end()));
  for (auto& place : places_)
    place.counts = std::make_unique<std::atomic<std::uint64_t>[]>(bounds_.size() + 1);
}

void Histogram::observe(double value, std::uint64_t times) {
  auto& place = places_[internal::metric_place()];
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  place.counts[static_cast<std::size_t>(bucket)].fetch_add(times, std::memory_order_relaxed);
  double sum = place.sum.load(std::memory_order_relaxed);
  const double more = value * static_cast<double>(times);
  while (!place.sum.compare_exchange_weak(sum, sum + more, std::memory_order_relaxed)) {
  }
}

std::vector<std::uint64_t> Histogram::counts() const {
  std::vector<std::uint64_t> out(bounds_.size() + 1);
  for (const auto& place : places_) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] += place.counts[i].load(std::memory_order_relaxed);
  }
  return out;
}

double Histogram::sum() const {
  double sum = 0;
  for (const auto& place : places_) sum += place.sum.load(std::memory_order_relaxed);
  return sum;
}

std::vector<double> latency_bounds() {
  return {0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
          0.025,   0.05,     0.1,     0.25,   0.5,     1,      2.5,   5,      10};
}

Metrics::Metric& Metrics::at(const std::string& name, const std::string& help, const char* type,
                             const MetricLabels& labels) {
  CHECK(is_name(name, true));
  auto& family = families_[name];
  if (family.type.empty()) {
    family.type = type;
    family.help = help;
  }
  CHECK(family.type == type);
  return family.metrics[written(labels)];
}

Counter& Metrics::counter(const std::string& name, const std::string& help, const MetricLabels& labels) {
  const std::lock_guard lock(mutex_);
  auto& metric = at(name, help, "counter", labels);
  if (!metric.counter) metric.counter = std::make_unique<Counter>();
  return *metric.counter;
}

Gauge& Metrics::gauge(const std::string& name, const std::string& help, const MetricLabels& labels) {
  const std::lock_guard lock(mutex_);
  auto& metric = at(name, help, "gauge", labels);
  if (!metric.gauge) metric.gauge = std::make_unique<Gauge>();
  return *metric.gauge;
}

Histogram& Metrics::histogram(const std::string& name, const std::string& help, std::vector<double> bounds,
                              const MetricLabels& labels) {
  const std::lock_guard lock(mutex_);
  auto& metric = at(name, help, "histogram", labels);
  if (!metric.histogram) metric.histogram = std::make_unique<Histogram>(std::move(bounds));
  return *metric.histogram;
}

void Metrics::sampled(const std::string& name, const std::string& help, bool counter,
                      std::function<double()> ask, const MetricLabels& labels) {
  const std::lock_guard lock(mutex_);
  at(name, help, counter ? "counter" : "gauge", labels).ask = std::move(ask);
}

std::string Metrics::text() const {
  std::string out;
  const std::lock_guard lock(mutex_);
  for (const auto& [name, family] : families_) {
    out += "# HELP " + name + " ";
    append_escaped(out, family.help, false);
    out += "\n# TYPE " + name + " " + family.type + "\n";
    for (const auto& [labels, metric] : family.metrics) {
      if (metric.ask) append_sample(out, name, "", labels, "", metric.ask());
      if (metric.counter)
        append_sample(out, name, "", labels, "", static_cast<double>(metric.counter->value()));
      if (metric.gauge) append_sample(out, name, "", labels, "", metric.gauge->value());
      if (!metric.histogram) continue;
      const auto counts = metric.histogram->counts();
      const auto bounds = metric.histogram->bounds();
      std::uint64_t sum = 0;
      for (std::size_t i = 0; i < counts.size(); ++i) {
        sum += counts[i];
        std::string bound = "le=\"";
        if (i < bounds.size()) {
          append_number(bound, bounds[i]);
        } else {
          bound += "+Inf";
        }
        append_sample(out, name, "_bucket", labels, bound + "\"", static_cast<double>(sum));
      }
      append_sample(out, name, "_sum", labels, "", metric.histogram->sum());
      append_sample(out, name, "_count", labels, "", static_cast<double>(sum));
    }
  }
  return out;
}

}  // namespace nidus::serve
