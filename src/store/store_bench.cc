// Acknowledged writes a second, beside how often the same disk can be waited for at all.
//
//   taskset -c 0 build/test/src/store/store_bench

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "base/testing.h"
#include "store/store.h"

namespace nidus::store {
namespace {

Verdict attack(std::uint32_t n) {
  Verdict verdict;
  verdict.attack = true;
  verdict.label = "dos";
  verdict.score = 0.9;
  verdict.detector = "forest 1";
  verdict.origin = "predict";
  // A thousand sources.
  verdict.source = Address{0,
                           0,
                           0,
                           0,
                           0,
                           0,
                           0,
                           0,
                           0,
                           0,
                           0xff,
                           0xff,
                           10,
                           0,
                           static_cast<std::uint8_t>(n % 1000 / 256),
                           static_cast<std::uint8_t>(n % 1000)};
  verdict.target = Address{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 0, 1};
  verdict.time_us = n;
  return verdict;
}

Store open(const TemporaryFolder& folder) {
  auto opened = Store::open(folder / "store.db");
  if (!opened) std::abort();
  return std::move(*opened);
}

// What every durable write of one page costs at least.
void BareSync(benchmark::State& state) {
  TemporaryFolder folder;
  const int file = ::open((folder / "file").c_str(), O_RDWR | O_CREAT, 0600);
  const std::string page(4096, 'x');
  off_t at = 0;
  for (auto _ : state) {
    if (::pwrite(file, page.data(), page.size(), at) != 4096 || ::fdatasync(file) != 0) std::abort();
    at = (at + 4096) % (4096 * 1000);
  }
  ::close(file);
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BareSync)->UseRealTime();

void OneAfterTheOther(benchmark::State& state) {
  TemporaryFolder folder;
  Store store = open(folder);
  std::uint32_t n = 0;
  for (auto _ : state) {
    if (!store.write({Keep{{attack(n++)}}})) std::abort();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(OneAfterTheOther)->UseRealTime();

// So many requests at once, each with one verdict, each waiting for its own acknowledgement.
void ManyAtOnce(benchmark::State& state) {
  TemporaryFolder folder;
  Store store = open(folder);
  const auto most = static_cast<std::size_t>(state.range(0));
  std::mutex mutex;
  std::condition_variable done;
  std::size_t under_way = 0;
  std::uint32_t n = 0;
  for (auto _ : state) {
    {
      std::unique_lock lock(mutex);
      done.wait(lock, [&] { return under_way < most; });
      ++under_way;
    }
    store.write({Keep{{attack(n++)}}}, [&](const Result<Store::Numbers>& written) {
      if (!written) std::abort();
      const std::lock_guard lock(mutex);
      --under_way;
      done.notify_one();
    });
  }
  std::unique_lock lock(mutex);
  done.wait(lock, [&] { return under_way == 0; });
  state.SetItemsProcessed(state.iterations());
  state.counters["writes_per_commit"] =
      static_cast<double>(store.counts().writes) / static_cast<double>(store.counts().commits);
}
BENCHMARK(ManyAtOnce)->Arg(64)->Arg(1024)->UseRealTime();

// As a capture gives them.
void ThousandsInOneWrite(benchmark::State& state) {
  TemporaryFolder folder;
  Store store = open(folder);
  std::uint32_t n = 0;
  for (auto _ : state) {
    Keep keep;
    for (int i = 0; i < 5000; ++i) keep.verdicts.push_back(attack(n++));
    if (!store.write({std::move(keep)})) std::abort();
  }
  state.SetItemsProcessed(state.iterations() * 5000);
}
BENCHMARK(ThousandsInOneWrite)->UseRealTime();

}  // namespace
}  // namespace nidus::store
