#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"
#include "detect/drift.h"
#include "serve/detectors.h"
#include "serve/metrics.h"

namespace nidus::serve {

// Whether the rows that the detectors judge still look as they know them: measured when somebody asks, of the
// rows in the windows of their active versions, and kept for some seconds. Also as gauges, nidus_drift_….
//
// Thread-safe. Measuring takes a few milliseconds for each column of a hundred thousand values, so it belongs
// on a thread that may take its time.
class DriftReports {
 public:
  static constexpr std::chrono::seconds kFresh{10};
  // Of a detector with more columns the first so many have a gauge of their own.
  static constexpr std::size_t kColumnGauges = 256;

  explicit DriftReports(Metrics& metrics) : metrics_(metrics) {}

  using Report = std::shared_ptr<const Result<detect::DriftReport>>;
  // Of the active version, kFresh old at most unless there is nothing new. The error says why there is none.
  Report of(const Served& served);

  // Whether the gauges say something else than of() would: refresh() has something to do then.
  bool is_stale(const Detectors::State& state) const;
  // Brings the gauges up to date.
  void refresh(const Detectors::State& state);

 private:
  struct Entry {
    std::string version;
    std::uint64_t taken = 0;  // by the window, when it was measured
    std::chrono::steady_clock::time_point measured;
    Report report;
    bool is_told = false;  // by the gauges
  };
  bool is_fresh(const Entry& entry, const Served& served) const;
  void set_gauges(const Served& served, const Result<detect::DriftReport>& report);

  Metrics& metrics_;
  mutable std::mutex mutex_;  // guards entries_; held while it is measured, so that many who ask measure once
  std::map<std::string, Entry> entries_;  // by detector
};

}  // namespace nidus::serve
