#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "net/frame.h"
#include "net/packet.h"

namespace nidus::net {

// Why a frame gave no packet.
enum class Fault : std::uint8_t {
  none,                  // it did
  truncated,             // the capture holds too little of a header
  bad_length,            // a length contradicts another one, or the frame
  bad_version,           // a version that does not exist
  unsupported_link,      // a link type that is not read
  unsupported_protocol,  // may carry IP, but in a form that is not read: compressed, fragmented below IP
  encrypted,             // protected 802.11 frame, MACsec, encrypted PPP
  not_ip,                // readable, and something else than IP: spanning tree, 802.11 management, IPX
  arp,
  too_deep,  // more than kTunnelsMax tunnels, or kLayersMax tags and labels
};
inline constexpr std::array<std::string_view, 10> kFaultNames = {
    "none",      "truncated", "bad_length", "bad_version", "unsupported_link", "unsupported_protocol",
    "encrypted", "not_ip",    "arp",        "too_deep"};

// What was wrong with a frame that gave a packet all the same.
enum class Oddity : std::uint8_t {
  transport_cut,     // part of the transport header is not in the capture; fields that are missing are 0
  transport_length,  // UDP length or TCP data offset contradicts the IP length, which was believed
  zero_ip_length,    // Packet::zero_ip_length
  tunnel_unread,     // looked like a tunnel, but what is inside could not be decoded: the outer packet stands
  bad_fragment,      // Packet::bad_fragment
  unattributed_fragment,  // a later fragment whose first one is not known: ports 0
  evicted_fragment,  // for want of room, a datagram was forgotten before its last fragment or its time came
};
inline constexpr std::array<std::string_view, 7> kOddityNames = {
    "transport_cut", "transport_length",      "zero_ip_length",  "tunnel_unread",
    "bad_fragment",  "unattributed_fragment", "evicted_fragment"};

inline constexpr int kTunnelsMax = 8;
inline constexpr int kLayersMax = 24;

struct DecodeOptions {
  // Look inside IP-in-IP, GRE, VXLAN, Geneve, GTP-U, Teredo and EtherIP. Otherwise the outer packet is the
  // packet.
  bool tunnels = true;

  // An ARP frame yields a packet marked Packet::arp from 8.6.0.1 to 8.0.6.4 with protocol and lengths 0: what
  // CICFlowMeter makes of it. Otherwise it is Fault::arp.
  bool keep_arp = false;

  // Datagrams whose fragments are being matched, about 100 bytes each, rounded up to a power of two. When
  // there is no room, the one that was silent for longest among eight is forgotten and counted.
  std::size_t fragment_capacity = 4096;

  // By the time of the packets. 30 s: what most systems wait for the rest of a datagram.
  std::chrono::nanoseconds fragment_timeout = std::chrono::seconds(30);
};

// How many frames went which way.
struct DecodeCounts {
  std::uint64_t packets = 0;
  std::array<std::uint64_t, kFaultNames.size()> faults{};
  std::array<std::uint64_t, kOddityNames.size()> oddities{};

  std::uint64_t of(Fault fault) const { return faults[static_cast<std::size_t>(fault)]; }
  std::uint64_t of(Oddity oddity) const { return oddities[static_cast<std::size_t>(oddity)]; }
  DecodeCounts& operator+=(const DecodeCounts& other);
};

// Walks the headers of a frame from the link up to the innermost transport. A pure function: later fragments
// keep ports 0, nothing is counted. `packet` is undefined unless the answer is Fault::none.
Fault decode_headers(const Frame& frame, const DecodeOptions& options, Packet& packet);

// Frames to packets. Adds to decode_headers a bounded memory of fragmented datagrams, so that later fragments
// get the ports of the first, and counts. Nothing is allocated after construction, nothing is thrown.
//
// Not thread-safe. Where several work in parallel, all fragments of an address pair must go to the same one.
class Decoder {
 public:
  explicit Decoder(DecodeOptions options = {});
  Decoder(Decoder&&) noexcept;
  Decoder& operator=(Decoder&&) noexcept;
  ~Decoder();

  // Fills `packet` if the answer is Fault::none.
  Fault decode(const Frame& frame, Packet& packet);

  const DecodeOptions& options() const { return options_; }
  const DecodeCounts& counts() const { return counts_; }

 private:
  DecodeOptions options_;
  DecodeCounts counts_;
  std::unique_ptr<class FragmentTable> fragments_;
};

}  // namespace nidus::net
