#pragma once

#include <cstddef>
#include <optional>

#include "base/result.h"
#include "interop/internal/json.h"
#include "interop/internal/tree_builder.h"

namespace nidus::interop::internal {

// How one version of XGBoost took its trees, and what a wrapper said.
struct XgboostTreeOptions {
  std::size_t inputs = 0;
  std::optional<float> missing;  // a number that counts as NaN
  // 1.6 sent what can be no category, and categories beyond those of the set, where missing values go; other
  // versions to the left.
  bool outside_is_missing = false;
};

// One tree of XGBoost, in any of its spellings, as the builder takes it. `factor` multiplies its leaves, in
// float as dart does.
Result<ForeignTree> read_xgboost_tree(const JsonValue& json, const XgboostTreeOptions& options, float factor,
                                      TreeBuilder& builder);

}  // namespace nidus::interop::internal
