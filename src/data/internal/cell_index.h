#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace nidus::data::internal {

// Finds where cells end: at separators and line feeds, 64 bytes a step, with the widest instructions that
// this processor has. The text is below 4 GiB and has kCellPadding readable bytes behind it, none of which is
// a separator or line feed.
//
// ends[0] is 0xffffffff, so that cell i begins at ends[i] + 1 and ends at ends[i + 1]. Each entry of
// `row_ends` is the number of cells up to and with a line feed. Returns the number of cells.
std::size_t index_cells(std::string_view text, char separator, std::vector<std::uint32_t>& ends,
                        std::vector<std::uint32_t>& row_ends);
// The same, a byte at a time: what the tests hold the other against.
std::size_t index_cells_plainly(std::string_view text, char separator, std::vector<std::uint32_t>& ends,
                                std::vector<std::uint32_t>& row_ends);

}  // namespace nidus::data::internal
