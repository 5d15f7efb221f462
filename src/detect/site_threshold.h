#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "base/result.h"

// Where a detector's line lies on the traffic of one site. A line drawn on other traffic keeps its promise
// there and not here: what is called 1 % of false alarms is often twenty on another network.
namespace nidus::detect {

struct SiteOptions {
  // Of the site's benign rows, the share that may be called attacks. Above 0, at most 1/2.
  double rate = 0.01;
  // The share of the highest scores that is left out first, since the traffic may hold attacks. Half the rate
  // at most is left out, whatever stands here: on traffic without any attack the rows left out are benign,
  // and are alarms on top of the rate.
  double trim = 0.005;
};

struct SiteThreshold {
  double value = 0;  // alarm when score >= value
  double wanted_rate = 0;
  std::uint64_t rows = 0;     // that it was drawn by
  std::uint64_t trimmed = 0;  // left out, above them
  std::uint64_t allowed = 0;  // of `rows`, those that are alarms
  bool resolvable = false;    // ten alarms or more: with fewer the rate is hardly more than a guess
};

// Split conformal prediction (Vovk et al. 2005; Papadopoulos et al. 2002): with n benign scores the next one,
// if it comes from where they came from, is an alarm with a chance of at most `rate`, which needs
// floor(rate (n + 1)) - 1 of them above the line. The line lies in the middle between two scores that
// occurred. Scores that are no numbers do not count. Errc::invalid for options out of range or with fewer
// scores than the rate needs: the message says how many that is.
Result<SiteThreshold> site_threshold(std::span<const double> scores, const SiteOptions& options = {});

// Whether a line drawn anew makes the detector deaf: it is above the one `before`, and less than a thousandth
// of what that had above it, up to the score at which scores end, is above this one.
bool leaves_no_room(double line, double before, double end);

// The line of a sensor that watches a site for years: drawn again as its traffic changes, in bounded memory,
// and not moved by whoever floods it for an hour.
//
// Scores go into blocks of block_rows(). When a block is full, a line is drawn by site_threshold() on it
// alone, and the line in force is the median of those of the last `blocks` blocks. An attack, however many
// flows it has, moves that median only if it lasts for half of the blocks; a change that stays has moved it
// after half of them. Until kBlocksLeast blocks are full, or all of fewer that it keeps, the line is the one
// it began with: one flooded block of two, or the very first, would else be the line. A block whose line
// would leave no room is left out.
//
// Not thread-safe.
class RollingThreshold {
 public:
  struct Options {
    SiteOptions site;
    std::size_t blocks = 24;          // at most 1024
    std::size_t block_rows = 0;       // 0: so many that twenty may be alarms, at least 1000
    std::size_t rows_max = 1u << 20;  // of a block: memory is eight bytes for each
    double end = std::numeric_limits<double>::infinity();  // the highest score there can be
  };

  static constexpr std::size_t kBlocksLeast = 3;

  // Errc::invalid for options that site_threshold() refuses, or blocks that cannot resolve the rate.
  static Result<RollingThreshold> make(double begins_at, const Options& options);

  // A score that is no number is not counted. True if the line has just moved.
  bool add(double score);

  double value() const { return value_; }
  std::size_t block_rows() const { return block_rows_; }
  std::uint64_t rows() const { return rows_; }      // counted since the beginning
  std::uint64_t alarms() const { return alarms_; }  // of them at or above the line that was in force
  std::size_t blocks_drawn() const { return lines_.size(); }
  std::uint64_t blocks_left_out() const { return left_out_; }  // since the beginning

 private:
  RollingThreshold(double begins_at, const Options& options, std::size_t block_rows);

  Options options_;
  std::size_t block_rows_;
  double began_at_, value_;
  std::vector<double> block_;
  std::vector<double> lines_;  // a ring
  std::size_t oldest_ = 0;
  std::uint64_t rows_ = 0, alarms_ = 0, left_out_ = 0;
};

}  // namespace nidus::detect
