#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/json_writer.h"
#include "base/result.h"
#include "detect/manifest.h"

// Whether rows still look as the detector knows ordinary rows to look: without labels, thus without saying
// whether it is wrong about them. docs/calibration.md explains every figure.
namespace nidus::detect {

enum class Drift : std::uint8_t {
  none,  // nothing to compare with
  few,   // too few rows to say
  stable,
  moved,    // PSI of 0.1 or more
  drifted,  // PSI of 0.25 or more
};
std::string_view name(Drift drift);

// How the values of one column, or the scores, differ from those of the baseline.
struct ColumnDrift {
  std::string name;
  Drift verdict = Drift::none;
  // Population stability index (Karakoulas 2004): the sum over the places of the histogram, "missing" among
  // them, of (now - then) ln(now / then); half a row is added to each place.
  std::optional<double> psi;
  // What chance alone would pass in one of a hundred comparisons: PSI / (1/rows + 1/rows then) is nearly
  // chi-squared (Yurdakul 2018). A PSI below it is stable whatever its size.
  double psi_by_chance = 0;
  // The square root of the Jensen-Shannon divergence in bits, of the same places: 0 to 1 (Lin 1991).
  std::optional<double> jensen_shannon;
  // How far the values must be moved to become those of the baseline, on average, over the middle 98 %
  // (1-Wasserstein, by quantiles), in units of the baseline's own mean distance from its median. None for
  // categories, and where nothing varied.
  std::optional<double> wasserstein;
  double missing_then = 0,
         missing = 0;             // shares of all rows; in rows of categories `missing` counts unknown texts
  double unknown = 0;             // of them, texts that are not in the vocabulary, if that was told
  std::optional<double> outside;  // share beyond the least and greatest value of the baseline
  std::optional<double> median_then, median;
};

// What the detector's own probabilities say of its verdicts, where no label is known ("confidence-based
// performance estimation"; Garg et al. 2022 and NannyML name it so). True as far as the probabilities are,
// which no drift of what attacks look like leaves them.
struct ExpectedFigures {
  double attack_share = 0;
  double accuracy = 0;
  std::optional<double> precision, recall;
};

struct DriftReport {
  std::uint64_t rows = 0;  // compared
  std::uint64_t seen = 0;  // of which they were drawn
  std::string then;        // what the baseline is of
  std::uint64_t rows_then = 0;
  Drift verdict = Drift::none;
  ColumnDrift score;
  std::vector<ColumnDrift> columns;   // in the order of the schema
  std::optional<double> alarm_share;  // of the rows, and what the threshold was drawn for
  double wanted_rate = 0;
  std::optional<ExpectedFigures> expected;

  std::size_t count(Drift drift) const;  // columns with this verdict
  // A verdict in a sentence, and a table of the `most` columns that moved furthest.
  std::string to_text(std::size_t most, bool colours = false) const;
  void to_json(JsonWriter& json) const;
};

struct Observed {
  std::span<const float> values;   // row-major, in the columns of the schema
  std::span<const double> scores;  // one for each row
  std::uint64_t seen = 0;          // rows that these were drawn of; 0: all there were
  std::span<const double>
      unknown;  // by column, the share of rows with a text not in the vocabulary; may be empty
};

// Compares with the baseline; with the quantiles alone, more coarsely, where the detector has no baseline.
// The whole is drifted if the score is, or a third of the columns; moved if the score is, or a tenth of the
// columns at least that. Errc::unsupported if the detector says nothing of ordinary rows.
Result<DriftReport> measure_drift(const Manifest& manifest, const Observed& observed);

}  // namespace nidus::detect
