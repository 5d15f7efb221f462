#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "flow/conn_state.h"
#include "flow/record.h"

namespace nidus::flow {

// The features of KDD'99 and NSL-KDD, as far as packets give them. The rules are those that the published
// rows obey (features specification, 11), where they differ from what re-implementations do.
//
// Features 10 to 22 look into the payload and are 0 by convention, logged_in excepted, which is guessed from
// service, flag and bytes. A model fed with the convention cannot find the attacks that only show there (R2L,
// U2R), so models are better trained on KddSet::header, which leaves them out.

inline constexpr std::size_t kKddFeatures = 41;

// In the order of the files; feature #n of the specification is kKddNames[n - 1].
extern const std::array<std::string_view, kKddFeatures> kKddNames;

enum class KddSet : std::uint8_t { all, header };

// The positions in kKddNames that a set has: 41, or 28.
std::span<const std::uint8_t> kdd_columns(KddSet set);

enum class KddProtocol : std::uint8_t { tcp, udp, icmp };  // what is neither TCP nor UDP counts as icmp
std::string_view name(KddProtocol protocol);

// One of the 70 services of KDD'99, as the position of its name.
enum class KddService : std::uint8_t {};
std::string_view name(KddService service);
std::size_t kdd_services();

// From the responder's port, or from type and code of the first ICMP message (11.4). http_443, http_2784 and
// the like are services of their own; what has no name is `private` from port 49152 up and `other` below.
KddService kdd_service(const FlowRecord& record);

struct KddRow {
  KddProtocol protocol = KddProtocol::tcp;
  KddService service{};
  KddFlag flag = KddFlag::sf;
  // All 41; #2 to #4 hold the numbers of the three above.
  std::array<double, kKddFeatures> values{};
};

struct KddOptions {
  // The published files have rates of two decimals. Train and serve with the same setting.
  bool round_rates = true;

  // Responders remembered, least recently used out and counted: about 1.6 KiB each, and 16 bytes for each of
  // their records of the last 2 s (at most 511).
  std::size_t responders_max = 1u << 15;
};

struct KddStatistics {
  std::uint64_t records = 0;
  std::uint64_t records_late = 0;  // ended before their predecessor; counted as if at the same time
  std::uint64_t responders = 0;    // remembered now
  std::uint64_t responders_forgotten = 0;
};

// The window features #23 to #41: what the connections of the last 2 s, and the last 255 ones, had in common
// with this one. An ordered stage: records must come in the order of their last packet, whichever thread
// metered them (EndOrder sees to it), and then rows do not depend on anything else.
//
// Not thread-safe.
class KddFeatures {
 public:
  explicit KddFeatures(KddOptions options = {});
  ~KddFeatures();
  KddFeatures(KddFeatures&&) noexcept;

  void compute(const FlowRecord& record, KddRow& row);

  KddStatistics statistics() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Features #1 to #22, which need no other record.
void compute_kdd_basics(const FlowRecord& record, KddRow& row);

// The names, comma-separated, and a last column `label`. The published files have no such line.
void append_kdd_header(std::string& out, KddSet set);

// A line as the published files have it. `two_decimals` writes rates as "0.50".
void append_kdd_row(std::string& out, const KddRow& row, KddSet set, std::string_view label,
                    bool two_decimals = true);

}  // namespace nidus::flow
