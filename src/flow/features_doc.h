#pragma once

#include <string>

namespace nidus::flow {

// docs/features.md: every feature by name, unit and meaning from the list that the code uses, then what the
// profiles do differently. Regenerate the file with `nidus help features > docs/features.md`; a test compares
// the two.
std::string features_markdown();

}  // namespace nidus::flow
