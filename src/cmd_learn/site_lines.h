#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json_writer.h"
#include "detect/site_threshold.h"
#include "learn/metrics.h"
#include "model/model.h"

// Lines drawn by the rows of a site, what they do to those rows, and what is odd about that.
namespace nidus::cmd {

// The scores of all rows that have one, the earliest first.
struct SiteRows {
  struct Row {
    double score, time;
    std::uint32_t input;
    bool was_attack;  // by the line, or whatever rule, that the detector came with
  };
  std::vector<Row> rows;
  std::size_t fitted = 0;  // of them the first, by which the line is drawn
  bool timed = true;       // each row says when it was
  std::uint64_t unjudged = 0;
  std::uint64_t empty = 0;  // of the rows those without one value

  std::vector<double> scores(bool later) const;
  // How long the rows last, input by input.
  std::optional<double> hours(bool later) const;
};

// A line, and what it does to the rows.
struct Line {
  std::string name;
  std::optional<double> nominal;
  double threshold = 0;
  std::uint64_t fitted_alarms = 0;  // of the rows that lines are drawn by
  double fitted_share = 0;
  std::uint64_t alarms = 0;  // of the later ones
  learn::Interval interval;
  double share = 0;
  std::optional<double> per_hour;
  detect::SiteThreshold drawn;
  bool is_deaf = false;    // hardly any score can reach it: see find_deaf()
  std::string impossible;  // why there is no such line
};

// The line at a threshold; without one that which the detector came with.
Line measured(std::string name, std::optional<double> nominal, std::optional<double> threshold,
              const SiteRows& site);

// What somebody should know before he trusts a line.
struct Doubt {
  std::string kind;  // for programs: "rows_look_attacked"
  std::string text;
  bool refuses = false;  // no detector is made with such a line, unless somebody insists
};

struct Lines {
  std::vector<Line> lines;  // the one that it had, the presets, and what was wished for
  std::size_t chosen = 0;
  std::uint64_t rows = 0, fitted = 0, trimmed = 0;
  std::optional<double> hours;
  // The line that it had on the scale of the rows' scores, and whether scores had another scale then.
  double had = 0;
  bool was_rescaled = false;
  std::vector<Doubt> doubts;

  const Line& line() const { return lines[chosen]; }
  std::string to_text() const;
  void to_json(JsonWriter& json) const;
};

// Marks the lines that leave nothing to be an alarm: above the one that the detector had, and no row in sight
// reaches it though ten of those it was drawn by may, or it lies where scores end. For probabilities these
// end at 1, for others at the highest of the rows, and a line is there when it has less than a thousandth
// above it of what the old line had.
void find_deaf(const SiteRows& site, model::Scale scale, Lines& lines);

// What is odd about the chosen line, the gravest first. A line by costs is not drawn by the rows, so less is.
std::vector<Doubt> doubts_of(const SiteRows& site, const Lines& lines);

}  // namespace nidus::cmd
