#include "interop/internal/zip.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "base/text.h"
#include "interop/internal/inflate.h"

namespace nidus::interop::internal {
namespace {

constexpr std::uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50, kEnd64 = 0x06064b50,
                        kLocator64 = 0x07064b50;
constexpr std::size_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22, kEnd64Bytes = 56,
                      kLocatorBytes = 20;
// A deflated byte says at most 258 × 4 bytes, and a stream has some bytes of its own.
constexpr std::uint64_t kInflationMax = 1032;

Error corrupt(std::uint64_t at, const std::string& what) {
  return {Errc::corrupt, "zip: byte " + with_thousands(at) + ": " + what};
}

// Little-endian. The caller has seen to the room.
template <class T>
T get(std::span<const std::byte> bytes, std::uint64_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

// Where the directory is.
struct Directory {
  std::uint64_t begin = 0, end = 0, entries = 0;
};

Result<Directory> find_directory(std::span<const std::byte> bytes) {
  if (bytes.size() < kEndBytes) return corrupt(bytes.size(), "too short for an archive");
  // The record is the last thing but for a comment whose length it states.
  std::uint64_t at = bytes.size() - kEndBytes;
  const std::uint64_t first = at > 65535 ? at - 65535 : 0;
  while (get<std::uint32_t>(bytes, at) != kEnd ||
         at + kEndBytes + get<std::uint16_t>(bytes, at + 20) != bytes.size()) {
    if (at == first) return corrupt(bytes.size(), "no directory at the end; the file may be cut off");
    --at;
  }
  if (get<std::uint16_t>(bytes, at + 4) != get<std::uint16_t>(bytes, at + 6) ||
      get<std::uint16_t>(bytes, at + 8) != get<std::uint16_t>(bytes, at + 10))
    return Error{Errc::unsupported, "zip: an archive over several disks"};
  Directory out;
  out.entries = get<std::uint16_t>(bytes, at + 10);
  std::uint64_t size = get<std::uint32_t>(bytes, at + 12);
  out.begin = get<std::uint32_t>(bytes, at + 16);
  const bool is_64 = at >= kLocatorBytes && get<std::uint32_t>(bytes, at - kLocatorBytes) == kLocator64;
  if (is_64) {
    const std::uint64_t locator = at - kLocatorBytes;
    at = get<std::uint64_t>(bytes, locator + 8);
    if (locator < kEnd64Bytes || at > locator - kEnd64Bytes || get<std::uint32_t>(bytes, at) != kEnd64)
      return corrupt(locator, "no zip64 record where it should be");
    out.entries = get<std::uint64_t>(bytes, at + 32);
    size = get<std::uint64_t>(bytes, at + 40);
    out.begin = get<std::uint64_t>(bytes, at + 48);
  }
  if (out.begin > at || size != at - out.begin)
    return corrupt(at, "the directory does not end where its end record begins");
  out.end = at;
  return out;
}

// The sizes and the offset that did not fit into 32 bits, from the extra field of zip64.
Result<void> widen(std::span<const std::byte> extra, std::uint64_t at, std::uint64_t& size,
                   std::uint64_t& packed, std::uint64_t& offset) {
  constexpr std::uint64_t kElsewhere = std::numeric_limits<std::uint32_t>::max();
  if (size != kElsewhere && packed != kElsewhere && offset != kElsewhere) return {};
  for (std::uint64_t i = 0; extra.size() - i >= 4;) {
    const std::uint64_t length = get<std::uint16_t>(extra, i + 2), end = i + 4 + length;
    if (end > extra.size()) break;
    if (get<std::uint16_t>(extra, i) == 1) {
      std::uint64_t next = i + 4;
      for (std::uint64_t* value : {&size, &packed, &offset}) {
        if (*value != kElsewhere) continue;
        if (next + 8 > end) return corrupt(at, "a zip64 field that is too short");
        *value = get<std::uint64_t>(extra, next);
        next += 8;
      }
      return {};
    }
    i = end;
  }
  return corrupt(at, "the zip64 field is missing");
}

bool is_harmless(std::string_view name) {
  if (name.empty() || name.front() == '/' || name.find('\0') != name.npos || name.find('\\') != name.npos)
    return false;
  for (const auto part : split(name, '/')) {
    if (part == "..") return false;
  }
  return true;
}

}  // namespace

bool Zip::looks_like(std::span<const std::byte> bytes) {
  return bytes.size() >= 4 &&
         (get<std::uint32_t>(bytes, 0) == kLocal || get<std::uint32_t>(bytes, 0) == kEnd);
}

Result<Zip> Zip::open(std::span<const std::byte> bytes) {
  const auto directory = find_directory(bytes);
  if (!directory) return directory.error();
  if (directory->entries > kMembersMax)
    return Error{Errc::exhausted, "zip: more than " + with_thousands(kMembersMax) + " members"};
  Zip out;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> taken;  // begin and end of each member
  std::uint64_t inflated = 0;                                  // bytes of all deflated members so far
  std::uint64_t at = directory->begin;
  for (std::uint64_t i = 0; i < directory->entries; ++i) {
    if (directory->end - at < kCentralBytes || get<std::uint32_t>(bytes, at) != kCentral)
      return corrupt(at, "no entry of the directory here");
    const auto flags = get<std::uint16_t>(bytes, at + 8), method = get<std::uint16_t>(bytes, at + 10);
    const std::uint64_t name_size = get<std::uint16_t>(bytes, at + 28),
                        extra_size = get<std::uint16_t>(bytes, at + 30),
                        comment_size = get<std::uint16_t>(bytes, at + 32);
    const std::uint64_t entry_size = kCentralBytes + name_size + extra_size + comment_size;
    if (directory->end - at < entry_size) return corrupt(at, "an entry reaches beyond the directory");
    Member member;
    member.name.assign(reinterpret_cast<const char*>(bytes.data() + at + kCentralBytes), name_size);
    if (!is_harmless(member.name)) return corrupt(at, "a name that leads elsewhere");
    if ((flags & 0x2041) != 0) return Error{Errc::unsupported, "zip: " + member.name + " is encrypted"};
    if (method != 0 && method != 8) {
      return Error{Errc::unsupported,
                   "zip: " + member.name + " is packed by method " + std::to_string(method)};
    }
    member.crc = get<std::uint32_t>(bytes, at + 16);
    member.deflated = method == 8;
    std::uint64_t packed = get<std::uint32_t>(bytes, at + 20), offset = get<std::uint32_t>(bytes, at + 42);
    member.size = get<std::uint32_t>(bytes, at + 24);
    if (auto good =
            widen(bytes.subspan(at + kCentralBytes + name_size, extra_size), at, member.size, packed, offset);
        !good)
      return std::move(good).error();
    if (directory->begin < kLocalBytes || offset > directory->begin - kLocalBytes ||
        get<std::uint32_t>(bytes, offset) != kLocal)
      return corrupt(at, member.name + " does not begin where the directory says");
    const std::uint64_t local_name = get<std::uint16_t>(bytes, offset + 26),
                        begin = offset + kLocalBytes + local_name + get<std::uint16_t>(bytes, offset + 28);
    if (begin > directory->begin || packed > directory->begin - begin)
      return corrupt(at, member.name + " reaches into the directory");
    if (get<std::uint16_t>(bytes, offset + 8) != method || local_name != name_size ||
        std::memcmp(bytes.data() + offset + kLocalBytes, member.name.data(), name_size) != 0)
      return corrupt(offset, "the header of " + member.name + " contradicts the directory");
    if (member.deflated ? member.size > kInflationMax * (packed + 1) : member.size != packed)
      return corrupt(at, member.name + " cannot have " + with_thousands(member.size) + " bytes");
    member.packed = bytes.subspan(begin, packed);
    taken.emplace_back(offset, begin + packed);
    if (member.deflated) inflated += member.size;  // at most kInflationMax times the archive each
    if (inflated > unpacked_bytes_max(bytes.size())) {
      return Error{Errc::exhausted, "zip: members that become more than " +
                                        with_thousands(unpacked_bytes_max(bytes.size())) +
                                        " bytes, from an archive of " + with_thousands(bytes.size())};
    }
    at += entry_size;
    if (member.name.back() == '/') continue;
    if (!out.by_name_.emplace(member.name, out.members_.size()).second)
      return corrupt(at, member.name + " stands twice in the directory");
    out.members_.push_back(std::move(member));
  }
  if (at != directory->end) return corrupt(at, "more in the directory than its entries");
  std::sort(taken.begin(), taken.end());
  for (std::size_t i = 1; i < taken.size(); ++i) {
    if (taken[i].first < taken[i - 1].second) return corrupt(taken[i].first, "members that overlap");
  }
  return out;
}

const Zip::Member* Zip::find(std::string_view name) const {
  const auto found = by_name_.find(std::string(name));
  return found == by_name_.end() ? nullptr : &members_[found->second];
}

Result<Contents> Zip::read(const Member& member, std::size_t limit) {
  const auto bad = [&](const std::string& what) {
    return Error{Errc::corrupt, "zip: " + member.name + ": " + what};
  };
  if (member.size > limit) {
    return Error{Errc::exhausted, "zip: " + member.name + " has " + with_thousands(member.size) +
                                      " bytes, more than " + with_thousands(limit)};
  }
  const auto checked = [&](std::span<const std::byte> bytes) {
    return crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()) == member.crc;
  };
  if (!member.deflated) {
    if (!checked(member.packed)) return bad("the bytes do not match their checksum");
    return Contents(member.packed);
  }
  std::vector<std::byte> out(member.size);
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return Error{Errc::exhausted, "zip: no memory to inflate"};
  std::size_t read = 0, written = 0;
  int state = Z_OK;
  // A byte more than there should be, so that a longer stream is noticed.
  Bytef beyond = 0;
  while (state == Z_OK) {
    constexpr std::size_t kPiece = std::size_t{1} << 30;
    const std::size_t in = std::min(kPiece, member.packed.size() - read),
                      room = std::min(kPiece, out.size() - written);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(member.packed.data() + read));
    stream.avail_in = static_cast<uInt>(in);
    stream.next_out = room == 0 ? &beyond : reinterpret_cast<Bytef*>(out.data() + written);
    stream.avail_out = static_cast<uInt>(room == 0 ? 1 : room);
    state = inflate(&stream, Z_NO_FLUSH);
    const std::size_t got = (room == 0 ? 1 : room) - stream.avail_out;
    read += in - stream.avail_in;
    if (room == 0 && got > 0) state = Z_DATA_ERROR;
    if (room > 0) written += got;
    if (state == Z_OK && got == 0 && stream.avail_in == in) state = Z_BUF_ERROR;
  }
  inflateEnd(&stream);
  if (state != Z_STREAM_END || read != member.packed.size() || written != out.size())
    return bad("cannot be inflated to " + with_thousands(member.size) + " bytes");
  if (!checked(out)) return bad("the bytes do not match their checksum");
  return Contents(std::move(out));
}

}  // namespace nidus::interop::internal
