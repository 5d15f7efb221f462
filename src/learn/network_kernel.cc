#include "learn/internal/network_kernel.h"

#include <cmath>
#include <type_traits>

// What every machine of the architecture has: SSE2 on x86-64, NEON on 64-bit ARM.
namespace nidus::learn::internal {
namespace {

#define TRAIN_TARGET
#define TRAIN_NAME "baseline"
#define TRAIN_VECTOR 16
#include "learn/internal/network_kernel_text.h"

}  // namespace

const NetworkKernel<float> kBaselineNetworkKernel = kKernel<float>;

const NetworkKernel<float>& network_kernel() {
  static const NetworkKernel<float>* const best =
      avx2_network_kernel() != nullptr ? avx2_network_kernel() : &kBaselineNetworkKernel;
  return *best;
}

}  // namespace nidus::learn::internal
