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

namespace {

#if defined(__x86_64__)
bool has_avx2() {
  static const bool has = __builtin_cpu_supports("avx2") != 0;
  return has;
}
#endif

}  // namespace

void set_leaves(const ShapTree& tree, std::span<const double> leaf_values, ShapScratch& scratch) {
#if defined(__x86_64__)
  if (has_avx2()) return avx2::set_leaves(tree, leaf_values, scratch);
#endif
  baseline::set_leaves(tree, leaf_values, scratch);
}

void explain_tree(const ShapTree& tree, const float* row, double scale, ShapScratch& scratch,
                  double* contributions) {
#if defined(__x86_64__)
  if (has_avx2()) return avx2::explain_tree(tree, row, scale, scratch, contributions);
#endif
  baseline::explain_tree(tree, row, scale, scratch, contributions);
}

}  // namespace nidus::model::internal
