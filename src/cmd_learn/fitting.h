#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cmd/terminal.h"
#include "cmd_learn/training.h"
#include "learn/dataset.h"
#include "learn/progress.h"
#include "model/model.h"

// What `nidus train` fits, family by family.
namespace nidus::cmd {

using ModelPointer = std::shared_ptr<const model::Model>;

// The files in which training keeps what it has done. They go when the detector is there.
class Checkpoints {
 public:
  explicit Checkpoints(const TrainArguments& given);

  // "DETECTOR.OF.checkpoint"; empty if nothing is to be kept.
  std::string file(std::string_view of);
  void remove() const;

 private:
  bool on_;
  std::string beside_;
  std::vector<std::string> files_;
};

// What comes out of learning: the members of the detector, which take rows as they come.
struct Learnt {
  std::vector<ModelPointer> models;
  std::vector<double> weights;                 // one for each; none: all the same
  std::map<std::string, std::string> figures;  // for the manifest
};

// What every family is fitted on, and how it was asked for.
struct Lesson {
  const learn::Dataset& training;
  std::span<const std::uint32_t> groups;  // one for each row; or none
  const TrainArguments& given;
  Checkpoints& checkpoints;
};

// Fits all that --model names.
Result<Learnt> fit(const Lesson& lesson);

// Appends to `learnt`. Families of one file share what they need of the rows.
Result<void> fit_trees(const Lesson& lesson, Learnt& learnt);
// Detectors of benign rows, which are all that they see of the lesson.
Result<void> fit_anomaly(const Lesson& lesson, Learnt& learnt);
// Networks, with what they need before them. A tenth of the rows is kept from them to stop by.
Result<void> fit_networks(const Lesson& lesson, Learnt& learnt);
// What --members names, made one as --combine says. A share of the rows is kept from the members where their
// scores must be brought to one scale, or weights learnt.
Result<void> fit_ensemble(const Lesson& lesson, Learnt& learnt);

// Shows the bar, and stops when the user does.
learn::Progress progress_of(ProgressBar& bar);
// If training was stopped: where to find what is done.
void say_where_it_stands(const std::filesystem::path& checkpoint);

}  // namespace nidus::cmd
