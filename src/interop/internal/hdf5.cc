#include "interop/internal/hdf5.h"

#include <algorithm>

#include "interop/internal/hdf5_structure.h"
#include "interop/internal/inflate.h"

namespace nidus::interop::internal {
namespace {

constexpr std::string_view kSignature = "\x89HDF\r\n\x1a\n";

Error not_found(std::string_view path) {
  return {Errc::not_found, "hdf5: no '" + std::string(path) + "' in the file"};
}

std::string global_text(Source& in, std::uint64_t heap, std::uint32_t index, std::uint32_t size) {
  if (size == 0) return {};
  Cursor head(in, heap, 16);
  if (!head.expect("GCOL")) return {};
  head.skip(4);
  const auto heap_size = head.u64();
  if (!in.ok() || heap_size < 16) {
    in.corrupt(heap, "a heap that is too short");
    return {};
  }
  Cursor c(in, heap + 16, heap_size - 16);
  while (c.left() >= 16 && in.step(heap)) {
    const auto at = c.position();
    const auto own = c.u16();
    c.skip(6);
    const auto bytes = c.u64();
    if (own == 0) break;
    const auto value = c.take(bytes);
    c.align();
    if (own != index || !in.ok()) continue;
    if (value.size() < size) {
      in.corrupt(at, "a text that is shorter than is said of it");
      return {};
    }
    return {reinterpret_cast<const char*>(value.data()), size};
  }
  in.corrupt(heap, "no text of that number in the heap");
  return {};
}

std::vector<std::string> texts_of(Source& in, Cursor& c, const Datatype& type, std::size_t count) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < count && in.step(c.position()); ++i) {
    if (type.kind == Datatype::Class::texts) {
      const auto size = c.u32();
      const auto heap = c.u64();
      out.push_back(global_text(in, heap, c.u32(), size));
      continue;
    }
    const auto bytes = c.take(type.size);
    std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (type.padding == '\0') text = text.substr(0, text.find('\0'));
    while (!text.empty() && text.back() == type.padding) text.remove_suffix(1);
    out.emplace_back(text);
  }
  return out;
}

}  // namespace

bool Hdf5::looks_like(std::span<const std::byte> bytes) {
  return bytes.size() >= kSignature.size() &&
         std::memcmp(bytes.data(), kSignature.data(), kSignature.size()) == 0;
}

Result<Hdf5> Hdf5::open(std::span<const std::byte> bytes) {
  if (!looks_like(bytes)) return Error{Errc::corrupt, "hdf5: byte 0: begins with other bytes"};
  Source in(bytes);
  Hdf5 out(bytes);
  out.room_ = unpacked_bytes_max(bytes.size());
  Cursor c(in, 8, std::min<std::size_t>(bytes.size() - 8, 104));
  const auto version = c.u8();
  std::uint8_t offsets = 0, lengths = 0;
  std::uint64_t base = 0, end = 0;
  if (version <= 1) {
    c.skip(4);
    offsets = c.u8();
    lengths = c.u8();
    c.skip(version == 0 ? 9 : 13);
    base = c.u64();
    c.skip(8);  // free space
    end = c.u64();
    c.skip(16);  // driver, name of the root
    out.root_ = c.u64();
  } else if (version <= 3) {
    offsets = c.u8();
    lengths = c.u8();
    c.skip(1);
    base = c.u64();
    c.skip(8);  // extension
    end = c.u64();
    out.root_ = c.u64();
  } else {
    in.unsupported(8, "a superblock of version " + std::to_string(version));
  }
  if (in.ok() && (offsets != 8 || lengths != 8)) in.unsupported(13, "offsets that are not 8 bytes");
  if (in.ok() && base != 0) in.unsupported(24, "a file inside another");
  if (in.ok() && end > bytes.size()) in.corrupt(bytes.size(), "the file is cut off");
  if (!in.ok()) return in.error();
  return out;
}

Result<std::vector<std::string>> Hdf5::links(std::string_view path) const {
  Source in(bytes_);
  const auto at = header_of(in, root_, path);
  std::vector<std::string> out;
  if (at != kNowhere) {
    for_each_link(in, at, [&](std::string_view name, std::uint64_t) {
      out.emplace_back(name);
      return true;
    });
  }
  if (!in.ok()) return in.error();
  if (at == kNowhere) return not_found(path);
  return out;
}

Result<void> Hdf5::find(std::string_view path) const {
  Source in(bytes_);
  const auto at = header_of(in, root_, path);
  if (!in.ok()) return in.error();
  if (at == kNowhere) return not_found(path);
  return {};
}

Result<std::optional<std::vector<std::string>>> Hdf5::texts(std::string_view path,
                                                            std::string_view attribute) const {
  Source in(bytes_);
  const auto header = header_of(in, root_, path);
  if (!in.ok()) return in.error();
  if (header == kNowhere) return not_found(path);
  std::optional<std::vector<std::string>> out;
  const auto messages = messages_of(in, header);
  for (const Message& message : messages) {
    if (message.type == kAttributeInfo) {
      Cursor c(in, message.at, message.size);
      c.skip(1);
      if ((c.u8() & 1) != 0) c.skip(2);
      if (c.u64() != kNowhere && in.ok())
        in.unsupported(message.at, "attributes in a fractal heap; save the file without libver='latest'");
    }
    if (message.type != kAttribute || !in.ok()) continue;
    Cursor c(in, message.at, message.size);
    const auto version = c.u8(), flags = c.u8();
    if (version < 1 || version > 3) in.corrupt(message.at, "an attribute of an unknown version");
    const std::uint64_t name_size = c.u16(), type_size = c.u16(), space_size = c.u16();
    if (version == 3) c.skip(1);
    const auto padded = [&](std::uint64_t size) { return version == 1 ? (size + 7) / 8 * 8 : size; };
    const auto name = c.take(padded(name_size));
    if (!in.ok()) break;
    std::string_view spelled(reinterpret_cast<const char*>(name.data()), name_size);
    spelled = spelled.substr(0, spelled.find('\0'));
    if (spelled != attribute) continue;
    if (version > 1 && flags != 0) in.unsupported(message.at, "an attribute with a shared type");
    Cursor type_at(in, c.position(), type_size);
    c.skip(padded(type_size));
    Cursor space_at(in, c.position(), space_size);
    c.skip(padded(space_size));
    const auto type = datatype(in, type_at);
    const auto shape = dataspace(in, space_at);
    const std::size_t count = count_of(in, message.at, shape);
    if (!in.ok()) break;
    if (count > 0 && type.kind != Datatype::Class::text && type.kind != Datatype::Class::texts) {
      in.corrupt(message.at, "attribute '" + std::string(attribute) + "' is no text");
      break;
    }
    out = texts_of(in, c, type, count);
  }
  if (!in.ok()) return in.error();
  return out;
}

Result<Hdf5::Numbers> Hdf5::numbers(std::string_view path) const {
  Source in(bytes_);
  in.room = room_;
  const auto header = header_of(in, root_, path);
  if (!in.ok()) return in.error();
  if (header == kNowhere) return not_found(path);
  const auto messages = messages_of(in, header);
  Numbers out;
  const Message* space = internal::find(messages, kDataspace);
  const Message* kind = internal::find(messages, kDatatype);
  if (in.ok() && (space == nullptr || kind == nullptr || internal::find(messages, kLayout) == nullptr))
    return Error{Errc::corrupt, "hdf5: '" + std::string(path) + "' is no array"};
  if (in.ok() && internal::find(messages, kExternalFiles) != nullptr)
    in.unsupported(header, "an array in other files");
  if (in.ok()) {
    Cursor space_at(in, space->at, space->size), type_at(in, kind->at, kind->size);
    out.shape = dataspace(in, space_at);
    const auto type = datatype(in, type_at);
    if (in.ok() && type.kind != Datatype::Class::whole && type.kind != Datatype::Class::real &&
        type.kind != Datatype::Class::brain)
      in.unsupported(kind->at, "an array of " + (type.name.empty() ? "texts" : type.name));
    if (in.ok()) read_array(in, messages, type, out);
  }
  room_ = in.room;
  if (!in.ok()) return in.error().within("'" + std::string(path) + "'");
  return out;
}

}  // namespace nidus::interop::internal
