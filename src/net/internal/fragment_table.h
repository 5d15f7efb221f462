#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "net/internal/walk.h"

namespace nidus::net {

// Datagrams of which some fragments have been seen, so that the later ones learn the ports of the first.
//
// Eight datagrams share a bucket, found by a hash and told apart by the full key. When a bucket is full its
// longest silent entry makes room. The hash is fixed, so that the same capture always gives the same packets;
// who crafts collisions makes fragments lose their ports, nothing worse.
class FragmentTable {
 public:
  FragmentTable(std::size_t capacity, std::chrono::nanoseconds timeout);

  // Files the fragment that `packet` came from, and fills what the packet can learn from the datagram's other
  // fragments: ports, protocol, ICMP type and code, marks. Sets `evicted` if that cost another datagram its
  // place.
  void place(const internal::FragmentPart& part, Packet& packet, bool& evicted);

 private:
  static constexpr std::size_t kWays = 8;
  static constexpr std::size_t kRuns = 6;

  // What arrived of a datagram, as runs [begin, end) in units of 8 bytes, apart from each other. A seventh
  // run is not recorded, so overlaps with it go unnoticed.
  struct Coverage {
    std::array<std::uint16_t, kRuns> begin{};
    std::array<std::uint16_t, kRuns> end{};
    std::uint8_t runs = 0;

    // False if the run overlaps what is there.
    bool add(std::uint16_t from, std::uint16_t to);
  };

  struct Datagram {
    FiveTuple key;  // ports 0
    std::uint32_t id = 0;
    bool used = false;
    bool ports_known = false;
    std::uint8_t protocol = 0;
    std::uint8_t icmp_type = 0;
    std::uint8_t icmp_code = 0;
    bool end_known = false;
    std::uint16_t end = 0;  // in units of 8 bytes, rounded up
    std::uint16_t source_port = 0;
    std::uint16_t destination_port = 0;
    Coverage coverage;
    std::int64_t last_ns = 0;
  };

  Datagram& find(const internal::FragmentPart& part, Timestamp now, bool& evicted);
  bool expired(const Datagram& datagram, Timestamp now) const;

  std::vector<std::array<Datagram, kWays>> buckets_;
  std::int64_t timeout_ns_;
};

}  // namespace nidus::net
