#pragma once

#include <cstddef>
#include <cstdint>

#include "model/trees.h"

// The walks themselves, once for each instruction set. All give the same leaves for the same rows: they
// differ in how many walks they keep under way at once, not in what is compared.
namespace nidus::model::internal {

struct TreeKernel {
  const char* name;
  // `count` rows through one tree; leaves as in TreeSet::walk.
  void (*down)(const Node* tree, std::size_t depth, const float* rows, std::size_t inputs, std::size_t count,
               std::uint32_t* leaves);
  // One row through `count` trees that begin at nodes[roots[i]]; depth is that of the deepest.
  void (*across)(const Node* nodes, const std::uint32_t* roots, std::size_t depth, const float* row,
                 std::size_t count, std::uint32_t* leaves);
};

extern const TreeKernel kScalarKernel;
// Null on machines and compilers without it.
const TreeKernel* avx2_kernel();
// The best for this machine, chosen once.
const TreeKernel& best_kernel();

}  // namespace nidus::model::internal
