#include "sandbox/internal/wire.h"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

namespace nidus::sandbox::internal {
namespace {

// Beyond the years that a Timestamp can hold, and far from where a difference could overflow.
constexpr std::int64_t kMicrosecondsMax = std::int64_t{1} << 54;

bool is_time(std::int64_t us) { return us >= -kMicrosecondsMax && us <= kMicrosecondsMax; }

bool is_letter(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

}  // namespace

std::optional<std::size_t> bytes_max(Tag tag) {
  switch (tag) {
    case Tag::ready:
      return 1;
    case Tag::job:
      return sizeof(Job);
    case Tag::text:
    case Tag::note:
    case Tag::fault:
    case Tag::failure:
      return kTextBytesMax;
    case Tag::file:
      return kNameBytesMax;
    case Tag::bytes:
      return kPieceBytesMax;
    case Tag::end:
      return 0;
    case Tag::records:
      return kRecordsBytesMax;
    case Tag::contexts:
      return kRecordsAtOnce * sizeof(flow::FlowContext);
    case Tag::steps:
      return kRecordsAtOnce * sizeof(Steps);
    case Tag::progress:
      return sizeof(WireProgress);
    case Tag::summary:
      return sizeof(WireStatistics);
  }
  return std::nullopt;
}

WireStatistics to_wire(const detect::CaptureStatistics& s) {
  WireStatistics wire;
  wire.frames = s.frames;
  wire.wire_bytes = s.wire_bytes;
  wire.has_times = s.first && s.last ? 1 : 0;
  if (wire.has_times != 0) {
    wire.first_ns = s.first->ns;
    wire.last_ns = s.last->ns;
  }
  wire.packets = s.decode.packets;
  wire.faults = s.decode.faults;
  wire.oddities = s.decode.oddities;
  const flow::MeterStatistics& m = s.meter;
  wire.meter = {m.packets,       m.packets_ignored,       m.packets_out_of_order, m.flows,
                m.flows_partial, m.flows_evicted,         m.flows_unwritten,      m.remainders_dropped,
                m.live_flows,    m.live_one_packet_flows, m.bytes_in_use};
  return wire;
}

detect::CaptureStatistics from_wire(const WireStatistics& wire) {
  detect::CaptureStatistics s;
  s.captures = 1;
  s.frames = wire.frames;
  s.wire_bytes = wire.wire_bytes;
  if (wire.has_times != 0) {
    s.first = Timestamp{wire.first_ns};
    s.last = Timestamp{wire.last_ns};
  }
  s.decode.packets = wire.packets;
  s.decode.faults = wire.faults;
  s.decode.oddities = wire.oddities;
  flow::MeterStatistics& m = s.meter;
  std::uint64_t* const fields[] = {
      &m.packets,       &m.packets_ignored,       &m.packets_out_of_order, &m.flows,
      &m.flows_partial, &m.flows_evicted,         &m.flows_unwritten,      &m.remainders_dropped,
      &m.live_flows,    &m.live_one_packet_flows, &m.bytes_in_use};
  for (std::size_t i = 0; i < wire.meter.size(); ++i) *fields[i] = wire.meter[i];
  return s;
}

bool is_sound(const flow::FlowRecord& r) {
  if (r.tuple.version != net::IpVersion::v4 && r.tuple.version != net::IpVersion::v6) return false;
  if (r.end_reason > flow::EndReason::partial) return false;
  if (!is_time(r.start_us) || !is_time(r.last_us) || !is_time(r.connection_start_us)) return false;
  if (r.last_us < r.start_us || r.connection_start_us > r.last_us) return false;
  if (r.packets() == 0 || r.history_length > flow::kHistoryLength) return false;
  if (r.sequence_packets > flow::kSequenceMax) return false;
  return std::all_of(r.history, r.history + r.history_length, is_letter);
}

namespace {

// Reads so many bytes as values of one kind.
template <class T>
Result<void> read_values(const ReadBytes& read, std::size_t bytes, std::vector<T>& into) {
  if (bytes % sizeof(T) != 0) return Error{Errc::corrupt, "values that are not whole"};
  into.resize(bytes / sizeof(T));
  return read(std::as_writable_bytes(std::span(into)));
}

bool is_sound(const flow::FlowContext& context) {
  return std::all_of(context.values.begin(), context.values.end(),
                     [](double value) { return value >= 0 && value <= std::numeric_limits<double>::max(); });
}

}  // namespace

Result<MessageReader::Message> MessageReader::next() {
  contexts_.clear();
  steps_.clear();
  for (;;) {
    Header header;
    if (auto done = read_(std::as_writable_bytes(std::span(&header, 1))); !done)
      return std::move(done).error();
    Message message;
    message.tag = static_cast<Tag>(header.tag);
    const auto most = bytes_max(message.tag);
    if (!most || header.bytes > *most) return Error{Errc::corrupt, "a message of no known kind or length"};
    const bool fixed = message.tag == Tag::ready || message.tag == Tag::job || message.tag == Tag::progress ||
                       message.tag == Tag::summary;
    if (fixed && header.bytes != *most) return Error{Errc::corrupt, "a message that is too short"};
    if (message.tag == Tag::contexts) {
      if (auto done = read_values(read_, header.bytes, contexts_); !done) return std::move(done).error();
      continue;
    }
    if (message.tag == Tag::steps) {
      if (auto done = read_values(read_, header.bytes, steps_); !done) return std::move(done).error();
      continue;
    }
    if (message.tag == Tag::records) return read_records(header.bytes);
    if (!contexts_.empty() || !steps_.empty()) return Error{Errc::corrupt, "contexts of no records"};
    bytes_.resize(header.bytes);
    if (auto done = read_(bytes_); !done) return std::move(done).error();
    message.bytes = bytes_;
    return message;
  }
}

Result<MessageReader::Message> MessageReader::read_records(std::size_t bytes) {
  if (auto done = read_values(read_, bytes, records_); !done) return std::move(done).error();
  const std::size_t count = records_.size();
  if ((!contexts_.empty() && contexts_.size() != count) || (!steps_.empty() && steps_.size() != count)) {
    return Error{Errc::corrupt, "contexts of other records"};
  }
  if (!std::all_of(contexts_.begin(), contexts_.end(), [](const auto& c) { return is_sound(c); })) {
    return Error{Errc::corrupt, "a context that no meter makes"};
  }
  pointers_.clear();
  for (std::size_t i = 0; i < count; ++i) {
    flow::FlowRecord& record = records_[i];
    if (!is_sound(record)) return Error{Errc::corrupt, "a record that no meter makes"};
    record.context = contexts_.empty() ? nullptr : &contexts_[i];
    record.steps = steps_.empty() ? nullptr : steps_[i].data();
    pointers_.push_back(&record);
  }
  Message message;
  message.tag = Tag::records;
  message.records = pointers_;
  return message;
}

Error error_of(std::span<const std::byte> bytes) {
  Error error{Errc::corrupt, ""};
  std::uint32_t code = 0;
  if (bytes.size() < sizeof code) return error;
  std::memcpy(&code, bytes.data(), sizeof code);
  if (code <= static_cast<std::uint32_t>(Errc::exhausted)) error.code = static_cast<Errc>(code);
  for (const std::byte b : bytes.subspan(sizeof code)) {
    const auto c = static_cast<unsigned char>(b);
    error.message += c < 0x20 || c == 0x7f ? ' ' : static_cast<char>(c);
  }
  return error;
}

std::string error_bytes(const Error& error) {
  const auto code = static_cast<std::uint32_t>(error.code);
  std::string out(reinterpret_cast<const char*>(&code), sizeof code);
  out += error.message.substr(0, kTextBytesMax - sizeof code);
  return out;
}

bool is_file_name(std::string_view name) {
  if (name.empty() || name.size() > kNameBytesMax || name.front() == '.') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
}

bool write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return true;
}

bool write_message(int fd, Tag tag, std::span<const std::byte> bytes) {
  const Header header{static_cast<std::uint32_t>(tag), static_cast<std::uint32_t>(bytes.size())};
  return write_all(fd, std::as_bytes(std::span(&header, 1))) && write_all(fd, bytes);
}

bool write_message(int fd, Tag tag, std::string_view text) {
  return write_message(fd, tag, std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace nidus::sandbox::internal
