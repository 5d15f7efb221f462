#include <zlib.h>

#include <algorithm>
#include <bit>

#include "interop/internal/half.h"
#include "interop/internal/hdf5_structure.h"

namespace nidus::interop::internal {
namespace {

constexpr std::uint64_t kInflationMax = 1032;  // what deflate can do at most

double value_of(const Datatype& type, const std::byte* at) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, at, type.size);
  if (type.is_big_endian) bits = __builtin_bswap64(bits) >> (64 - 8 * type.size);
  if (type.kind == Datatype::Class::real) {
    if (type.size == 8) return std::bit_cast<double>(bits);
    if (type.size == 4) return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
    return half_to_double(static_cast<std::uint16_t>(bits));
  }
  if (type.kind == Datatype::Class::brain)
    return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits << 16)));
  if (!type.is_signed) return static_cast<double>(bits);
  const unsigned shift = static_cast<unsigned>(64 - 8 * type.size);
  return static_cast<double>(static_cast<std::int64_t>(bits << shift) >> shift);
}

struct Filter {
  std::uint16_t id = 0;
  std::uint32_t value = 0;
};

std::vector<Filter> filters_of(Source& in, const Message& message) {
  std::vector<Filter> out;
  Cursor c(in, message.at, message.size);
  const auto version = c.u8(), count = c.u8();
  if (version != 1 && version != 2) in.corrupt(message.at, "filters of an unknown version");
  if (version == 1) c.skip(6);
  for (std::size_t i = 0; i < count && in.step(message.at); ++i) {
    Filter filter;
    filter.id = c.u16();
    const std::size_t name = version == 1 || filter.id >= 256 ? c.u16() : 0;
    c.skip(2);
    const std::size_t values = c.u16();
    c.skip(version == 1 ? (name + 7) / 8 * 8 : name);
    for (std::size_t k = 0; k < values && in.ok(); ++k) {
      const auto value = c.u32();
      if (k == 0) filter.value = value;
    }
    if (version == 1 && values % 2 == 1) c.skip(4);
    if (in.ok() && (filter.id == 0 || filter.id > 3))
      in.unsupported(message.at, "an array packed by filter " + std::to_string(filter.id));
    out.push_back(filter);
  }
  return out;
}

// Undoes the filters of a chunk of `size` bytes; bit i of `skipped` says that filter i was not used.
std::vector<std::byte> unpack(Source& in, std::uint64_t at, std::span<const std::byte> packed,
                              const std::vector<Filter>& filters, std::uint32_t skipped, std::size_t size,
                              std::size_t each) {
  std::vector<std::byte> now(packed.begin(), packed.end());
  for (std::size_t i = filters.size(); i-- > 0 && in.ok();) {
    if (i < 32 && ((skipped >> i) & 1) != 0) continue;
    if (filters[i].id == 3) {  // fletcher32: four bytes behind the rest
      if (now.size() < 4) {
        in.corrupt(at, "a chunk without its checksum");
        return {};
      }
      now.resize(now.size() - 4);
    } else if (filters[i].id == 1) {
      // The sum of what stands before and behind may add a checksum.
      std::vector<std::byte> out(size + 4);
      uLongf length = out.size();
      uLong from = now.size();
      if (uncompress2(reinterpret_cast<Bytef*>(out.data()), &length,
                      reinterpret_cast<const Bytef*>(now.data()), &from) != Z_OK) {
        in.corrupt(at, "a chunk that cannot be inflated");
        return {};
      }
      out.resize(length);
      now = std::move(out);
    } else if (each > 1) {  // shuffle: first all first bytes, then all second ones
      std::vector<std::byte> out = now;
      const std::size_t count = now.size() / each;
      for (std::size_t k = 0; k < count; ++k)
        for (std::size_t byte = 0; byte < each; ++byte) out[k * each + byte] = now[byte * count + k];
      now = std::move(out);
    }
  }
  if (in.ok() && now.size() != size) in.corrupt(at, "a chunk of " + with_thousands(now.size()) + " bytes");
  return in.ok() ? now : std::vector<std::byte>();
}

struct Chunked {
  const Datatype& type;
  const std::vector<std::size_t>& shape;
  std::vector<std::size_t> chunk;
  std::vector<Filter> filters;
  std::size_t bytes = 0;  // of a chunk, unpacked
  std::vector<double> values;
  std::vector<bool> filled;
};

// Puts a chunk that begins at `first` where it belongs.
void place(Source& in, Chunked& to, std::uint64_t at, std::uint64_t size, std::uint32_t skipped,
           const std::vector<std::size_t>& first) {
  const auto packed = in.take(at, size);
  if (!in.ok()) return;
  if (to.bytes > kInflationMax * (size + 1)) {
    in.corrupt(at, "a chunk that cannot have so many bytes");
    return;
  }
  if (!in.spend(at, to.bytes)) return;
  const auto bytes = unpack(in, at, packed, to.filters, skipped, to.bytes, to.type.size);
  if (!in.ok()) return;
  const std::size_t rank = to.shape.size(), count = to.bytes / to.type.size;
  std::vector<std::size_t> index(rank);
  for (std::size_t i = 0; i < count; ++i) {
    std::size_t flat = 0;
    bool inside = true;
    for (std::size_t d = 0; d < rank; ++d) {
      const std::size_t place = first[d] + index[d];
      inside = inside && place < to.shape[d];
      flat = flat * to.shape[d] + place;
    }
    if (inside) {
      to.values[flat] = value_of(to.type, bytes.data() + i * to.type.size);
      to.filled[flat] = true;
    }
    for (std::size_t d = rank; d-- > 0 && ++index[d] == to.chunk[d];) index[d] = 0;
  }
}

void chunk_tree(Source& in, Chunked& to, std::uint64_t at, int level) {
  if (!in.step(at)) return;
  Cursor c(in, at, 24);
  if (!c.expect("TREE")) return;
  const auto kind = c.u8();
  const int own = c.u8();
  const std::size_t count = c.u16(), rank = to.shape.size();
  if (!in.ok() || kind != 1 || (level >= 0 && own != level)) {
    in.corrupt(at, "a B-tree whose nodes contradict each other");
    return;
  }
  Cursor keys(in, at + 24, count * (16 + 8 * (rank + 1)));
  for (std::size_t i = 0; i < count && in.step(at); ++i) {
    const auto size = keys.u32(), skipped = keys.u32();
    std::vector<std::size_t> first(rank);
    for (auto& place : first) place = keys.u64();
    keys.skip(8);
    const auto child = keys.u64();
    if (!in.ok()) return;
    if (own > 0) {
      chunk_tree(in, to, child, own - 1);
      continue;
    }
    for (std::size_t d = 0; d < rank; ++d) {
      if (first[d] >= to.shape[d] || first[d] % to.chunk[d] != 0) {
        in.corrupt(at, "a chunk that lies beside its array");
        return;
      }
    }
    place(in, to, child, size, skipped, first);
  }
}

void chunks(Source& in, Chunked& to, std::uint64_t at, const std::function<void()>& read) {
  to.bytes = to.type.size;
  for (const std::size_t size : to.chunk) {
    if (size == 0 || size > Hdf5::kNumbersMax || to.bytes > 8 * Hdf5::kNumbersMax / size) {
      in.corrupt(at, "chunks of an impossible size");
      return;
    }
    to.bytes *= size;
  }
  const std::size_t count = count_of(in, at, to.shape);
  if (!in.ok()) return;
  // Every value lies in a chunk of the file, which can only be so small.
  if (count / kInflationMax > in.size()) {
    in.corrupt(at, "an array that is larger than the file can hold");
    return;
  }
  if (!in.spend(at, count * sizeof(double))) return;
  to.values.resize(count);
  to.filled.resize(count);
  read();
  if (in.ok() && std::find(to.filled.begin(), to.filled.end(), false) != to.filled.end())
    in.unsupported(at, "an array with chunks that were never written");
}

struct Layout {
  std::uint64_t at = 0, size = 0;  // of what is not in chunks
  std::vector<std::size_t> chunk;
  std::uint64_t tree = kNowhere;
  std::uint8_t index = 0;  // 0 a version 1 B-tree, 1 one chunk, 2 implicit
  std::uint32_t skipped = 0;
};

Layout layout_of(Source& in, const Message& message, std::size_t rank) {
  Layout out;
  Cursor c(in, message.at, message.size);
  const auto version = c.u8();
  if (version == 3 || version == 4) {
    const auto kind = c.u8();
    if (kind == 0) {
      out.size = c.u16();
      out.at = c.position();
      c.skip(out.size);
    } else if (kind == 1) {
      out.at = c.u64();
      out.size = c.u64();
    } else if (kind == 2 && version == 3) {
      const std::size_t dimensions = c.u8();
      out.tree = c.u64();
      for (std::size_t i = 0; i + 1 < dimensions && in.ok(); ++i) out.chunk.push_back(c.u32());
    } else if (kind == 2) {
      const auto flags = c.u8();
      const std::size_t dimensions = c.u8(), bytes = c.u8();
      if (bytes == 0 || bytes > 8) in.corrupt(message.at, "chunks with sizes of odd bytes");
      for (std::size_t i = 0; i + 1 < dimensions && in.ok(); ++i) out.chunk.push_back(c.number(bytes));
      c.skip(bytes);
      out.index = c.u8();
      if (in.ok() && out.index != 1 && out.index != 2)
        in.unsupported(message.at, "chunks under an index of kind " + std::to_string(out.index));
      if (out.index == 1 && (flags & 2) != 0) {
        out.size = c.u64();
        out.skipped = c.u32();
      }
      out.tree = c.u64();
    } else if (in.ok()) {
      in.unsupported(message.at, "an array of layout class " + std::to_string(kind));
    }
  } else if (version == 1 || version == 2) {
    const std::size_t dimensions = c.u8();
    const auto kind = c.u8();
    c.skip(5);
    const auto at = kind == 0 ? 0 : c.u64();
    for (std::size_t i = 0; i < dimensions && in.ok(); ++i) {
      const auto size = c.u32();
      if (kind == 2 && i + 1 < dimensions) out.chunk.push_back(size);
    }
    if (kind == 2) out.tree = at;
    out.at = at;
    if (kind == 1) out.size = kNowhere;  // as many as the array has
    if (kind == 0) {
      out.size = c.u32();
      out.at = c.position();
      c.skip(out.size);
    }
  } else if (in.ok()) {
    in.unsupported(message.at, "a layout of version " + std::to_string(version));
  }
  if (in.ok() && !out.chunk.empty() && out.chunk.size() != rank)
    in.corrupt(message.at, "chunks of another rank than their array");
  return out;
}

}  // namespace

void read_array(Source& in, const std::vector<Message>& messages, const Datatype& type, Hdf5::Numbers& out) {
  const Message& message = *find(messages, kLayout);
  const Layout layout = layout_of(in, message, out.shape.size());
  const std::size_t count = count_of(in, message.at, out.shape);
  if (!in.ok()) return;
  if (layout.tree == kNowhere && layout.chunk.empty()) {
    const std::uint64_t size = count * type.size;
    if (layout.size != kNowhere && layout.size < size) {
      in.corrupt(message.at, "an array with fewer bytes than values");
      return;
    }
    const auto bytes = in.take(count == 0 ? 0 : layout.at, size);
    if (!in.ok() || !in.spend(message.at, count * sizeof(double))) return;
    out.values.reserve(count);
    for (std::size_t i = 0; i < count; ++i)
      out.values.push_back(value_of(type, bytes.data() + i * type.size));
    return;
  }
  Chunked to{type, out.shape, layout.chunk, {}, 0, {}, {}};
  if (const Message* filters = find(messages, kFilters)) to.filters = filters_of(in, *filters);
  if (out.shape.empty()) in.corrupt(message.at, "chunks of something that is no array");
  if (!in.ok() || count == 0) return;
  if (layout.tree == kNowhere) in.unsupported(message.at, "an array with chunks that were never written");
  chunks(in, to, message.at, [&] {
    std::vector<std::size_t> first(out.shape.size());
    if (layout.index == 0) return chunk_tree(in, to, layout.tree, -1);
    if (layout.index == 1)
      return place(in, to, layout.tree, layout.size == 0 ? to.bytes : layout.size, layout.skipped, first);
    // Implicit: one behind the other, without filters.
    for (std::uint64_t at = layout.tree; in.step(at); at += to.bytes) {
      place(in, to, at, to.bytes, 0, first);
      std::size_t d = first.size();
      while (d-- > 0) {
        first[d] += to.chunk[d];
        if (first[d] < out.shape[d]) break;
        first[d] = 0;
      }
      if (d == static_cast<std::size_t>(-1)) break;
    }
  });
  out.values = std::move(to.values);
}

}  // namespace nidus::interop::internal
