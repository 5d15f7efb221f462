#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "detect/detector.h"

namespace nidus::detect {

// Rows that were judged lately, and their scores: a sample of a long stream in bounded memory, to measure
// drift by while a detector works. Until it is full it takes rows as they come, some of each batch; from then
// on one row in every interval at most, in place of the oldest, so that it reaches back capacity() × interval
// whatever the traffic, and an hour of flood weighs no more than an hour of quiet.
//
// Any number of threads may offer rows: it takes no lock and never waits; most offers cost a look at the
// clock. A row that is read while it is replaced may come out as half of one and half of another, which says
// nothing wrong of any single column.
class RowWindow {
 public:
  static constexpr std::size_t kRowsMax = 4096;

  explicit RowWindow(std::size_t inputs, std::chrono::nanoseconds interval = std::chrono::milliseconds(500));
  RowWindow(const RowWindow&) = delete;
  RowWindow& operator=(const RowWindow&) = delete;

  // kRowsMax, or fewer for rows so wide that it would take more than 8 MiB, but never below 128.
  std::size_t capacity() const { return capacity_; }
  std::size_t rows() const {
    return static_cast<std::size_t>(
        std::min<std::uint64_t>(taken_.load(std::memory_order_acquire), capacity_));
  }
  // So many rows were ever taken: when this has not changed, nothing has.
  std::uint64_t taken() const { return taken_.load(std::memory_order_acquire); }

  // `rows` holds a row of `inputs` numbers for each verdict.
  template <class Number>
  void offer(std::span<const Number> rows, std::span<const Verdict> verdicts) {
    if (verdicts.empty()) return;
    if (begun_.load(std::memory_order_relaxed) < capacity_) {
      const std::size_t step = (verdicts.size() + kOfBatch - 1) / kOfBatch;
      for (std::size_t i = 0; i < verdicts.size(); i += step) take(rows, verdicts, i);
      return;
    }
    const std::int64_t now = std::chrono::steady_clock::now().time_since_epoch().count();
    std::int64_t due = due_.load(std::memory_order_relaxed);
    if (now < due || !due_.compare_exchange_strong(due, now + interval_.count(), std::memory_order_relaxed))
      return;
    // Any of the batch: clients may put rows in order.
    take(rows, verdicts, static_cast<std::size_t>(now) % verdicts.size());
  }

  // A copy of what is there.
  struct Rows {
    std::vector<float> values;  // row-major
    std::vector<double> scores;
  };
  Rows copy() const;

 private:
  static constexpr std::size_t kOfBatch = 64;

  template <class Number>
  void take(std::span<const Number> rows, std::span<const Verdict> verdicts, std::size_t row) {
    const std::size_t place = begun_.fetch_add(1, std::memory_order_relaxed) % capacity_;
    std::atomic<float>* const to = &values_[place * inputs_];
    const Number* const from = &rows[row * inputs_];
    for (std::size_t i = 0; i < inputs_; ++i)
      to[i].store(static_cast<float>(from[i]), std::memory_order_relaxed);
    scores_[place].store(verdicts[row].score, std::memory_order_relaxed);
    taken_.fetch_add(1, std::memory_order_release);
  }

  const std::size_t inputs_, capacity_;
  const std::chrono::nanoseconds interval_;
  std::unique_ptr<std::atomic<float>[]> values_;
  std::unique_ptr<std::atomic<double>[]> scores_;
  std::atomic<std::uint64_t> begun_{0}, taken_{0};
  std::atomic<std::int64_t> due_{0};
};

}  // namespace nidus::detect
