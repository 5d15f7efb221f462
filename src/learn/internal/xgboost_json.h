#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "base/result.h"
#include "model/boost.h"

namespace nidus::learn::internal {

// Models that libxgboost 1.7 wrote as JSON, as one of ours with their trees one after the other. Only what
// our trainer asks for is understood: gbtree with numeric splits, binary:logistic or multi:softprob, the same
// in all parts. Errc::unsupported for anything else.
Result<model::Boost> from_xgboost_json(std::span<const std::string_view> parts, std::size_t inputs);
Result<model::Boost> from_xgboost_json(std::string_view part, std::size_t inputs);

}  // namespace nidus::learn::internal
