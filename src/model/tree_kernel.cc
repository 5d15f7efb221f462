#include "model/internal/tree_kernel.h"

#include <array>
#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// A walk is a chain: node, feature value, comparison, next node. Each link waits for memory, so the only way
// to be fast is to have many walks under way. The scalar kernel keeps sixteen, each step one load of a whole
// node and one of a value; the AVX2 kernel keeps four times eight in lanes, with three gathers a step.
//
// Which is faster depends on how a processor gathers. Measured on a Zen 3 at 2.4 GHz that others used as
// well, 100 trees on 80 inputs, best ns for a row and tree: depth 6 scalar 6.0 and AVX2 13.6, depth 13 scalar
// 45 and AVX2 67. With eight walks instead of sixteen, 6.0 and 66. Rows turned feature by feature gained
// nothing (6.6 and 69), nor did AVX2 on perfect trees whose upper nodes lie in registers (7.5). So AVX2 is
// taken on Intel's processors only, whose gathers are said to be faster; that is not measured here.
//
// Trees of a forest are deep and lopsided: most rows arrive long before the deepest leaf is possible. Since a
// walk that has arrived stays where it is, a group is done when a step moved none of its walks; this is asked
// only in trees deeper than kShallow, where asking costs less than walking on.
namespace nidus::model::internal {
namespace {

constexpr std::size_t kShallow = 8;

inline std::uint32_t step(const Node* tree, std::uint32_t at, const float* rows, std::size_t offset) {
  // One load of eight bytes: the compiler does not merge the two halves by itself, which costs two fifths.
  std::uint64_t node;
  std::memcpy(&node, tree + at, sizeof node);
  const auto threshold = std::bit_cast<float>(static_cast<std::uint32_t>(node));
  const auto packed = static_cast<std::uint32_t>(node >> 32);
  const float value = rows[offset + (packed & (Node::kFeaturesMax - 1))];
  return (packed >> Node::kFeatureBits) + (value > threshold ? 1u : 0u);
}

// `kLanes` rows through one tree.
template <std::size_t kLanes, bool kAsk>
void down_group(const Node* tree, std::size_t depth, const float* rows, std::size_t inputs,
                std::uint32_t* leaves) {
  std::uint32_t at[kLanes] = {};
  for (std::size_t level = 0; level < depth; ++level) {
    std::uint32_t moved = 0;
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kLanes; ++i) {
      const auto next = step(tree, at[i], rows, i * inputs);
      if constexpr (kAsk) moved |= next ^ at[i];
      at[i] = next;
    }
    if (kAsk && moved == 0) break;
  }
  for (std::size_t i = 0; i < kLanes; ++i) leaves[i] = static_cast<std::uint32_t>(tree[at[i]].leaf_number());
}

// One row through `kLanes` trees. Node numbers count from the first of all nodes.
template <std::size_t kLanes>
void across_group(const Node* nodes, const std::uint32_t* roots, std::size_t depth, const float* row,
                  std::uint32_t* leaves) {
  std::uint32_t at[kLanes];
  for (std::size_t i = 0; i < kLanes; ++i) at[i] = roots[i];
  for (std::size_t level = 0; level < depth; ++level) {
    std::uint32_t moved = 0;
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kLanes; ++i) {
      const auto next = roots[i] + step(nodes, at[i], row, 0);
      moved |= next ^ at[i];
      at[i] = next;
    }
    if (moved == 0) break;
  }
  for (std::size_t i = 0; i < kLanes; ++i) leaves[i] = static_cast<std::uint32_t>(nodes[at[i]].leaf_number());
}

template <bool kAsk>
void down_rest(const Node* tree, std::size_t depth, const float* rows, std::size_t inputs, std::size_t first,
               std::size_t count, std::uint32_t* leaves) {
  for (; first + 16 <= count; first += 16) {
    down_group<16, kAsk>(tree, depth, rows + first * inputs, inputs, leaves + first);
  }
  for (; first + 4 <= count; first += 4) {
    down_group<4, kAsk>(tree, depth, rows + first * inputs, inputs, leaves + first);
  }
  for (; first < count; ++first)
    down_group<1, true>(tree, depth, rows + first * inputs, inputs, leaves + first);
}

void down_from(const Node* tree, std::size_t depth, const float* rows, std::size_t inputs, std::size_t first,
               std::size_t count, std::uint32_t* leaves) {
  if (depth > kShallow) {
    down_rest<true>(tree, depth, rows, inputs, first, count, leaves);
  } else {
    down_rest<false>(tree, depth, rows, inputs, first, count, leaves);
  }
}

void across_from(const Node* nodes, const std::uint32_t* roots, std::size_t depth, const float* row,
                 std::size_t first, std::size_t count, std::uint32_t* leaves) {
  for (; first + 16 <= count; first += 16) across_group<16>(nodes, roots + first, depth, row, leaves + first);
  for (; first + 4 <= count; first += 4) across_group<4>(nodes, roots + first, depth, row, leaves + first);
  for (; first < count; ++first) across_group<1>(nodes, roots + first, depth, row, leaves + first);
}

void down_scalar(const Node* tree, std::size_t depth, const float* rows, std::size_t inputs,
                 std::size_t count, std::uint32_t* leaves) {
  down_from(tree, depth, rows, inputs, 0, count, leaves);
}

void across_scalar(const Node* nodes, const std::uint32_t* roots, std::size_t depth, const float* row,
                   std::size_t count, std::uint32_t* leaves) {
  across_from(nodes, roots, depth, row, 0, count, leaves);
}

#if defined(__x86_64__)

// Steps `kGroups` times eight walks. Node numbers count from `nodes`; `base` is the root of each lane's tree.
template <std::size_t kGroups>
__attribute__((target("avx2"))) inline bool step_avx2(const Node* nodes, const float* values,
                                                      const __m256i (&offsets)[kGroups],
                                                      const __m256i (&base)[kGroups],
                                                      __m256i (&at)[kGroups]) {
  const __m256i feature_mask = _mm256_set1_epi32(static_cast<int>(Node::kFeaturesMax - 1));
  const auto* words = reinterpret_cast<const int*>(nodes);
  __m256i moved = _mm256_setzero_si256();
  for (std::size_t g = 0; g < kGroups; ++g) {
    const __m256 threshold = _mm256_i32gather_ps(reinterpret_cast<const float*>(words), at[g], 8);
    const __m256i packed = _mm256_i32gather_epi32(words + 1, at[g], 8);
    const __m256i feature = _mm256_and_si256(packed, feature_mask);
    const __m256 value = _mm256_i32gather_ps(values, _mm256_add_epi32(feature, offsets[g]), 4);
    const __m256i left = _mm256_add_epi32(_mm256_srli_epi32(packed, Node::kFeatureBits), base[g]);
    // True is minus one, so subtracting goes right.
    const __m256i right = _mm256_castps_si256(_mm256_cmp_ps(value, threshold, _CMP_GT_OQ));
    const __m256i next = _mm256_sub_epi32(left, right);
    moved = _mm256_or_si256(moved, _mm256_xor_si256(next, at[g]));
    at[g] = next;
  }
  return _mm256_testz_si256(moved, moved) == 0;
}

template <std::size_t kGroups>
__attribute__((target("avx2"))) inline void store_leaves(const Node* nodes, const __m256i (&at)[kGroups],
                                                         std::uint32_t* leaves) {
  const __m256i mask = _mm256_set1_epi32(static_cast<int>(Node::kLeavesMax - 1));
  for (std::size_t g = 0; g < kGroups; ++g) {
    const __m256i bits = _mm256_i32gather_epi32(reinterpret_cast<const int*>(nodes), at[g], 8);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(leaves + 8 * g), _mm256_and_si256(bits, mask));
  }
}

template <std::size_t kGroups>
__attribute__((target("avx2"))) void down_lanes(const Node* tree, std::size_t depth, const float* rows,
                                                std::size_t inputs, std::uint32_t* leaves) {
  const __m256i lanes = _mm256_mullo_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
                                           _mm256_set1_epi32(static_cast<int>(inputs)));
  __m256i offsets[kGroups], base[kGroups], at[kGroups];
  for (std::size_t g = 0; g < kGroups; ++g) {
    offsets[g] = _mm256_add_epi32(lanes, _mm256_set1_epi32(static_cast<int>(8 * g * inputs)));
    base[g] = at[g] = _mm256_setzero_si256();
  }
  for (std::size_t level = 0; level < depth; ++level) {
    if (!step_avx2<kGroups>(tree, rows, offsets, base, at) && depth > kShallow) break;
  }
  store_leaves<kGroups>(tree, at, leaves);
}

__attribute__((target("avx2"))) void down_avx2(const Node* tree, std::size_t depth, const float* rows,
                                               std::size_t inputs, std::size_t count, std::uint32_t* leaves) {
  std::size_t first = 0;
  for (; first + 32 <= count; first += 32)
    down_lanes<4>(tree, depth, rows + first * inputs, inputs, leaves + first);
  for (; first + 8 <= count; first += 8)
    down_lanes<1>(tree, depth, rows + first * inputs, inputs, leaves + first);
  down_from(tree, depth, rows, inputs, first, count, leaves);
}

template <std::size_t kGroups>
__attribute__((target("avx2"))) void across_lanes(const Node* nodes, const std::uint32_t* roots,
                                                  std::size_t depth, const float* row,
                                                  std::uint32_t* leaves) {
  __m256i offsets[kGroups], base[kGroups], at[kGroups];
  for (std::size_t g = 0; g < kGroups; ++g) {
    offsets[g] = _mm256_setzero_si256();
    base[g] = at[g] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(roots + 8 * g));
  }
  for (std::size_t level = 0; level < depth; ++level) {
    if (!step_avx2<kGroups>(nodes, row, offsets, base, at)) break;
  }
  store_leaves<kGroups>(nodes, at, leaves);
}

__attribute__((target("avx2"))) void across_avx2(const Node* nodes, const std::uint32_t* roots,
                                                 std::size_t depth, const float* row, std::size_t count,
                                                 std::uint32_t* leaves) {
  std::size_t first = 0;
  for (; first + 32 <= count; first += 32) across_lanes<4>(nodes, roots + first, depth, row, leaves + first);
  for (; first + 8 <= count; first += 8) across_lanes<1>(nodes, roots + first, depth, row, leaves + first);
  across_from(nodes, roots, depth, row, first, count, leaves);
}

constexpr TreeKernel kAvx2Kernel = {"avx2", down_avx2, across_avx2};

#endif

}  // namespace

const TreeKernel kScalarKernel = {"scalar", down_scalar, across_scalar};

const TreeKernel* avx2_kernel() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") != 0 ? &kAvx2Kernel : nullptr;
#else
  return nullptr;
#endif
}

const TreeKernel& best_kernel() {
#if defined(__x86_64__)
  static const bool gathers_well = avx2_kernel() != nullptr && __builtin_cpu_is("intel") != 0;
  return gathers_well ? kAvx2Kernel : kScalarKernel;
#else
  return kScalarKernel;
#endif
}

}  // namespace nidus::model::internal
