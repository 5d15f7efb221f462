#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "base/result.h"
#include "model/boost.h"

namespace nidus::learn::internal {

// The model that libxgboost 1.7 wrote as JSON, as ours. Only what our trainer asks for is understood: gbtree
// with numeric splits, binary:logistic or multi:softprob. `rounds` limits how many are kept, 0 keeps all.
Result<model::Boost> from_xgboost_json(std::string_view json, std::size_t inputs, std::size_t rounds);

}  // namespace nidus::learn::internal
