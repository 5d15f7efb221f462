// What a child that was taken over may say: no crash, and only records of which everything that follows can
// be computed and written.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "detect/subject.h"
#include "flow/columns.h"
#include "flow/community_id.h"
#include "flow/conn_state.h"
#include "flow/features.h"
#include "sandbox/internal/wire.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nidus;
  using namespace nidus::sandbox::internal;
  std::span<const std::uint8_t> rest(data, size);
  MessageReader reader([&](std::span<std::byte> into) -> Result<void> {
    if (into.size() > rest.size()) return Error{Errc::io, "ended"};
    if (!into.empty()) std::memcpy(into.data(), rest.data(), into.size());
    rest = rest.subspan(into.size());
    return {};
  });
  for (;;) {
    const auto message = reader.next();
    if (!message) return 0;
    if (message->bytes.size() > *bytes_max(message->tag)) std::abort();
    if (message->tag == Tag::fault || message->tag == Tag::failure) {
      for (const char c : error_of(message->bytes).message) {
        if (static_cast<unsigned char>(c) < 0x20) std::abort();
      }
    }
    if (message->tag == Tag::summary) {
      WireStatistics wire;
      std::memcpy(&wire, message->bytes.data(), sizeof wire);
      (void)from_wire(wire);
    }
    for (const auto* record : message->records) {
      flow::FeatureRow row;
      for (const auto profile : flow::kProfiles) flow::compute_features(profile, *record, row);
      for (const auto group : {flow::Group::context, flow::Group::sequence}) {
        for (std::size_t i = 0; i < flow::columns_in(group); ++i) {
          const double value = flow::value_beside({group, static_cast<std::uint16_t>(i)}, *record);
          if (std::isinf(value)) std::abort();
        }
      }
      const auto subject = detect::subject_of(*record, "x", 1);
      (void)detect::source_text(subject);
      (void)detect::destination_text(subject);
      (void)flow::conn_state(*record);
      (void)flow::history(*record);
      (void)flow::community_id(*record);
    }
  }
}
