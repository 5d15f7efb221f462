#include "model/internal/layer_kernel.h"

#include <array>
#include <cstdint>
#include <cstring>

// What every machine of the architecture has: SSE2 on x86-64, NEON on 64-bit ARM.
namespace nidus::model::internal {
namespace {

#define LAYER_TARGET
#define LAYER_NAME "baseline"
#define LAYER_VECTOR 16
#define LAYER_WIDEN(half) __builtin_convertvector(half, Lanes)
#include "model/internal/layer_kernel_text.h"

}  // namespace

const LayerKernel kBaselineLayerKernel = kKernel;

std::span<const LayerKernel* const> layer_kernels() {
  static const std::array<const LayerKernel*, 2> all = {&kBaselineLayerKernel, avx2_layer_kernel()};
  return std::span(all).first(all[1] == nullptr ? 1 : 2);
}

}  // namespace nidus::model::internal
