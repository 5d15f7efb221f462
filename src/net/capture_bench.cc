// Reading a warm file of 800-byte frames (some 400 MB: far beyond every cache), alone and with decoding,
// against merely touching its bytes. The file lies in the temporary folder and is removed in the end.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "base/random.h"
#include "net/capture.h"
#include "net/decode.h"
#include "net/testing/frames.h"

namespace nidus::net {
namespace {

using namespace testing;

constexpr int kFrames = 500'000;

// A capture on disk that lives as long as the program.
class Sample {
 public:
  explicit Sample(bool ng) : path_(std::filesystem::temp_directory_path() / name(ng)) {
    Random random(1);
    std::ofstream out(path_, std::ios::binary);
    const auto put = [&](const Bytes& bytes) {
      out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    };
    put(ng ? section(std::endian::little) + interface(std::endian::little, 1)
           : pcap_header(std::endian::little));
    for (std::uint32_t i = 0; i < kFrames; ++i) {
      Ip4 say;
      say.source = static_cast<std::uint32_t>(0x0a000000 + random.below(1 << 16));
      const Bytes frame = ethernet(
          0x0800,
          ipv4(6, tcp(static_cast<std::uint16_t>(random.next()), 80, zeros(200 + random.below(1090))), say));
      put(ng ? enhanced(std::endian::little, 0, i, frame)
             : pcap_record(std::endian::little, {frame, i / 1000, i % 1000}));
    }
  }
  Sample(const Sample&) = delete;
  Sample& operator=(const Sample&) = delete;
  ~Sample() { std::filesystem::remove(path_); }

  const std::filesystem::path& path() const { return path_; }

 private:
  static std::string name(bool ng) {
    return "nidus_capture_bench_" + std::to_string(::getpid()) + (ng ? ".pcapng" : ".pcap");
  }
  std::filesystem::path path_;
};

const Sample& sample(bool ng) {
  static const Sample pcap(false), pcapng(true);
  return ng ? pcapng : pcap;
}

template <class Each>
void read_all(benchmark::State& state, Capture& capture, Each each) {
  Frame frame;
  while (capture.next(frame) == Next::frame) each(frame);
  if (capture.frames() != kFrames) state.SkipWithError("frames are missing");
}

void report(benchmark::State& state, const std::filesystem::path& path) {
  state.SetItemsProcessed(state.iterations() * kFrames);
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(std::filesystem::file_size(path)));
}

void next_only(benchmark::State& state) {
  const auto& path = sample(state.range(0) != 0).path();
  for (auto _ : state) {
    auto capture = Capture::open(path);
    read_all(state, *capture, [](const Frame& frame) { benchmark::DoNotOptimize(frame.bytes.data()); });
  }
  report(state, path);
}
BENCHMARK(next_only)->ArgName("pcapng")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

void next_and_decode(benchmark::State& state) {
  const auto& path = sample(state.range(0) != 0).path();
  for (auto _ : state) {
    auto capture = Capture::open(path);
    Decoder decoder;
    Packet packet;
    read_all(state, *capture, [&](const Frame& frame) {
      decoder.decode(frame, packet);
      benchmark::DoNotOptimize(packet);
    });
  }
  report(state, path);
}
BENCHMARK(next_and_decode)->ArgName("pcapng")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

// The same file from standard input, through the streaming buffer.
void streamed_and_decode(benchmark::State& state) {
  const auto& path = sample(false).path();
  for (auto _ : state) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0 || ::dup2(fd, STDIN_FILENO) < 0) return state.SkipWithError("no standard input");
    ::close(fd);
    auto capture = Capture::open("-");
    Decoder decoder;
    Packet packet;
    read_all(state, *capture, [&](const Frame& frame) {
      decoder.decode(frame, packet);
      benchmark::DoNotOptimize(packet);
    });
  }
  report(state, path);
}
BENCHMARK(streamed_and_decode)->Unit(benchmark::kMillisecond);

// What there is to be had: read() of the whole file into a small buffer, and one byte of each cache line of a
// map.
void bare_read(benchmark::State& state) {
  const auto& path = sample(false).path();
  std::vector<char> buffer(1 << 18);
  for (auto _ : state) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    while (::read(fd, buffer.data(), buffer.size()) > 0) benchmark::DoNotOptimize(buffer.data());
    ::close(fd);
  }
  report(state, path);
}
BENCHMARK(bare_read)->Unit(benchmark::kMillisecond);

void bare_map(benchmark::State& state) {
  const auto& path = sample(false).path();
  for (auto _ : state) {
    auto file = MappedFile::open(path);
    file->expect_sequential_reading();
    unsigned sum = 0;
    for (std::size_t i = 0; i < file->bytes().size(); i += 64) sum += static_cast<unsigned>(file->bytes()[i]);
    benchmark::DoNotOptimize(sum);
  }
  report(state, path);
}
BENCHMARK(bare_map)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace nidus::net
