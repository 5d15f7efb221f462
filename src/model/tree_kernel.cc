#include "model/internal/tree_kernel.h"

#include <bit>
#include <type_traits>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// What every machine of the architecture has: SSE2 on x86-64, plain loops elsewhere.
namespace nidus::model::internal {
namespace {

inline unsigned below_plain(const float* cuts, float x) {
#if defined(__SSE2__)
  const __m128 value = _mm_set1_ps(x);
  const auto asked = [&](std::size_t at) {
    return _mm_castps_si128(_mm_cmplt_ps(_mm_load_ps(cuts + at), value));
  };
  const __m128i all = _mm_packs_epi32(asked(0), asked(4));
  // The cuts ascend, so those below come first.
  return static_cast<unsigned>(std::countr_one(static_cast<unsigned>(_mm_movemask_epi8(all)))) / 2;
#else
  unsigned count = 0;
  for (std::size_t i = 0; i < RankColumn::kBlock; ++i) count += cuts[i] < x ? 1 : 0;
  return count;
#endif
}

#define STRIP_TARGET
#define STRIP_BELOW below_plain

#define STRIP_NAME "baseline"
#define STRIP_BYTES 32
#define STRIP_VECTOR 16
#include "model/internal/strip_kernel.h"

}  // namespace

const TreeKernel kBaselineKernel = kKernel;

std::span<const TreeKernel* const> tree_kernels() {
  static const auto kernels = [] {
    struct Found {
      std::array<const TreeKernel*, 3> all{};
      std::size_t count = 0;
    } found;
    for (const TreeKernel* kernel : {&kBaselineKernel, avx2_kernel(), avx512_kernel()}) {
      if (kernel != nullptr) found.all[found.count++] = kernel;
    }
    return found;
  }();
  return std::span(kernels.all).first(kernels.count);
}

}  // namespace nidus::model::internal
