#pragma once

#include <string>

#include "base/result.h"

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

}  // namespace nidus::cmd
