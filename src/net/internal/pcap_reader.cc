#include <algorithm>
#include <optional>
#include <string>

#include "net/capture.h"
#include "net/internal/reader.h"

namespace nidus::net::internal {
namespace {

constexpr std::uint32_t kMicroseconds = 0xa1b2c3d4;
constexpr std::uint32_t kNanoseconds = 0xa1b23c4d;
// A. Kuznetzov's patch for Linux 2.2: eight more bytes (interface, protocol, packet type) per record.
constexpr std::uint32_t kModified = 0xa1b2cd34;

std::optional<std::endian> order_of(const std::uint8_t* magic) {
  for (const std::endian order : {std::endian::little, std::endian::big}) {
    const auto value = load_ordered<std::uint32_t>(magic, order);
    if (value == kMicroseconds || value == kNanoseconds || value == kModified) return order;
  }
  return std::nullopt;
}

}  // namespace

Read out_of_bytes(const Window& window, Window::Have have, const char* what, ReadFault& fault) {
  switch (have) {
    case Window::Have::enough:
    case Window::Have::idle:
      return Read::idle;
    case Window::Have::end:
      if (window.visible() == 0) return Read::end;
      fault = {Errc::corrupt, window.offset(),
               std::string("truncated: ") + what + " is cut off after " + std::to_string(window.visible()) +
                   " bytes"};
      return Read::fault;
    case Window::Have::failed:
      fault = {window.error().code, window.offset(), window.error().message};
      return Read::fault;
  }
  return Read::fault;
}

bool PcapReader::recognises(const std::uint8_t* magic) { return order_of(magic).has_value(); }

Read PcapReader::start(Window& window, ReadFault& fault) {
  const Window::Have have = window.have(kHeaderBytes);
  if (have != Window::Have::enough) return out_of_bytes(window, have, "the pcap header", fault);
  const std::uint8_t* const header = window.at();
  order_ = order_of(header).value_or(std::endian::native);
  const auto magic = load_ordered<std::uint32_t>(header, order_);
  fraction_ns_ = magic == kNanoseconds ? 1 : 1000;
  record_header_bytes_ = magic == kModified ? 24 : 16;
  const auto major = load_ordered<std::uint16_t>(header + 4, order_);
  const auto minor = load_ordered<std::uint16_t>(header + 6, order_);
  if (major != 2) {
    fault = {Errc::unsupported, 4,
             "pcap version " + std::to_string(major) + "." + std::to_string(minor) + ", only 2 is read"};
    return Read::fault;
  }
  // The lower 16 bits are the link type, the upper six the length of a frame check sequence, the rest is
  // reserved.
  const auto link = load_ordered<std::uint32_t>(header + 20, order_);
  if ((link & 0x03ff0000) != 0) {
    fault = {Errc::corrupt, 20, "reserved bits set in link type " + std::to_string(link)};
    return Read::fault;
  }
  link_ = static_cast<LinkType>(link & 0xffff);
  window.skip(kHeaderBytes);
  return Read::frame;
}

Read PcapReader::next(Window& window, Frame& frame, ReadFault& fault) {
  Window::Have have = window.have(record_header_bytes_);
  if (have != Window::Have::enough) [[unlikely]] {
    return out_of_bytes(window, have, "a record header", fault);
  }
  const auto captured = load_ordered<std::uint32_t>(window.at() + 8, order_);
  if (captured > kFrameBytesMax) [[unlikely]] {
    fault = {Errc::corrupt, window.offset() + 8,
             "a record claims " + std::to_string(captured) + " bytes, more than " +
                 std::to_string(kFrameBytesMax)};
    return Read::fault;
  }
  const std::size_t record = record_header_bytes_ + captured;
  have = window.have(record);
  if (have != Window::Have::enough) [[unlikely]] {
    return out_of_bytes(window, have, "a record", fault);
  }
  const std::uint8_t* const header = window.at();
  const auto seconds = load_ordered<std::uint32_t>(header, order_);
  const auto fraction = load_ordered<std::uint32_t>(header + 4, order_);
  frame.time.ns = std::int64_t{seconds} * 1'000'000'000 + std::int64_t{fraction} * fraction_ns_;
  frame.link = link_;
  frame.wire_bytes = std::max(captured, load_ordered<std::uint32_t>(header + 12, order_));
  frame.bytes = {header + record_header_bytes_, captured};
  window.skip(record);
  window.load_ahead();
  return Read::frame;
}

}  // namespace nidus::net::internal
