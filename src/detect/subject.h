#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/table.h"
#include "flow/record.h"
#include "net/packet.h"

namespace nidus::detect {

// What a verdict is about: a flow out of a capture, or a row of a table that may say less. A value.
struct Subject {
  std::string_view input;    // the capture or table; outlives the subject
  std::uint64_t number = 0;  // of the record or row in its input, from 1

  bool has_addresses = false;
  net::FiveTuple tuple;  // ports and protocol also without addresses, 0 if unknown
  // What the row of a table says; both ends, both directions.
  bool has_protocol = true;
  bool has_port[2] = {true, true};
  bool has_packets[2] = {true, true}, has_bytes[2] = {true, true};
  std::uint8_t icmp_type = 0, icmp_code = 0;
  std::optional<std::int64_t> start_us, last_us;
  std::uint64_t packets[2] = {};   // by flow::Direction
  std::uint64_t bytes[2] = {};     // of payload
  std::uint64_t ip_bytes[2] = {};  // 0 if unknown

  std::uint64_t packets_both() const { return packets[0] + packets[1]; }
  std::uint64_t bytes_both() const { return bytes[0] + bytes[1]; }
  bool has_any_packets() const { return has_packets[0] || has_packets[1]; }
  bool has_any_bytes() const { return has_bytes[0] || has_bytes[1]; }
  bool has_ports() const;  // known, and the protocol has such
};

Subject subject_of(const flow::FlowRecord& record, std::string_view input, std::uint64_t number);

// Subjects out of a table with the columns of a flow table, under any of their names; what is not there stays
// unknown. Keeps a reference to the table.
class TableSubjects {
 public:
  TableSubjects(const data::Table& table, std::string_view input);
  TableSubjects(data::Table&&, std::string_view) = delete;

  Subject at(std::size_t row) const;

 private:
  // A column of whole numbers, also where it was read as text.
  struct Numbers {
    const data::Column* column = nullptr;
    std::vector<double> values;  // of a text column, by code; NaN if it is no number
    std::optional<std::uint64_t> at(std::size_t row) const;
  };
  static Numbers numbers_of(const data::Column* column);
  using Addresses = std::vector<std::optional<net::IpAddress>>;  // by code

  const data::Table& table_;
  std::string_view input_;
  const data::Column* source_ = nullptr;
  const data::Column* destination_ = nullptr;
  const data::Column* timestamp_ = nullptr;
  Addresses sources_, destinations_;
  Numbers source_port_, destination_port_, protocol_, duration_us_;
  Numbers packets_[2], bytes_[2], ip_bytes_[2], icmp_type_, icmp_code_;
};

// "10.0.0.1:80", "[2001:db8::1]:80", without port where there is none; "-" if not known.
std::string source_text(const Subject& subject);
std::string destination_text(const Subject& subject);
std::string endpoint_text(const net::Address& address, net::IpVersion version,
                          std::optional<std::uint16_t> port);

bool has_ports(std::uint8_t protocol);

// "TCP", "UDP", "ICMP", "IPv6-ICMP", "SCTP", else its number.
std::string protocol_text(std::uint8_t protocol);
// The number of one of these names, in any case.
std::optional<std::uint8_t> protocol_from_text(std::string_view name);

// Reads "2026-11-21T11:41:29.123456Z" or with a blank for the T, as microseconds since 1970.
std::optional<std::int64_t> parse_iso8601(std::string_view text);

}  // namespace nidus::detect
