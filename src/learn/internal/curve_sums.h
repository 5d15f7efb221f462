#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <optional>

// Sums that grow while a threshold sinks from the highest score to the lowest. add() is told how much of each
// side has exactly this score: rows, or rows times their weights. The figures of a whole set of rows and
// those of its bootstrap replicates come from these same few lines.
namespace nidus::learn::internal {

// The chance that a positive scores above a negative, ties counting half.
class RocSum {
 public:
  void add(double positives, double negatives) {
    area_ += negatives * (above_ + 0.5 * positives);
    above_ += positives;
    negatives_ += negatives;
  }
  std::optional<double> value() const {
    if (!(above_ > 0 && negatives_ > 0)) return std::nullopt;
    return area_ / (above_ * negatives_);
  }

 private:
  double area_ = 0, above_ = 0, negatives_ = 0;
};

// Average precision: the sum of precision × gained recall.
class PrecisionSum {
 public:
  void add(double positives, double negatives) {
    hits_ += positives;
    said_ += positives + negatives;
    if (positives > 0) sum_ += positives * (hits_ / said_);
  }
  std::optional<double> value() const {
    if (!(hits_ > 0)) return std::nullopt;
    return sum_ / hits_;
  }

 private:
  double sum_ = 0, hits_ = 0, said_ = 0;
};

// The recall at the most permissive threshold that takes at most `rate` of the negatives.
class RateSum {
 public:
  // `negatives` of all rows; a hair more is allowed, so that 0.01 of 100 is one row in spite of rounding.
  RateSum(double rate, double negatives) : allowed_(rate * negatives * (1 + 1e-12)) {}

  void add(double positives, double negatives, std::size_t at) {
    hits_ += positives;
    alarms_ += negatives;
    if (alarms_ > allowed_) return;
    best_hits_ = hits_;
    best_alarms_ = alarms_;
    best_at_ = at;
  }
  double hits() const { return best_hits_; }      // positives at the threshold
  double alarms() const { return best_alarms_; }  // negatives at the threshold
  // The step of add() whose score is the threshold; kNone if not even the first is allowed.
  std::size_t at() const { return best_at_; }
  double all_positives() const { return hits_; }

  static constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

 private:
  double allowed_;
  double hits_ = 0, alarms_ = 0, best_hits_ = 0, best_alarms_ = 0;
  std::size_t best_at_ = kNone;
};

// The equal-width bin of a score in [0, 1]: bin i holds (i / bins, (i + 1) / bins], the first one 0 as well,
// as Guo et al. (2017) draw them.
inline std::size_t calibration_bin(double score, std::size_t bins) {
  const auto last = static_cast<double>(bins);
  auto bin = static_cast<std::size_t>(std::min(score * last, last - 1));
  // Rounding may have put a score that stands on an edge above it.
  while (bin > 0 && score <= static_cast<double>(bin) / last) --bin;
  while (bin + 1 < bins && score > static_cast<double>(bin + 1) / last) ++bin;
  return bin;
}

}  // namespace nidus::learn::internal
