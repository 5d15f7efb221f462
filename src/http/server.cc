#include "http/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/parallel.h"
#include "http/internal/loop.h"
#include "http/internal/shared.h"

namespace nidus::http {
namespace {

// What the process needs beside connections: files, the store, a spare for each thread.
constexpr std::size_t kDescriptorsBeside = 256;
constexpr int kBacklog = 4096;

// As many descriptors as the system lets us have; the number of connections that leaves.
std::size_t connections_possible() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return SIZE_MAX;
  if (limit.rlim_cur < limit.rlim_max) {
    rlimit raised = limit;
    raised.rlim_cur = limit.rlim_max;
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  if (limit.rlim_cur == RLIM_INFINITY) return SIZE_MAX;
  const auto all = static_cast<std::size_t>(limit.rlim_cur);
  return all > 2 * kDescriptorsBeside ? all - kDescriptorsBeside : all / 2;
}

struct ListenAddress {
  sockaddr_storage bytes{};
  socklen_t size = 0;
};

Result<ListenAddress> parse_address(const std::string& text, std::uint16_t port) {
  ListenAddress address;
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  if (::inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&address.bytes, &v4, sizeof v4);
    address.size = sizeof v4;
  } else if (::inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&address.bytes, &v6, sizeof v6);
    address.size = sizeof v6;
  } else {
    return Error{Errc::invalid, "'" + text + "' is not an address to listen on; 127.0.0.1 or :: are"};
  }
  return address;
}

std::uint16_t port_of(int socket) {
  ListenAddress own;
  own.size = sizeof own.bytes;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&own.bytes), &own.size) != 0) return 0;
  if (own.bytes.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &own.bytes, sizeof v6);
    return ntohs(v6.sin6_port);
  }
  sockaddr_in v4{};
  std::memcpy(&v4, &own.bytes, sizeof v4);
  return ntohs(v4.sin_port);
}

// A bound socket, not yet listening. `shares`: other sockets of this user may have the same port.
Result<int> bind_socket(const std::string& text, std::uint16_t port, bool shares) {
  auto address = parse_address(text, port);
  if (!address) return std::move(address).error();
  const int socket = ::socket(address->bytes.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket < 0) return Error{Errc::io, std::string("socket: ") + std::strerror(errno)};
  const int on = 1, off = 0;
  ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (shares) ::setsockopt(socket, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (address->bytes.ss_family == AF_INET6) {
    ::setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  }
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // which accepted sockets inherit
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&address->bytes), address->size) == 0) return socket;
  const Error error{Errc::io, text + " port " + std::to_string(port) + ": " + std::strerror(errno)};
  ::close(socket);
  return error;
}

class Descriptors {
 public:
  ~Descriptors() {
    for (const int one : all_) ::close(one);
  }
  void add(int descriptor) { all_.push_back(descriptor); }
  std::vector<int> release() { return std::exchange(all_, {}); }

 private:
  std::vector<int> all_;
};

// One socket for each thread, all on one port, among which the system spreads the clients.
Result<std::vector<int>> listen_on(const ServerOptions& options, std::size_t count) {
  // Two servers of one user could share the port unnoticed; the first socket finds out whether it is taken.
  auto first = bind_socket(options.address, options.port, false);
  if (!first) return std::move(first).error();
  const int on = 1;
  Descriptors sockets;
  sockets.add(*first);
  ::setsockopt(*first, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  const std::uint16_t port = port_of(*first);
  while (--count > 0) {
    auto next = bind_socket(options.address, port, true);
    if (!next) return std::move(next).error();
    sockets.add(*next);
  }
  std::vector<int> all = sockets.release();
  for (const int socket : all) {
    if (::listen(socket, kBacklog) == 0) continue;
    const Error error{Errc::io,
                      options.address + " port " + std::to_string(port) + ": " + std::strerror(errno)};
    for (const int one : all) ::close(one);
    return error;
  }
  return all;
}

Result<void> check(const ServerOptions& options) {
  const auto bad = [](const char* what) { return Error{Errc::invalid, std::string("http: ") + what}; };
  using std::chrono::milliseconds;
  if (options.connections_max == 0) return bad("connections_max is zero");
  if (options.header_bytes_max < 256) return bad("header_bytes_max is below 256");
  if (options.header_bytes_max > (64 << 20)) return bad("header_bytes_max is above 64 MiB");
  if (options.header_time <= milliseconds(0) || options.idle_time <= milliseconds(0) ||
      options.handler_time <= milliseconds(0) || options.grace <= milliseconds(0)) {
    return bad("a time is not positive");
  }
  return {};
}

}  // namespace

struct Server::Impl {
  Impl(ServerOptions options, internal::Router router, Guard guard, Observer observer)
      : shared(std::move(options), std::move(router), std::move(guard), std::move(observer)) {}

  internal::Shared shared;
  std::vector<std::unique_ptr<internal::Loop>> loops;
  std::uint16_t port = 0;
  std::mutex stop_mutex;
  bool stopped = false;

  // True if nothing was left.
  bool wait_for_connections(std::optional<std::chrono::steady_clock::time_point> until) {
    std::unique_lock lock(shared.connections_mutex);
    const auto none = [this] { return shared.connections.load() == 0; };
    if (until) return shared.connections_changed.wait_until(lock, *until, none);
    shared.connections_changed.wait(lock, none);
    return true;
  }
};

Result<Server> Server::start(ServerOptions options, std::vector<Route> routes, Guard guard,
                             Observer observer) {
  if (auto checked = check(options); !checked) return std::move(checked).error();
  auto router = internal::Router::build(std::move(routes));
  if (!router) return std::move(router).error();
  std::shared_ptr<const internal::TlsContext> tls;
  if (options.tls) {
    auto loaded = internal::TlsContext::load(*options.tls);
    if (!loaded) return std::move(loaded).error();
    tls = std::move(*loaded);
  }
  options.connections_max = std::min(options.connections_max, connections_possible());
  const std::size_t threads = options.threads > 0 ? options.threads : default_threads();
  auto sockets = listen_on(options, threads);
  if (!sockets) return std::move(sockets).error();
  // OpenSSL writes with write(2), which raises it where a client has gone.
  std::signal(SIGPIPE, SIG_IGN);

  auto impl =
      std::make_unique<Impl>(std::move(options), std::move(*router), std::move(guard), std::move(observer));
  impl->shared.tls_context = std::move(tls);
  impl->port = port_of(sockets->front());
  for (std::size_t i = 0; i < threads; ++i) {
    impl->loops.push_back(std::make_unique<internal::Loop>(impl->shared, i, (*sockets)[i]));
  }
  for (const auto& loop : impl->loops) loop->start();
  return Server(std::move(impl));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::Server(Server&&) noexcept = default;

Server& Server::operator=(Server&& other) noexcept {
  if (this != &other) {
    if (impl_ != nullptr) stop(std::chrono::milliseconds(0));
    impl_ = std::move(other.impl_);
  }
  return *this;
}

Server::~Server() {
  if (impl_ != nullptr) stop(std::chrono::milliseconds(0));
}

std::uint16_t Server::port() const { return impl_->port; }

ServerCounts Server::counts() const {
  const internal::Shared& shared = impl_->shared;
  ServerCounts counts;
  counts.connections = shared.connections.load(std::memory_order_relaxed);
  counts.accepted = shared.accepted.load(std::memory_order_relaxed);
  counts.refused = shared.refused.load(std::memory_order_relaxed);
  counts.timed_out = shared.timed_out.load(std::memory_order_relaxed);
  counts.malformed = shared.malformed.load(std::memory_order_relaxed);
  counts.requests_in_flight = shared.requests_in_flight.load(std::memory_order_relaxed);
  counts.stream_handlers = shared.streams.running();
  return counts;
}

Result<void> Server::reload_certificates() {
  internal::Shared& shared = impl_->shared;
  if (!shared.options.tls) return Error{Errc::invalid, "this server has no certificates"};
  auto loaded = internal::TlsContext::load(*shared.options.tls);
  if (!loaded) return std::move(loaded).error();
  const std::lock_guard lock(shared.tls_mutex);
  shared.tls_context = std::move(*loaded);
  return {};
}

bool Server::stop(std::chrono::milliseconds patience) {
  const std::lock_guard lock(impl_->stop_mutex);
  if (impl_->stopped) return true;
  const auto until = std::chrono::steady_clock::now() + patience;
  impl_->shared.draining = true;
  for (const auto& loop : impl_->loops) loop->drain();
  const bool clean = impl_->wait_for_connections(until);
  for (const auto& loop : impl_->loops) loop->cut();
  impl_->wait_for_connections(std::nullopt);
  impl_->shared.streams.stop();
  impl_->loops.clear();
  impl_->stopped = true;
  return clean;
}

void after_arrived(std::function<void()> task) {
  internal::Loop* const loop = internal::Loop::current();
  CHECK(loop != nullptr);
  loop->after_arrived(std::move(task));
}

}  // namespace nidus::http
