#include "model/internal/shap_tree.h"

// The same source for each instruction set. Sums are never contracted to fused multiply-adds, so that all
// give the same bits.
namespace nidus::model::internal {

namespace baseline {
namespace {
#include "model/internal/shap_kernel.h"
}  // namespace
}  // namespace baseline

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx2")
namespace avx2 {
namespace {
#include "model/internal/shap_kernel.h"
}  // namespace
}  // namespace avx2
#pragma GCC pop_options
#endif

void explain_tree(const ShapTree& tree, const float* row, double scale, ShapScratch& scratch,
                  double* contributions) {
#if defined(__x86_64__)
  static const bool has_avx2 = __builtin_cpu_supports("avx2") != 0;
  if (has_avx2) return avx2::explain_tree(tree, row, scale, scratch, contributions);
#endif
  baseline::explain_tree(tree, row, scale, scratch, contributions);
}

}  // namespace nidus::model::internal
