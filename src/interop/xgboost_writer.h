#pragma once

#include <span>
#include <string>

#include "base/result.h"
#include "model/boost.h"
#include "model/schema.h"

namespace nidus::interop {

// Boosted trees as JSON that XGBoost 1.7 to 3.x loads and whose margins are then ours to the last bit
// (x <= t is written as x < the float above t). Names of columns become feature_names, with the blanks that
// XGBoost refuses ('[', ']', '<') as '_'; categorical columns are the codes that our rows hold. The classes
// are kept as the attribute "nidus_classes", a JSON list, which XGBoost carries along and does not use.
//
// A base margin that no base_score of XGBoost means exactly is written as a first tree of one leaf.
//
// Errc::unsupported: nodes with several parents, as sets of categories may have, or scores that are margins
// of several classes. Errc::invalid: a schema or classes that do not fit the model.
Result<std::string> write_xgboost(const model::Boost& boost, const model::Schema& schema,
                                  std::span<const std::string> classes);

}  // namespace nidus::interop
