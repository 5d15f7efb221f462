#include "interop/internal/hdf5_structure.h"

#include <algorithm>
#include <bit>

namespace nidus::interop::internal {
namespace {

constexpr std::size_t kRankMax = 32;

void add_message(Source& in, std::vector<Message>& out, const Message& message, std::uint8_t flags,
                 std::vector<std::pair<std::uint64_t, std::uint64_t>>& more) {
  if (!in.step(message.at)) return;
  if (message.type == kContinuation) {
    Cursor c(in, message.at, message.size);
    const auto at = c.u64(), size = c.u64();
    if (in.ok()) more.emplace_back(at, size);
    return;
  }
  if ((flags & 2) != 0 && message.type != kAttribute && message.type != kLink) {
    // Where it matters: a shared datatype or dataspace, which our writers do not make.
    if (message.type == kDataspace || message.type == kDatatype || message.type == kFilters)
      in.unsupported(message.at, "a message that is shared between objects");
    return;
  }
  out.push_back(message);
}

bool symbol_node(Source& in, std::uint64_t at, std::span<const std::byte> names, const SeeLink& see) {
  Cursor c(in, at, 8);
  if (!c.expect("SNOD")) return false;
  c.skip(2);
  const std::size_t count = c.u16();
  Cursor entries(in, at + 8, count * 40);
  for (std::size_t i = 0; i < count && in.step(at); ++i) {
    const auto name = entries.u64(), header = entries.u64();
    const auto kind = entries.u32();
    entries.skip(20);
    if (!in.ok()) return false;
    const auto* begin = reinterpret_cast<const char*>(names.data());
    const auto* end = name < names.size()
                          ? static_cast<const char*>(std::memchr(begin + name, 0, names.size() - name))
                          : nullptr;
    if (end == nullptr) {
      in.corrupt(at, "a name that is not in the heap of its group");
      return false;
    }
    if (kind == 2) continue;  // a symbolic link
    if (!see({begin + name, static_cast<std::size_t>(end - begin) - name}, header)) return false;
  }
  return in.ok();
}

// A B-tree whose level falls from node to node.
bool symbol_tree(Source& in, std::uint64_t at, int level, std::span<const std::byte> names,
                 const SeeLink& see) {
  if (!in.step(at)) return false;
  Cursor c(in, at, 24);
  if (!c.expect("TREE")) return false;
  const auto kind = c.u8();
  const int own = c.u8();
  const std::size_t count = c.u16();
  if (!in.ok() || kind != 0 || (level >= 0 && own != level)) {
    in.corrupt(at, "a B-tree whose nodes contradict each other");
    return false;
  }
  Cursor children(in, at + 24, (2 * count + 1) * 8);
  for (std::size_t i = 0; i < count; ++i) {
    children.skip(8);
    const auto child = children.u64();
    if (!in.ok()) return false;
    if (!(own == 0 ? symbol_node(in, child, names, see) : symbol_tree(in, child, own - 1, names, see)))
      return false;
  }
  return true;
}

void link_message(Source& in, const Message& message, const SeeLink& see, bool& go_on) {
  Cursor c(in, message.at, message.size);
  if (c.u8() != 1) in.corrupt(message.at, "a link of an unknown version");
  const auto flags = c.u8();
  const auto kind = (flags & 8) != 0 ? c.u8() : 0;
  if ((flags & 4) != 0) c.skip(8);
  if ((flags & 16) != 0) c.skip(1);
  const auto name = c.take(c.number(std::size_t{1} << (flags & 3)));
  if (!in.ok() || kind != 0) return;  // soft and external links lead elsewhere
  const auto header = c.u64();
  if (in.ok()) go_on = see({reinterpret_cast<const char*>(name.data()), name.size()}, header);
}

}  // namespace

std::vector<Message> messages_of(Source& in, std::uint64_t at) {
  std::vector<Message> out;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> more;
  const auto first = in.take(at, 4);
  if (!in.ok()) return out;
  const bool is_second = std::memcmp(first.data(), "OHDR", 4) == 0;
  std::uint8_t header_flags = 0;
  if (is_second) {
    Cursor c(in, at, std::min<std::uint64_t>(in.size() - at, 64));
    c.skip(4);
    if (c.u8() != 2) in.corrupt(at, "an object header of an unknown version");
    header_flags = c.u8();
    if ((header_flags & 0x20) != 0) c.skip(16);
    if ((header_flags & 0x10) != 0) c.skip(4);
    const std::uint64_t size = c.number(std::size_t{1} << (header_flags & 3));
    if (in.ok()) more.emplace_back(c.position(), size);
  } else {
    Cursor c(in, at, 16);
    if (c.u8() != 1) in.corrupt(at, "no object header here");
    c.skip(7);
    const std::uint64_t size = c.u32();
    if (in.ok()) more.emplace_back(at + 16, size);
  }
  // Pieces are read in the order in which they are named; steps bound how many there can be.
  for (std::size_t i = 0; i < more.size() && in.step(more[i].first); ++i) {
    auto [begin, size] = more[i];
    if (is_second && i > 0) {
      Cursor c(in, begin, size);
      if (!c.expect("OCHK")) break;
      if (size < 8) {
        in.corrupt(begin, "a piece of a header that is too short");
        break;
      }
      begin += 4;
      size -= 8;  // signature and checksum
    }
    Cursor c(in, begin, size);
    const std::uint64_t head = is_second ? ((header_flags & 4) != 0 ? 6 : 4) : 8;
    while (in.ok() && c.left() >= head) {
      Message message;
      std::uint8_t flags = 0;
      if (is_second) {
        message.type = c.u8();
        message.size = c.u16();
        flags = c.u8();
        if ((header_flags & 4) != 0) c.skip(2);
      } else {
        message.type = c.u16();
        message.size = c.u16();
        flags = c.u8();
        c.skip(3);
      }
      message.at = c.position();
      c.skip(message.size);
      if (in.ok()) add_message(in, out, message, flags, more);
    }
  }
  return out;
}

const Message* find(const std::vector<Message>& messages, std::uint16_t type) {
  for (const Message& message : messages) {
    if (message.type == type) return &message;
  }
  return nullptr;
}

void for_each_link(Source& in, std::uint64_t header, const SeeLink& see) {
  const auto messages = messages_of(in, header);
  if (!in.ok()) return;
  if (const Message* table = find(messages, kSymbolTable)) {
    Cursor c(in, table->at, table->size);
    const auto tree = c.u64(), heap = c.u64();
    Cursor h(in, heap, 32);
    if (!h.expect("HEAP")) return;
    h.skip(4);
    const auto size = h.u64();
    h.skip(8);
    const auto names = in.take(h.u64(), size);
    if (in.ok()) symbol_tree(in, tree, -1, names, see);
    return;
  }
  if (const Message* info = find(messages, kLinkInfo)) {
    Cursor c(in, info->at, info->size);
    c.skip(1);
    if ((c.u8() & 1) != 0) c.skip(8);
    if (c.u64() != kNowhere && in.ok()) {
      in.unsupported(info->at,
                     "a group whose links lie in a fractal heap; save the file without "
                     "libver='latest'");
    }
  }
  bool go_on = true;
  for (const Message& message : messages) {
    if (message.type == kLink && go_on && in.ok()) link_message(in, message, see, go_on);
  }
}

std::uint64_t header_of(Source& in, std::uint64_t root, std::string_view path) {
  std::uint64_t at = root;
  for (const auto part : split(path, '/')) {
    if (part.empty() || at == kNowhere) continue;
    std::uint64_t found = kNowhere;
    for_each_link(in, at, [&](std::string_view name, std::uint64_t header) {
      if (name == part) found = header;
      return name != part;
    });
    at = found;
  }
  return in.ok() ? at : kNowhere;
}

Datatype datatype(Source& in, Cursor& c) {
  static constexpr const char* kNames[] = {"",
                                           "",
                                           "time",
                                           "",
                                           "bit field",
                                           "opaque",
                                           "compound",
                                           "reference",
                                           "enumeration",
                                           "variable-length sequence",
                                           "array"};
  const std::uint64_t at = c.position();
  const auto head = c.u32();
  Datatype out;
  out.size = c.u32();
  const unsigned kind = head & 15, bits = head >> 8;
  out.is_big_endian = (bits & 1) != 0;
  if (kind == 0) {
    out.is_signed = (bits & 8) != 0;
    const auto offset = c.u16(), precision = c.u16();
    if (offset == 0 && std::has_single_bit(out.size) && out.size <= 8 && precision == 8 * out.size)
      out.kind = Datatype::Class::whole;
    else
      out.name = "whole number of odd bits";
  } else if (kind == 1) {
    const auto offset = c.u16(), precision = c.u16();
    const auto exponent_at = c.u8(), exponent = c.u8(), mantissa_at = c.u8(), mantissa = c.u8();
    const auto bias = c.u32();
    const auto is = [&](std::size_t size, unsigned e, unsigned m, unsigned b) {
      return out.size == size && exponent_at == m && exponent == e && mantissa == m && bias == b;
    };
    out.name = "float of odd bits";
    const bool plain = (bits & 0x40) == 0 && offset == 0 && precision == 8 * out.size && mantissa_at == 0;
    if (plain && (is(2, 5, 10, 15) || is(4, 8, 23, 127) || is(8, 11, 52, 1023)))
      out.kind = Datatype::Class::real;
    if (plain && is(2, 8, 7, 127)) out.kind = Datatype::Class::brain;
  } else if (kind == 3) {
    out.kind = Datatype::Class::text;
    out.padding = (bits & 15) == 2 ? ' ' : '\0';
  } else if (kind == 9 && (bits & 15) == 1) {
    out.kind = Datatype::Class::texts;
    if (out.size != 16) in.corrupt(at, "texts of variable length that are not 16 bytes");
  } else {
    out.name = kind < std::size(kNames) ? kNames[kind] : "kind " + std::to_string(kind);
  }
  if (out.size == 0) in.corrupt(at, "a datatype without a size");
  return out;
}

std::vector<std::size_t> dataspace(Source& in, Cursor& c) {
  const std::uint64_t at = c.position();
  const auto version = c.u8(), rank = c.u8(), flags = c.u8(), kind = c.u8();
  if (version != 1 && version != 2) in.corrupt(at, "a dataspace of an unknown version");
  if (version == 1) c.skip(4);
  if (rank > kRankMax) in.corrupt(at, "an array of more than 32 dimensions");
  std::vector<std::size_t> shape;
  if (!in.ok()) return shape;
  if (version == 2 && kind == 2) return {0};
  for (std::size_t i = 0; i < rank; ++i) shape.push_back(c.u64());
  if ((flags & 1) != 0) c.skip(rank * std::size_t{8});
  return shape;
}

std::size_t count_of(Source& in, std::uint64_t at, const std::vector<std::size_t>& shape) {
  std::size_t count = 1;
  for (const std::size_t size : shape) {
    if (size == 0) return 0;
    if (size > Hdf5::kNumbersMax || count > Hdf5::kNumbersMax / size) {
      in.fail(Errc::exhausted, at, "an array of more than " + with_thousands(Hdf5::kNumbersMax) + " values");
      return 0;
    }
    count *= size;
  }
  return count;
}

}  // namespace nidus::interop::internal
