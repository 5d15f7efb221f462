#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "detect/manifest.h"
#include "model/model.h"

namespace nidus::detect {

// What a detector says of one row.
struct Verdict {
  std::uint32_t label = 0;  // into Manifest::labels; 0 is benign
  double label_score = 0;   // with several classes: of that label; else as `score`
  double score = 0;         // the attack score, on the model's scale
  bool is_unknown = false;  // no label is credible: Manifest::Unknown. The label above is the nearest one

  bool is_attack() const { return label != 0; }
  // Whether the model could say anything.
  bool is_judged() const { return score == score; }
};

// The unit that people train, ship, load and roll back: a folder with `detector.json` and the model files it
// names.
//
// Immutable, so one object may be used by any number of threads; copies share everything.
class Detector {
 public:
  // Reads the folder and refuses it, naming file and field, when something is missing, does not fit or has
  // another SHA-256 than the manifest says, and when a golden row gets another score than it should.
  static Result<Detector> load(const std::filesystem::path& folder);

  // Writes a folder that load() reads: fills in the members' file names and SHA-256, and the scores of the
  // golden rows. The folder is made; if it is there, it must be empty or hold a detector, which is replaced.
  // The manifest is written last.
  static Result<void> save(Manifest manifest, std::span<const std::shared_ptr<const model::Model>> members,
                           const std::filesystem::path& folder);

  // The same files in memory, by their names in the folder. The bytes must outlive the call only.
  struct File {
    std::string name;
    std::span<const std::byte> bytes;
  };
  static Result<Detector> load_files(std::span<const File> files);

  // What save() writes, handed to `sink` file by file, the manifest last.
  using FileSink = std::function<Result<void>(const std::string& name, std::string_view bytes)>;
  static Result<void> write(Manifest manifest, std::span<const std::shared_ptr<const model::Model>> members,
                            const FileSink& sink);

  // The models that make it up, as save() takes them.
  std::span<const std::shared_ptr<const model::Model>> members() const;

  // Out of parts in memory. Errc::invalid if they do not fit each other.
  static Result<Detector> make(Manifest manifest, std::vector<std::shared_ptr<const model::Model>> members);

  // The same with the line drawn elsewhere, by hand.
  Detector with_threshold(double threshold) const;

  const Manifest& manifest() const;
  const model::Model& model() const;  // of all members together
  std::shared_ptr<const model::Model> shared_model() const;
  std::size_t inputs() const { return model().inputs(); }

  // `rows` holds count × inputs() floats; writes `count` verdicts.
  //
  // Binary: attack when score >= threshold. Classes, in two stages: attack when 1 - P(benign) >= threshold,
  // and then the most likely of the attack labels, the first of equals. Drawing the first line by itself
  // keeps the chosen false-positive rate, and finds rare classes that a plain argmax gives to benign.
  // A detector may say that the most likely label is the verdict, whatever the threshold: Threshold::Rule.
  // A score that is no number, of a row with missing values that the model knows nothing of, is no verdict.
  void judge(std::span<const float> rows, std::size_t count, std::span<Verdict> verdicts) const;
  // The same for rows of doubles, which a wide model should be given.
  void judge(std::span<const double> rows, std::size_t count, std::span<Verdict> verdicts) const;
  // What follows of scores that the model, or another mean of its members, gave: count × model().outputs().
  void decide(std::span<const double> scores, std::size_t count, std::span<Verdict> verdicts) const;

 private:
  struct Parts;
  template <class Number>
  void judge_rows(std::span<const Number> rows, std::size_t count, std::span<Verdict> verdicts) const;
  explicit Detector(std::shared_ptr<const Parts> parts);
  std::shared_ptr<const Parts> parts_;
};

}  // namespace nidus::detect
