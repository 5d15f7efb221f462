#include "http/internal/loop.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <exception>

#include "base/check.h"

namespace nidus::http::internal {
namespace {

namespace asio = boost::asio;

thread_local Loop* current_loop = nullptr;

// How many are let in before others get a turn.
constexpr int kAcceptedAtOnce = 64;

int open_spare() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

Peer peer_of(const sockaddr_storage& from) {
  Peer peer;
  if (from.ss_family == AF_INET6) {
    sockaddr_in6 address{};
    std::memcpy(&address, &from, sizeof address);
    std::memcpy(peer.address.data(), &address.sin6_addr, peer.address.size());
    peer.port = ntohs(address.sin6_port);
  } else {
    sockaddr_in address{};
    std::memcpy(&address, &from, sizeof address);
    peer.address[10] = peer.address[11] = 0xff;
    std::memcpy(peer.address.data() + 12, &address.sin_addr, 4);
    peer.port = ntohs(address.sin_port);
  }
  return peer;
}

asio::ip::tcp family_of(int socket) {
  sockaddr_storage own{};
  socklen_t length = sizeof own;
  CHECK(::getsockname(socket, reinterpret_cast<sockaddr*>(&own), &length) == 0);
  return own.ss_family == AF_INET6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4();
}

}  // namespace

Loop::Loop(Shared& shared, std::size_t index, int listener)
    : shared_(shared),
      index_(index),
      io_(1),
      work_(io_.get_executor()),
      acceptor_(io_.get_executor(), family_of(listener), listener),
      timer_(io_.get_executor()),
      spare_descriptor_(open_spare()),
      deadlines_(Clock::now()),
      inbox_(std::make_shared<Inbox>()),
      id_prefix_(fmt::format("{:08x}-{:x}-", std::random_device{}(), index)) {
  inbox_->wake = [this] { asio::post(io_, [this] { read_inbox(); }); };
}

Loop::~Loop() {
  finish();
  if (thread_.joinable()) thread_.join();
  {
    const std::lock_guard lock(inbox_->mutex);
    inbox_->open = false;
    inbox_->wake = nullptr;
  }
  inbox_->answers.clear();  // nobody puts more there
  if (spare_descriptor_ >= 0) ::close(spare_descriptor_);
}

Loop* Loop::current() { return current_loop; }

void Loop::start() {
  thread_ = std::thread([this] { run(); });
}

void Loop::run() {
  current_loop = this;
  wait_for_connections();
  tick();
  for (;;) {
    try {
      io_.run();
      return;
    } catch (const std::exception&) {
      // Out of memory, most likely. The connection it happened to is closed at its deadline; the others go
      // on.
    }
  }
}

void Loop::drain() {
  asio::post(io_, [this] {
    while (accept()) {  // who had connected when we were told to stop is served
    }
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    for (Connection* const connection : std::vector(connections_)) connection->drain();
  });
}

void Loop::cut() {
  asio::post(io_, [this] {
    for (Connection* const connection : std::vector(connections_)) connection->cut();
  });
}

void Loop::finish() {
  asio::post(io_, [this] {
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    finished_ = true;
    timer_.cancel();
    work_.reset();
  });
}

void Loop::tick() {
  if (finished_) return;
  timer_.expires_after(Deadlines::kTick);
  timer_.async_wait([this](boost::system::error_code) { tick(); });
  deadlines_.sweep(Clock::now(),
                   [](Deadline& deadline) { static_cast<Connection&>(deadline).reached(Clock::now()); });
  if (spare_descriptor_ < 0) spare_descriptor_ = open_spare();
  if (accepting_paused_ && acceptor_.is_open()) {
    accepting_paused_ = false;
    accept();
    wait_for_connections();
  }
}

void Loop::wait_for_connections() {
  if (accepting_paused_) return;
  acceptor_.async_wait(Acceptor::wait_read, [this](boost::system::error_code error) {
    if (error || !acceptor_.is_open()) return;
    accept();
    wait_for_connections();
  });
}

// False if nobody else is there.
bool Loop::accept() {
  for (int i = 0; i < kAcceptedAtOnce && acceptor_.is_open(); ++i) {
    sockaddr_storage from{};
    socklen_t length = sizeof from;
    const int socket = ::accept4(acceptor_.native_handle(), reinterpret_cast<sockaddr*>(&from), &length,
                                 SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (socket >= 0) {
      if (!admit(socket, peer_of(from))) {
        shared_.refused.fetch_add(1, std::memory_order_relaxed);
        ::close(socket);
      }
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      // The listening socket stays readable, so to go on at once would be to spin. One client is turned away
      // with the spare descriptor, the others wait in the queue until the next tick.
      if (spare_descriptor_ >= 0) ::close(spare_descriptor_);
      const int unwanted = ::accept(acceptor_.native_handle(), nullptr, nullptr);
      if (unwanted >= 0) {
        shared_.refused.fetch_add(1, std::memory_order_relaxed);
        ::close(unwanted);
      }
      spare_descriptor_ = open_spare();
      accepting_paused_ = true;
      return false;
    }
    // The others are about one connection, which is gone (accept(2)).
  }
  return acceptor_.is_open();
}

bool Loop::admit(int socket, const Peer& peer) {
  shared_.accepted.fetch_add(1, std::memory_order_relaxed);
  if (shared_.connections.fetch_add(1) >= shared_.options.connections_max) {
    shared_.connection_closed();
    if (!shared_.options.tls) {
      constexpr std::string_view kBusy =
          "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\nRetry-After: "
          "1\r\n\r\n";
      [[maybe_unused]] const auto sent = ::send(socket, kBusy.data(), kBusy.size(), MSG_NOSIGNAL);
    }
    return false;
  }
  if (!shared_.addresses.enter(peer.address, shared_.options.connections_per_address_max)) {
    shared_.connection_closed();
    return false;
  }
  std::make_shared<Connection>(*this, socket, peer)->open();
  return true;
}

void Loop::enter(Connection& connection) {
  connection.place = connections_.size();
  connections_.push_back(&connection);
}

void Loop::leave(Connection& connection) {
  Connection* const last = connections_.back();
  connections_[connection.place] = last;
  last->place = connection.place;
  connections_.pop_back();
}

std::string_view Loop::date() {
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  if (now != date_second_) {
    date_second_ = now;
    date_ = http_date(now);
  }
  return date_;
}

void Loop::append_request_id(std::string& out) {
  out.append(id_prefix_);
  fmt::format_to(std::back_inserter(out), "{:x}", ++ids_);
}

void Loop::after_arrived(std::function<void()> task) {
  after_.push_back(std::move(task));
  // What epoll reported together lies in the queue of the io_context already; this goes behind it.
  if (after_.size() == 1) asio::post(io_, [this] { run_after_arrived(); });
}

void Loop::run_after_arrived() {
  running_after_.swap(after_);
  for (auto& task : running_after_) {
    try {
      task();
    } catch (const std::exception&) {
      // Its responders answer 500.
    }
  }
  running_after_.clear();
}

void Loop::read_inbox() {
  {
    const std::lock_guard lock(inbox_->mutex);
    read_.swap(inbox_->answers);
  }
  for (auto& [connection, response] : read_) connection->deliver(std::move(response));
  read_.clear();
}

}  // namespace nidus::http::internal
