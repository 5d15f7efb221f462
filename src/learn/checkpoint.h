#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nidus::learn {

// A tree or a round that was finished.
struct CheckpointRecord {
  std::uint64_t number = 0;
  std::string bytes;
};

// What a checkpoint file says.
struct CheckpointContent {
  std::uint64_t training = 0;  // tells one training from another: its rows and settings
  std::vector<CheckpointRecord> records;
  std::size_t bytes = 0;  // of the file, up to the end of the last whole record
};

// Errc::corrupt if the bytes do not begin as ours do. A record cut short or damaged, and what stands behind
// it, is left out: that is what a kill leaves behind.
//
// The file is little-endian: "nidusckp", version 1 and `training` in eight bytes each; then for each record
// its number, its length and checksum64 of its bytes in eight bytes each, and its bytes.
Result<CheckpointContent> parse_checkpoint(std::span<const std::byte> bytes);

// The file in which training keeps each tree or round as it is finished, so that the same training, started
// again after it was stopped or killed, goes on from there. Nothing that was appended is lost when the
// process dies; when the machine does, the last seconds may be, and the checksums tell.
class Checkpoint {
 public:
  enum class Found : std::uint8_t {
    nothing,         // a new file
    same_training,   // its records are there to be taken
    other_training,  // other rows or settings: its records are dropped
  };

  // One that keeps nothing.
  Checkpoint() = default;
  // Errc::invalid for a file that is no checkpoint, which is left alone; Errc::io, also when another process
  // is writing it.
  static Result<Checkpoint> open(const std::filesystem::path& path, std::uint64_t training);

  Checkpoint(Checkpoint&& other) noexcept;
  Checkpoint& operator=(Checkpoint&& other) noexcept;
  ~Checkpoint();

  Found found() const { return found_; }
  // Those of the file when it was opened, in the order they were appended. Once.
  std::vector<CheckpointRecord> take_records() { return std::move(records_); }
  // One caller at a time.
  Result<void> append(std::uint64_t number, std::string_view bytes);
  // The file holds this record alone from now on, for what each record supersedes. It is written beside the
  // file and then takes its name, so there is a whole one at any moment.
  Result<void> replace(std::uint64_t number, std::string_view bytes);

 private:
  int file_ = -1;
  Found found_ = Found::nothing;
  std::string name_;
  std::uint64_t training_ = 0;
  std::vector<CheckpointRecord> records_;
};

}  // namespace nidus::learn
