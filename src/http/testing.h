#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/text.h"

namespace nidus::http {

// For tests only: what a server answered.
struct TestAnswer {
  int status = 0;                              // 0: there was none
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // without its chunks
  bool whole = false;                          // its end was seen
};

// For tests only: a client that sends the very bytes it is told to, over a plain socket to this machine. It
// gives up after ten seconds of silence.
class TestClient {
 public:
  // Not connected yet.
  TestClient() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval silence{10, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence);
  }
  explicit TestClient(std::uint16_t port) : TestClient() {
    if (connect(port)) return;
    std::perror("TestClient");
    std::abort();
  }
  TestClient(TestClient&& other) noexcept
      : socket_(std::exchange(other.socket_, -1)), received_(std::move(other.received_)) {}
  TestClient& operator=(TestClient&&) = delete;
  virtual ~TestClient() { close(); }

  int socket() const { return socket_; }

  bool connect(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }

  // False if the server has hung up.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = put(bytes.data(), bytes.size());
      if (count <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }
  void half_close() { ::shutdown(socket_, SHUT_WR); }
  void close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }
  // Hangs up without a good-bye.
  void reset() {
    const linger hard{1, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close();
  }

  // The next answer. `to_head`: to a HEAD request, so that no body follows.
  TestAnswer receive(bool to_head = false) {
    TestAnswer answer;
    std::size_t end = 0;
    while ((end = received_.find("\r\n\r\n")) == std::string::npos) {
      if (!more()) return answer;
    }
    const std::string head = received_.substr(0, end + 2);
    received_.erase(0, end + 4);
    if (head.size() < 14 || !head.starts_with("HTTP/1.1 ")) return answer;
    answer.status = std::atoi(head.c_str() + 9);
    for (std::size_t at = head.find("\r\n") + 2; at < head.size();) {
      const std::size_t line_end = head.find("\r\n", at), colon = head.find(':', at);
      std::string& value = answer.headers[to_lower(head.substr(at, colon - at))];
      if (!value.empty()) value += " | ";
      value += trim(head.substr(colon + 1, line_end - colon - 1));
      at = line_end + 2;
    }
    if (to_head || answer.status < 200 || answer.status == 204 || answer.status == 304) {
      answer.whole = true;
    } else if (const auto length = answer.headers.find("content-length"); length != answer.headers.end()) {
      const std::size_t size = std::strtoull(length->second.c_str(), nullptr, 10);
      while (received_.size() < size && more()) {
      }
      answer.whole = received_.size() >= size;
      answer.body = received_.substr(0, size);
      received_.erase(0, size);
    } else if (answer.headers.count("transfer-encoding") > 0) {
      receive_chunks(answer);
    } else {
      while (more()) {
      }
      answer.whole = true;
      answer.body = std::exchange(received_, {});
    }
    return answer;
  }

  // True if the server closes the connection without another byte.
  bool is_closed() {
    while (received_.empty() && more()) {
    }
    return received_.empty() && ended_;
  }

  // Sends, and receives one answer.
  TestAnswer ask(std::string_view bytes) {
    send(bytes);
    return receive();
  }

  // All that has come and was not looked at.
  const std::string& received() const { return received_; }
  // Waits for more bytes. False if there are none.
  bool more() {
    char bytes[65536];
    ssize_t count = 0;
    do {
      errno = 0;
      count = take(bytes, sizeof bytes);
    } while (count < 0 && errno == EINTR);  // a socket with a time limit hears of every child that ends
    if (count <= 0) {
      ended_ = errno != EAGAIN;
      return false;
    }
    received_.append(bytes, static_cast<std::size_t>(count));
    return true;
  }

 protected:
  virtual ssize_t put(const char* bytes, std::size_t size) {
    return ::send(socket_, bytes, size, MSG_NOSIGNAL);
  }
  virtual ssize_t take(char* bytes, std::size_t size) { return ::recv(socket_, bytes, size, 0); }

 private:
  void receive_chunks(TestAnswer& answer) {
    for (;;) {
      std::size_t line = 0;
      while ((line = received_.find("\r\n")) == std::string::npos) {
        if (!more()) return;
      }
      const std::size_t size = std::strtoull(received_.c_str(), nullptr, 16);
      while (received_.size() < line + 2 + size + 2) {
        if (!more()) return;
      }
      answer.body += received_.substr(line + 2, size);
      received_.erase(0, line + 2 + size + 2);
      if (size == 0) {
        answer.whole = true;
        return;
      }
    }
  }

  int socket_;
  std::string received_;
  bool ended_ = false;
};

}  // namespace nidus::http
