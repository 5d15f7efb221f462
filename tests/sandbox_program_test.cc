// Uploaded files as the service has them read: by a real child of the real program, and by children that lie,
// crash and loop.
#include "sandbox/sandbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/testing.h"
#include "detect/detector.h"
#include "detect/pipeline.h"
#include "detect/testing.h"
#include "net/capture.h"

namespace nidus::sandbox {
namespace {

namespace fs = std::filesystem;
using testing::AnyOf;
using testing::HasSubstr;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// A text in pieces.
ByteSource pieces(const std::string& text, std::size_t size) {
  return {[&text, size, at = std::size_t{0}]() mutable -> Result<std::span<const std::byte>> {
            const auto piece = bytes_of(text).subspan(at, std::min(size, text.size() - at));
            at += piece.size();
            return piece;
          },
          nullptr};
}

std::string gzip(const std::string& text) {
  std::string out(compressBound(static_cast<uLong>(text.size())) + 64, '\0');
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

struct Outcome {
  Result<Metered> metered;
  std::vector<flow::FlowRecord> records;
};

class SandboxTest : public testing::Test {
 protected:
  static Options real() {
    Options options;
    options.program = NIDUS_SERVE_PROGRAM;
    return options;
  }
  // A child that says what it likes, after it said that it is ready.
  Options script(const std::string& lines) const {
    const fs::path path = folder_ / "child.sh";
    std::ofstream(path) << "#!/bin/sh\nprintf '\\001\\000\\000\\000\\001\\000\\000\\000\\001'\n"
                        << lines << "\n";
    fs::permissions(path, fs::perms::owner_all);
    Options options;
    options.program = path;
    options.warm = 0;
    options.patience = std::chrono::milliseconds(300);
    return options;
  }
  static Outcome meter(Sandbox& sandbox, const ByteSource& source, const CaptureLimits& limits = {},
                       std::size_t threads = 1) {
    Outcome outcome{Error{Errc::io, ""}, {}};
    outcome.metered = sandbox.meter({}, threads, limits, source, [&](auto records) {
      for (const auto* record : records) outcome.records.push_back(*record);
      return true;
    });
    return outcome;
  }
  static Outcome meter(const Options& options, const std::string& capture, const CaptureLimits& limits = {}) {
    auto sandbox = Sandbox::start(options);
    if (!sandbox) return {sandbox.error(), {}};
    return meter(*sandbox, pieces(capture, 10'000), limits);
  }
  static std::string sample() {
    const auto read = read_file(fs::path(NIDUS_SOURCE_DIR) / "share/sample/sample.pcap");
    EXPECT_TRUE(read);
    return read ? *read : "";
  }
  // `flows` of one packet each.
  static std::string flood(std::uint32_t flows) {
    detect::CaptureBuilder capture;
    for (std::uint32_t i = 0; i < flows; ++i) {
      const std::string source = "10." + std::to_string(i >> 16 & 255) + "." + std::to_string(i >> 8 & 255) +
                                 "." + std::to_string(i & 255);
      capture.at(1'700'000'000'000'000 + i).tcp(source, 1000, "192.168.0.1", 80, "S");
    }
    return capture.bytes();
  }

  TemporaryFolder folder_;
};

TEST_F(SandboxTest, RecordsAreThoseOfThePipelineInTheSameOrder) {
  const std::string bytes = sample();
  const std::span<const std::uint8_t> memory(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                             bytes.size());
  auto capture = net::Capture::open_memory(memory, "sample");
  ASSERT_TRUE(capture);
  std::vector<flow::FlowRecord> expected;
  const auto statistics = detect::Pipeline({}).run(*capture, [&](auto records) {
    for (const auto* record : records) expected.push_back(*record);
    return true;
  });

  auto sandbox = Sandbox::start(real());
  ASSERT_TRUE(sandbox) << sandbox.error().message;
  EXPECT_TRUE(sandbox->filters());
  for (const std::size_t threads : {1u, 2u}) {
    const Outcome outcome = meter(*sandbox, pieces(bytes, threads == 1 ? 777 : 1 << 20), {}, threads);
    ASSERT_TRUE(outcome.metered) << outcome.metered.error().message;
    EXPECT_FALSE(outcome.metered->fault);
    EXPECT_EQ(outcome.metered->statistics.frames, statistics.frames);
    EXPECT_EQ(outcome.metered->statistics.meter.flows, statistics.meter.flows);
    EXPECT_EQ(outcome.metered->statistics.last, statistics.last);
    ASSERT_EQ(outcome.records.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ASSERT_EQ(outcome.records[i].tuple, expected[i].tuple) << i;
      ASSERT_EQ(outcome.records[i].start_us, expected[i].start_us) << i;
      ASSERT_EQ(outcome.records[i].forward().payload_bytes, expected[i].forward().payload_bytes) << i;
      ASSERT_EQ(outcome.records[i].gap_us_squared, expected[i].gap_us_squared) << i;
    }
  }
  EXPECT_EQ(sandbox->counts().crashed, 0u);
}

TEST_F(SandboxTest, WhatIsNoCaptureIsSaidToBeNone) {
  auto sandbox = Sandbox::start(real());
  ASSERT_TRUE(sandbox) << sandbox.error().message;
  const auto error = [&](const std::string& bytes) {
    const Outcome outcome = meter(*sandbox, pieces(bytes, 100));
    return outcome.metered ? Error{} : outcome.metered.error();
  };
  EXPECT_EQ(error("").code, Errc::corrupt);
  EXPECT_THAT(error("").message, HasSubstr("the file is empty"));
  EXPECT_EQ(error("GET / HTTP/1.1").code, Errc::unsupported);
  EXPECT_THAT(error("GET / HTTP/1.1").message, HasSubstr("it is text and begins with"));
  // A long one, most of which is never taken.
  EXPECT_EQ(error(std::string(20 << 20, 'x')).code, Errc::unsupported);
}

TEST_F(SandboxTest, ACaptureThatBreaksOffGivesItsFirstPart) {
  const std::string whole = sample();
  const Outcome outcome = meter(real(), whole.substr(0, whole.size() / 2));
  ASSERT_TRUE(outcome.metered) << outcome.metered.error().message;
  ASSERT_TRUE(outcome.metered->fault);
  EXPECT_EQ(outcome.metered->fault->code, Errc::corrupt);
  EXPECT_THAT(outcome.metered->fault->message, HasSubstr("the capture: byte"));
  EXPECT_GT(outcome.records.size(), 10u);
}

TEST_F(SandboxTest, LimitsAreNamed) {
  const std::string bytes = flood(20'000);
  const auto error = [&](const Outcome& outcome) {
    return outcome.metered ? Error{} : outcome.metered.error();
  };
  Error met = error(meter(real(), bytes, {.packets_max = 10'000}));
  EXPECT_EQ(met.code, Errc::exhausted);
  EXPECT_THAT(met.message, HasSubstr("more than 10000 packets"));
  met = error(meter(real(), bytes, {.flows_max = 5'000}));
  EXPECT_EQ(met.code, Errc::exhausted);
  EXPECT_THAT(met.message, HasSubstr("more than 5000 flows"));
  const std::string packed = gzip(bytes);
  met = error(meter(real(), packed, {.inflated_bytes_max = 1 << 20}));
  EXPECT_EQ(met.code, Errc::exhausted);
  EXPECT_THAT(met.message, HasSubstr("unpacks to more than the limit"));
  met = error(meter(real(), gzip(flood(1) + std::string(40 << 20, '\0')), {.inflated_ratio_max = 100}));
  EXPECT_EQ(met.code, Errc::exhausted) << met.message;
  EXPECT_EQ(meter(real(), packed).records.size(), 20'000u);
}

TEST_F(SandboxTest, AChildThatNeedsMoreMemoryOrTimeThanItMayHaveEnds) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  Options options = real();
  options.memory_bytes_max = std::uint64_t{160} << 20;
  const Outcome outcome = meter(options, flood(1'000));
  ASSERT_FALSE(outcome.metered);
  EXPECT_EQ(outcome.metered.error().code, Errc::exhausted) << outcome.metered.error().message;
  EXPECT_THAT(outcome.metered.error().message, HasSubstr("of memory"));
#endif
  // A capture without end.
  options = real();
  options.cpu_time_max = std::chrono::seconds(1);
  auto sandbox = Sandbox::start(options);
  ASSERT_TRUE(sandbox) << sandbox.error().message;
  const std::string whole = flood(2'000), packets = whole.substr(24);
  bool begun = false;
  const auto source = [&]() -> Result<std::span<const std::byte>> {
    return bytes_of(std::exchange(begun, true) ? packets : whole);
  };
  const auto endless = meter(*sandbox, {source, nullptr});
  ASSERT_FALSE(endless.metered);
  EXPECT_EQ(endless.metered.error().code, Errc::exhausted);
  EXPECT_THAT(endless.metered.error().message, HasSubstr("processor time"));
  EXPECT_EQ(sandbox->counts().stopped, 1u);
  EXPECT_EQ(sandbox->counts().crashed, 0u);
}

TEST_F(SandboxTest, AChildThatLoopsLiesOrCrashesHarmsNobody) {
  const auto error = [&](const std::string& lines, const std::string& capture = "xyz") {
    const Outcome outcome = meter(script(lines), capture);
    return outcome.metered ? Error{} : outcome.metered.error();
  };
  Error met = error("while :; do :; done");
  EXPECT_EQ(met.code, Errc::exhausted);
  EXPECT_THAT(met.message, HasSubstr("no progress"));
  met = error("exec sleep 1000", std::string(8 << 20, 'x'));
  EXPECT_EQ(met.code, Errc::exhausted);
  for (const char* const lines :
       {"exit 0", "exit 5", "kill -SEGV $$", "printf '\\007\\000\\000\\000\\377\\377\\377\\377'",
        "printf 'nonsense, and more of it'", "printf '\\006\\000\\000\\000\\000\\000\\000\\000'",
        "printf '\\004\\000\\000\\000\\001\\000\\000\\000x'", "yes"}) {
    met = error(lines);
    EXPECT_EQ(met.code, Errc::io) << lines << ": " << met.message;
  }
  // One that does not even start.
  Options options = script("");
  std::ofstream(options.program) << "#!/bin/sh\nexit 1\n";
  EXPECT_FALSE(Sandbox::start(options));
  options.program = folder_ / "nothing";
  EXPECT_FALSE(Sandbox::start(options));
}

TEST_F(SandboxTest, ASourceMayWriteByItself) {
  auto sandbox = Sandbox::start(real());
  ASSERT_TRUE(sandbox) << sandbox.error().message;
  // More than the pipe and what the child reads at once hold, so that the pipe is full at times.
  const std::string bytes = flood(80'000);
  std::size_t at = 0, full = 0;
  ByteSource source;
  source.next = [&]() -> Result<std::span<const std::byte>> {
    const auto piece = bytes_of(bytes).subspan(at, std::min<std::size_t>(1000, bytes.size() - at));
    at += piece.size();
    return piece;
  };
  source.move = [&](int pipe) -> Result<std::optional<std::size_t>> {
    if (at >= bytes.size() - 5000) return std::optional<std::size_t>();
    const ssize_t put = ::write(pipe, bytes.data() + at, bytes.size() - 5000 - at);
    full += put < 0;
    at += put > 0 ? static_cast<std::size_t>(put) : 0;
    return std::optional<std::size_t>(put > 0 ? put : 0);
  };
  const Outcome outcome = meter(*sandbox, source);
  ASSERT_TRUE(outcome.metered) << outcome.metered.error().message;
  EXPECT_FALSE(outcome.metered->fault);
  EXPECT_EQ(outcome.records.size(), 80'000u);
  EXPECT_GT(full, 0u);

  at = 0;
  source.move = [&](int) -> Result<std::optional<std::size_t>> { return Error{Errc::io, "hung up"}; };
  EXPECT_EQ(meter(*sandbox, source).metered.error().message, "hung up");
  // A child that reads nothing is not waited for.
  at = 0;
  auto deaf = Sandbox::start(script("exec sleep 1000"));
  ASSERT_TRUE(deaf) << deaf.error().message;
  source.move = [&](int pipe) -> Result<std::optional<std::size_t>> {
    static const std::string much(1 << 20, 'x');
    const ssize_t put = ::write(pipe, much.data(), much.size());
    return std::optional<std::size_t>(put > 0 ? put : 0);
  };
  EXPECT_EQ(meter(*deaf, source).metered.error().code, Errc::exhausted);
}

TEST_F(SandboxTest, WhoGivesUpIsHeard) {
  auto sandbox = Sandbox::start(real());
  ASSERT_TRUE(sandbox) << sandbox.error().message;
  const std::string bytes = flood(20'000);
  // The client hung up.
  int calls = 0;
  const auto hung_up = [&]() -> Result<std::span<const std::byte>> {
    if (++calls > 3) return Error{Errc::io, "hung up"};
    return bytes_of(bytes).subspan(static_cast<std::size_t>(calls - 1) * 1000, 1000);
  };
  EXPECT_EQ(meter(*sandbox, {hung_up, nullptr}).metered.error().message, "hung up");
  // Nobody wants the records.
  const auto refused = sandbox->meter({}, 1, {}, pieces(bytes, 5000), [](auto) { return false; });
  EXPECT_EQ(refused.error().code, Errc::invalid);
  // Somebody says stop.
  std::atomic<bool> stop = true;
  const auto stopped = sandbox->meter(
      {}, 1, {}, pieces(bytes, 5000), [](auto) { return true; }, nullptr, &stop);
  EXPECT_EQ(stopped.error().code, Errc::invalid);
  EXPECT_EQ(sandbox->counts().crashed, 0u);
  EXPECT_EQ(meter(*sandbox, pieces(bytes, 5000)).records.size(), 20'000u);
}

// Files of a detector, in memory.
class GivenFiles final : public Sandbox::Files {
 public:
  explicit GivenFiles(std::vector<std::pair<std::string, std::string>> files) : files_(std::move(files)) {}
  Result<std::optional<std::string>> next() override {
    if (at_ == files_.size()) return std::optional<std::string>();
    given_ = false;
    return std::optional(files_[at_++].first);
  }
  Result<std::span<const std::byte>> piece() override {
    if (std::exchange(given_, true)) return std::span<const std::byte>();
    return bytes_of(files_[at_ - 1].second);
  }

 private:
  std::vector<std::pair<std::string, std::string>> files_;
  std::size_t at_ = 0;
  bool given_ = false;
};

class SandboxedDetectorTest : public SandboxTest {
 protected:
  static std::vector<std::pair<std::string, std::string>> files_of(const fs::path& folder) {
    std::vector<std::pair<std::string, std::string>> files;
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (const auto read = read_file(entry.path()))
        files.emplace_back(entry.path().filename().string(), *read);
    }
    return files;
  }
  Result<DetectorRead> read(std::vector<std::pair<std::string, std::string>> files,
                            const interop::ImportOptions& options = {}) {
    auto sandbox = Sandbox::start(real());
    if (!sandbox) return sandbox.error();
    GivenFiles given(std::move(files));
    fs::remove_all(folder_ / "out");
    fs::create_directory(folder_ / "out");
    return sandbox->read_detector(given, options, 1u << 28, folder_ / "out");
  }
};

TEST_F(SandboxedDetectorTest, ADetectorOfOursComesOutAsItWentIn) {
  const fs::path ours = fs::path(NIDUS_SOURCE_DIR) / "share/detectors/flows-attacks";
  const auto done = read(files_of(ours));
  ASSERT_TRUE(done) << done.error().message;
  const auto before = detect::Detector::load(ours), after = detect::Detector::load(folder_ / "out");
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_EQ(after->manifest().name, before->manifest().name);
  EXPECT_EQ(after->manifest().members.size(), before->manifest().members.size());
  // The golden rows were tried by load(). Written once more it is the same to the last byte.
  const auto once = files_of(folder_ / "out");
  ASSERT_TRUE(read(once));
  EXPECT_EQ(files_of(folder_ / "out"), once);
  EXPECT_EQ(after->manifest().golden.size(), before->manifest().golden.size());
}

TEST_F(SandboxedDetectorTest, AnArchiveStandsForWhatIsInIt) {
  const fs::path ours = fs::path(NIDUS_SOURCE_DIR) / "share/detectors";
  for (const char* const how : {"-cf", "-czf"}) {
    const fs::path archive = folder_ / "d.tar";
    const std::string command =
        "tar -C '" + ours.string() + "' " + how + " '" + archive.string() + "' flows-attacks";
    ASSERT_EQ(std::system(command.c_str()), 0);
    const auto bytes = read_file(archive);
    ASSERT_TRUE(bytes);
    const auto done = read({{"d.tar", *bytes}});
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_TRUE(detect::Detector::load(folder_ / "out"));
  }
}

TEST_F(SandboxedDetectorTest, FilesOfAnotherProgramBecomeADetectorOfOurs) {
  const auto model = read_file(fs::path(NIDUS_SOURCE_DIR) / "tests/interop/lightgbm/4.7.0-binary/model.txt");
  ASSERT_TRUE(model) << model.error().message;
  interop::ImportOptions options;
  options.name = "uploaded";
  options.features = {"a", "b", "c", "d", "e"};
  options.classes = {"quiet", "loud"};
  options.benign = "quiet";
  const auto done = read({{"model.txt", *model}, {"readme.md", "Hello"}}, options);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_THAT(done->notes, testing::Contains("readme.md: no part of a detector"));
  const auto after = detect::Detector::load(folder_ / "out");
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_EQ(after->manifest().name, "uploaded");
  EXPECT_EQ(after->inputs(), 5u);
  EXPECT_EQ(after->manifest().labels[1], "loud");
}

TEST_F(SandboxedDetectorTest, WhatIsNoDetectorIsSaidToBeNone) {
  EXPECT_EQ(read({}).error().code, Errc::invalid);
  EXPECT_EQ(read({{"x.pkl", "no model"}}).error().code, Errc::unsupported);
  auto files = files_of(fs::path(NIDUS_SOURCE_DIR) / "share/detectors/flows-attacks");
  for (auto& [name, bytes] : files) {
    if (name == "model-1.nidus") bytes[bytes.size() / 2] ^= 1;
  }
  EXPECT_THAT(read(files).error().message, HasSubstr("model-1.nidus: another SHA-256"));
  std::erase_if(files, [](const auto& file) { return file.first == "model-1.nidus"; });
  EXPECT_THAT(read(files).error().message, HasSubstr("model-1.nidus: is not there"));
}

}  // namespace
}  // namespace nidus::sandbox
