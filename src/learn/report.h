#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "learn/comparison.h"
#include "learn/evaluation.h"
#include "learn/explained.h"
#include "learn/leaks.h"

namespace nidus::learn {

// How one group - a capture, a day - fares.
struct GroupFigures {
  std::string name;
  std::uint64_t benign = 0, false_alarms = 0, attacks = 0, found = 0;
};

// Everything that is said of an evaluation, for people and for programs. A value.
struct Report {
  std::string detector, version;
  // What else the page says of detector and rows, in order: "model", "random forest: …".
  std::vector<std::pair<std::string, std::string>> facts;
  Evaluation evaluation;
  std::vector<GroupFigures> groups;
  // The same over time, the earliest first, if that was asked for: "2017-07-05 13:00", by `period`, "hour
  // (UTC)".
  std::vector<GroupFigures> periods;
  std::string period;
  LeakReport leaks;
  std::optional<Explained> explained;

  // A second detector on the same rows.
  struct Other {
    std::string detector, version;
    Evaluation evaluation;
    Comparison comparison;
    std::optional<Explained> explained;
  };
  std::optional<Other> other;

  std::string to_text() const;
  std::string to_json() const;  // one object and a line feed

  // One page without a script and without anything to load: opens from a file, prints, follows the reader's
  // choice of light or dark. All text from outside is escaped. UTF-8; also well-formed as XML.
  std::string to_html() const;
};

}  // namespace nidus::learn
