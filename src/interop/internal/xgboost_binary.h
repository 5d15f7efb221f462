#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/result.h"

namespace nidus::interop::internal {

// What XGBoost 1.0 to 1.2 put into pickles of a Booster: "CONFIG-offset:", the size of the model, the model
// as the C++ structures lay in memory (little-endian), and its configuration as JSON. Said again as the text
// that the same library would have written, {"Config": …, "Model": …}, so that one reader checks both. Trees
// of numeric columns, since others were not there yet; gbtree and dart.
//
// The text is at most 64 times as long as the bytes. Errc::corrupt where they end too early or contradict
// themselves, Errc::unsupported for models of before 1.0 and other boosters. Indices are not looked at.
Result<std::string> xgboost_binary_as_json(std::span<const std::byte> snapshot);

}  // namespace nidus::interop::internal
