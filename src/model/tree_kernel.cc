#include "model/internal/tree_kernel.h"

#include <array>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// A walk is a chain: node, feature value, comparison, next node. Each link waits for memory, so the only way
// to be fast is to have many walks under way. The scalar kernel keeps eight in registers, the AVX2 kernel
// four times eight in lanes, with three gathers a level.
//
// Trees of a forest are deep and lopsided: most rows arrive long before the deepest leaf is possible. Since a
// walk that has arrived stays where it is, a group is done when a step moved none of its walks; this is asked
// only in trees deeper than kShallow, where asking costs less than walking on.
namespace nidus::model::internal {
namespace {

constexpr std::size_t kShallow = 8;

inline std::uint32_t step(const Node* tree, std::uint32_t at, const float* row) {
  const Node node = tree[at];
  return static_cast<std::uint32_t>(node.left()) + (row[node.feature()] > node.threshold() ? 1u : 0u);
}

void finish(const Node* tree, const float* row, std::uint32_t at, std::size_t depth, std::uint32_t* leaf) {
  for (std::size_t level = 0; level < depth; ++level) {
    const auto next = step(tree, at, row);
    if (next == at) break;
    at = next;
  }
  *leaf = static_cast<std::uint32_t>(tree[at].leaf_number());
}

constexpr std::size_t kScalarLanes = 8;

void down_scalar(const Node* tree, std::size_t depth, const float* rows, std::size_t inputs,
                 std::size_t count, std::uint32_t* leaves) {
  std::size_t first = 0;
  for (; first + kScalarLanes <= count; first += kScalarLanes) {
    std::array<std::uint32_t, kScalarLanes> at{};
    const float* block = rows + first * inputs;
    for (std::size_t level = 0; level < depth; ++level) {
      std::uint32_t moved = 0;
      for (std::size_t lane = 0; lane < kScalarLanes; ++lane) {
        const auto next = step(tree, at[lane], block + lane * inputs);
        moved |= next ^ at[lane];
        at[lane] = next;
      }
      if (depth > kShallow && moved == 0) break;
    }
    for (std::size_t lane = 0; lane < kScalarLanes; ++lane) {
      leaves[first + lane] = static_cast<std::uint32_t>(tree[at[lane]].leaf_number());
    }
  }
  for (; first < count; ++first) finish(tree, rows + first * inputs, 0, depth, leaves + first);
}

void across_scalar(const Node* nodes, const std::uint32_t* roots, std::size_t depth, const float* row,
                   std::size_t count, std::uint32_t* leaves) {
  std::size_t first = 0;
  for (; first + kScalarLanes <= count; first += kScalarLanes) {
    std::array<std::uint32_t, kScalarLanes> at{};
    std::array<const Node*, kScalarLanes> trees{};
    for (std::size_t lane = 0; lane < kScalarLanes; ++lane) trees[lane] = nodes + roots[first + lane];
    for (std::size_t level = 0; level < depth; ++level) {
      std::uint32_t moved = 0;
      for (std::size_t lane = 0; lane < kScalarLanes; ++lane) {
        const auto next = step(trees[lane], at[lane], row);
        moved |= next ^ at[lane];
        at[lane] = next;
      }
      if (moved == 0) break;
    }
    for (std::size_t lane = 0; lane < kScalarLanes; ++lane) {
      leaves[first + lane] = static_cast<std::uint32_t>(trees[lane][at[lane]].leaf_number());
    }
  }
  for (; first < count; ++first) finish(nodes + roots[first], row, 0, depth, leaves + first);
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
__attribute__((target("avx2"))) void down_group(const Node* tree, std::size_t depth, const float* rows,
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
    down_group<4>(tree, depth, rows + first * inputs, inputs, leaves + first);
  for (; first + 8 <= count; first += 8)
    down_group<1>(tree, depth, rows + first * inputs, inputs, leaves + first);
  for (; first < count; ++first) finish(tree, rows + first * inputs, 0, depth, leaves + first);
}

template <std::size_t kGroups>
__attribute__((target("avx2"))) void across_group(const Node* nodes, const std::uint32_t* roots,
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
  for (; first + 32 <= count; first += 32) across_group<4>(nodes, roots + first, depth, row, leaves + first);
  for (; first + 8 <= count; first += 8) across_group<1>(nodes, roots + first, depth, row, leaves + first);
  for (; first < count; ++first) finish(nodes + roots[first], row, 0, depth, leaves + first);
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
  static const TreeKernel& best = avx2_kernel() != nullptr ? *avx2_kernel() : kScalarKernel;
  return best;
}

}  // namespace nidus::model::internal
