#pragma once

// Captures for tests and benches, written byte by byte: Ethernet, IPv4, TCP or UDP in a pcap file with
// microseconds. Not part of the program.

#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "net/address.h"
#include "net/packet.h"

namespace nidus::detect {

class CaptureBuilder {
 public:
  CaptureBuilder() {
    little(0xa1b2c3d4u, 4), little(2, 2), little(4, 2), little(0, 8), little(65535, 4), little(1, 4);
  }

  // The time of what follows, in microseconds since 1970.
  CaptureBuilder& at(std::int64_t us) {
    time_us_ = us;
    return *this;
  }

  // Flags as letters: "S", "SA", "A", "PA", "FA", "R".
  CaptureBuilder& tcp(std::string_view from, std::uint16_t from_port, std::string_view to,
                      std::uint16_t to_port, std::string_view flags, std::size_t payload = 0) {
    std::string header;
    big(header, from_port, 2), big(header, to_port, 2), big(header, 1, 4), big(header, 1, 4);
    std::uint8_t bits = 0;
    for (const char c : flags) {
      bits |= c == 'F' ? 1 : c == 'S' ? 2 : c == 'R' ? 4 : c == 'P' ? 8 : c == 'A' ? 16 : 0;
    }
    big(header, 0x50, 1), big(header, bits, 1), big(header, 8192, 2), big(header, 0, 4);
    return frame(from, to, net::protocol::tcp, header, payload);
  }

  CaptureBuilder& udp(std::string_view from, std::uint16_t from_port, std::string_view to,
                      std::uint16_t to_port, std::size_t payload) {
    std::string header;
    big(header, from_port, 2), big(header, to_port, 2), big(header, 8 + payload, 2), big(header, 0, 2);
    return frame(from, to, net::protocol::udp, header, payload);
  }

  // Bytes that are no packet, as a frame of their own.
  CaptureBuilder& raw(std::string_view bytes) {
    little(static_cast<std::uint64_t>(time_us_ / 1'000'000), 4),
        little(static_cast<std::uint64_t>(time_us_ % 1'000'000), 4);
    little(bytes.size(), 4), little(bytes.size(), 4);
    bytes_ += bytes;
    return *this;
  }

  const std::string& bytes() const { return bytes_; }
  std::span<const std::uint8_t> span() const {
    return {reinterpret_cast<const std::uint8_t*>(bytes_.data()), bytes_.size()};
  }
  void save(const std::string& path) const { std::ofstream(path, std::ios::binary) << bytes_; }

 private:
  void little(std::uint64_t value, int count) {
    for (int i = 0; i < count; ++i) bytes_ += static_cast<char>(i < 8 ? value >> (8 * i) & 0xff : 0);
  }
  static void big(std::string& out, std::uint64_t value, int count) {
    for (int i = count - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i) & 0xff);
  }

  CaptureBuilder& frame(std::string_view from, std::string_view to, std::uint8_t protocol,
                        const std::string& transport, std::size_t payload) {
    const auto source = net::parse_address(from), destination = net::parse_address(to);
    std::string out(12, '\x02');
    big(out, 0x0800, 2), big(out, 0x45, 1), big(out, 0, 1), big(out, 20 + transport.size() + payload, 2);
    big(out, 0, 4), big(out, 64, 1), big(out, protocol, 1), big(out, 0, 2);
    for (const auto* address : {&source->address, &destination->address}) {
      for (int i = 0; i < 4; ++i) out += static_cast<char>(address->bytes[static_cast<std::size_t>(i)]);
    }
    out += transport;
    out.append(payload, 'x');
    return raw(out);
  }

  std::string bytes_;
  std::int64_t time_us_ = 1'700'000'000'000'000;
};

// A mixture of many short and some long conversations, the same for a seed.
inline CaptureBuilder random_capture(std::uint64_t seed, std::size_t packets, std::size_t hosts = 40,
                                     std::size_t payload_max = 1200, std::uint64_t gap_us_max = 20'000) {
  CaptureBuilder capture;
  Random random(seed);
  std::int64_t now = 1'700'000'000'000'000;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < hosts; ++i) {
    names.push_back("10." + std::to_string(i >> 16) + "." + std::to_string(i >> 8 & 255) + "." +
                    std::to_string(i & 255));
  }
  constexpr std::string_view kFlags[] = {"S", "SA", "A", "A", "PA", "PA", "A", "FA", "R", "A"};
  for (std::size_t i = 0; i < packets; ++i) {
    now += static_cast<std::int64_t>(random.below(gap_us_max) * (random.below(1000) == 0 ? 2000 : 1));
    const auto& a = names[random.below(hosts)];
    const auto& b = names[random.below(hosts)];
    const auto port = static_cast<std::uint16_t>(1024 + random.below(4));
    const std::size_t payload = random.below(3) == 0 ? 0 : random.below(payload_max);
    const bool forward = random.below(2) == 0;
    const auto from_port = forward ? port : std::uint16_t{80}, to_port = forward ? std::uint16_t{80} : port;
    capture.at(now);
    if (random.below(4) == 0) {
      capture.udp(a, from_port, b, to_port, payload);
    } else {
      capture.tcp(a, from_port, b, to_port, kFlags[random.below(std::size(kFlags))], payload);
    }
  }
  return capture;
}

}  // namespace nidus::detect
