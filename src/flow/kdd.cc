#include "flow/kdd.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <list>
#include <unordered_map>
#include <vector>

#include "base/number.h"
#include "base/random.h"

namespace nidus::flow {

const std::array<std::string_view, kKddFeatures> kKddNames = {
    "duration",
    "protocol_type",
    "service",
    "flag",
    "src_bytes",
    "dst_bytes",
    "land",
    "wrong_fragment",
    "urgent",
    "hot",
    "num_failed_logins",
    "logged_in",
    "num_compromised",
    "root_shell",
    "su_attempted",
    "num_root",
    "num_file_creations",
    "num_shells",
    "num_access_files",
    "num_outbound_cmds",
    "is_host_login",
    "is_guest_login",
    "count",
    "srv_count",
    "serror_rate",
    "srv_serror_rate",
    "rerror_rate",
    "srv_rerror_rate",
    "same_srv_rate",
    "diff_srv_rate",
    "srv_diff_host_rate",
    "dst_host_count",
    "dst_host_srv_count",
    "dst_host_same_srv_rate",
    "dst_host_diff_srv_rate",
    "dst_host_same_src_port_rate",
    "dst_host_srv_diff_host_rate",
    "dst_host_serror_rate",
    "dst_host_srv_serror_rate",
    "dst_host_rerror_rate",
    "dst_host_srv_rerror_rate",
};

namespace {

constexpr std::int64_t kRecentUs = 2'000'000;
constexpr std::size_t kRecentMax = 511;
constexpr std::size_t kLastMax = 255;
constexpr std::size_t kServicesMax = 72;

// Where feature #n stands.
constexpr std::size_t at(int n) { return static_cast<std::size_t>(n - 1); }

constexpr int kFirstContent = 10, kLastContent = 22;

bool is_rate(std::size_t position) {
  return (position >= at(25) && position <= at(31)) || (position >= at(34) && position <= at(41));
}

// A queue in one block of memory that doubles up to a limit.
template <class T>
class Ring {
 public:
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const T& front() const { return slots_[first_]; }
  const T& operator[](std::size_t i) const { return slots_[(first_ + i) & (slots_.size() - 1)]; }

  void push_back(const T& value) {
    if (size_ == slots_.size()) grow();
    slots_[(first_ + size_) & (slots_.size() - 1)] = value;
    ++size_;
  }
  void pop_front() {
    first_ = (first_ + 1) & (slots_.size() - 1);
    --size_;
  }

 private:
  void grow() {
    std::vector<T> larger(std::max<std::size_t>(4, 2 * slots_.size()));
    for (std::size_t i = 0; i < size_; ++i) larger[i] = (*this)[i];
    slots_ = std::move(larger);
    first_ = 0;
  }

  std::vector<T> slots_;
  std::size_t first_ = 0, size_ = 0;
};

struct Responder {
  net::Address address;
  net::IpVersion version = net::IpVersion::v4;
  friend bool operator==(const Responder&, const Responder&) = default;
};

struct ResponderHash {
  std::size_t operator()(const Responder& r) const {
    std::uint64_t words[2];
    std::memcpy(words, r.address.bytes.data(), sizeof words);
    return static_cast<std::size_t>(
        Random::mix(words[0] + Random::mix(words[1] + static_cast<std::uint64_t>(r.version))));
  }
};

// What a window needs to know of a record.
struct Mark {
  std::uint16_t originator_port = 0;
  KddService service{};
  std::uint8_t serror : 1 = 0;
  std::uint8_t rerror : 1 = 0;
};

// How many of a window's records have what.
struct Errors {
  std::uint32_t serror = 0, rerror = 0;
  void add(const Mark& mark) {
    serror += mark.serror;
    rerror += mark.rerror;
  }
  void remove(const Mark& mark) {
    serror -= mark.serror;
    rerror -= mark.rerror;
  }
};

// Different values among a window's records. For services: counts by number. For addresses: a map.
class ServiceCounts {
 public:
  void add(KddService service) { different_ += counts_[static_cast<std::size_t>(service)]++ == 0; }
  void remove(KddService service) { different_ -= --counts_[static_cast<std::size_t>(service)] == 0; }
  std::uint32_t of(KddService service) const { return counts_[static_cast<std::size_t>(service)]; }
  std::uint32_t different() const { return different_; }

 private:
  std::array<std::uint16_t, kServicesMax> counts_{};
  std::uint32_t different_ = 0;
};

class ResponderCounts {
 public:
  void add(const Responder& responder) { ++counts_[responder]; }
  void remove(const Responder& responder) {
    const auto found = counts_.find(responder);
    if (--found->second == 0) counts_.erase(found);
  }
  std::size_t different() const { return counts_.size(); }

 private:
  std::unordered_map<Responder, std::uint16_t, ResponderHash> counts_;
};

// The records to one responder: those of the last 2 s, and the last 255.
struct ResponderWindow {
  struct Recent {
    std::int64_t time_us;
    Mark mark;
  };
  Ring<Recent> recent;
  Errors recent_errors;
  ServiceCounts recent_services;
  Ring<Mark> last;
  Errors last_errors;
  ServiceCounts last_services;

  void drop_recent() {
    const Mark& mark = recent.front().mark;
    recent_errors.remove(mark);
    recent_services.remove(mark.service);
    recent.pop_front();
  }

  void add(std::int64_t now_us, const Mark& mark) {
    while (!recent.empty() && now_us - recent.front().time_us > kRecentUs) drop_recent();
    if (recent.size() == kRecentMax) drop_recent();
    recent.push_back({now_us, mark});
    recent_errors.add(mark);
    recent_services.add(mark.service);
    if (last.size() == kLastMax) {
      last_errors.remove(last.front());
      last_services.remove(last.front().service);
      last.pop_front();
    }
    last.push_back(mark);
    last_errors.add(mark);
    last_services.add(mark.service);
  }

  // At most 255 comparisons, where a count for each port would be a map for each responder.
  std::size_t same_originator_port(std::uint16_t port) const {
    std::size_t same = 0;
    for (std::size_t i = 0; i < last.size(); ++i) same += last[i].originator_port == port;
    return same;
  }
};

// The records of one service, whoever answered.
struct ServiceWindow {
  struct Entry {
    std::int64_t time_us = 0;
    Responder responder;
    Mark mark;
  };
  Ring<Entry> recent, last;
  Errors recent_errors, last_errors;
  ResponderCounts recent_responders, last_responders;

  static void drop(Ring<Entry>& ring, Errors& errors, ResponderCounts& responders) {
    errors.remove(ring.front().mark);
    responders.remove(ring.front().responder);
    ring.pop_front();
  }

  void add(const Entry& entry) {
    while (!recent.empty() && entry.time_us - recent.front().time_us > kRecentUs) {
      drop(recent, recent_errors, recent_responders);
    }
    if (recent.size() == kRecentMax) drop(recent, recent_errors, recent_responders);
    if (last.size() == kLastMax) drop(last, last_errors, last_responders);
    for (Ring<Entry>* ring : {&recent, &last}) ring->push_back(entry);
    recent_errors.add(entry.mark);
    last_errors.add(entry.mark);
    recent_responders.add(entry.responder);
    last_responders.add(entry.responder);
  }
};

constexpr std::string_view kLoginServices[] = {"http", "smtp", "pop_3", "ftp", "ssh", "domain", "login"};

// Agrees with 96 % of the published rows (11.3).
bool logged_in(const KddRow& row) {
  if (row.protocol != KddProtocol::tcp || row.values[at(6)] == 0) return false;
  if (std::find(std::begin(kLoginServices), std::end(kLoginServices), name(row.service)) ==
      std::end(kLoginServices)) {
    return false;
  }
  switch (row.flag) {
    case KddFlag::sf:
    case KddFlag::s1:
    case KddFlag::s2:
    case KddFlag::s3:
    case KddFlag::rstr:
    case KddFlag::rsto:
      return true;
    case KddFlag::s0:
    case KddFlag::sh:
    case KddFlag::rej:
    case KddFlag::rstos0:
    case KddFlag::oth:
      return false;
  }
  return false;
}

}  // namespace

struct KddFeatures::Impl {
  using Order = std::list<Responder>;  // most recently used first
  struct Remembered {
    ResponderWindow window;
    Order::iterator place;
  };

  KddOptions options;
  std::unordered_map<Responder, Remembered, ResponderHash> responders;
  Order order;
  std::vector<ServiceWindow> services{kdd_services()};
  std::int64_t now_us = INT64_MIN;
  KddStatistics counted;

  ResponderWindow& window_of(const Responder& responder) {
    const auto found = responders.find(responder);
    if (found != responders.end()) {
      order.splice(order.begin(), order, found->second.place);
      return found->second.window;
    }
    if (responders.size() >= options.responders_max && !order.empty()) {
      responders.erase(order.back());
      order.pop_back();
      ++counted.responders_forgotten;
    }
    order.push_front(responder);
    Remembered& fresh = responders[responder];
    fresh.place = order.begin();
    return fresh.window;
  }

  double rate(std::size_t part, std::size_t whole) const {
    const double exact = static_cast<double>(part) / static_cast<double>(whole);
    return options.round_rates ? std::round(exact * 100) / 100 : exact;
  }

  // Of k different values among n records; 0 if all are alike.
  double difference(std::size_t k, std::size_t n) const { return k == 1 ? 0 : rate(k, n); }
};

KddFeatures::KddFeatures(KddOptions options) : impl_(std::make_unique<Impl>()) {
  static_assert(sizeof(ServiceCounts) <= 160);
  impl_->options = options;
}
KddFeatures::~KddFeatures() = default;
KddFeatures::KddFeatures(KddFeatures&&) noexcept = default;

void compute_kdd_basics(const FlowRecord& record, KddRow& row) {
  const net::FiveTuple& tuple = record.tuple;
  row.protocol = tuple.protocol == net::protocol::tcp   ? KddProtocol::tcp
                 : tuple.protocol == net::protocol::udp ? KddProtocol::udp
                                                        : KddProtocol::icmp;
  row.service = kdd_service(record);
  row.flag = kdd_flag(record);
  auto& v = row.values;
  v.fill(0);
  v[at(1)] = static_cast<double>(record.duration_us() / 1'000'000);
  v[at(2)] = static_cast<double>(row.protocol);
  v[at(3)] = static_cast<double>(row.service);
  v[at(4)] = static_cast<double>(row.flag);
  v[at(5)] = static_cast<double>(record.forward().payload_bytes);
  v[at(6)] = static_cast<double>(record.reverse().payload_bytes);
  v[at(7)] = tuple.source == tuple.destination && tuple.source_port == tuple.destination_port;
  v[at(8)] = record.bad_fragments;
  v[at(9)] = static_cast<double>(std::uint64_t{record.forward().urg} + record.reverse().urg);
  v[at(12)] = logged_in(row);
}

void KddFeatures::compute(const FlowRecord& record, KddRow& row) {
  compute_kdd_basics(record, row);
  Impl& my = *impl_;
  ++my.counted.records;
  my.counted.records_late += record.last_us < my.now_us;
  my.now_us = std::max(my.now_us, record.last_us);

  Mark mark;
  mark.originator_port = record.tuple.source_port;
  mark.service = row.service;
  mark.serror = is_serror(row.flag);
  mark.rerror = is_rerror(row.flag);
  const Responder responder{record.tuple.destination, record.tuple.version};
  ResponderWindow& host = my.window_of(responder);
  host.add(my.now_us, mark);
  ServiceWindow& service = my.services[static_cast<std::size_t>(row.service)];
  service.add({my.now_us, responder, mark});

  auto& v = row.values;
  const std::size_t count = host.recent.size(), srv_count = service.recent.size();
  v[at(23)] = static_cast<double>(count);
  v[at(24)] = static_cast<double>(srv_count);
  v[at(25)] = my.rate(host.recent_errors.serror, count);
  v[at(26)] = my.rate(service.recent_errors.serror, srv_count);
  v[at(27)] = my.rate(host.recent_errors.rerror, count);
  v[at(28)] = my.rate(service.recent_errors.rerror, srv_count);
  v[at(29)] = my.rate(host.recent_services.of(row.service), count);
  v[at(30)] = my.difference(host.recent_services.different(), count);
  v[at(31)] = my.difference(service.recent_responders.different(), srv_count);
  const std::size_t last = host.last.size(), srv_last = service.last.size();
  v[at(32)] = static_cast<double>(last);
  v[at(33)] = static_cast<double>(srv_last);
  v[at(34)] = my.rate(host.last_services.of(row.service), last);
  v[at(35)] = my.difference(host.last_services.different(), last);
  v[at(36)] = my.rate(host.same_originator_port(mark.originator_port), last);
  v[at(37)] = my.difference(service.last_responders.different(), srv_last);
  v[at(38)] = my.rate(host.last_errors.serror, last);
  v[at(39)] = my.rate(service.last_errors.serror, srv_last);
  v[at(40)] = my.rate(host.last_errors.rerror, last);
  v[at(41)] = my.rate(service.last_errors.rerror, srv_last);
}

KddStatistics KddFeatures::statistics() const {
  KddStatistics statistics = impl_->counted;
  statistics.responders = impl_->responders.size();
  return statistics;
}

std::string_view name(KddProtocol protocol) {
  switch (protocol) {
    case KddProtocol::tcp:
      return "tcp";
    case KddProtocol::udp:
      return "udp";
    case KddProtocol::icmp:
      return "icmp";
  }
  return "";
}

std::span<const std::uint8_t> kdd_columns(KddSet set) {
  static const auto kColumns = [] {
    std::array<std::vector<std::uint8_t>, 2> columns;
    for (std::uint8_t i = 0; i < kKddFeatures; ++i) {
      columns[0].push_back(i);
      if (i < at(kFirstContent) || i > at(kLastContent)) columns[1].push_back(i);
    }
    return columns;
  }();
  return kColumns[static_cast<std::size_t>(set)];
}

void append_kdd_header(std::string& out, KddSet set) {
  for (const std::uint8_t column : kdd_columns(set)) {
    out += kKddNames[column];
    out += ',';
  }
  out += "label\n";
}

void append_kdd_row(std::string& out, const KddRow& row, KddSet set, std::string_view label,
                    bool two_decimals) {
  for (const std::uint8_t column : kdd_columns(set)) {
    if (column == at(2)) {
      out += name(row.protocol);
    } else if (column == at(3)) {
      out += name(row.service);
    } else if (column == at(4)) {
      out += name(row.flag);
    } else if (two_decimals && is_rate(column)) {
      const auto hundredths = static_cast<int>(std::lround(row.values[column] * 100));
      out += static_cast<char>('0' + hundredths / 100);
      out += '.';
      out += static_cast<char>('0' + hundredths / 10 % 10);
      out += static_cast<char>('0' + hundredths % 10);
    } else {
      append_number(out, row.values[column]);
    }
    out += ',';
  }
  out += label;
  out += '\n';
}

}  // namespace nidus::flow
