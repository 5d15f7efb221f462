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

  // What it learnt from. Rows are those it was fitted on.
  struct TrainedOn {
    std::vector<std::string> sources;
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
