#pragma once

#include <cstdint>
#include <string>

#include "serve/judge.h"

namespace nidus::serve::internal {

// How verdicts of a stream are written.
enum class VerdictForm : std::uint8_t {
  json,    // the members of one array
  ndjson,  // an object a line
  csv,
  binary,  // 8 bytes a row, little endian: the attack score as a float, the label's number as a 32-bit
           // integer
};

// Appends the verdicts of `count` rows, of which the first is number `first` of its stream. `explain`: as
// many reasons with each (json and ndjson); `rows` are then what the detector saw.
class VerdictLines {
 public:
  VerdictLines(VerdictForm form, std::size_t explain) : form_(form), explain_(explain) {}

  // Before the first row.
  void begin(std::string& out) const;
  void append(const Served& served, const Judged& judged, std::span<const double> rows, std::size_t count,
              std::uint64_t first, std::string& out);

 private:
  void append_object(const Served& served, const Judged& judged, std::size_t row, std::uint64_t number,
                     std::span<const float> seen, std::span<const double> contributions,
                     std::string& out) const;

  VerdictForm form_;
  std::size_t explain_;
};

}  // namespace nidus::serve::internal
