#include <bit>
#include <type_traits>

#include "model/internal/tree_kernel.h"

// Not measured: no machine with these instructions was at hand. tree_kernel_test.cc holds it against the
// others wherever they are there, and its text, at the same width, everywhere.

#if defined(__x86_64__)
#include <immintrin.h>

namespace nidus::model::internal {
namespace {

#define STRIP_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,popcnt")))
#define STRIP_BELOW below_avx512
#define STRIP_NAME "avx512"
#define STRIP_BYTES 64
#define STRIP_VECTOR 64

STRIP_TARGET inline unsigned below_avx512(const float* cuts, float x) {
  const __mmask8 below = _mm256_cmp_ps_mask(_mm256_set1_ps(x), _mm256_load_ps(cuts), _CMP_GT_OQ);
  return static_cast<unsigned>(std::popcount(static_cast<unsigned>(below)));
}

#include "model/internal/strip_kernel.h"

}  // namespace

const TreeKernel* avx512_kernel() {
  return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
                 __builtin_cpu_supports("avx512vl") != 0 && __builtin_cpu_supports("popcnt") != 0
             ? &kKernel
             : nullptr;
}

}  // namespace nidus::model::internal

#else

const nidus::model::internal::TreeKernel* nidus::model::internal::avx512_kernel() { return nullptr; }

#endif
