#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"

namespace nidus::interop::internal {

// Bytes that belong to somebody else, or to this object: what was stored as it is, or had to be unpacked.
class Contents {
 public:
  explicit Contents(std::span<const std::byte> view) : view_(view) {}
  explicit Contents(std::vector<std::byte> owned) : owned_(std::move(owned)), view_(owned_) {}
  Contents(Contents&&) = default;  // a moved vector keeps its place
  Contents& operator=(Contents&&) = default;
  Contents(const Contents&) = delete;
  Contents& operator=(const Contents&) = delete;

  std::span<const std::byte> bytes() const { return view_; }
  std::string_view text() const { return {reinterpret_cast<const char*>(view_.data()), view_.size()}; }

 private:
  std::vector<std::byte> owned_;
  std::span<const std::byte> view_;
};

// A zip archive (PKWARE's APPNOTE 6.3, with zip64), as NumPy, Keras and PyTorch write them: members stored or
// deflated, described by the central directory at the end. Local headers must agree with it.
//
// Refused: encryption, several disks, other methods; names that are absolute, lead upwards, hold NUL or a
// backslash or stand twice; members that overlap each other or the directory; a directory that does not end
// where its end record begins; sizes that no deflated stream can have.
class Zip {
 public:
  struct Member {
    std::string name;
    std::uint64_t size = 0;  // unpacked
    bool deflated = false;
    std::uint32_t crc = 0;
    std::span<const std::byte> packed;
  };

  static constexpr std::size_t kMembersMax = 65536;

  // `bytes` must outlive the archive, and what is read from it. Errc::corrupt, unsupported or exhausted.
  static Result<Zip> open(std::span<const std::byte> bytes);
  // Whether they begin like an archive.
  static bool looks_like(std::span<const std::byte> bytes);

  // In the order of the directory. Folders, whose names end in '/', are not among them.
  const std::vector<Member>& members() const { return members_; }
  // Null if there is none of that name.
  const Member* find(std::string_view name) const;

  // Errc::exhausted beyond `limit` bytes, corrupt if the bytes do not match size or checksum.
  static Result<Contents> read(const Member& member, std::size_t limit = std::size_t{1} << 31);

 private:
  std::vector<Member> members_;
  std::unordered_map<std::string, std::size_t> by_name_;
};

}  // namespace nidus::interop::internal
