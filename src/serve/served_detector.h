#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "detect/detector.h"
#include "detect/reasons.h"
#include "detect/row_window.h"
#include "serve/row_reader.h"
#include "serve/settings.h"

namespace nidus::serve {

// Weights of the members of a detector, in their order.
struct Configuration {
  std::string name;
  std::vector<double> weights;
};

// What is wanted of rows beside their verdicts.
struct Wanted {
  bool members = false;                          // what each member says
  const Configuration* configuration = nullptr;  // null: the detector's own weights
};

// What a detector says of rows. Reused from call to call, it allocates nothing.
struct Scores {
  std::vector<detect::Verdict> verdicts;
  std::vector<double> outputs;  // count × outputs()
  std::vector<double> members;  // count × members(): the attack score of each; empty unless wanted

 private:
  friend class ServedDetector;
  std::vector<double> part_;
};

// A detector as it is served: one version of it, with all that its answers need, made once when it is loaded.
//
// Immutable but for the window of rows, so any number of threads may use one.
class ServedDetector {
 public:
  struct Member {
    std::string name;  // "random_forest"
    std::shared_ptr<const model::Model> model;
    double weight = 0;  // 0: only configurations ask it
  };

  // Reads the folder or file, scores the golden rows and fails if the scores are not what they should be.
  // Weights of `configurations` that name members which are not there make a configuration impossible: it is
  // left out. Errors as of detect::Detector::load and interop::import_detector.
  static Result<std::shared_ptr<const ServedDetector>> load(
      const DetectorSettings& settings,
      const std::map<std::string, std::map<std::string, double>>& configurations);
  // Of a detector in memory.
  static std::shared_ptr<const ServedDetector> make(
      detect::Detector detector, const DetectorSettings& settings,
      const std::map<std::string, std::map<std::string, double>>& configurations);

  const std::string& name() const { return name_; }
  // The same for the same bytes: the first twelve digits of a SHA-256 over all files.
  const std::string& version() const { return version_; }
  const std::filesystem::path& path() const { return path_; }
  std::int64_t loaded_us() const { return loaded_us_; }  // since 1970
  double load_seconds() const { return load_seconds_; }
  const std::vector<std::string>& notes() const { return notes_; }

  const detect::Detector& detector() const { return detector_; }
  const detect::Manifest& manifest() const { return detector_.manifest(); }
  std::size_t inputs() const { return detector_.inputs(); }
  std::size_t outputs() const { return detector_.model().outputs(); }
  bool is_anomaly() const { return manifest().kind == detect::Manifest::Kind::anomaly; }
  std::span<const Member> members() const { return members_; }
  // Whether a model of this name is there; clients of the ensemble service ask for three.
  bool has_member(std::string_view name) const;
  const Configuration* configuration(std::string_view name) const;
  std::span<const Configuration> configurations() const { return configurations_; }
  const std::shared_ptr<const FeatureNames>& names() const { return names_; }
  bool explains() const { return explains_; }
  // Null if its models cannot be explained. Made by whoever asks first, since it can be larger than the
  // models.
  const detect::Reasoner* reasoner() const;
  // Rows that it judged lately; whoever judges by it offers them.
  detect::RowWindow& window() const { return *window_; }
  // The metadata document of the folder it came from as it stands there, or one of the same shape.
  const std::string& metadata() const { return metadata_; }

  // `rows` holds count × inputs() numbers.
  void score(std::span<const double> rows, std::size_t count, const Wanted& wanted, Scores& scores) const;
  void score(std::span<const float> rows, std::size_t count, const Wanted& wanted, Scores& scores) const;

  // Use make().
  ServedDetector(detect::Detector detector, const DetectorSettings& settings);

 private:
  template <class Number>
  void score_rows(std::span<const Number> rows, std::size_t count, const Wanted& wanted,
                  Scores& scores) const;
  void find_members();
  void make_configurations(const std::map<std::string, std::map<std::string, double>>& configurations);
  std::string metadata_of_its_own() const;

  std::string name_, version_;
  std::filesystem::path path_;
  std::int64_t loaded_us_ = 0;
  double load_seconds_ = 0;
  std::vector<std::string> notes_;
  detect::Detector detector_;
  std::vector<Member> members_;
  std::vector<Configuration> configurations_;
  std::shared_ptr<const FeatureNames> names_;
  bool explains_ = false;
  mutable std::once_flag reasoner_made_;
  mutable std::optional<detect::Reasoner> reasoner_;
  std::unique_ptr<detect::RowWindow> window_;
  std::string metadata_;
};

// SHA-256 over the names and bytes of all files there, as hexadecimal digits: what tells versions apart.
// Errc::exhausted for more files than a detector has.
Result<std::string> content_digest(const std::filesystem::path& path);

}  // namespace nidus::serve
