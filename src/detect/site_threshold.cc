#include "detect/site_threshold.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

namespace nidus::detect {
namespace {

constexpr std::uint64_t kAlarmsLeast = 10;
constexpr std::size_t kBlocksMax = 1024;

bool is_good(const SiteOptions& options) {
  return options.rate > 0 && options.rate <= 0.5 && options.trim >= 0 && options.trim <= 0.5;
}

Error bad_options() {
  return {Errc::invalid,
          "a rate of alarms lies above 0 and is at most 0.5, and so is what is trimmed, or it is 0"};
}

// Of n rows, how many may be alarms; below zero if there are too few to promise anything.
double allowed_of(std::size_t n, double rate) {
  return std::floor(rate * static_cast<double>(n + 1) * (1 + 1e-12)) - 1;
}

double median(std::vector<double> values) {
  const std::size_t half = values.size() / 2;
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(half), values.end());
  if (values.size() % 2 == 1) return values[half];
  const double above = values[half];
  const double below = *std::max_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(half));
  return below + (above - below) / 2;
}

}  // namespace

Result<SiteThreshold> site_threshold(std::span<const double> given, const SiteOptions& options) {
  if (!is_good(options)) return bad_options();
  std::vector<double> scores;
  scores.reserve(given.size());
  std::copy_if(given.begin(), given.end(), std::back_inserter(scores),
               [](double x) { return !std::isnan(x); });

  SiteThreshold out;
  out.wanted_rate = options.rate;
  const double trim = std::min(options.trim, options.rate / 2);
  out.trimmed = static_cast<std::uint64_t>(trim * static_cast<double>(scores.size()));
  out.rows = scores.size() - out.trimmed;
  const double allowed = allowed_of(out.rows, options.rate);
  if (allowed < 0) {
    return Error{
        Errc::invalid,
        fmt::format("{} rows are too few for a rate of {}: it takes {} to promise it, and {} to measure it",
                    scores.size(), options.rate, std::ceil(1 / options.rate),
                    std::ceil(static_cast<double>(kAlarmsLeast) / options.rate))};
  }
  out.allowed = static_cast<std::uint64_t>(allowed);
  // Only the order around the line matters.
  const std::size_t at = out.trimmed + out.allowed;  // the highest that must stay below
  std::nth_element(scores.begin(), scores.begin() + static_cast<std::ptrdiff_t>(at), scores.end(),
                   std::greater<>());
  const double below = scores[at];
  double above = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < at; ++i) {
    if (scores[i] > below) above = std::min(above, scores[i]);
  }
  out.value = std::nextafter(below, std::numeric_limits<double>::infinity());
  if (std::isfinite(above)) out.value = std::max(out.value, below + (above - below) / 2);
  const auto alarms = static_cast<std::uint64_t>(
      std::count_if(scores.begin(), scores.end(), [&](double score) { return score >= out.value; }));
  out.allowed = alarms > out.trimmed ? alarms - out.trimmed : 0;
  out.resolvable = allowed >= static_cast<double>(kAlarmsLeast);
  return out;
}

bool leaves_no_room(double line, double before, double end) {
  constexpr double kRoomLeast = 1e-3;
  return line > before && end - line < kRoomLeast * (end - before);
}

Result<RollingThreshold> RollingThreshold::make(double begins_at, const Options& options) {
  if (!is_good(options.site)) return bad_options();
  if (options.blocks == 0 || options.blocks > kBlocksMax)
    return Error{Errc::invalid, fmt::format("1 to {} blocks", kBlocksMax)};
  const auto wanted = static_cast<std::size_t>(std::ceil(20 / options.site.rate));
  const std::size_t rows = options.block_rows != 0 ? options.block_rows : std::max<std::size_t>(1000, wanted);
  if (rows > options.rows_max || allowed_of(rows - rows / 2, options.site.rate) < 0) {
    return Error{Errc::invalid,
                 fmt::format("blocks of {} rows cannot hold a rate of {}: it takes {}, and at most "
                             "{} are kept",
                             rows, options.site.rate, wanted, options.rows_max)};
  }
  return RollingThreshold(begins_at, options, rows);
}

RollingThreshold::RollingThreshold(double begins_at, const Options& options, std::size_t block_rows)
    : options_(options), block_rows_(block_rows), began_at_(begins_at), value_(begins_at) {
  block_.reserve(block_rows_);
  lines_.reserve(options_.blocks);
}

bool RollingThreshold::add(double score) {
  if (std::isnan(score)) return false;
  ++rows_;
  if (score >= value_) ++alarms_;
  block_.push_back(score);
  if (block_.size() < block_rows_) return false;
  const auto line = site_threshold(block_, options_.site);
  block_.clear();
  if (!line) return false;  // make() has seen to it that there are enough
  if (leaves_no_room(line->value, began_at_, options_.end)) {
    ++left_out_;
    return false;
  }
  if (lines_.size() < options_.blocks) {
    lines_.push_back(line->value);
  } else {
    lines_[std::exchange(oldest_, (oldest_ + 1) % lines_.size())] = line->value;
  }
  if (lines_.size() < std::min(kBlocksLeast, options_.blocks)) return false;
  const double before = std::exchange(value_, median(lines_));
  return value_ != before;
}

}  // namespace nidus::detect
