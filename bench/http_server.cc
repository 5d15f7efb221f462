// What bench/http.sh measures.
//
//   http_server nidus PORT     our server: POST /predict looks at the body and answers 250 bytes
//   http_server batched PORT   the same, all requests that arrived together answered together
//   http_server raw PORT       the limit: epoll, recv and send of the same sizes, and no look at the bytes
//   http_server crowd PORT IDLE DRIPPING   clients: some say nothing, others send a byte of a header each
//   second
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "http/server.h"

namespace {

using namespace nidus;

int fail(const char* what) {
  std::fprintf(stderr, "%s: %s\n", what, std::strerror(errno));
  return 1;
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

http::Response answer_to(const http::Request& request) {
  std::size_t sum = 0;
  for (const char c : request.body) sum += static_cast<unsigned char>(c);
  http::Response response;
  response.body = "{\"prediction\":0,\"prediction_label\":\"Benign\",\"confidence\":0.0123,\"sum\":" +
                  std::to_string(sum) + "}";
  response.body.resize(250, ' ');
  return response;
}

int serve(std::uint16_t port, bool batched) {
  http::ServerOptions options;
  options.port = port;
  options.threads = 1;
  options.connections_per_address_max = options.connections_max;  // the crowd comes from one
  http::Route predict;
  predict.method = http::Method::post;
  predict.pattern = "/predict";
  predict.body_bytes_max = 1 << 20;
  predict.content_types = {"application/json"};
  if (batched) {
    predict.handler = [](const http::Request& request, http::Responder responder) {
      thread_local std::vector<std::pair<const http::Request*, http::Responder>> waiting;
      waiting.emplace_back(&request, std::move(responder));
      if (waiting.size() > 1) return;
      http::after_arrived([] {
        for (auto& [one, to] : waiting) to.send(answer_to(*one));
        waiting.clear();
      });
    };
  } else {
    predict.handler = [](const http::Request& request, http::Responder responder) {
      responder.send(answer_to(request));
    };
  }
  auto server = http::Server::start(options, {predict}, nullptr, nullptr);
  if (!server) {
    std::fprintf(stderr, "%s\n", server.error().message.c_str());
    return 1;
  }
  for (;;) {
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
}

int raw(std::uint16_t port) {
  const sockaddr_in address = loopback(port);
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  ::setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener, 4096) != 0) {
    return fail("listen");
  }
  // As long as what our server sends.
  std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 250\r\nX: ";
  answer.append(650 - 250 - answer.size() - 4, 'x');
  answer.append("\r\n\r\n").append(250, ' ');
  const int poller = ::epoll_create1(0);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listener;
  ::epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
  std::vector<epoll_event> events(128);
  std::vector<char> bytes(65536);
  for (;;) {
    const int count = ::epoll_wait(poller, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      const int socket = events[static_cast<std::size_t>(i)].data.fd;
      if (socket == listener) {
        event.data.fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
        if (event.data.fd >= 0) ::epoll_ctl(poller, EPOLL_CTL_ADD, event.data.fd, &event);
      } else if (::recv(socket, bytes.data(), bytes.size(), 0) <= 0 ||
                 ::send(socket, answer.data(), answer.size(), MSG_NOSIGNAL) <= 0) {
        ::close(socket);
      }
    }
  }
}

int crowd(std::uint16_t port, std::size_t idle, std::size_t dripping) {
  const sockaddr_in address = loopback(port);
  const auto connect = [&] {
    const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
    if (socket >= 0 && ::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
      return socket;
    if (socket >= 0) ::close(socket);
    return -1;
  };
  std::vector<int> sockets(idle), drips(dripping, -1);
  for (int& socket : sockets) {
    if ((socket = connect()) < 0) return fail("connect");
  }
  constexpr std::string_view kHeader = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
  std::fprintf(stderr, "%zu idle, %zu dripping\n", idle, dripping);
  for (std::size_t turn = 0;; ++turn) {
    for (int& socket : drips) {
      const char byte = turn < kHeader.size() ? kHeader[turn] : 'x';
      if (socket >= 0 && ::send(socket, &byte, 1, MSG_NOSIGNAL) == 1) continue;
      if (socket >= 0) ::close(socket);
      socket = connect();
    }
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 2 ? argv[1] : "";
  const auto number = [&](int i) { return std::strtoul(argc > i ? argv[i] : "0", nullptr, 10); };
  const auto port = static_cast<std::uint16_t>(number(2));
  if (what == "nidus") return serve(port, false);
  if (what == "batched") return serve(port, true);
  if (what == "raw") return raw(port);
  if (what == "crowd") return crowd(port, number(3), number(4));
  std::fprintf(stderr, "usage: http_server nidus|batched|raw|crowd PORT [IDLE DRIPPING]\n");
  return 2;
}
