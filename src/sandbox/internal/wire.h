#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/result.h"
#include "detect/pipeline.h"
#include "flow/meter.h"
#include "flow/record.h"
#include "net/decode.h"

// What a process and its sandboxed child say to each other through pipes. Both are the same program, so
// numbers and records pass as they lie in memory. The child may have been taken over by what it reads:
// nothing that it says is believed before it was checked here.
namespace nidus::sandbox::internal {

// One message: this header, then as many bytes as it says.
enum class Tag : std::uint32_t {
  ready = 1,  // child: locked down and waiting for a job. One byte: whether its system calls are filtered
  job,        // parent: a Job
  text,       // parent: one of the strings that belong to the job, in order
  file,       // both: here begins a file of this name
  bytes,      // both: some of the file's bytes
  end,        // both: that was all
  records,    // child: FlowRecords, as many as fit the length
  progress,   // child: a Progress
  fault,      // child: why the capture ended early: an Errc in four bytes, then a sentence
  summary,    // child: a WireStatistics
  note,       // child: something that a person should know of the detector
  failure,    // child: why there is nothing: as `fault`
  contexts,   // child: a FlowContext for each of the records that follow at once
  steps,      // child: kSequenceMax PacketSteps for each of them
};

struct Header {
  std::uint32_t tag = 0;
  std::uint32_t bytes = 0;
};

inline constexpr std::size_t kRecordsAtOnce = 512;
inline constexpr std::size_t kRecordsBytesMax = kRecordsAtOnce * sizeof(flow::FlowRecord);
using Steps = std::array<flow::PacketStep, flow::kSequenceMax>;      // of one flow
inline constexpr std::size_t kPieceBytesMax = std::size_t{1} << 18;  // of a file
inline constexpr std::size_t kTextBytesMax = std::size_t{1} << 14;
inline constexpr std::size_t kNameBytesMax = 255;

// The most that a message of this kind may hold; nothing for a kind that does not exist.
std::optional<std::size_t> bytes_max(Tag tag);

// What the child is to do. Plain bytes.
struct Job {
  enum class Kind : std::uint32_t { meter_capture = 1, read_detector } kind = Kind::meter_capture;
  // meter_capture: the bytes of the capture follow on the same pipe, up to its end.
  flow::MeterOptions meter;
  std::uint64_t threads = 1;
  std::uint64_t packets_max = 0, flows_max = 0;
  std::uint64_t inflated_bytes_max = 0, inflated_ratio_max = 0;
  // read_detector: how many strings of each kind follow.
  std::uint64_t features = 0, classes = 0;
  std::uint64_t has_threshold = 0, has_profile = 0;
  double threshold = 0;
  flow::Profile profile = flow::Profile::native;
  std::uint64_t unpacked_bytes_max = 0;
};
static_assert(std::is_trivially_copyable_v<Job>);

struct WireProgress {
  std::uint64_t bytes_read = 0, frames = 0, flows = 0;
};

// detect::CaptureStatistics in whole numbers alone, of which none is invalid.
struct WireStatistics {
  std::uint64_t frames = 0, wire_bytes = 0, has_times = 0;
  std::int64_t first_ns = 0, last_ns = 0;
  std::uint64_t packets = 0;
  std::array<std::uint64_t, net::kFaultNames.size()> faults{};
  std::array<std::uint64_t, net::kOddityNames.size()> oddities{};
  std::array<std::uint64_t, 11> meter{};
};
WireStatistics to_wire(const detect::CaptureStatistics& statistics);
detect::CaptureStatistics from_wire(const WireStatistics& wire);

// Whether a record says nothing that a meter could not: ranges of times, at least one packet, an IP version,
// an end reason, letters in its history, no more steps than there can be. All else are numbers of which every
// value is harmless, and two pointers, which must never be followed: the reader sets them.
bool is_sound(const flow::FlowRecord& record);

// Reads exactly so many bytes. Errc::io if there are fewer.
using ReadBytes = std::function<Result<void>(std::span<std::byte> into)>;

// Messages out of a pipe, checked as far as their kind, their length and, of the child's, their content go.
// Not thread-safe.
class MessageReader {
 public:
  explicit MessageReader(ReadBytes read) : read_(std::move(read)) {}

  struct Message {
    Tag tag = Tag::end;
    std::span<const std::byte> bytes;  // until the next call; none of records
    // Tag::records: until the next call, sound, with the contexts and steps that came before them.
    std::span<const flow::FlowRecord* const> records;
    std::string_view text() const { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
  };

  // Errc::corrupt for what nobody of ours says.
  Result<Message> next();

 private:
  Result<Message> read_records(std::size_t bytes);

  ReadBytes read_;
  std::vector<std::byte> bytes_;
  std::vector<flow::FlowRecord> records_;
  std::vector<const flow::FlowRecord*> pointers_;
  std::vector<flow::FlowContext> contexts_;
  std::vector<Steps> steps_;
};

// The content of Tag::fault and Tag::failure. Unprintable characters become blanks.
Error error_of(std::span<const std::byte> bytes);
std::string error_bytes(const Error& error);

// A name that may be one of a detector's files: letters, digits, '.', '_' and '-', not beginning with '.'.
bool is_file_name(std::string_view name);

// All of it, through short writes and interruptions. False if nobody reads any more.
bool write_all(int fd, std::span<const std::byte> bytes);
bool write_message(int fd, Tag tag, std::span<const std::byte> bytes);
bool write_message(int fd, Tag tag, std::string_view text);
template <class T>
bool write_plain(int fd, Tag tag, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return write_message(fd, tag, std::as_bytes(std::span(&value, 1)));
}

}  // namespace nidus::sandbox::internal
