#include <bit>
#include <type_traits>

#include "model/internal/tree_kernel.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace nidus::model::internal {
namespace {

#define STRIP_TARGET __attribute__((target("avx2,popcnt")))
#define STRIP_BELOW below_avx2
#define STRIP_NAME "avx2"
#define STRIP_BYTES 32
#define STRIP_VECTOR 32

STRIP_TARGET inline unsigned below_avx2(const float* cuts, float x) {
  const __m256 below = _mm256_cmp_ps(_mm256_set1_ps(x), _mm256_load_ps(cuts), _CMP_GT_OQ);
  return static_cast<unsigned>(std::popcount(static_cast<unsigned>(_mm256_movemask_ps(below))));
}

#include "model/internal/strip_kernel.h"

}  // namespace

const TreeKernel* avx2_kernel() {
  return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("popcnt") != 0 ? &kKernel : nullptr;
}

}  // namespace nidus::model::internal

#else

const nidus::model::internal::TreeKernel* nidus::model::internal::avx2_kernel() { return nullptr; }

#endif
