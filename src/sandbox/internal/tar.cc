#include "sandbox/internal/tar.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

namespace nidus::sandbox::internal {
namespace {

constexpr std::size_t kBlock = 512;
constexpr std::size_t kMembersMax = 256;
constexpr std::size_t kNameMax = 4096;

// Where the fields of a header are (POSIX.1-2017, pax, "ustar Interchange Format").
struct Field {
  std::size_t at, length;
};
constexpr Field kName{0, 100}, kSize{124, 12}, kChecksum{148, 8}, kMagic{257, 5}, kPrefix{345, 155};
constexpr std::size_t kType = 156;

std::string_view field(std::span<const std::byte> block, Field f) {
  const std::string_view text(reinterpret_cast<const char*>(block.data()) + f.at, f.length);
  return text.substr(0, text.find('\0'));
}

// Octal digits, with blanks around them.
std::optional<std::uint64_t> octal(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  std::uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '7' || value >> 60 != 0) return std::nullopt;
    value = value << 3 | static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

bool checksum_fits(std::span<const std::byte> block) {
  const auto stated = octal(field(block, kChecksum));
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < kBlock; ++i) {
    const bool blank = i >= kChecksum.at && i < kChecksum.at + kChecksum.length;
    sum += blank ? std::uint64_t{' '} : std::to_integer<std::uint64_t>(block[i]);
  }
  return stated && *stated == sum;
}

// The path in a pax header: lines of "LENGTH KEY=VALUE\n".
std::optional<std::string> pax_path(std::string_view text) {
  std::optional<std::string> path;
  while (!text.empty()) {
    const auto blank = text.find(' ');
    if (blank == std::string_view::npos || blank > 6) return std::nullopt;
    std::size_t length = 0;
    for (const char c : text.substr(0, blank)) {
      if (c < '0' || c > '9') return std::nullopt;
      length = length * 10 + static_cast<std::size_t>(c - '0');
    }
    if (length <= blank + 1 || length > text.size()) return std::nullopt;
    std::string_view line = text.substr(blank + 1, length - blank - 1);
    if (line.ends_with('\n')) line.remove_suffix(1);
    if (line.starts_with("path=")) path = std::string(line.substr(5));
    text.remove_prefix(length);
  }
  return path;
}

}  // namespace

bool is_tar(std::span<const std::byte> bytes) {
  return bytes.size() >= kBlock && field(bytes, kMagic) == "ustar" && checksum_fits(bytes);
}

Result<std::vector<std::byte>> gunzip(std::span<const std::byte> bytes, std::uint64_t bytes_max) {
  std::vector<std::byte> out;
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 16) != Z_OK) return Error{Errc::exhausted, "no memory for zlib"};
  int answer = Z_OK;
  while (answer == Z_OK) {
    const std::size_t in = std::min<std::size_t>(bytes.size(), 1u << 20);
    const std::size_t had = out.size();
    out.resize(had + (1u << 18));
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));  // zlib does not write
    stream.avail_in = static_cast<uInt>(in);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + had);
    stream.avail_out = 1u << 18;
    answer = inflate(&stream, Z_NO_FLUSH);
    bytes = bytes.subspan(in - stream.avail_in);
    out.resize(out.size() - stream.avail_out);
    if (answer == Z_BUF_ERROR) break;  // it ends early
    if (out.size() > bytes_max) {
      inflateEnd(&stream);
      return Error{Errc::exhausted, fmt::format("unpacks to more than the limit of {} bytes", bytes_max)};
    }
  }
  inflateEnd(&stream);
  if (answer != Z_STREAM_END) return Error{Errc::corrupt, "damaged gzip data"};
  return out;
}

Result<std::vector<TarMember>> read_tar(std::span<const std::byte> archive) {
  std::vector<TarMember> members;
  std::string long_name;
  std::size_t at = 0;
  const auto wrong = [&](std::string_view what) {
    return Error{Errc::corrupt, fmt::format("tar archive: byte {}: {}", at, what)};
  };
  while (at + kBlock <= archive.size()) {
    const auto block = archive.subspan(at, kBlock);
    if (std::all_of(block.begin(), block.end(), [](std::byte b) { return b == std::byte{0}; }))
      return members;
    if (!checksum_fits(block)) return wrong("a header whose checksum is wrong");
    const auto size = octal(field(block, kSize));
    if (!size || *size > archive.size() - at - kBlock) return wrong("a file that is longer than the archive");
    const auto bytes = archive.subspan(at + kBlock, static_cast<std::size_t>(*size));
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const char type = static_cast<char>(block[kType]);
    std::string name = std::exchange(long_name, "");
    if (name.empty()) {
      const auto prefix = field(block, kMagic) == "ustar" ? field(block, kPrefix) : "";
      name = std::string(prefix) + (prefix.empty() ? "" : "/") + std::string(field(block, kName));
    }
    switch (type) {
      case '\0':
      case '0':
      case '7': {
        const auto slash = name.rfind('/');
        if (slash != std::string::npos) name.erase(0, slash + 1);
        if (name.empty() || name == "." || name == "..") return wrong("a file without a name");
        const auto same = [&](const TarMember& m) { return m.name == name; };
        if (std::any_of(members.begin(), members.end(), same)) return wrong("a second file called " + name);
        if (members.size() == kMembersMax) return Error{Errc::exhausted, "tar archive: more than 256 files"};
        members.push_back({std::move(name), bytes});
        break;
      }
      case '5':
        break;
      case 'L':
        if (bytes.size() > kNameMax) return wrong("a name of that length is none");
        long_name = text.substr(0, text.find('\0'));
        break;
      case 'x':
        if (bytes.size() > (1u << 16)) return wrong("a pax header of that length is none");
        long_name = pax_path(text).value_or("");
        break;
      case 'g':
        break;
      default:
        return wrong(fmt::format("{}: neither a file nor a folder", name));
    }
    at += kBlock + (static_cast<std::size_t>(*size) + kBlock - 1) / kBlock * kBlock;
  }
  // Without the two empty blocks it was cut, or made by a careless program.
  if (members.empty()) return wrong("ends before its first file");
  return members;
}

}  // namespace nidus::sandbox::internal
