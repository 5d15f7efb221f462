#pragma once

#include <string>

#include "learn/explained.h"

namespace nidus::learn::internal {

// The part of a report's page that says what the detector goes by and why it is wrong where it is. `whose`
// stands in the headings: "", " (A)".
std::string explained_section(const Explained& explained, const std::string& whose);

}  // namespace nidus::learn::internal
