#include "flow/meter.h"

#include <algorithm>
#include <array>
#include <deque>
#include <random>
#include <utility>
#include <vector>

#include "base/check.h"
#include "flow/internal/adapt.h"
#include "flow/internal/flow_table.h"
#include "flow/internal/hash.h"
#include "flow/internal/rules.h"

namespace nidus::flow {
namespace {

// Offsets inside a flow are 32-bit microseconds; a little room is left for packets out of order.
constexpr std::int64_t kActiveTimeoutMaxUs = 4'294'000'000;

// The longest of the silences that end flows by their state (internal/rules.h).
constexpr std::int64_t kLongestSilenceByStateUs = 300'000'000;

std::uint64_t random_seed() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

std::size_t share(std::size_t whole) { return (whole + Meter::kShards - 1) / Meter::kShards; }

void append_setting(std::string& out, std::string_view name,
                    const std::optional<std::chrono::microseconds>& value) {
  if (!value) return;
  out += ' ';
  out += name;
  out += '=';
  const std::int64_t us = value->count();
  out += us % 1'000'000 == 0 ? std::to_string(us / 1'000'000) + "s" : std::to_string(us) + "us";
}

}  // namespace

std::string_view name(EndReason reason) {
  switch (reason) {
    case EndReason::fin:
      return "fin";
    case EndReason::rst:
      return "rst";
    case EndReason::active:
      return "active";
    case EndReason::idle:
      return "idle";
    case EndReason::evicted:
      return "evicted";
    case EndReason::end_of_input:
      return "end_of_input";
    case EndReason::partial:
      return "partial";
  }
  return "";
}

bool earlier(const FlowRecord& a, const FlowRecord& b) {
  if (a.start_us != b.start_us) return a.start_us < b.start_us;
  if (a.tuple != b.tuple) return a.tuple < b.tuple;
  return a.last_us < b.last_us;
}

struct Meter::Impl {
  explicit Impl(MeterOptions given)
      : options(given), rules(rules_of(given.profile)), adapter(rules, given.separate_vlans) {
    if (options.active_timeout) {
      *options.active_timeout = std::clamp(*options.active_timeout, std::chrono::microseconds(0),
                                           std::chrono::microseconds(kActiveTimeoutMaxUs));
    }
    const std::uint64_t seed = options.hash_seed ? *options.hash_seed : random_seed();
    for (std::size_t i = 0; i < kShards; ++i) {
      // A flow's second packet needs a place whatever the limit.
      shards[i].table = std::make_unique<FlowTable>(
          options, rules, seed, share(std::max<std::size_t>(options.flows_max, 1)),
          share(options.one_packet_flows_max), share(options.remainders_max));
    }
  }

  struct alignas(64) Shard {
    std::unique_ptr<FlowTable> table;
    std::vector<const net::Packet*> inbox;
    bool collected = false;  // what the table holds as ended has been handed out
    bool behind = false;
  };

  MeterOptions options;
  Rules rules;
  Adapter adapter;
  std::array<Shard, kShards> shards;
  std::deque<net::Packet> copies;  // of packets that came one by one
  std::vector<const FlowRecord*> collected;
  std::int64_t now_us = INT64_MIN;
  std::uint64_t ignored = 0;
  bool finishing = false;
};

Meter::Meter(MeterOptions options) : impl_(std::make_unique<Impl>(options)) {}
Meter::~Meter() = default;
Meter::Meter(Meter&&) noexcept = default;

void Meter::route(std::span<net::Packet> block) {
  Impl& impl = *impl_;
  for (net::Packet& packet : block) {
    if (!impl.adapter.adapt(packet)) {
      ++impl.ignored;
      continue;
    }
    impl.now_us = std::max(impl.now_us, packet.time.microseconds());
    impl.shards[shard_of(packet.tuple)].inbox.push_back(&packet);
  }
}

void Meter::route(const net::Packet& packet) { route(std::span(&impl_->copies.emplace_back(packet), 1)); }

void Meter::advance(Timestamp now) { impl_->now_us = std::max(impl_->now_us, now.microseconds()); }

void Meter::finish() { impl_->finishing = true; }

void Meter::run(std::size_t shard) {
  CHECK(shard < kShards);
  auto& mine = impl_->shards[shard];
  if (mine.collected) mine.table->clear_ended();
  mine.collected = false;
  mine.table->add(mine.inbox);
  mine.inbox.clear();
  std::size_t left = kEndedAtOnce;
  if (impl_->options.sweep && impl_->now_us != INT64_MIN) mine.table->advance(impl_->now_us, left);
  if (impl_->finishing) mine.table->finish(left);
  mine.behind = left == 0;
}

bool Meter::behind() const {
  return std::any_of(impl_->shards.begin(), impl_->shards.end(),
                     [](const Impl::Shard& shard) { return shard.behind; });
}

std::span<const FlowRecord* const> Meter::collect() {
  impl_->collected.clear();
  for (auto& shard : impl_->shards) {
    if (std::exchange(shard.collected, true)) continue;
    shard.table->attach_steps();
    for (const FlowRecord& record : shard.table->ended()) impl_->collected.push_back(&record);
  }
  std::sort(impl_->collected.begin(), impl_->collected.end(),
            [](const FlowRecord* a, const FlowRecord* b) { return earlier(*a, *b); });
  impl_->copies.clear();
  if (impl_->finishing && !behind()) impl_->finishing = false;
  return impl_->collected;
}

std::int64_t Meter::complete_until_us() const {
  const Impl& impl = *impl_;
  constexpr std::int64_t kNever = INT64_MAX;
  const auto limit = [](std::int64_t us) { return us == 0 ? kNever : us; };
  const auto count = [](const std::optional<std::chrono::microseconds>& us, std::int64_t otherwise) {
    return us ? us->count() : otherwise;
  };
  const std::int64_t active = limit(count(impl.options.active_timeout, impl.rules.active_timeout_us));
  const std::int64_t idle =
      limit(count(impl.options.idle_timeout, impl.rules.timeouts_by_state ? kLongestSilenceByStateUs : 0));
  const std::int64_t longest_silence = std::min(active, idle);
  if (longest_silence == kNever || impl.now_us == INT64_MIN || !impl.options.sweep || behind())
    return INT64_MIN;
  return impl.now_us - longest_silence - kDisorderUs;
}

MeterStatistics Meter::statistics() const {
  MeterStatistics statistics;
  statistics.packets_ignored = impl_->ignored;
  for (const auto& shard : impl_->shards) shard.table->add_to(statistics);
  return statistics;
}

const MeterOptions& Meter::options() const { return impl_->options; }

std::string Meter::description() const {
  const MeterOptions& o = impl_->options;
  std::string out(name(o.profile));
  append_setting(out, "active", o.active_timeout);
  append_setting(out, "idle", o.idle_timeout);
  append_setting(out, "linger", o.tcp_linger);
  if (o.partial_after_packets != 0) out += " partial=" + std::to_string(o.partial_after_packets);
  if (o.separate_vlans) out += " vlans";
  return out;
}

}  // namespace nidus::flow
