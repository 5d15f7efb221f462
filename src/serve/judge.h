#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "serve/detectors.h"
#include "serve/internal/pool.h"
#include "serve/metrics.h"

namespace nidus::serve {

// Rows and what was said of them, with the buffers to do it again without allocating.
struct Judged {
  Scores scores;
  // Rows that the canary judged in place of the active version; empty without one.
  std::vector<std::uint8_t> by_canary;

  const ServedDetector& judge_of(const Served& served, std::size_t row) const {
    return !by_canary.empty() && by_canary[row] != 0 ? *served.canary : *served.active;
  }

 private:
  friend class Judge;
  Scores canary_scores_;
  std::vector<double> canary_rows_, active_rows_;
};

// The one place where rows get verdicts: by the active version or the canary, counted, and shown to the
// shadow once the answer is known. Thread-safe.
class Judge {
 public:
  explicit Judge(Metrics& metrics);

  // `rows` holds count × inputs() numbers of served.active.
  void judge(const std::shared_ptr<const Served>& served, std::span<const double> rows, std::size_t count,
             const Wanted& wanted, Judged& judged);
  void judge(const std::shared_ptr<const Served>& served, std::span<const float> rows, std::size_t count,
             const Wanted& wanted, Judged& judged);

 private:
  void judge_with_canary(const Served& served, std::span<const double> rows, std::size_t count,
                         const Wanted& wanted, Judged& judged) const;
  void show_shadow(const std::shared_ptr<const Served>& served, std::span<const double> rows,
                   std::size_t count, const Judged& judged);
  void count(const Judged& judged, std::size_t rows);

  Counter &attacks_, &benign_, &not_judged_;
  internal::Pool shadow_;  // one thread: what is not answered must not slow what is
};

}  // namespace nidus::serve
