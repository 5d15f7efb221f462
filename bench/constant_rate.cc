// constant_rate PORT PATH BODY RATE CONNECTIONS SECONDS: POSTs of one JSON body to 127.0.0.1 at a steady
// pace, however fast the answers come. What bench/serve_latency.sh measures with.
//
// Request i is due at the start plus i / RATE, on connection i modulo CONNECTIONS, and its latency counts
// from when it was due, not from when it could be sent: a server that stalls cannot hide the requests that
// would have come meanwhile
// ("coordinated omission", as wrk2 avoids it). A connection has one request under way; what is due before the
// answer waits for it, and that wait counts. The first two seconds are not counted. It polls without sleeping
// and wants a processor of its own; how late it was itself, where nothing but it held a request up, is said
// too.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct Connection {
  int socket = -1;
  std::int64_t next = 0;  // number of its next request
  bool is_waiting = false;
  std::int64_t due_ns = 0;  // of the one under way
  std::string received;
};

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

int connect_to(int port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail("connect");
  const int one = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return socket;
}

// The length of the answer at the front of `text`, 0 if it is not whole. Only what our server sends: a length
// is given.
std::size_t answer_size(std::string_view text) {
  const std::size_t end = text.find("\r\n\r\n");
  if (end == std::string_view::npos) return 0;
  for (std::size_t at = 0; at < end; at = text.find("\r\n", at) + 2) {
    constexpr std::string_view kName = "content-length:";
    if (::strncasecmp(text.data() + at, kName.data(), kName.size()) != 0) continue;
    const std::size_t size = end + 4 + std::strtoull(text.data() + at + kName.size(), nullptr, 10);
    return text.size() >= size ? size : 0;
  }
  std::fprintf(stderr, "an answer without a length\n");
  std::exit(1);
}

double at(std::vector<std::int64_t>& ns, double share) {
  if (ns.empty()) return 0;
  const auto place =
      std::min(ns.size() - 1, static_cast<std::size_t>(share * static_cast<double>(ns.size())));
  std::nth_element(ns.begin(), ns.begin() + static_cast<std::ptrdiff_t>(place), ns.end());
  return static_cast<double>(ns[place]) / 1e6;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr, "constant_rate PORT PATH BODY RATE CONNECTIONS SECONDS\n");
    return 2;
  }
  const double rate = std::atof(argv[4]), seconds = std::atof(argv[6]);
  const auto count = static_cast<std::size_t>(std::atoi(argv[5]));
  std::ifstream file(argv[3], std::ios::binary);
  const std::string body{std::istreambuf_iterator<char>(file), {}};
  const std::string request =
      std::string("POST ") + argv[2] +
      " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body;
  constexpr double kWarmUp = 2;

  const int poll = ::epoll_create1(0);
  std::vector<Connection> connections(count);
  for (std::size_t i = 0; i < count; ++i) {
    connections[i].socket = connect_to(std::atoi(argv[1]));
    connections[i].next = static_cast<std::int64_t>(i);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    ::epoll_ctl(poll, EPOLL_CTL_ADD, connections[i].socket, &event);
  }

  const auto start = Clock::now();
  const auto now_ns = [&] {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
  };
  const auto due_of = [&](std::int64_t number) {
    return static_cast<std::int64_t>(static_cast<double>(number) * 1e9 / rate);
  };
  const auto end_ns = static_cast<std::int64_t>((kWarmUp + seconds) * 1e9);
  const auto warm_ns = static_cast<std::int64_t>(kWarmUp * 1e9);
  std::vector<std::int64_t> latencies, lateness;
  latencies.reserve(static_cast<std::size_t>(rate * seconds * 1.1));
  lateness.reserve(latencies.capacity());
  std::uint64_t failed = 0, sent = 0, unanswered = 0;

  const auto send = [&](Connection& connection, bool was_free) {
    connection.due_ns = due_of(connection.next);
    connection.next += static_cast<std::int64_t>(count);
    connection.is_waiting = true;
    if (was_free && connection.due_ns >= warm_ns) lateness.push_back(now_ns() - connection.due_ns);
    std::string_view left = request;
    while (!left.empty()) {
      const ssize_t put = ::send(connection.socket, left.data(), left.size(), MSG_NOSIGNAL);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) fail("send");
      left.remove_prefix(static_cast<std::size_t>(put));
    }
    ++sent;
  };

  // Connections in the order in which their next requests are due; those under way are passed over.
  std::int64_t cursor = 0;  // all requests below it were sent, or wait for their connection
  std::vector<char> buffer(64 << 10);
  std::array<epoll_event, 256> events;
  for (;;) {
    const std::int64_t now = now_ns();
    if (now >= end_ns) break;
    for (; due_of(cursor) <= now; ++cursor) {
      Connection& connection = connections[static_cast<std::size_t>(cursor) % count];
      if (!connection.is_waiting && connection.next == cursor) send(connection, true);
    }
    const int ready = ::epoll_wait(poll, events.data(), static_cast<int>(events.size()), 0);
    for (int i = 0; i < ready; ++i) {
      Connection& connection = connections[events[static_cast<std::size_t>(i)].data.u64];
      const ssize_t got = ::recv(connection.socket, buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (got <= 0) {
        std::fprintf(stderr, "the server hung up\n");
        return 1;
      }
      connection.received.append(buffer.data(), static_cast<std::size_t>(got));
      const std::size_t size = answer_size(connection.received);
      if (size == 0) continue;
      if (connection.received.compare(0, 12, "HTTP/1.1 200") != 0) ++failed;
      connection.received.erase(0, size);
      connection.is_waiting = false;
      const std::int64_t answered = now_ns();
      if (connection.due_ns >= warm_ns) latencies.push_back(answered - connection.due_ns);
      if (connection.next < cursor) send(connection, false);  // it was due already
    }
  }
  // Those that are due and have no answer are the slowest of all: they count as long as they have waited.
  for (const auto& connection : connections) {
    // The number of the first request that has no answer.
    std::int64_t number = connection.next - (connection.is_waiting ? static_cast<std::int64_t>(count) : 0);
    for (; due_of(number) < end_ns; number += static_cast<std::int64_t>(count)) {
      const std::int64_t due = due_of(number);
      if (due >= warm_ns) latencies.push_back(end_ns - due);
      ++unanswered;
    }
  }
  const double answered = static_cast<double>(latencies.size()) - static_cast<double>(unanswered);
  const double p50 = at(latencies, 0.5), p90 = at(latencies, 0.9), p99 = at(latencies, 0.99),
               p999 = at(latencies, 0.999);
  std::printf(
      "%.0f requests/s asked, %.0f answered, %zu connections: p50 %.3f ms  p90 %.3f ms  p99 %.3f ms  p99.9 "
      "%.3f ms  "
      "failed %llu  unanswered at the end %llu  generator late p50 %.3f ms p99 %.3f ms\n",
      rate, answered / seconds, count, p50, p90, p99, p999, static_cast<unsigned long long>(failed),
      static_cast<unsigned long long>(unanswered), at(lateness, 0.5), at(lateness, 0.99));
  return failed == 0 ? 0 : 1;
}
