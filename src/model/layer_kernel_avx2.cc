#include <cstdint>
#include <cstring>

#include "model/internal/layer_kernel.h"

#if defined(__x86_64__)

#include <immintrin.h>

namespace nidus::model::internal {
namespace {

// Without fma: a fused product rounds once where the baseline rounds twice.
#define LAYER_TARGET __attribute__((target("avx2")))
#define LAYER_NAME "avx2"
#define LAYER_VECTOR 32
// GCC 12 makes two conversions and a shuffle of the general word.
#define LAYER_WIDEN(half) _mm256_cvtps_pd(half)
#include "model/internal/layer_kernel_text.h"

}  // namespace

const LayerKernel* avx2_layer_kernel() { return __builtin_cpu_supports("avx2") != 0 ? &kKernel : nullptr; }

}  // namespace nidus::model::internal

#else

const nidus::model::internal::LayerKernel* nidus::model::internal::avx2_layer_kernel() { return nullptr; }

#endif
