#include "data/internal/cell_index.h"

#include <bit>
#include <limits>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "data/internal/number_cell.h"

namespace nidus::data::internal {
namespace {

static_assert(kCellPadding >= 64, "a step reads up to 63 bytes behind the text");

constexpr std::uint32_t kBeforeFirst = std::numeric_limits<std::uint32_t>::max();

// What the masks of 64 bytes say, written down. Eight ends are written at a time whether there are so many or
// not, which costs less than asking; so `ends` has room for eight more.
struct Sink {
  std::uint32_t* ends;
  std::size_t count = 1;
  std::vector<std::uint32_t>* row_ends;

  void add(std::uint32_t base, std::uint64_t separators, std::uint64_t line_feeds) {
    std::uint64_t both = separators | line_feeds;
    for (std::uint64_t left = line_feeds; left != 0; left &= left - 1) {
      const std::uint64_t below = left ^ (left - 1);  // up to and with the line feed
      row_ends->push_back(
          static_cast<std::uint32_t>(count - 1 + static_cast<std::size_t>(std::popcount(both & below))));
    }
    const auto found = static_cast<std::size_t>(std::popcount(both));
    std::uint32_t* out = ends + count;
    for (std::size_t written = 0; written < found; written += 8, out += 8) {
      for (int i = 0; i < 8; ++i) {
        out[i] = base + static_cast<std::uint32_t>(std::countr_zero(both));
        both &= both - 1;
      }
    }
    count += found;
  }
};

#ifdef __x86_64__
void index_sse2(std::string_view text, char separator, Sink& out) {
  const __m128i separators = _mm_set1_epi8(separator), line_feeds = _mm_set1_epi8('\n');
  for (std::size_t base = 0; base < text.size(); base += 64) {
    std::uint64_t cells = 0, rows = 0;
    for (unsigned i = 0; i < 4; ++i) {
      const __m128i bytes =
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + base + std::size_t{16} * i));
      const auto mask = [&](__m128i wanted) {
        return std::uint64_t{static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, wanted)))};
      };
      cells |= mask(separators) << (16 * i);
      rows |= mask(line_feeds) << (16 * i);
    }
    out.add(static_cast<std::uint32_t>(base), cells, rows);
  }
}

__attribute__((target("avx2,bmi,popcnt"))) void index_avx2(std::string_view text, char separator, Sink& out) {
  const __m256i separators = _mm256_set1_epi8(separator), line_feeds = _mm256_set1_epi8('\n');
  for (std::size_t base = 0; base < text.size(); base += 64) {
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text.data() + base));
    const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text.data() + base + 32));
    const auto low = [](__m256i x, __m256i wanted) __attribute__((target("avx2"))) {
      return std::uint64_t{static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(x, wanted)))};
    };
    out.add(static_cast<std::uint32_t>(base), low(a, separators) | (low(b, separators) << 32),
            low(a, line_feeds) | (low(b, line_feeds) << 32));
  }
}
#endif

}  // namespace

std::size_t index_cells(std::string_view text, char separator, std::vector<std::uint32_t>& ends,
                        std::vector<std::uint32_t>& row_ends) {
#ifdef __x86_64__
  if (ends.size() < text.size() + 16) ends.resize(text.size() + 16);
  ends[0] = kBeforeFirst;
  row_ends.clear();
  Sink out{ends.data(), 1, &row_ends};
  static const bool wide = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("bmi") != 0;
  wide ? index_avx2(text, separator, out) : index_sse2(text, separator, out);
  return out.count - 1;
#else
  return index_cells_plainly(text, separator, ends, row_ends);
#endif
}

std::size_t index_cells_plainly(std::string_view text, char separator, std::vector<std::uint32_t>& ends,
                                std::vector<std::uint32_t>& row_ends) {
  if (ends.size() < text.size() + 16) ends.resize(text.size() + 16);
  row_ends.clear();
  ends[0] = kBeforeFirst;
  std::size_t count = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != separator && text[i] != '\n') continue;
    ends[++count] = static_cast<std::uint32_t>(i);
    if (text[i] == '\n') row_ends.push_back(static_cast<std::uint32_t>(count));
  }
  return count;
}

}  // namespace nidus::data::internal
