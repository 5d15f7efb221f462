#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "detect/detector.h"
#include "detect/subject.h"

namespace nidus::detect {

struct SummaryOptions {
  // Sources kept for each label, about 200 bytes each. Verdicts of further ones are counted together.
  std::size_t sources_max = 1u << 16;
  // Hosts and ports kept for each source; beyond, they are "more than".
  std::size_t targets_max = 64;
  std::size_t ports_max = 1024;
};

struct SummaryStyle {
  std::size_t top = 5;  // sources shown for each label
  bool colours = false;
};

// What all verdicts together say: for each label how much, how sure, when, and who did it to whom. Does not
// depend on the order of the verdicts while there is room for all sources.
class VerdictSummary {
 public:
  explicit VerdictSummary(const Detector& detector, SummaryOptions options = {});
  ~VerdictSummary();

  void add(const Subject& subject, const Verdict& verdict);

  // Of the verdicts added, so many more are of rows that had not one value.
  void add_empty(std::uint64_t rows);

  // The verdicts were not by the detector's threshold but by one that moved, drawn for this rate of alarms;
  // it is `now` at last.
  void set_rolling(double rate, double now);

  std::uint64_t flows() const;
  std::uint64_t attacks() const;
  std::uint64_t unjudged() const;  // of which the model could say nothing; they are among flows()

  // An aligned table and a list of sources, for people.
  std::string to_text(const SummaryStyle& style) const;
  // One object on one line.
  std::string to_json(std::size_t top) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nidus::detect
