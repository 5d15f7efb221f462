// Makes captures for measuring: the same bytes for the same arguments, on every machine.
//
//   make_capture OUT                    2,000,000 packets of about 64,000 flows, about 820 bytes each, 1.7 GB
//   make_capture OUT --packets N --flows N --seed N
//   make_capture OUT --syn-flood N      N frames of 60 bytes, a SYN each from a random address and port
//
// The traffic: 70 of 100 flows are TCP: handshake, requests, answers in full segments with an acknowledgement
// for every second one, then FIN from both sides; one in ten is reset instead, one in ten just stops. The
// rest is UDP: two thirds a question and its answer, one third a long exchange of datagrams. Flow
// lengths are heavy tailed. Payload is the same letter throughout; IP checksums are right, those of TCP and
// UDP are left 0.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"

namespace {

using nidus::Random;

constexpr std::uint64_t kStartSeconds = 1'700'000'000;
constexpr std::size_t kEthernetBytes = 14, kIpBytes = 20, kTcpBytes = 20, kSynBytes = 40, kUdpBytes = 8;
constexpr std::uint32_t kSegmentBytes = 1460;
constexpr std::uint8_t kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16;

struct Settings {
  std::string out;
  std::uint64_t packets = 2'000'000;
  std::uint64_t flows = 64'000;
  std::uint64_t seed = 1;
  std::uint64_t syn_flood = 0;
};

struct Endpoint {
  std::uint32_t address = 0;
  std::uint16_t port = 0;
};

// Appends frames to a pcap file with microseconds, little-endian.
class Writer {
 public:
  explicit Writer(std::FILE* file) : file_(file) {
    buffer_.reserve(kFlushBytes + 4096);
    const std::array<std::uint32_t, 6> header = {0xa1b2c3d4, 2 | 4 << 16, 0, 0, 262144, 1};
    append(header.data(), sizeof header);
  }

  void tcp(std::uint64_t us, Endpoint from, Endpoint to, std::uint8_t flags, std::uint32_t sequence,
           std::uint32_t acknowledgement, std::uint32_t payload_bytes) {
    const std::size_t header_bytes = (flags & kSyn) ? kSynBytes : kTcpBytes;
    std::uint8_t* at = begin(us, from, to, 6, header_bytes + payload_bytes);
    put16(at, from.port);
    put16(at + 2, to.port);
    put32(at + 4, sequence);
    put32(at + 8, acknowledgement);
    at[12] = static_cast<std::uint8_t>(header_bytes / 4 << 4);
    at[13] = flags;
    put16(at + 14, 64240);
    put32(at + 16, 0);
    if (flags & kSyn) std::fill(at + kTcpBytes, at + kSynBytes, std::uint8_t{1});  // no-operation options
    std::fill(at + header_bytes, at + header_bytes + payload_bytes, std::uint8_t{'n'});
    flush_if_full();
  }

  void udp(std::uint64_t us, Endpoint from, Endpoint to, std::uint32_t payload_bytes) {
    std::uint8_t* at = begin(us, from, to, 17, kUdpBytes + payload_bytes);
    put16(at, from.port);
    put16(at + 2, to.port);
    put16(at + 4, kUdpBytes + payload_bytes);
    put16(at + 6, 0);
    std::fill(at + kUdpBytes, at + kUdpBytes + payload_bytes, std::uint8_t{'n'});
    flush_if_full();
  }

  bool finish() { return flush(); }
  std::uint64_t frames() const { return frames_; }
  std::uint64_t frame_bytes() const { return frame_bytes_; }

 private:
  static constexpr std::size_t kFlushBytes = 1 << 20;

  static void put16(std::uint8_t* at, std::size_t value) {
    at[0] = static_cast<std::uint8_t>(value >> 8);
    at[1] = static_cast<std::uint8_t>(value);
  }
  static void put32(std::uint8_t* at, std::uint32_t value) {
    put16(at, value >> 16);
    put16(at + 2, value & 0xffff);
  }

  // Record header, Ethernet and IPv4; returns where the transport header goes. Frames are padded to 60 bytes.
  std::uint8_t* begin(std::uint64_t us, Endpoint from, Endpoint to, std::uint8_t protocol,
                      std::size_t ip_payload) {
    const std::size_t ip_bytes = kIpBytes + ip_payload;
    const auto bytes = static_cast<std::uint32_t>(std::max<std::size_t>(60, kEthernetBytes + ip_bytes));
    const std::array<std::uint32_t, 4> record = {static_cast<std::uint32_t>(kStartSeconds + us / 1'000'000),
                                                 static_cast<std::uint32_t>(us % 1'000'000), bytes, bytes};
    append(record.data(), sizeof record);
    const std::size_t begin = buffer_.size();
    buffer_.resize(begin + bytes);
    std::uint8_t* frame = buffer_.data() + begin;
    std::fill(frame, frame + 12, std::uint8_t{2});
    put16(frame + 12, 0x0800);
    std::uint8_t* ip = frame + kEthernetBytes;
    ip[0] = 0x45;
    ip[1] = 0;
    put16(ip + 2, ip_bytes);
    put16(ip + 4, frames_ & 0xffff);
    put16(ip + 6, 0x4000);  // don't fragment
    ip[8] = 64;
    ip[9] = protocol;
    put16(ip + 10, 0);
    put32(ip + 12, from.address);
    put32(ip + 16, to.address);
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < kIpBytes; i += 2) sum += static_cast<std::uint32_t>(ip[i] << 8 | ip[i + 1]);
    sum = (sum & 0xffff) + (sum >> 16);
    put16(ip + 10, ~(sum + (sum >> 16)) & 0xffff);
    ++frames_;
    frame_bytes_ += bytes;
    return ip + kIpBytes;
  }

  void append(const void* bytes, std::size_t count) {
    const auto* first = static_cast<const std::uint8_t*>(bytes);
    buffer_.insert(buffer_.end(), first, first + count);
  }
  void flush_if_full() {
    if (buffer_.size() >= kFlushBytes) flush();
  }
  bool flush() {
    good_ = good_ && std::fwrite(buffer_.data(), 1, buffer_.size(), file_) == buffer_.size();
    buffer_.clear();
    return good_;
  }

  std::FILE* file_;
  std::vector<std::uint8_t> buffer_;
  std::uint64_t frames_ = 0;
  std::uint64_t frame_bytes_ = 0;
  bool good_ = true;
};

// A conversation in progress: send() writes its next packet and says how long it is silent after it.
class Conversation {
 public:
  Conversation(Random& random, double packets_mean) : random_(random) {
    client_ = {0x0a000000u | static_cast<std::uint32_t>(random.below(1 << 16)),
               static_cast<std::uint16_t>(32768 + random.below(28000))};
    server_ = {0xc0a80000u | static_cast<std::uint32_t>(random.below(1 << 12)), 0};
    sequence_[0] = static_cast<std::uint32_t>(random.next());
    sequence_[1] = static_cast<std::uint32_t>(random.next());
    round_trip_us_ = 2'000 + random.below(80'000);
    const std::uint64_t kind = random.below(100);
    if (kind < 70) {
      // Pareto with exponent 1.5, whose mean is 3 times its minimum; cut, so that no flow is the whole
      // capture.
      const double minimum = packets_mean * 0.9 / 3;
      budget_ = std::min(static_cast<std::uint64_t>(minimum / std::cbrt(std::pow(1 - random.unit(), 2))),
                         std::uint64_t{20'000});
      server_.port = kind < 50 ? 443 : kind < 62 ? 80 : 22;
      step_ = Step::syn;
      ending_ = random.below(10);
    } else {
      server_.port = kind < 90 ? 53 : 443;
      budget_ = kind < 90 ? 2 : static_cast<std::uint64_t>(packets_mean * 2 * (0.2 + random.unit() * 1.6));
      datagram_bytes_ = kind < 90 ? 0 : static_cast<std::uint32_t>(350 + random.below(1'000));
      step_ = Step::datagram;
    }
  }

  bool over() const { return step_ == Step::over; }

  // The silence in microseconds until its next packet.
  std::uint64_t send(Writer& writer, std::uint64_t us) {
    switch (step_) {
      case Step::syn:
        tcp(writer, us, 0, kSyn, 0);
        step_ = Step::syn_ack;
        return round_trip_us_;
      case Step::syn_ack:
        tcp(writer, us, 1, kSyn | kAck, 0);
        step_ = Step::established;
        return 60;
      case Step::established:
        tcp(writer, us, 0, kAck, 0);
        step_ = Step::request;
        return 100 + random_.below(2'000);
      case Step::request:
        tcp(writer, us, 0, kPsh | kAck, static_cast<std::uint32_t>(80 + random_.below(700)));
        segments_ = 1 + std::min(random_.below(24), budget_ * 2 / 3);
        step_ = Step::answer;
        return round_trip_us_ + random_.below(20'000);
      case Step::answer: {
        --segments_;
        const bool last = segments_ == 0;
        const auto bytes =
            last ? static_cast<std::uint32_t>(1 + random_.below(kSegmentBytes)) : kSegmentBytes;
        tcp(writer, us, 1, last ? kPsh | kAck : kAck, bytes);
        if (last || segments_ % 2 == 0) step_ = Step::acknowledge;
        return 12 + random_.below(60);
      }
      case Step::acknowledge:
        tcp(writer, us, 0, kAck, 0);
        if (segments_ > 0) {
          step_ = Step::answer;
          return 20 + random_.below(200);
        }
        if (sent_ >= budget_) {
          step_ = ending_ == 0 ? Step::over : ending_ == 1 ? Step::reset : Step::fin;
          return 1'000 + random_.below(50'000);
        }
        step_ = Step::request;  // after a moment of thought, one time in eight a long one
        return random_.below(8) == 0 ? random_.below(8'000'000) : random_.below(300'000);
      case Step::reset:
        tcp(writer, us, 0, kRst, 0);
        step_ = Step::over;
        return 0;
      case Step::fin:
        tcp(writer, us, 0, kFin | kAck, 0);
        step_ = Step::fin_back;
        return round_trip_us_;
      case Step::fin_back:
        tcp(writer, us, 1, kFin | kAck, 0);
        step_ = Step::last_ack;
        return 60;
      case Step::last_ack:
        tcp(writer, us, 0, kAck, 0);
        step_ = Step::over;
        return 0;
      case Step::datagram: {
        const bool reverse = datagram_bytes_ ? sent_ % 5 != 0 : sent_ % 2 != 0;
        const auto bytes = static_cast<std::uint32_t>(
            datagram_bytes_ ? datagram_bytes_ + random_.below(150) : (reverse ? 60 : 24) + random_.below(60));
        writer.udp(us, reverse ? server_ : client_, reverse ? client_ : server_, bytes);
        if (++sent_ >= budget_) step_ = Step::over;
        return sent_ % 5 == 0 ? random_.below(200'000) : 20 + random_.below(round_trip_us_);
      }
      case Step::over:
        break;
    }
    return 0;
  }

 private:
  enum class Step : std::uint8_t {
    syn,
    syn_ack,
    established,
    request,
    answer,
    acknowledge,
    reset,
    fin,
    fin_back,
    last_ack,
    datagram,
    over
  };

  // From the client (0) or the server (1).
  void tcp(Writer& writer, std::uint64_t us, int side, std::uint8_t flags, std::uint32_t payload_bytes) {
    writer.tcp(us, side ? server_ : client_, side ? client_ : server_, flags, sequence_[side],
               (flags & kAck) ? sequence_[1 - side] : 0, payload_bytes);
    sequence_[side] += payload_bytes + ((flags & (kSyn | kFin)) ? 1 : 0);
    ++sent_;
  }

  Random& random_;
  Endpoint client_, server_;
  std::uint32_t sequence_[2];
  std::uint64_t round_trip_us_ = 0;
  std::uint64_t budget_ = 0;  // packets after which it comes to its end
  std::uint64_t sent_ = 0;
  std::uint64_t segments_ = 0;  // of the answer, still to come
  std::uint64_t ending_ = 0;
  std::uint32_t datagram_bytes_ = 0;  // 0 = question and answer
  Step step_ = Step::over;
};

// Conversations begin evenly over 100 seconds; each packet is the earliest that is due.
void write_traffic(const Settings& settings, Writer& writer) {
  constexpr std::uint64_t kSpanUs = 100'000'000;
  Random random(settings.seed);
  std::vector<Conversation> conversations;
  conversations.reserve(settings.flows * 2);
  using Due = std::pair<std::uint64_t, std::size_t>;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> queue;
  std::uint64_t start_us = 0;
  while (writer.frames() < settings.packets) {
    // The next conversation begins when its time has come, and also if there is nothing else to send.
    if (queue.empty() || queue.top().first >= start_us) {
      conversations.emplace_back(random, double(settings.packets) / double(settings.flows));
      queue.emplace(start_us, conversations.size() - 1);
      start_us += random.below(2 * kSpanUs / settings.flows + 1);
    }
    const auto [us, index] = queue.top();
    queue.pop();
    const std::uint64_t silence_us = conversations[index].send(writer, us);
    if (!conversations[index].over()) queue.emplace(us + silence_us, index);
  }
  std::fprintf(stderr, "%zu flows, ", conversations.size());
}

// One million a second, all to one port of one host.
void write_syn_flood(const Settings& settings, Writer& writer) {
  Random random(settings.seed);
  const Endpoint target = {0x0a000001, 80};
  for (std::uint64_t i = 0; i < settings.syn_flood; ++i) {
    const std::uint64_t draw = random.next();
    const Endpoint source = {static_cast<std::uint32_t>(draw), static_cast<std::uint16_t>(draw >> 48)};
    writer.tcp(i, source, target, kSyn, static_cast<std::uint32_t>(random.next()), 0, 0);
  }
}

bool parse(int argc, char** argv, Settings& settings) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    std::uint64_t* number = word == "--packets"     ? &settings.packets
                            : word == "--flows"     ? &settings.flows
                            : word == "--seed"      ? &settings.seed
                            : word == "--syn-flood" ? &settings.syn_flood
                                                    : nullptr;
    if (number) {
      if (++i == argc) return false;
      const std::string_view text = argv[i];
      const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), *number);
      if (problem != std::errc() || end != text.data() + text.size() || *number == 0) return false;
    } else if (word.starts_with("-") || !settings.out.empty()) {
      return false;
    } else {
      settings.out = word;
    }
  }
  return !settings.out.empty();
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  if (!parse(argc, argv, settings)) {
    std::fprintf(stderr, "make_capture OUT [--packets N] [--flows N] [--seed N] [--syn-flood N]\n");
    return 2;
  }
  std::FILE* file = std::fopen(settings.out.c_str(), "wb");
  if (!file) {
    std::perror(settings.out.c_str());
    return 1;
  }
  Writer writer(file);
  if (settings.syn_flood) {
    write_syn_flood(settings, writer);
  } else {
    write_traffic(settings, writer);
  }
  const bool written = writer.finish();
  if (std::fclose(file) != 0 || !written) {
    std::perror(settings.out.c_str());
    return 1;
  }
  std::fprintf(stderr, "%llu frames, %.1f bytes each\n", static_cast<unsigned long long>(writer.frames()),
               double(writer.frame_bytes()) / double(writer.frames()));
  return 0;
}
