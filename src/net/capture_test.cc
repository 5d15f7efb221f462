#include "net/capture.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/testing.h"
#include "net/testing/frames.h"

namespace nidus::net {
namespace {

using namespace testing;
using std::endian;

std::string letters(const Frame& frame) { return {frame.bytes.begin(), frame.bytes.end()}; }

// All that a capture gives, one line a frame, and its fault at the end.
std::string contents(Capture& capture) {
  std::string out;
  Frame frame;
  for (Next next = capture.next(frame); next != Next::end; next = capture.next(frame)) {
    if (next == Next::idle) continue;
    out += std::to_string(frame.time.ns) + " link " + std::to_string(static_cast<int>(frame.link)) + " " +
           letters(frame) + "/" + std::to_string(frame.wire_bytes) + "\n";
  }
  if (capture.fault()) out += capture.fault()->message + "\n";
  return out;
}

std::string contents(const Bytes& bytes, CaptureOptions options = {}) {
  // Exactly as long as the capture, so that the sanitizer sees a byte too far.
  const Bytes exact(bytes.begin(), bytes.end());
  auto capture = Capture::open_memory(exact, "x", options);
  return capture ? contents(*capture) : "refused: " + capture.error().message;
}

Bytes gzip(const Bytes& bytes) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  Bytes out(deflateBound(&stream, bytes.size()));
  Bytes in = bytes;
  stream.next_in = in.data();
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// With a checksum, as the command line tool does.
Bytes zstd(const Bytes& bytes) {
  ZSTD_CCtx* const context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  Bytes out(ZSTD_compressBound(bytes.size()));
  out.resize(ZSTD_compress2(context, out.data(), out.size(), bytes.data(), bytes.size()));
  ZSTD_freeCCtx(context);
  return out;
}

class CaptureFileTest : public ::testing::Test {
 protected:
  std::filesystem::path write(const Bytes& bytes) {
    const auto path = folder_ / "c.pcap";
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return path;
  }
  std::string refusal(const std::filesystem::path& path) {
    auto capture = Capture::open(path);
    return capture ? "opened" : capture.error().message;
  }

  TemporaryFolder folder_;
};

TEST(PcapTest, IsReadInBothByteOrdersAndAllResolutions) {
  for (const endian order : {endian::little, endian::big}) {
    const auto read = [&](std::uint32_t magic) {
      return contents(pcap(order, {{text("abc"), 5, 7}, {text("defg"), 6, 8, 1500}}, 101, magic));
    };
    EXPECT_EQ(read(0xa1b2c3d4), "5000007000 link 101 abc/3\n6000008000 link 101 defg/1500\n");
    EXPECT_EQ(read(0xa1b23c4d), "5000000007 link 101 abc/3\n6000000008 link 101 defg/1500\n");
    EXPECT_EQ(read(0xa1b2cd34), "5000007000 link 101 abc/3\n6000008000 link 101 defg/1500\n");
  }
}

TEST(PcapTest, TheTopOfTheLinkTypeIsNotTheLinkType) {
  EXPECT_EQ(contents(pcap(endian::little, {{text("abc")}}, 0x24000001)), "1000000000 link 1 abc/3\n");
  EXPECT_EQ(contents(pcap_header(endian::little, 0x00300000)),
            "refused: x: byte 20: reserved bits set in link type 3145728");
}

TEST(PcapTest, OddTimesAreStillTimes) {
  EXPECT_EQ(contents(pcap(endian::big, {{text("a"), 0xffffffff, 0xffffffff}})),
            "4294971589967295000 link 1 a/1\n");
}

TEST(PcapTest, AWireLengthBelowTheCapturedOneIsRaised) {
  EXPECT_EQ(contents(pcap(endian::big, {{text("abc"), 1, 0, 2}})), "1000000000 link 1 abc/3\n");
}

TEST(PcapTest, ARecordThatClaimsTooMuchEndsTheCapture) {
  Record lying{text("abc")};
  lying.captured = 262145;
  EXPECT_EQ(contents(pcap(endian::little, {{text("abc")}, lying})),
            "1000000000 link 1 abc/3\nx: byte 51: a record claims 262145 bytes, more than 262144\n");
}

TEST(PcapTest, CutAnywhereItGivesTheFramesBeforeTheCut) {
  const Bytes whole = pcap(endian::little, {{text("abc")}, {text("defgh")}, {{}}});
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::string got = contents(cut(whole, size));
    SCOPED_TRACE(size);
    if (size == 0) {
      EXPECT_EQ(got, "refused: x: byte 0: the file is empty");
    } else if (size < 4) {
      EXPECT_THAT(
          got, ::testing::StartsWith("refused: x: byte 0: neither pcap nor pcapng: it begins with bytes d4"));
    } else if (size < 24) {
      EXPECT_EQ(got, "refused: x: byte 0: truncated: the pcap header is cut off after " +
                         std::to_string(size) + " bytes");
    } else {
      const bool first = size >= 43, second = size >= 64;
      EXPECT_EQ(got.find("abc") != got.npos, first);
      EXPECT_EQ(got.find("defgh") != got.npos, second);
      const bool clean = size == 24 || size == 43 || size == 64;
      EXPECT_EQ(got.find("truncated") == got.npos, clean);
    }
  }
}

TEST(PcapngTest, IsReadInBothByteOrdersWithAllPacketBlocks) {
  for (const endian order : {endian::little, endian::big}) {
    const Bytes bytes = section(order) + interface(order, 101) + block(order, 0xbad, text("unknown")) +
                        enhanced(order, 0, 5'000'007, text("abc")) + simple(order, 4, text("defg")) +
                        obsolete(order, 0, 6'000'008, text("hi"));
    EXPECT_EQ(contents(bytes),
              "5000007000 link 101 abc/3\n5000007000 link 101 defg/4\n6000008000 link 101 hi/2\n");
  }
}

TEST(PcapngTest, SectionsMayDifferInEverything) {
  const Bytes bytes = section(endian::little) + interface(endian::little, 1) +
                      enhanced(endian::little, 0, 1, text("abc")) + section(endian::big) +
                      interface(endian::big, 101) + interface(endian::big, 113) +
                      enhanced(endian::big, 1, 2, text("de"));
  EXPECT_EQ(contents(bytes), "1000 link 1 abc/3\n2000 link 113 de/2\n");
}

TEST(PcapngTest, ClocksRunAsTheirInterfacesSay) {
  const auto time = [](const Bytes& options, std::uint64_t ticks) {
    const std::string got = contents(section(endian::little) + interface(endian::little, 1, options) +
                                     enhanced(endian::little, 0, ticks, text("a")));
    return got.substr(0, got.find(' '));
  };
  const auto resolution = [](std::uint8_t value) { return option(endian::little, 9, u8(value)); };
  const auto offset = [](std::int64_t seconds) {
    return option(endian::little, 14, number(static_cast<std::uint64_t>(seconds), 8, endian::little));
  };
  EXPECT_EQ(time({}, 7), "7000");
  EXPECT_EQ(time(resolution(0), 7), "7000000000");
  EXPECT_EQ(time(resolution(3), 7), "7000000");
  EXPECT_EQ(time(resolution(9), 7), "7");
  EXPECT_EQ(time(resolution(12), 7999), "7");
  EXPECT_EQ(time(resolution(127), 7), "0");
  EXPECT_EQ(time(resolution(0x80 | 1), 3), "1500000000");
  EXPECT_EQ(time(resolution(0x80 | 32), 0x380000000), "3500000000");
  EXPECT_EQ(time(resolution(0xff), 7), "0");
  EXPECT_EQ(time(offset(-1), 0), "-1000000000");
  EXPECT_EQ(time(offset(100) + option(endian::little, 0, {}) + resolution(9), 1), "100000001000");
  // Out of range: as far as it goes.
  EXPECT_EQ(time(resolution(0), ~std::uint64_t{0}), "9223372036854775807");
  EXPECT_EQ(time(offset(INT64_MIN), 0), "-9223372036854775808");
  EXPECT_EQ(time(offset(INT64_MAX), ~std::uint64_t{0}), "9223372036854775807");
}

TEST(PcapngTest, ASimplePacketIsAsLongAsTheSnapLengthLets) {
  const Bytes bytes =
      section(endian::big) + interface(endian::big, 1, {}, 3) + simple(endian::big, 9, text("abcd"));
  EXPECT_EQ(contents(bytes), "0 link 1 abc/9\n");
}

TEST(PcapngTest, OnlyASectionIsACaptureWithoutFrames) { EXPECT_EQ(contents(section(endian::little)), ""); }

TEST(PcapngTest, LiesAreFaults) {
  const endian order = endian::little;
  const Bytes start = section(order) + interface(order, 1);
  const std::size_t at = start.size();
  const auto fault = [&](const Bytes& bytes) { return contents(start + bytes); };
  const std::string x = "x: byte " + std::to_string(at);
  EXPECT_EQ(fault(le32(6) + le32(8) + zeros(20)),
            "x: byte " + std::to_string(at + 4) + ": a block claims 8 bytes\n");
  EXPECT_EQ(fault(le32(6) + le32(33) + zeros(40)),
            "x: byte " + std::to_string(at + 4) + ": a block claims 33 bytes\n");
  EXPECT_EQ(fault(le32(6) + le32(2 << 20) + zeros(40)),
            "x: byte " + std::to_string(at + 4) + ": a block claims 2097152 bytes, more than 1048576\n");
  EXPECT_EQ(fault(le32(6) + le32(32) + zeros(20) + le32(28)),
            "x: byte " + std::to_string(at + 28) + ": a block of 32 bytes claims 28 at its end\n");
  EXPECT_EQ(fault(le32(0xbad) + le32(16) + zeros(4) + le32(20)),
            "x: byte " + std::to_string(at + 12) + ": a block of 16 bytes claims 20 at its end\n");
  EXPECT_EQ(fault(le32(0xbad) + le32(4000000000) + zeros(40)),
            "x: byte " + std::to_string(at + 48) + ": truncated: a block is cut off\n");
  EXPECT_EQ(fault(block(order, 6, zeros(4))),
            "x: byte " + std::to_string(at + 4) + ": a packet block of 16 bytes\n");
  EXPECT_EQ(fault(enhanced(order, 1, 0, text("a"))),
            "x: byte " + std::to_string(at + 8) + ": a packet of interface 1, of 1\n");
  EXPECT_EQ(fault(block(order, 6, zeros(12) + le32(5) + le32(5) + zeros(4))),
            "x: byte " + std::to_string(at + 20) + ": a packet of 5 bytes does not fit its block\n");
  EXPECT_EQ(
      fault(interface(order, 1, option(order, 9, u8(6)) + le16(9) + le16(50))),
      "x: byte " + std::to_string(at + 26) + ": an interface option of 50 bytes does not fit its block\n");
  EXPECT_EQ(fault(section(order, 2)),
            "x: byte " + std::to_string(at + 12) + ": pcapng version 2.0, only 1.0 is read\n");
  EXPECT_EQ(fault(le32(0x0a0d0d0a) + le32(28) + zeros(20)),
            "x: byte " + std::to_string(at + 8) + ": a section header without byte-order magic\n");
}

TEST(PcapngTest, InterfacesAreBounded) {
  Bytes bytes = section(endian::little);
  for (std::size_t i = 0; i <= kInterfacesMax; ++i) bytes = std::move(bytes) + interface(endian::little, 1);
  EXPECT_THAT(contents(bytes), ::testing::HasSubstr("more than 4096 interfaces"));
}

TEST(PcapngTest, CutAnywhereItGivesTheFramesBeforeTheCut) {
  const Bytes whole = section(endian::little) + interface(endian::little, 1) +
                      enhanced(endian::little, 0, 1, text("abc")) + block(endian::little, 0xbad, zeros(9)) +
                      enhanced(endian::little, 0, 2, text("defgh"));
  for (std::size_t size = 4; size < whole.size(); ++size) {
    const std::string got = contents(cut(whole, size));
    EXPECT_EQ(got.find("abc") != got.npos, size >= 28 + 20 + 36) << size;
    const bool clean = size == 28 || size == 48 || size == 84 || size == 108;
    EXPECT_EQ(got.find("truncated") == got.npos, clean) << size << got;
  }
}

TEST(PackedTest, GzipAndZstdGiveTheSameFrames) {
  const Bytes plain = pcap(endian::little, {{text("abc"), 5}, {text("defg"), 6}});
  EXPECT_EQ(contents(gzip(plain)), contents(plain));
  EXPECT_EQ(contents(zstd(plain)), contents(plain));
  const Bytes a = cut(plain, 30), b(plain.begin() + 30, plain.end());
  EXPECT_EQ(contents(gzip(a) + gzip(b)), contents(plain));
  EXPECT_EQ(contents(zstd(a) + zstd(b)), contents(plain));
}

TEST(PackedTest, FramesBeforeTheDamageAreKept) {
  Bytes plain = pcap(endian::little, {{text("abc"), 5}});
  for (int i = 0; i < 2000; ++i)
    plain = std::move(plain) + pcap_record(endian::little, {number(i * 2654435761u, 4, endian::big)});
  for (const Bytes& packed : {gzip(plain), zstd(plain)}) {
    for (const std::size_t size : {packed.size() - 1, packed.size() / 2, std::size_t{30}}) {
      const std::string got = contents(cut(packed, size));
      EXPECT_THAT(got, ::testing::HasSubstr("the compressed data ends early")) << size;
    }
    Bytes damaged = packed;
    damaged[damaged.size() / 2] ^= 0x55;
    damaged[damaged.size() / 2 + 1] ^= 0x55;
    EXPECT_NE(contents(damaged).find("x: byte"), std::string::npos) << "damage goes unnoticed";
  }
  EXPECT_THAT(contents(gzip(plain) + text("rubbish")), ::testing::HasSubstr("damaged gzip data"));
}

TEST(PackedTest, ABombStopsAtTheLimit) {
  const Bytes bomb = gzip(pcap_header(endian::little) + zeros(64 << 20));
  EXPECT_LT(bomb.size(), 100000u);
  auto capture = Capture::open_memory(bomb, "x", {.inflated_bytes_max = 1 << 20});
  ASSERT_TRUE(capture);
  Frame frame;
  while (capture->next(frame) != Next::end) {
  }
  ASSERT_TRUE(capture->fault());
  EXPECT_EQ(capture->fault()->code, Errc::exhausted);
  EXPECT_THAT(capture->fault()->message, ::testing::HasSubstr("unpacks to more than the limit"));
  EXPECT_LE(capture->frames(), (1u << 20) / 16);
}

TEST(PackedTest, WhatUnpacksToTooManyTimesItsSizeIsAFault) {
  Bytes bomb = pcap_header(endian::little);
  bomb.resize(24 + (8u << 20));  // frames of no bytes
  const auto packed = gzip(bomb);
  const auto read = [&](std::uint64_t ratio_max) {
    auto capture = Capture::open_memory(packed, "x", {.inflated_ratio_max = ratio_max});
    EXPECT_TRUE(capture);
    Frame frame;
    while (capture->next(frame) != Next::end) {
    }
    return capture->fault();
  };
  EXPECT_FALSE(read(0));
  EXPECT_FALSE(read(2000));
  const auto fault = read(100);
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->code, Errc::exhausted);
  EXPECT_THAT(fault->message, ::testing::HasSubstr("more than 100 bytes for each of its own"));
}

TEST_F(CaptureFileTest, ADescriptorIsWaitedFor) {
  const Bytes bytes = pcap(endian::little, {{text("abc")}, {text("defg")}});
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  std::thread writer([&] {
    for (const auto byte : bytes) {
      if (::write(ends[1], &byte, 1) != 1) return;
    }
    ::close(ends[1]);
  });
  auto capture = Capture::open_descriptor(ends[0], "upload");
  ASSERT_TRUE(capture) << capture.error().message;
  EXPECT_EQ(contents(*capture), "1000000000 link 1 abc/3\n1000000000 link 1 defg/4\n");
  writer.join();
  EXPECT_EQ(capture->bytes_read(), bytes.size());
  ::close(ends[0]);
}

TEST(PackedTest, PackedTwiceIsNotUnpackedTwice) {
  EXPECT_THAT(contents(gzip(gzip(pcap_header(endian::little)))),
              ::testing::HasSubstr("neither pcap nor pcapng"));
}

TEST_F(CaptureFileTest, AFileIsCounted) {
  const Bytes bytes = pcap(endian::little, {{text("abc")}, {text("defg")}});
  auto capture = Capture::open(write(bytes));
  ASSERT_TRUE(capture);
  EXPECT_EQ(capture->size(), bytes.size());
  EXPECT_EQ(capture->format(), "pcap");
  EXPECT_EQ(contents(*capture), "1000000000 link 1 abc/3\n1000000000 link 1 defg/4\n");
  EXPECT_EQ(capture->frames(), 2u);
  EXPECT_EQ(capture->bytes_read(), bytes.size());
  Frame frame;
  EXPECT_EQ(capture->next(frame), Next::end);
}

TEST_F(CaptureFileTest, ALargeFileIsTheSameHoweverItComes) {
  // Some 20 MB, so that every buffer is refilled many times.
  Bytes bytes = pcap_header(endian::little);
  bytes.reserve(22 << 20);
  for (std::uint32_t i = 0; i < 15000; ++i) {
    Record record{Bytes((i * 7919) % 2800, static_cast<std::uint8_t>(i)), i};
    const Bytes one = pcap_record(endian::little, record);
    bytes.insert(bytes.end(), one.begin(), one.end());
  }
  const auto digest = [](Capture& capture) {
    std::uint64_t sum = 0;
    Frame frame;
    for (Next next = capture.next(frame); next != Next::end; next = capture.next(frame)) {
      if (next == Next::idle) continue;
      sum = sum * 31 + static_cast<std::uint64_t>(frame.time.ns) + frame.bytes.size();
      for (const std::uint8_t byte : frame.bytes) sum += byte;
    }
    EXPECT_FALSE(capture.fault());
    EXPECT_EQ(capture.frames(), 15000u);
    return sum;
  };
  const auto path = write(bytes);
  auto file = Capture::open(path);
  auto in_memory = Capture::open_memory(bytes, "x");
  const Bytes packed = zstd(bytes);
  auto unpacked = Capture::open_memory(packed, "x");
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(::dup2(fd, STDIN_FILENO), STDIN_FILENO);
  ::close(fd);
  auto streamed = Capture::open("-");
  const std::uint64_t expected = digest(*file);
  EXPECT_EQ(digest(*in_memory), expected);
  EXPECT_EQ(digest(*unpacked), expected);
  EXPECT_EQ(digest(*streamed), expected);
}

TEST_F(CaptureFileTest, APipeIsIdleUntilSomethingArrives) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const auto put = [&](const Bytes& bytes) {
    ASSERT_EQ(::write(ends[1], bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  };
  auto capture = Capture::open("/dev/fd/" + std::to_string(ends[0]));
  ASSERT_TRUE(capture) << capture.error().message;
  EXPECT_EQ(capture->format(), "");
  EXPECT_FALSE(capture->size());
  Frame frame;
  EXPECT_EQ(capture->next(frame), Next::idle);
  const Bytes bytes = pcap(endian::little, {{text("abc")}, {text("defg")}});
  put(cut(bytes, 50));
  ASSERT_EQ(capture->next(frame), Next::frame);
  EXPECT_EQ(letters(frame), "abc");
  EXPECT_EQ(capture->next(frame), Next::idle);
  put(Bytes(bytes.begin() + 50, bytes.end()));
  ASSERT_EQ(capture->next(frame), Next::frame);
  EXPECT_EQ(letters(frame), "defg");
  ::close(ends[1]);
  EXPECT_EQ(capture->next(frame), Next::end);
  EXPECT_FALSE(capture->fault());
  ::close(ends[0]);
}

TEST_F(CaptureFileTest, APipeThatSendsNoCaptureIsAFault) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  auto capture = Capture::open("/dev/fd/" + std::to_string(ends[0]));
  ASSERT_TRUE(capture);
  ASSERT_EQ(::write(ends[1], "hello world", 11), 11);
  ::close(ends[1]);
  Frame frame;
  EXPECT_EQ(capture->next(frame), Next::end);
  ASSERT_TRUE(capture->fault());
  EXPECT_THAT(capture->fault()->message, ::testing::HasSubstr("it is text and begins with \"hello world\""));
  ::close(ends[0]);
}

TEST_F(CaptureFileTest, WhatIsNoCaptureIsRefusedByName) {
  EXPECT_THAT(refusal(folder_ / "none"),
              ::testing::AllOf(::testing::HasSubstr("none"), ::testing::HasSubstr("No such file")));
  EXPECT_THAT(refusal(folder_.path()), ::testing::HasSubstr("is a folder"));
  EXPECT_THAT(refusal(write({})), ::testing::HasSubstr("c.pcap: byte 0: the file is empty"));
  EXPECT_THAT(refusal(write(text("Flow ID, Source IP"))),
              ::testing::HasSubstr("it is text and begins with \"Flow ID, Source \""));
  EXPECT_THAT(refusal(write(text("snoop") + zeros(20))),
              ::testing::HasSubstr("it is a Solaris snoop capture"));
  EXPECT_THAT(refusal(write(hex("fd377a585a00"))), ::testing::HasSubstr("it is xz data"));
  EXPECT_THAT(refusal(write(hex("00ff"))), ::testing::HasSubstr("it begins with bytes 00 ff"));
  EXPECT_THAT(refusal(write(pcap_header(endian::little, 1, 0xa1b2c3d4, 3))),
              ::testing::HasSubstr("pcap version 3.4"));
}

}  // namespace
}  // namespace nidus::net
