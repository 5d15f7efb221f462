#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include "base/result.h"
#include "net/frame.h"
#include "net/internal/bytes.h"
#include "net/internal/window.h"

namespace nidus::net::internal {

enum class Read : std::uint8_t { frame, end, idle, fault };

// What went wrong, and where in the (unpacked) capture.
struct ReadFault {
  Errc code = Errc::corrupt;
  std::uint64_t offset = 0;
  std::string what;
};

// How a reader answers when the window does not hold what it needs: `what` is the thing that is cut off.
// Nothing at all left is a clean end.
Read out_of_bytes(const Window& window, Window::Have have, const char* what, ReadFault& fault);

// pcap: a header of 24 bytes, then records of a header (16 bytes, "modified" 24) and a frame.
class PcapReader {
 public:
  static constexpr std::size_t kHeaderBytes = 24;

  // Whether these four bytes begin such a capture.
  static bool recognises(const std::uint8_t* magic);

  // Reads the header; answers Read::frame when that is done.
  Read start(Window& window, ReadFault& fault);
  Read next(Window& window, Frame& frame, ReadFault& fault);

 private:
  std::endian order_ = std::endian::native;
  std::uint32_t record_header_bytes_ = 16;
  std::uint32_t fraction_ns_ = 1000;  // the unit of a timestamp's second half
  LinkType link_ = LinkType::ethernet;
};

// pcapng: blocks. Sections may differ in byte order; each has interfaces with a link type and a clock of
// their own.
class PcapngReader {
 public:
  static bool recognises(const std::uint8_t* magic);

  Read next(Window& window, Frame& frame, ReadFault& fault);

 private:
  struct Interface {
    LinkType link = LinkType::ethernet;
    std::uint32_t snap_bytes = 0;  // 0: no limit
    std::uint8_t resolution = 6;   // if_tsresol
    std::int64_t offset_seconds = 0;

    Timestamp time(std::uint64_t ticks) const;
  };

  std::uint32_t u32(const std::uint8_t* at) const { return load_ordered<std::uint32_t>(at, order_); }
  std::uint16_t u16(const std::uint8_t* at) const { return load_ordered<std::uint16_t>(at, order_); }

  // Each gets a whole block, both lengths checked, and answers Read::frame if it went well.
  Read read_section(Window& window, std::uint32_t bytes, ReadFault& fault);
  Read read_interface(Window& window, std::uint32_t bytes, ReadFault& fault);
  Read read_packet(Window& window, std::uint32_t type, std::uint32_t bytes, Frame& frame, ReadFault& fault);
  Read skip_block(Window& window, ReadFault& fault);

  std::endian order_ = std::endian::native;
  std::uint64_t skipping_ = 0;  // bytes of the current block still to be passed over
  std::uint32_t skipped_block_bytes_ = 0;
  std::vector<Interface> interfaces_;  // of the current section, at most kInterfacesMax
  Timestamp last_;                     // of the last frame, for simple packet blocks, which have no time
};

}  // namespace nidus::net::internal
