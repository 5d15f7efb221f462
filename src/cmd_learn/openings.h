#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

// How often rows that measure were looked at. A test that was opened many times while a detector was being
// made has been learnt from, whoever did not mean to; the count beside a figure says so.
namespace nidus::cmd {

// One input that is measured on.
struct Opening {
  std::string input;            // as it was named
  std::string sha256;           // of its bytes; empty for a stream, which nobody can count
  std::uint64_t earlier = 0;    // lines about these bytes that the log held already
  std::uint64_t detectors = 0;  // by how many different detectors, this one not among them

  // "rows.csv: opened 3 times before, by 2 other detectors".
  std::string to_text() const;
};

// Appends a line for each input to the log and says what it held of them. A line is time, SHA-256 of the
// input, SHA-256 of the detector's manifest, name of the detector and of the input, with tabs between; lines
// that are not like that are left alone and not counted. Others may append at the same time. The file is made
// if it is not there. Errc::io if it cannot be written: then nothing may be measured.
Result<std::vector<Opening>> log_openings(const std::string& log, const std::string& detector_folder,
                                          const std::string& detector_name,
                                          const std::vector<std::string>& inputs);

}  // namespace nidus::cmd
