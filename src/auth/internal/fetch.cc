#include "auth/internal/fetch.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <future>
#include <thread>
#include <utility>
#include <vector>

namespace nidus::auth::internal {
namespace {

using FetchClock = std::chrono::steady_clock;

Error unreachable(const std::string& what) { return {Errc::io, what}; }

// Until when, and whether anybody still wants it.
class Patience {
 public:
  explicit Patience(const FetchLimits& limits) : end_(FetchClock::now() + limits.time), stop_(limits.stop) {}

  std::chrono::milliseconds left() const {
    return std::max(std::chrono::milliseconds(0),
                    std::chrono::ceil<std::chrono::milliseconds>(end_ - FetchClock::now()));
  }
  bool is_stopped() const {
    pollfd file{stop_, POLLIN, 0};
    return stop_ >= 0 && ::poll(&file, 1, 0) > 0;
  }
  // Waits for one of `events` of a socket.
  Result<void> wait(int socket, short events) const {
    for (;;) {
      pollfd files[2] = {{socket, events, 0}, {stop_, POLLIN, 0}};
      const int ready = ::poll(files, stop_ < 0 ? 1 : 2, static_cast<int>(left().count()));
      if (ready < 0 && errno == EINTR) continue;
      if (ready < 0) return unreachable(fmt::format("poll: {}", std::strerror(errno)));
      if (ready == 0) return unreachable("not done in time");
      if (stop_ >= 0 && files[1].revents != 0) return unreachable("stopped");
      return {};
    }
  }

 private:
  FetchClock::time_point end_;
  int stop_;
};

struct Address {
  sockaddr_storage bytes{};
  socklen_t size = 0;
  int family = AF_UNSPEC;

  bool is_loopback() const {
    if (family == AF_INET) {
      const auto& v4 = reinterpret_cast<const sockaddr_in&>(bytes);
      return (ntohl(v4.sin_addr.s_addr) >> 24) == 127;
    }
    return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6&>(bytes).sin6_addr);
  }
};
using Addresses = Result<std::vector<Address>>;

Addresses look_up(const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int failed = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &list);
  if (failed != 0) return Error{Errc::not_found, fmt::format("{}: {}", host, ::gai_strerror(failed))};
  std::vector<Address> found;
  for (const addrinfo* one = list; one != nullptr; one = one->ai_next) {
    if (one->ai_family != AF_INET && one->ai_family != AF_INET6) continue;
    Address address;
    std::memcpy(&address.bytes, one->ai_addr, one->ai_addrlen);
    address.size = one->ai_addrlen;
    address.family = one->ai_family;
    found.push_back(address);
  }
  ::freeaddrinfo(list);
  return found;
}

// The system's look-up can neither be stopped nor be given a time: it gets a thread, which is left behind if
// it takes too long.
Addresses look_up_in_time(const Url& url, const Patience& patience) {
  auto asked = std::make_shared<std::promise<Addresses>>();
  auto answer = asked->get_future();
  std::thread([asked, host = url.host, port = std::to_string(url.port)] {
    asked->set_value(look_up(host, port));
  }).detach();
  while (answer.wait_for(std::min(patience.left(), std::chrono::milliseconds(50))) !=
         std::future_status::ready) {
    if (patience.is_stopped()) return unreachable("stopped");
    if (patience.left().count() == 0) return unreachable(fmt::format("{}: no address in time", url.host));
  }
  return answer.get();
}

// A socket that never blocks, closed at the end.
class Socket {
 public:
  explicit Socket(int family)
      : file_(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP)) {}
  Socket(Socket&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
  Socket& operator=(Socket&&) = delete;
  ~Socket() {
    if (file_ >= 0) ::close(file_);
  }
  int file() const { return file_; }

  Result<void> connect(const Address& address, const Patience& patience) const {
    if (file_ < 0) return unreachable(fmt::format("socket: {}", std::strerror(errno)));
    if (::connect(file_, reinterpret_cast<const sockaddr*>(&address.bytes), address.size) == 0) return {};
    if (errno != EINPROGRESS) return unreachable(fmt::format("cannot connect: {}", std::strerror(errno)));
    if (auto ready = patience.wait(file_, POLLOUT); !ready) return ready;
    int code = 0;
    socklen_t size = sizeof code;
    ::getsockopt(file_, SOL_SOCKET, SO_ERROR, &code, &size);
    if (code != 0) return unreachable(fmt::format("cannot connect: {}", std::strerror(code)));
    return {};
  }

 private:
  int file_;
};

Result<Socket> connect_to(const Url& url, const Patience& patience) {
  auto addresses = look_up_in_time(url, patience);
  if (!addresses) return std::move(addresses).error();
  Error last = unreachable(fmt::format("{}: no address", url.host));
  for (const auto& address : *addresses) {
    // Whatever localhost is said to be.
    if (!url.is_secure && !address.is_loopback()) continue;
    Socket socket(address.family);
    auto connected = socket.connect(address, patience);
    if (connected) return socket;
    last = std::move(connected).error();
  }
  return last;
}

struct TlsFree {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* connection) const { SSL_free(connection); }
};
using TlsContext = std::unique_ptr<SSL_CTX, TlsFree>;
using Tls = std::unique_ptr<SSL, TlsFree>;

std::string tls_complaint() {
  char text[256] = "unknown error";
  if (const unsigned long code = ERR_peek_last_error(); code != 0)
    ERR_error_string_n(code, text, sizeof text);
  ERR_clear_error();
  return text;
}

Result<TlsContext> client_context(const std::filesystem::path& authorities) {
  ERR_clear_error();
  TlsContext context(SSL_CTX_new(TLS_client_method()));
  if (!context) return unreachable("TLS: " + tls_complaint());
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  const bool loaded = authorities.empty()
                          ? SSL_CTX_set_default_verify_paths(context.get()) == 1
                          : SSL_CTX_load_verify_locations(context.get(), authorities.c_str(), nullptr) == 1;
  if (!loaded) {
    const std::string why = tls_complaint();
    if (!authorities.empty() && ::access(authorities.c_str(), R_OK) != 0)
      return unreachable(authorities.string() + ": " + std::strerror(errno));
    return Error{Errc::corrupt, authorities.string() + ": not certificates in PEM (" + why + ")"};
  }
  return context;
}

// A connection with or without TLS.
class Connection {
 public:
  Connection(Socket socket, const Patience& patience) : socket_(std::move(socket)), patience_(patience) {}

  Result<void> secure(const Url& url, const std::filesystem::path& authorities) {
    auto context = client_context(authorities);
    if (!context) return std::move(context).error();
    tls_.reset(SSL_new(context->get()));
    if (!tls_ || SSL_set_fd(tls_.get(), socket_.file()) != 1) return unreachable("TLS: " + tls_complaint());
    unsigned char raw[16];
    const bool is_address =
        ::inet_pton(AF_INET, url.host.c_str(), raw) == 1 || ::inet_pton(AF_INET6, url.host.c_str(), raw) == 1;
    X509_VERIFY_PARAM* const wanted = SSL_get0_param(tls_.get());
    X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    const bool set = is_address ? X509_VERIFY_PARAM_set1_ip_asc(wanted, url.host.c_str()) == 1
                                : X509_VERIFY_PARAM_set1_host(wanted, url.host.c_str(), 0) == 1;
    // What SSL_set_tlsext_host_name says with a cast that we warn of. Addresses are no names (RFC 6066, 3).
    std::string name = url.host;
    const bool named = is_address || SSL_ctrl(tls_.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME,
                                              TLSEXT_NAMETYPE_host_name, name.data()) == 1;
    if (!set || !named) return unreachable("TLS: " + tls_complaint());
    for (;;) {
      ERR_clear_error();
      const int done = SSL_connect(tls_.get());
      if (done == 1) return {};
      if (const long why = SSL_get_verify_result(tls_.get()); why != X509_V_OK) {
        ERR_clear_error();
        return unreachable(fmt::format("the certificate of {} is not good: {}", url.host,
                                       X509_verify_cert_error_string(why)));
      }
      if (auto ready = wait_for_tls(done); !ready) return ready;
    }
  }

  Result<void> send(std::string_view bytes) {
    while (!bytes.empty()) {
      std::size_t put = 0;
      if (tls_) {
        ERR_clear_error();
        const int done = SSL_write_ex(tls_.get(), bytes.data(), bytes.size(), &put);
        if (done != 1) {
          if (auto ready = wait_for_tls(done); !ready) return ready;
          continue;
        }
      } else {
        const ssize_t count = ::send(socket_.file(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
          if (auto ready = patience_.wait(socket_.file(), POLLOUT); !ready) return ready;
          continue;
        }
        if (count < 0) return unreachable(std::strerror(errno));
        put = static_cast<std::size_t>(count);
      }
      bytes.remove_prefix(put);
    }
    return {};
  }

  // The next bytes; 0 when the other side has ended.
  Result<std::size_t> receive(char* into, std::size_t size) {
    for (;;) {
      if (tls_) {
        std::size_t got = 0;
        ERR_clear_error();
        const int done = SSL_read_ex(tls_.get(), into, size, &got);
        if (done == 1) return got;
        // Without a good-bye it may have been cut off by anybody: an error, unlike without TLS.
        if (SSL_get_error(tls_.get(), done) == SSL_ERROR_ZERO_RETURN) return std::size_t{0};
        if (auto ready = wait_for_tls(done); !ready) return std::move(ready).error();
        continue;
      }
      const ssize_t count = ::recv(socket_.file(), into, size, 0);
      if (count >= 0) return static_cast<std::size_t>(count);
      if (errno != EAGAIN && errno != EINTR) return unreachable(std::strerror(errno));
      if (auto ready = patience_.wait(socket_.file(), POLLIN); !ready) return std::move(ready).error();
    }
  }

 private:
  Result<void> wait_for_tls(int done) {
    switch (SSL_get_error(tls_.get(), done)) {
      case SSL_ERROR_WANT_READ:
        return patience_.wait(socket_.file(), POLLIN);
      case SSL_ERROR_WANT_WRITE:
        return patience_.wait(socket_.file(), POLLOUT);
      case SSL_ERROR_SYSCALL:
        return unreachable("the connection was cut off");
      default:
        return unreachable("TLS: " + tls_complaint());
    }
  }

  Socket socket_;
  const Patience& patience_;
  Tls tls_;
};

}  // namespace

Result<std::string> fetch(const Url& url, const FetchLimits& limits) {
  const Patience patience(limits);
  auto socket = connect_to(url, patience);
  if (!socket) return std::move(socket).error();
  Connection connection(std::move(*socket), patience);
  if (url.is_secure) {
    if (auto secured = connection.secure(url, limits.authorities); !secured)
      return std::move(secured).error();
  }
  const bool is_v6 = url.host.find(':') != std::string::npos;
  const bool is_usual_port = url.port == (url.is_secure ? 443 : 80);
  const auto sent = connection.send(fmt::format(
      "GET {} HTTP/1.1\r\nHost: {}{}{}{}\r\nAccept: application/jwk-set+json, application/json\r\n"
      "User-Agent: nidus\r\nConnection: close\r\n\r\n",
      url.target, is_v6 ? "[" : "", url.host, is_v6 ? "]" : "",
      is_usual_port ? "" : fmt::format(":{}", url.port)));
  if (!sent) return sent.error();
  AnswerReader reader(limits.bytes);
  std::vector<char> buffer(16 << 10);
  for (;;) {
    const auto count = connection.receive(buffer.data(), buffer.size());
    if (!count) return count.error();
    const auto whole = *count == 0 ? reader.end() : reader.put({buffer.data(), *count});
    if (!whole) return whole.error();
    if (*whole) return std::move(reader.body());
    if (*count == 0) return Error{Errc::corrupt, "the answer ends too early"};
  }
}

Result<void> check_authorities(const std::filesystem::path& authorities) {
  auto context = client_context(authorities);
  if (!context) return std::move(context).error();
  return {};
}

}  // namespace nidus::auth::internal
