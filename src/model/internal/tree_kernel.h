#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

// The two loops that are worth an instruction set of their own. All kernels are compiled from one text,
// internal/strip_kernel.h, and give the same numbers: they differ in how many rows one instruction takes.
namespace nidus::model::internal {

// How the values of one feature become ranks. The rank of x is the number of cuts below x, so x <= cut i
// exactly when rank <= i, and comparing ranks is comparing values. The cuts lie in a tree of blocks of 8:
// the last layer holds them all, ascending, filled up with infinity to whole blocks; each layer above holds
// the last cut of every block below it but the last.
struct RankColumn {
  static constexpr std::size_t kBlock = 8;
  static constexpr std::size_t kLayersMax = 11;

  std::uint32_t feature = 0;
  std::uint32_t missing = 0;  // the rank of NaN: 0 goes left everywhere, the number of cuts goes right
  std::uint32_t layers = 0;
  std::array<std::uint32_t, kLayersMax> at{};  // where each layer begins in the table of cuts, top first
};

// A node of a tree that is full down to its last level: the children of node i are 2i + 1 and 2i + 2.
struct FullNode {
  std::uint16_t offset = 0;  // 32 × the column
  std::uint16_t cut = 0;  // left when rank < cut, both as stored: with their highest bit flipped, as signed
};

inline constexpr std::size_t kFullDepthMax = 8;
inline constexpr std::size_t kOffsetUnit = 32;

// Ranks lie in strips: a strip is some rows, column after column, of each column the ranks of those rows.
// Strips for full trees have `bytes` for a column.
struct TreeKernel {
  const char* name;
  std::size_t bytes;  // a multiple of kOffsetUnit

  struct Rows {
    std::span<const RankColumn> columns;
    const float* cuts;
    const float* rows;
    std::size_t inputs, count;
    std::size_t lanes;  // rows in a strip, a power of two
  };
  // `flip` is put on every rank by exclusive or. What lies in a strip behind the last row is left alone.
  void (*rank8)(const Rows&, std::uint8_t flip, std::uint8_t* strips);
  void (*rank16)(const Rows&, std::uint16_t flip, std::uint16_t* strips);

  // The leaves, counted from the left, that `count` strips of `stride` bytes end in; a tree of depth 1 to
  // kFullDepthMax.
  void (*full8)(const FullNode* tree, std::size_t depth, const std::uint8_t* strips, std::size_t stride,
                std::size_t count, std::uint8_t* leaves);
  void (*full16)(const FullNode* tree, std::size_t depth, const std::uint16_t* strips, std::size_t stride,
                 std::size_t count, std::uint16_t* leaves);
};

extern const TreeKernel kBaselineKernel;
// Null on machines and compilers without them.
const TreeKernel* avx2_kernel();
const TreeKernel* avx512_kernel();

// Every kernel this machine runs, the best last.
std::span<const TreeKernel* const> tree_kernels();
inline const TreeKernel& best_kernel() { return *tree_kernels().back(); }

}  // namespace nidus::model::internal
