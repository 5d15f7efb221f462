#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "http/server.h"
#include "http/testing.h"

// For the tests of the server: a server of small routes.
namespace nidus::http {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::StartsWith;

inline Response text(std::string body) {
  Response response;
  response.content_type = "text/plain";
  response.body = std::move(body);
  return response;
}

inline std::string get(std::string_view target) {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: test\r\n\r\n";
}

inline std::string post(std::string_view target, std::string_view body, std::string_view headers = {}) {
  return "POST " + std::string(target) + " HTTP/1.1\r\nHost: test\r\n" + std::string(headers) +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

inline std::string chunked(std::string_view target, std::string_view headers = {}) {
  return "POST " + std::string(target) + " HTTP/1.1\r\nHost: test\r\n" + std::string(headers) +
         "Transfer-Encoding: chunked\r\n\r\n";
}

// Responders that handlers of /later keep for the test to answer.
struct Kept {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<Responder> responders;

  void put(Responder responder) {
    const std::lock_guard lock(mutex);
    responders.push_back(std::move(responder));
    changed.notify_all();
  }
  Responder take() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return !responders.empty(); });
    Responder responder = std::move(responders.back());
    responders.pop_back();
    return responder;
  }
};

class ServerTest : public testing::Test {
 protected:
  ServerTest() {
    options_.port = 0;
    options_.threads = 2;
    add(Method::get, "/hello", [](const Request&, Responder responder) { responder.send(text("hello")); });
    add(Method::post, "/echo",
        [](const Request& request, Responder responder) { responder.send(text(std::string(request.body))); });
    routes_.back().body_bytes_max = 1 << 20;
    add(Method::post, "/json", [](const Request& request, Responder responder) {
      responder.send(text(std::string(request.content_type())));
    });
    routes_.back().content_types = {"application/json", "multipart/*"};
    routes_.back().body_bytes_max = 100;
    add(Method::get, "/later",
        [this](const Request&, Responder responder) { kept_.put(std::move(responder)); });
    add(Method::get, "/item/{name}/part/{part}", [](const Request& request, Responder responder) {
      responder.send(
          text(std::string(request.parameter("name")) + "+" + std::string(request.parameter("part"))));
    });
    add(Method::remove, "/item/{name}", [](const Request&, Responder responder) {
      Response response;
      response.status = 204;
      responder.send(std::move(response));
    });
    add(Method::get, "/throw", [](const Request&, Responder) { throw std::runtime_error("secret"); });
    add(Method::get, "/big",
        [](const Request&, Responder responder) { responder.send(text(std::string(50 << 20, 'b'))); });
    // Sends what it gets back at once, in upper case.
    stream(Method::post, "/stream", [](const Request&, BodyReader& body, BodyWriter& answer) {
      bool begun = false;
      for (;;) {
        const auto piece = body.read();
        if (!piece) return;
        if (piece->empty()) break;
        if (!begun && !answer.begin(text(""))) return;
        begun = true;
        std::string upper;
        for (const std::byte byte : *piece) {
          upper += static_cast<char>(std::toupper(std::to_integer<unsigned char>(byte)));
        }
        if (!answer.write(upper)) return;
      }
      if (begun) {
        EXPECT_TRUE(answer.end());
      } else {
        answer.send(text("nothing"));
      }
    });
    routes_.back().body_bytes_max = std::uint64_t{1} << 40;
    stream(Method::post, "/count", [](const Request&, BodyReader& body, BodyWriter& answer) {
      std::size_t count = 0;
      for (;;) {
        const auto piece = body.read();
        if (!piece) return;
        if (piece->empty()) break;
        count += piece->size();
      }
      answer.send(text(std::to_string(count)));
    });
    routes_.back().body_bytes_max = 100 << 20;
    stream(Method::post, "/unread",
           [](const Request&, BodyReader&, BodyWriter& answer) { answer.send(text("did not look")); });
    routes_.back().body_bytes_max = 1 << 20;
    stream(Method::get, "/endless", [this](const Request&, BodyReader&, BodyWriter& answer) {
      const std::string piece(10000, 'e');
      if (!answer.begin(text(""))) return;
      while (answer.write(piece)) written_ += piece.size();
      ended_.set_value();
    });
    stream(Method::get, "/cut", [](const Request&, BodyReader&, BodyWriter& answer) {
      if (answer.begin(text(""))) (void)answer.write("half of ");
    });
    stream(Method::get, "/silent", [](const Request&, BodyReader&, BodyWriter&) {});
  }

  void add(Method method, std::string pattern, Handler handler) {
    Route route;
    route.method = method;
    route.pattern = std::move(pattern);
    route.handler = std::move(handler);
    routes_.push_back(std::move(route));
  }
  void stream(Method method, std::string pattern, StreamHandler handler) {
    Route route;
    route.method = method;
    route.pattern = std::move(pattern);
    route.handler = std::move(handler);
    routes_.push_back(std::move(route));
  }

  void start() {
    auto started =
        Server::start(options_, routes_, guard_, [this](const Request& request, const Exchange& exchange) {
          const std::lock_guard lock(observed_mutex_);
          observed_.push_back((exchange.route != nullptr ? exchange.route->pattern : "none") + " " +
                              std::to_string(exchange.status) + " " + std::to_string(exchange.bytes_in) +
                              " " + std::to_string(exchange.bytes_out) + " " +
                              std::string(request.id.empty() ? "no id" : ""));
          observed_changed_.notify_all();
        });
    ASSERT_TRUE(started) << started.error().message;
    server_.emplace(std::move(*started));
  }
  TestClient client() { return TestClient(server_->port()); }

  // Waits until the observer has been told so often, and says what.
  std::vector<std::string> observed(std::size_t count) {
    std::unique_lock lock(observed_mutex_);
    observed_changed_.wait_for(lock, seconds(10), [&] { return observed_.size() >= count; });
    return observed_;
  }

  template <class Condition>
  static bool eventually(Condition&& condition) {
    for (int i = 0; i < 1000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(milliseconds(10));
    }
    return false;
  }

  ServerOptions options_;
  std::vector<Route> routes_;
  Guard guard_;
  Kept kept_;
  std::atomic<std::size_t> written_ = 0;
  std::promise<void> ended_;
  std::mutex observed_mutex_;
  std::condition_variable observed_changed_;
  std::vector<std::string> observed_;
  std::optional<Server> server_;
};

}  // namespace nidus::http
