#include <cmath>
#include <type_traits>

#include "learn/internal/network_kernel.h"

#if defined(__x86_64__)

namespace nidus::learn::internal {
namespace {

#define TRAIN_TARGET __attribute__((target("avx2,fma")))
#define TRAIN_NAME "avx2"
#define TRAIN_VECTOR 32
#include "learn/internal/network_kernel_text.h"

}  // namespace

const NetworkKernel<float>* avx2_network_kernel() {
  return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0 ? &kKernel<float>
                                                                                   : nullptr;
}

}  // namespace nidus::learn::internal

#else

const nidus::learn::internal::NetworkKernel<float>* nidus::learn::internal::avx2_network_kernel() {
  return nullptr;
}

#endif
