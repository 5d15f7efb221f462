#include <algorithm>
#include <limits>
#include <string>

#include "net/capture.h"
#include "net/internal/reader.h"

namespace nidus::net::internal {
namespace {

__extension__ using uint128 = unsigned __int128;
__extension__ using int128 = __int128;

constexpr std::uint32_t kSection = 0x0a0d0d0a;  // the same in both byte orders
constexpr std::uint32_t kByteOrder = 0x1a2b3c4d;
constexpr std::uint32_t kInterface = 1;
constexpr std::uint32_t kObsoletePacket = 2;
constexpr std::uint32_t kSimplePacket = 3;
constexpr std::uint32_t kEnhancedPacket = 6;

constexpr std::uint16_t kResolutionOption = 9;
constexpr std::uint16_t kOffsetOption = 14;

// Type and length in front, the length again behind.
constexpr std::uint32_t kBlockFrameBytes = 12;

constexpr std::uint32_t round_up_4(std::uint32_t n) { return (n + 3) & ~std::uint32_t{3}; }

std::int64_t clamp_to_int64(int128 value) {
  constexpr auto lowest = std::numeric_limits<std::int64_t>::min();
  constexpr auto highest = std::numeric_limits<std::int64_t>::max();
  if (value < lowest) return lowest;
  if (value > highest) return highest;
  return static_cast<std::int64_t>(value);
}

int128 power_of_ten(int exponent) {
  int128 power = 1;
  for (int i = 0; i < exponent; ++i) power *= 10;
  return power;
}

}  // namespace

bool PcapngReader::recognises(const std::uint8_t* magic) {
  return load_native<std::uint32_t>(magic) == kSection;
}

Timestamp PcapngReader::Interface::time(std::uint64_t ticks) const {
  const int exponent = resolution & 0x7f;
  int128 ns = 0;
  if (resolution == 6) [[likely]] {
    ns = int128{ticks} * 1000;
  } else if ((resolution & 0x80) != 0) {
    // 2^64 ticks of 10^9 ns stay below 2^94.
    ns = exponent < 94 ? (int128{ticks} * 1'000'000'000) >> exponent : 0;
  } else if (exponent <= 9) {
    ns = int128{ticks} * power_of_ten(9 - exponent);
  } else {
    ns = exponent - 9 < 20 ? int128{ticks} / power_of_ten(exponent - 9) : 0;
  }
  return {clamp_to_int64(ns + int128{offset_seconds} * 1'000'000'000)};
}

Read PcapngReader::next(Window& window, Frame& frame, ReadFault& fault) {
  for (;;) {
    if (skipping_ > 0) {
      const Read skipped = skip_block(window, fault);
      if (skipped != Read::frame) return skipped;
    }
    Window::Have have = window.have(kBlockFrameBytes);
    if (have != Window::Have::enough) return out_of_bytes(window, have, "a block header", fault);
    const bool section = recognises(window.at());
    if (section) {
      const std::uint8_t* const magic = window.at() + 8;
      if (load_le32(magic) == kByteOrder) {
        order_ = std::endian::little;
      } else if (load_be32(magic) == kByteOrder) {
        order_ = std::endian::big;
      } else {
        fault = {Errc::corrupt, window.offset() + 8, "a section header without byte-order magic"};
        return Read::fault;
      }
    }
    const std::uint32_t type = u32(window.at());
    const std::uint32_t bytes = u32(window.at() + 4);
    if (bytes < kBlockFrameBytes || bytes % 4 != 0) {
      fault = {Errc::corrupt, window.offset() + 4, "a block claims " + std::to_string(bytes) + " bytes"};
      return Read::fault;
    }
    const bool packet = type == kEnhancedPacket || type == kSimplePacket || type == kObsoletePacket;
    if (!section && type != kInterface && !packet) {
      skipping_ = skipped_block_bytes_ = bytes;
      continue;
    }
    if (bytes > kBlockBytesMax) {
      fault = {
          Errc::corrupt, window.offset() + 4,
          "a block claims " + std::to_string(bytes) + " bytes, more than " + std::to_string(kBlockBytesMax)};
      return Read::fault;
    }
    have = window.have(bytes);
    if (have != Window::Have::enough) return out_of_bytes(window, have, "a block", fault);
    if (u32(window.at() + bytes - 4) != bytes) {
      fault = {Errc::corrupt, window.offset() + bytes - 4,
               "a block of " + std::to_string(bytes) + " bytes claims " +
                   std::to_string(u32(window.at() + bytes - 4)) + " at its end"};
      return Read::fault;
    }
    Read read = Read::frame;
    if (packet) {
      read = read_packet(window, type, bytes, frame, fault);
    } else if (section) {
      read = read_section(window, bytes, fault);
    } else {
      read = read_interface(window, bytes, fault);
    }
    if (read == Read::fault) return read;
    window.skip(bytes);
    window.load_ahead();
    if (packet) return read;
  }
}

Read PcapngReader::skip_block(Window& window, ReadFault& fault) {
  // The last four bytes are the length again; everything before them is passed over.
  if (skipping_ > 4) {
    std::uint64_t left = skipping_ - 4;
    const Window::Have have = window.skip_far(left);
    skipping_ = left + 4;
    if (have == Window::Have::end) {
      fault = {Errc::corrupt, window.offset(), "truncated: a block is cut off"};
      return Read::fault;
    }
    if (have != Window::Have::enough) return out_of_bytes(window, have, "a block", fault);
  }
  const Window::Have have = window.have(4);
  if (have == Window::Have::end) {
    fault = {Errc::corrupt, window.offset(), "truncated: a block is cut off"};
    return Read::fault;
  }
  if (have != Window::Have::enough) return out_of_bytes(window, have, "a block", fault);
  if (u32(window.at()) != skipped_block_bytes_) {
    fault = {Errc::corrupt, window.offset(),
             "a block of " + std::to_string(skipped_block_bytes_) + " bytes claims " +
                 std::to_string(u32(window.at())) + " at its end"};
    return Read::fault;
  }
  window.skip(4);
  skipping_ = 0;
  return Read::frame;
}

Read PcapngReader::read_section(Window& window, std::uint32_t bytes, ReadFault& fault) {
  if (bytes < 28) {
    fault = {Errc::corrupt, window.offset() + 4, "a section header of " + std::to_string(bytes) + " bytes"};
    return Read::fault;
  }
  const std::uint16_t major = u16(window.at() + 12);
  const std::uint16_t minor = u16(window.at() + 14);
  // 1.2 was written by some tools and means 1.0 (draft-ietf-opsawg-pcapng, section 4.1).
  if (major != 1 || (minor != 0 && minor != 2)) {
    fault = {Errc::unsupported, window.offset() + 12,
             "pcapng version " + std::to_string(major) + "." + std::to_string(minor) + ", only 1.0 is read"};
    return Read::fault;
  }
  interfaces_.clear();
  return Read::frame;
}

Read PcapngReader::read_interface(Window& window, std::uint32_t bytes, ReadFault& fault) {
  const std::uint8_t* const block = window.at();
  if (bytes < 20) {
    fault = {Errc::corrupt, window.offset() + 4,
             "an interface description of " + std::to_string(bytes) + " bytes"};
    return Read::fault;
  }
  if (interfaces_.size() == kInterfacesMax) {
    fault = {Errc::exhausted, window.offset(), "more than " + std::to_string(kInterfacesMax) + " interfaces"};
    return Read::fault;
  }
  Interface interface;
  interface.link = static_cast<LinkType>(u16(block + 8));
  interface.snap_bytes = u32(block + 12);
  std::uint32_t at = 16;
  while (at + 4 <= bytes - 4) {
    const std::uint16_t code = u16(block + at);
    const std::uint16_t length = u16(block + at + 2);
    at += 4;
    if (code == 0) break;
    if (round_up_4(length) > bytes - 4 - at) {
      fault = {Errc::corrupt, window.offset() + at - 2,
               "an interface option of " + std::to_string(length) + " bytes does not fit its block"};
      return Read::fault;
    }
    if (code == kResolutionOption && length == 1) interface.resolution = block[at];
    if (code == kOffsetOption && length == 8) {
      interface.offset_seconds = static_cast<std::int64_t>(load_ordered<std::uint64_t>(block + at, order_));
    }
    at += round_up_4(length);
  }
  interfaces_.push_back(interface);
  return Read::frame;
}

Read PcapngReader::read_packet(Window& window, std::uint32_t type, std::uint32_t bytes, Frame& frame,
                               ReadFault& fault) {
  const std::uint8_t* const block = window.at();
  const bool simple = type == kSimplePacket;
  const std::uint32_t header = simple ? 12 : 28;
  if (bytes < header + 4) {
    fault = {Errc::corrupt, window.offset() + 4, "a packet block of " + std::to_string(bytes) + " bytes"};
    return Read::fault;
  }
  const std::uint32_t id = simple ? 0 : type == kObsoletePacket ? u16(block + 8) : u32(block + 8);
  if (id >= interfaces_.size()) {
    fault = {Errc::corrupt, window.offset() + 8,
             "a packet of interface " + std::to_string(id) + ", of " + std::to_string(interfaces_.size())};
    return Read::fault;
  }
  const Interface& interface = interfaces_[id];
  const std::uint32_t room = bytes - header - 4;
  std::uint32_t captured = 0;
  std::uint32_t wire = 0;
  if (simple) {
    wire = u32(block + 8);
    captured = std::min(wire, room);
    if (interface.snap_bytes != 0) captured = std::min(captured, interface.snap_bytes);
  } else {
    captured = u32(block + 20);
    wire = u32(block + 24);
    last_ = interface.time(std::uint64_t{u32(block + 12)} << 32 | u32(block + 16));
  }
  if (captured > room) {
    fault = {Errc::corrupt, window.offset() + 20,
             "a packet of " + std::to_string(captured) + " bytes does not fit its block"};
    return Read::fault;
  }
  if (captured > kFrameBytesMax) {
    fault = {
        Errc::corrupt, window.offset() + 20,
        "a packet of " + std::to_string(captured) + " bytes, more than " + std::to_string(kFrameBytesMax)};
    return Read::fault;
  }
  frame.time = last_;
  frame.link = interface.link;
  frame.wire_bytes = std::max(captured, wire);
  frame.bytes = {block + header, captured};
  return Read::frame;
}

}  // namespace nidus::net::internal
