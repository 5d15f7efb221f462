#include "flow/context.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "flow/conn_state.h"
#include "flow/internal/flow_index.h"
#include "flow/internal/hash.h"
#include "flow/internal/pool.h"

namespace nidus::flow {
namespace {

constexpr std::size_t kWindows = kWindowsUs.size();
constexpr std::size_t kLongest = kWindows - 1;

using Counts = std::array<std::uint32_t, kWindows>;

// What flows are counted by. The last two only say whether a port of a source, or of a pair, is a new one.
enum class Kind : std::uint8_t { source, target, pair, service, source_port, link };

// A part of a five-tuple, the rest of it empty; the source port says which kind.
using Key = net::FiveTuple;

// A host, a pair or a service.
struct Party {
  Key key;
  std::uint64_t hash;
  Counts flows, failures, ports, hosts;
  std::array<std::uint64_t, kWindows> bytes;
  std::uint32_t next;  // free one
};

// A port of a source, or a source's line to a service.
struct Line {
  Key key;
  std::uint64_t hash;
  Counts flows;
  std::uint32_t next;
  std::int64_t last_us;  // when its latest flow ended
  std::int64_t gap_us;   // between that one and the one before; -1 if there was none
};

// Nodes by key. A node lives as long as a flow of the longest window names it.
template <class T>
class Nodes {
 public:
  Nodes(std::size_t capacity, std::uint64_t seed) : pool_(capacity), index_(seed) {}

  void prefetch(std::uint64_t hash) const { index_.prefetch(hash); }

  std::uint32_t find_or_add(const Key& key, std::uint64_t hash) {
    std::uint32_t slot = index_.find(hash, [&](std::uint32_t at) { return pool_[at].key == key; });
    if (slot != FlowIndex::kNone) return slot;
    slot = pool_.template take<&T::next>();
    std::memset(static_cast<void*>(&pool_[slot]), 0, sizeof(T));
    pool_[slot].key = key;
    pool_[slot].hash = hash;
    index_.insert(hash, slot, [this](std::uint32_t at) { return pool_[at].hash; });
    return slot;
  }

  void drop(std::uint32_t slot) {
    index_.erase(pool_[slot].hash, slot);
    pool_.template give_back<&T::next>(slot);
  }

  T& operator[](std::uint32_t slot) { return pool_[slot]; }
  std::size_t bytes() const { return pool_.bytes() + index_.bytes(); }

 private:
  Pool<T> pool_;
  FlowIndex index_;
};

std::uint64_t random_seed() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

std::uint64_t hash_of_address(const net::Address& address, std::uint64_t seed) {
  std::uint64_t words[2];
  std::memcpy(words, address.bytes.data(), sizeof words);
  return fold(fold(words[0] ^ seed) + words[1]);
}

// A flow of the windows.
struct Entry {
  std::int64_t time_us;
  std::uint64_t bytes;
  std::uint32_t source, target, pair, service;  // parties
  std::uint32_t source_port, link;              // lines
  bool failed;
};
static_assert(sizeof(Entry) == 48);
static_assert(4 * sizeof(Party) + 2 * sizeof(Line) <= 688);

}  // namespace

struct ContextFeatures::Impl {
  explicit Impl(std::size_t flows_max, std::uint64_t hash_seed)
      : capacity(std::max<std::size_t>(flows_max, 1)),
        seed(hash_seed),
        parties(4 * (capacity + 1), hash_seed),
        lines(2 * (capacity + 1), hash_seed) {}

  std::size_t capacity;
  std::uint64_t seed;
  Nodes<Party> parties;
  Nodes<Line> lines;
  std::vector<Entry> ring{64};  // a power of two, up to what holds the capacity
  // Flows by number: those from first[w] on, before `end`, are in window w.
  std::array<std::uint64_t, kWindows> first{};
  std::uint64_t end = 0;
  std::int64_t now_us = INT64_MIN;
  std::uint64_t forgotten = 0;

  Entry& at(std::uint64_t number) { return ring[number & (ring.size() - 1)]; }

  void grow() {
    std::vector<Entry> larger(2 * ring.size());
    for (std::uint64_t n = first[kLongest]; n != end; ++n) larger[n & (larger.size() - 1)] = at(n);
    ring = std::move(larger);
  }

  void count_in(const Entry& e, std::size_t w) {
    const auto add = [&](Party& party) {
      ++party.flows[w];
      party.failures[w] += e.failed;
      party.bytes[w] += e.bytes;
      return party.flows[w] == 1;
    };
    Party &source = parties[e.source], &target = parties[e.target];
    Party &pair = parties[e.pair], &service = parties[e.service];
    add(source);
    add(target);
    if (add(pair)) {
      ++source.hosts[w];
      ++target.hosts[w];
    }
    target.ports[w] += add(service);
    source.ports[w] += ++lines[e.source_port].flows[w] == 1;
    if (++lines[e.link].flows[w] == 1) {
      ++pair.ports[w];
      ++service.hosts[w];
    }
  }

  void count_out(const Entry& e, std::size_t w) {
    const auto remove = [&](Party& party) {
      --party.flows[w];
      party.failures[w] -= e.failed;
      party.bytes[w] -= e.bytes;
      return party.flows[w] == 0;
    };
    Party &source = parties[e.source], &target = parties[e.target];
    Party &pair = parties[e.pair], &service = parties[e.service];
    remove(source);
    remove(target);
    if (remove(pair)) {
      --source.hosts[w];
      --target.hosts[w];
    }
    target.ports[w] -= remove(service);
    source.ports[w] -= --lines[e.source_port].flows[w] == 0;
    if (--lines[e.link].flows[w] == 0) {
      --pair.ports[w];
      --service.hosts[w];
    }
    if (w != kLongest) return;
    for (const std::uint32_t party : {e.source, e.target, e.pair, e.service}) {
      if (parties[party].flows[w] == 0) parties.drop(party);
    }
    for (const std::uint32_t line : {e.source_port, e.link}) {
      if (lines[line].flows[w] == 0) lines.drop(line);
    }
  }

  // What is no longer in its windows. One flow leaves a shorter window before a longer one, as it must.
  void expire() {
    for (std::size_t w = 0; w < kWindows; ++w) {
      while (first[w] != end && now_us - at(first[w]).time_us >= kWindowsUs[w]) count_out(at(first[w]++), w);
    }
    if (end - first[kLongest] < capacity) return;
    ++forgotten;
    const std::uint64_t oldest = first[kLongest];
    for (std::size_t w = 0; w < kWindows; ++w) {
      if (first[w] == oldest) count_out(at(first[w]++), w);
    }
  }

  Entry name(const FlowRecord& record) {
    const net::FiveTuple& t = record.tuple;
    const auto key = [&](Kind kind, bool source, bool target, bool port) {
      Key out;
      out.version = t.version;
      out.vlan = t.vlan;
      out.source_port = static_cast<std::uint16_t>(kind);
      if (source) out.source = t.source;
      if (target) out.destination = t.destination;
      if (port) out.destination_port = t.destination_port;
      if (port) out.protocol = t.protocol;
      return out;
    };
    const std::uint64_t from = hash_of_address(t.source, seed), to = hash_of_address(t.destination, ~seed);
    const std::uint64_t port = std::uint64_t{t.destination_port} << 8 | t.protocol;
    const std::uint64_t source = fold(from + 1), target = fold(to + 2), pair = fold(from ^ fold(to + 3));
    const std::uint64_t service = fold(to ^ fold(port + 4)), source_port = fold(from ^ fold(port + 5));
    const std::uint64_t link = fold(pair ^ fold(port + 6));
    for (const std::uint64_t hash : {source, target, pair, service}) parties.prefetch(hash);
    for (const std::uint64_t hash : {source_port, link}) lines.prefetch(hash);
    Entry entry;
    entry.time_us = now_us;
    entry.bytes = record.forward().payload_bytes + record.reverse().payload_bytes;
    entry.failed = failed(record);
    entry.source = parties.find_or_add(key(Kind::source, true, false, false), source);
    entry.target = parties.find_or_add(key(Kind::target, false, true, false), target);
    entry.pair = parties.find_or_add(key(Kind::pair, true, true, false), pair);
    entry.service = parties.find_or_add(key(Kind::service, false, true, true), service);
    entry.source_port = lines.find_or_add(key(Kind::source_port, true, false, true), source_port);
    entry.link = lines.find_or_add(key(Kind::link, true, true, true), link);
    return entry;
  }

  void write(const Entry& e, FlowContext& context) {
    const Party &source = parties[e.source], &target = parties[e.target];
    const Party &pair = parties[e.pair], &service = parties[e.service];
    double* out = context.values.data();
    const auto put = [&](auto number) { *out++ = static_cast<double>(number); };
    for (std::size_t w = 0; w < kWindows; ++w) {
      for (const Party* party : {&source, &target}) {
        put(party->flows[w]);
        put(party->failures[w]);
        put(party->ports[w]);
        put(party->hosts[w]);
        put(party->bytes[w]);
      }
      put(pair.flows[w]);
      put(pair.failures[w]);
      put(pair.ports[w]);
      put(pair.bytes[w]);
      put(service.flows[w]);
      put(service.failures[w]);
      put(service.hosts[w]);
      put(service.bytes[w]);
    }
    constexpr std::int64_t kNoneUs = kWindowsUs[kLongest];
    const Line& link = lines[e.link];
    const bool second = link.flows[kLongest] > 1, third = second && link.gap_us >= 0;
    const std::int64_t gap = second ? now_us - link.last_us : kNoneUs;
    put(gap);
    put(third ? std::abs(gap - link.gap_us) : kNoneUs);
  }

  void compute(const FlowRecord& record, FlowContext& context) {
    now_us = std::max(now_us, record.last_us);
    expire();
    if (end - first[kLongest] == ring.size()) grow();
    Entry& entry = at(end);
    entry = name(record);
    for (std::size_t w = 0; w < kWindows; ++w) count_in(entry, w);
    write(entry, context);
    if (record.end_reason == EndReason::partial) {
      for (std::size_t w = 0; w < kWindows; ++w) count_out(entry, w);
      return;
    }
    Line& link = lines[entry.link];
    link.gap_us = link.flows[kLongest] > 1 ? now_us - link.last_us : -1;
    link.last_us = now_us;
    ++end;
  }
};

ContextFeatures::ContextFeatures(std::size_t flows_max)
    : impl_(std::make_unique<Impl>(flows_max, random_seed())) {}
ContextFeatures::~ContextFeatures() = default;
ContextFeatures::ContextFeatures(ContextFeatures&&) noexcept = default;

void ContextFeatures::compute(const FlowRecord& record, FlowContext& context) {
  impl_->compute(record, context);
}

std::uint64_t ContextFeatures::forgotten() const { return impl_->forgotten; }

std::size_t ContextFeatures::bytes_in_use() const {
  return impl_->ring.size() * sizeof(Entry) + impl_->parties.bytes() + impl_->lines.bytes();
}

ContextStage::ContextStage(const ContextOptions& options)
    : order_(options.waiting_max), features_(options.flows_max), contexts_(kAtOnce) {}

std::span<const FlowRecord* const> ContextStage::take(std::int64_t complete_until_us) {
  const auto records = order_.take(complete_until_us, kAtOnce);
  taken_.assign(records.begin(), records.end());
  for (std::size_t i = 0; i < records.size(); ++i) {
    features_.compute(*records[i], contexts_[i]);
    records[i]->context = &contexts_[i];
  }
  return taken_;
}

ContextStatistics ContextStage::statistics() const {
  return {features_.forgotten(), order_.late(), order_.forced()};
}

}  // namespace nidus::flow
