// The least that a reader of a capture can do: maps a pcap file, walks its records and adds up the first 64
// bytes of each packet. What nidus is held against as "a bare read".
//
//   read_capture FILE.pcap
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "base/file.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "read_capture FILE.pcap\n");
    return 2;
  }
  const auto start = std::chrono::steady_clock::now();
  const auto file = nidus::MappedFile::open(argv[1]);
  if (!file) {
    std::fprintf(stderr, "%s\n", file.error().message.c_str());
    return 1;
  }
  file->expect_sequential_reading();
  const auto bytes = file->bytes();
  constexpr std::size_t kFileHeaderBytes = 24, kRecordHeaderBytes = 16, kHeadersBytes = 64;
  std::uint64_t packets = 0;
  std::uint64_t sum = 0;  // printed, so that nothing is optimised away
  for (std::size_t at = kFileHeaderBytes; at + kRecordHeaderBytes <= bytes.size(); ++packets) {
    std::uint32_t captured_bytes;
    std::memcpy(&captured_bytes, bytes.data() + at + 8, sizeof captured_bytes);
    at += kRecordHeaderBytes;
    if (captured_bytes > bytes.size() - at) break;
    for (std::size_t i = 0; i < captured_bytes && i < kHeadersBytes; ++i)
      sum += std::to_integer<std::uint64_t>(bytes[at + i]);
    at += captured_bytes;
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::printf("%llu packets in %.3f s, sum %llx\n", static_cast<unsigned long long>(packets), seconds.count(),
              static_cast<unsigned long long>(sum));
  return 0;
}
