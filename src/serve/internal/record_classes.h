#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "serve/judge.h"

namespace nidus::serve::internal {

// The five classes of NSL-KDD, by the map that docs/api.md states: Normal, DoS, Probe, Privilege Escalation,
// Access. Takes names of attacks, of classes in other spellings (R2L, u2r), and of what is benign; nothing
// for a label that is none of these.
std::optional<std::uint32_t> kdd_class(std::string_view label);

// How the labels of a detector are told to clients of the NSL-KDD app: as the five classes if each label is
// one of them or an attack of one, whose probabilities are then added up; else as they are.
class RecordClasses {
 public:
  explicit RecordClasses(const ServedDetector& detector);

  const std::vector<std::string>& names() const { return names_; }

  struct Answer {
    std::uint32_t index = 0;  // of names()
    double confidence = 0;    // the probability of that class
  };
  // Writes the probability of each class.
  Answer answer(const Judged& judged, std::size_t row, std::span<double> probabilities) const;

 private:
  std::vector<std::string> names_;
  std::vector<std::uint32_t> of_label_;
  std::size_t outputs_;
};

}  // namespace nidus::serve::internal
