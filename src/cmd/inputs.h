#pragma once

#include <string>

#include "base/result.h"
#include "data/table_reader.h"

namespace nidus::cmd {

enum class InputKind {
  capture,
  table,
  detector,
  model_file,
  foreign,  // a model file, or a folder of such, of another program
};

// What a path holds, by its first bytes and not by its name. "-" and other streams are captures.
// Errc::not_found if there is nothing, Errc::corrupt for an empty file, Errc::unsupported for bytes that are
// none of these.
Result<InputKind> kind_of(const std::string& path);

// Says on standard error which rows could not be read, and were therefore `left_out` ("not judged"), and
// which columns stand twice, of which the first counts.
void say_defects(const data::TableReport& report, const char* left_out);

}  // namespace nidus::cmd
