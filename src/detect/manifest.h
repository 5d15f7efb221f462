#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "flow/meter.h"
#include "model/schema.h"

namespace nidus::detect {

// What `detector.json` says: everything about a detector but the trees themselves. docs/formats/detector.md
// describes the file. A value.
struct Manifest {
  // Limits on what is read; beyond, the file is refused with Errc::exhausted.
  static constexpr std::size_t kBytesMax = 16u << 20;
  static constexpr std::size_t kDepthMax = 16;
  static constexpr std::size_t kColumnsMax = 65536;
  static constexpr std::size_t kLabelsMax = 4096;
  static constexpr std::size_t kMembersMax = 64;
  static constexpr std::size_t kGoldenRowsMax = 256;

  enum class Kind : std::uint8_t {
    binary,   // one score, the attack's
    classes,  // a score for each label
    anomaly,  // one score, how unusual; trained on benign rows alone
  };

  std::string name;
  std::string version = "1";
  Kind kind = Kind::binary;

  // How flows must be metered; nothing for a detector of tables that no meter of ours makes.
  std::optional<flow::MeterOptions> meter;
  std::string meter_description;  // Meter::description(), empty without `meter`

  // Columns by canonical feature key where they are flow features.
  model::Schema schema;

  // Model files in the folder; scores are the mean weighted by `weight`.
  struct Member {
    std::string file;
    std::string sha256;
    double weight = 1;
  };
  std::vector<Member> members;

  std::vector<std::string> labels;  // label 0 is benign

  // A flow is an attack when its attack score reaches `value`; the attack score is that of "not label 0".
  struct Threshold {
    enum class Rule : std::uint8_t {
      line,         // as said above
      most_likely,  // with several classes: the label with the highest score, the first of equals
    };
    Rule rule = Rule::line;
    double value = 0.5;
    std::string chosen_on;   // "validation benign rows", "by hand"
    double wanted_rate = 0;  // false-positive rate that was asked for, and the one on those rows
    double realised_rate = 0;
    std::uint64_t benign_rows = 0;
    bool resolvable = false;  // enough rows for such a rate
  };
  Threshold threshold;

  // Whether the attack score is a probability: by which curve it was made one, of which rows. On other
  // traffic, or with another share of attacks, it is one no longer.
  struct Calibration {
    std::string method;     // "isotonic", "platt", "prior"; empty: it is none
    std::string fitted_on;  // "validation rows kept for it", "labelled rows of the site"
    std::uint64_t rows = 0, attacks = 0;
  };
  Calibration calibration;

  // When the detector says that it does not know (split conformal prediction, class by class: Vovk 2012). A
  // label is credible for a row if the probability that the model gives to it is not lower than for all but
  // `alpha` of the rows kept aside that have this label; a row for which none is credible is unknown.
  struct Unknown {
    static constexpr std::size_t kRanksMax = 1024;
    double alpha = 0;     // 0: it always knows
    std::string rows_of;  // "validation rows kept for it"
    struct OfLabel {
      std::uint64_t rows = 0;
      // The probability of the label in these rows, ascending: all of them, or evenly spaced ranks of them.
      std::vector<double> probabilities;
    };
    std::vector<OfLabel> labels;  // one for each, if there is an alpha
  };
  Unknown unknown;

  // What it learnt from. Rows are those it was fitted on.
  struct TrainedOn {
    // Which rows of the sources it was not shown, in the words of --hold-out and what goes with it.
    struct HoldOut {
      std::vector<std::string> what;  // a share, or names of groups; empty: it was shown all
      std::string by;                 // "chance" or "time", of a share
      std::string group;              // of which rows stay on one side; may be empty
      std::uint64_t seed = 0;         // of a share by chance
      bool drop_copies = false;       // copies were left out before
      std::string label;              // the column by whose classes a share was taken

      bool operator==(const HoldOut&) const = default;
    };

    std::vector<std::string> sources;
    HoldOut hold_out;
    std::map<std::string, std::uint64_t> rows;  // by label
    std::uint64_t seed = 0;
    std::string command;
  };
  TrainedOn trained_on;

  // JSON objects of measured figures by what they were measured on, kept as they are: "validation". See
  // main_figures().
  std::map<std::string, std::string> figures;

  // Benign training rows, column by column, to notice drift later: the quantiles at `reference_levels`;
  // missing values do not count. Empty for a categorical column.
  std::vector<double> reference_levels;
  std::vector<std::vector<double>> reference;

  // The same rows as histograms, by which drift is measured, and how the scores of benign rows were spread
  // that the models had not learnt from. Detectors of before 0.1 and imported ones have none.
  struct Histogram {
    // The shares of all rows, by where their value lies: (-inf, edges[0]], (edges[0], edges[1]] …, above the
    // last edge. Of a category there are no edges, and a share for each text of the vocabulary.
    std::vector<double> edges;
    std::vector<double> shares;
    double missing = 0;  // the share of rows without a value; with the others it makes 1
  };
  struct Baseline {
    static constexpr std::size_t kEdgesMax = 1024;

    std::string of;          // "benign rows learnt from", "rows of the site"
    std::uint64_t rows = 0;  // 0: there is none
    std::vector<Histogram> columns;

    std::string scores_of;  // "benign validation rows"
    std::uint64_t scores = 0;
    Histogram score;
    std::vector<double> score_quantiles;  // at reference_levels
  };
  Baseline baseline;

  // Rows and the attack scores they must get, tried at every load.
  struct Golden {
    std::vector<float> row;
    double score = 0;
    std::string label;
  };
  std::vector<Golden> golden;
};

std::string_view name(Manifest::Kind kind);

// One JSON document, indented for people, the same bytes for the same manifest.
std::string to_json(const Manifest& manifest);

// Errc::corrupt names the field: "members[1].sha256: …". Errc::unsupported for a newer format. Does not look
// at the members' files.
Result<Manifest> parse_manifest(std::string_view json);

// The figures of one of Manifest::figures that a person looks for first, in words; empty if none is there.
std::string main_figures(std::string_view json);

}  // namespace nidus::detect
