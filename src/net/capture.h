#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "net/frame.h"

namespace nidus::net {

// A frame that claims to hold more captured bytes ends the capture with a fault. The same bound as
// Wireshark's.
inline constexpr std::uint32_t kFrameBytesMax = 262144;

// A pcapng block of a kind we read (section, interface, packet) that is longer ends the capture with a fault.
// Blocks of other kinds are skipped whatever their length.
inline constexpr std::uint32_t kBlockBytesMax = 1 << 20;

// Interfaces of one pcapng section; one more ends the capture with a fault.
inline constexpr std::size_t kInterfacesMax = 4096;

struct CaptureOptions {
  // A compressed capture that unfolds to more ends with a fault, and so does one of which, after its first
  // MiB, more than this many bytes came out of each that went in; 0: any number.
  std::uint64_t inflated_bytes_max = std::uint64_t{1} << 40;
  std::uint64_t inflated_ratio_max = 0;
};

enum class Next : std::uint8_t {
  frame,  // here is one
  end,    // there are no more; fault() says whether that was the end of the capture or of our patience
  idle,   // streams only: nothing arrived for about 200 ms, or a signal did; ask again
};

// Frames out of a capture file: pcap (microseconds or nanoseconds, either byte order, also the "modified"
// kind) or pcapng, plain, gzip or zstd compressed, from a file, a pipe or standard input.
//
// Everything passes through a buffer of about 1.2 MiB (zstd adds its window, 128 MiB at most), whatever the
// size of the capture.
//
// A fault in the middle of a capture (a truncated record, a lying length, bad compressed data) ends it. All
// frames before the fault have been delivered. docs/formats/captures.md lists the faults.
class Capture {
 public:
  // "-" is standard input. Fails if the file cannot be opened or does not begin like a capture. A stream that
  // has not sent its header yet is opened all the same; if it then turns out to be no capture, that is a
  // fault().
  static Result<Capture> open(const std::filesystem::path& path, CaptureOptions options = {});

  // What comes out of a descriptor, which stays the caller's and outlives the capture. It is waited for as
  // long as it takes, so that there is never Next::idle: the bytes of a file on their way, not a live stream.
  // `name` is what messages call it.
  static Result<Capture> open_descriptor(int fd, std::string name, CaptureOptions options = {});

  // The same for bytes in memory, which must outlive the capture and are looked at in place. `name` is what
  // messages call it.
  static Result<Capture> open_memory(std::span<const std::uint8_t> bytes, std::string name,
                                     CaptureOptions options = {});

  Capture(Capture&&) noexcept;
  Capture& operator=(Capture&&) noexcept;
  ~Capture();

  // Fills `frame` if the answer is Next::frame. The frame's bytes live until the next call. After Next::end
  // every further call answers the same.
  Next next(Frame& frame);

  // After Next::end: why the capture ended early, with its name and the byte offset. Nothing if it was whole.
  const std::optional<Error>& fault() const;

  const std::string& name() const;
  std::uint64_t frames() const;  // delivered so far

  // How much has been taken from the file (compressed bytes if it is compressed), and how long the file is if
  // that is known.
  std::uint64_t bytes_read() const;
  std::optional<std::uint64_t> size() const;

  // "pcap", "pcapng", and with what it is packed in: "pcap, gzip". Empty until a stream has sent its header.
  std::string format() const;

 private:
  struct Impl;
  explicit Capture(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace nidus::net
