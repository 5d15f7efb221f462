#include "net/decode.h"

#include <algorithm>
#include <bit>

#include "net/internal/fragment_table.h"
#include "net/internal/walk.h"

namespace nidus::net {
namespace {

using internal::Rest;
using internal::Walk;

// Copied instead of assigned from {}, which GCC 12 builds aside with "rep stos": ten times the instructions'
// time.
constexpr Packet kBlank;

Fault walk_frame(Walk& walk, const Frame& frame) {
  walk.packet = kBlank;
  walk.packet.time = frame.time;
  const auto captured = static_cast<std::uint32_t>(frame.bytes.size());
  const std::uint32_t wire = std::max(captured, frame.wire_bytes);
  walk.packet.frame_bytes = wire;
  const Rest rest{frame.bytes.data(), captured, wire};
  if (frame.link == LinkType::ethernet) [[likely]]
    return internal::walk_ethernet(walk, rest);
  return internal::walk_link(walk, frame.link, rest);
}

}  // namespace

DecodeCounts& DecodeCounts::operator+=(const DecodeCounts& other) {
  packets += other.packets;
  for (std::size_t i = 0; i < faults.size(); ++i) faults[i] += other.faults[i];
  for (std::size_t i = 0; i < oddities.size(); ++i) oddities[i] += other.oddities[i];
  return *this;
}

Fault decode_headers(const Frame& frame, const DecodeOptions& options, Packet& packet) {
  Walk walk(options, packet);
  return walk_frame(walk, frame);
}

Decoder::Decoder(DecodeOptions options)
    : options_(options),
      fragments_(std::make_unique<FragmentTable>(options.fragment_capacity, options.fragment_timeout)) {}
Decoder::Decoder(Decoder&&) noexcept = default;
Decoder& Decoder::operator=(Decoder&&) noexcept = default;
Decoder::~Decoder() = default;

Fault Decoder::decode(const Frame& frame, Packet& packet) {
  Walk walk(options_, packet);
  const Fault fault = walk_frame(walk, frame);
  if (fault != Fault::none) [[unlikely]] {
    ++counts_.faults[static_cast<std::size_t>(fault)];
    return fault;
  }
  ++counts_.packets;
  if (walk.fragment) [[unlikely]] {
    bool evicted = false;
    fragments_->place(*walk.fragment, packet, evicted);
    if (evicted) walk.note(Oddity::evicted_fragment);
    if ((packet.marks & Packet::bad_fragment) != 0) walk.note(Oddity::bad_fragment);
    constexpr std::uint8_t kLater = Packet::non_first_fragment, kKnown = Packet::fragment_attributed;
    if ((packet.marks & (kLater | kKnown)) == kLater) walk.note(Oddity::unattributed_fragment);
  }
  for (unsigned left = walk.oddities; left != 0; left &= left - 1) {
    ++counts_.oddities[static_cast<std::size_t>(std::countr_zero(left))];
  }
  return Fault::none;
}

}  // namespace nidus::net
