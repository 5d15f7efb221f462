#include "http/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include "http/testing.h"

namespace nidus::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::StartsWith;

Response text(std::string body) {
  Response response;
  response.content_type = "text/plain";
  response.body = std::move(body);
  return response;
}

std::string get(std::string_view target) {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: test\r\n\r\n";
}

std::string post(std::string_view target, std::string_view body, std::string_view headers = {}) {
  return "POST " + std::string(target) + " HTTP/1.1\r\nHost: test\r\n" + std::string(headers) +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

std::string chunked(std::string_view target, std::string_view headers = {}) {
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

TEST_F(ServerTest, AnswersAreWholeAndSafe) {
  start();
  const TestAnswer answer = client().ask(get("/hello?x"));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "hello");
  EXPECT_EQ(answer.headers.at("content-type"), "text/plain");
  EXPECT_EQ(answer.headers.at("content-length"), "5");
  EXPECT_EQ(answer.headers.at("x-content-type-options"), "nosniff");
  EXPECT_EQ(answer.headers.at("referrer-policy"), "no-referrer");
  EXPECT_EQ(answer.headers.at("cache-control"), "no-store");
  EXPECT_EQ(answer.headers.at("cross-origin-opener-policy"), "same-origin");
  EXPECT_EQ(answer.headers.at("cross-origin-resource-policy"), "same-origin");
  EXPECT_THAT(answer.headers.at("content-security-policy"),
              StartsWith("default-src 'none'; frame-ancestors"));
  EXPECT_EQ(answer.headers.count("strict-transport-security"), 0u);
  EXPECT_EQ(answer.headers.count("connection"), 0u);
  EXPECT_EQ(answer.headers.at("date").size(), 29u);
  EXPECT_FALSE(answer.headers.at("x-request-id").empty());
}

TEST_F(ServerTest, AnAnswersOwnHeadersReplaceTheUsual) {
  add(Method::get, "/page", [](const Request&, Responder responder) {
    Response response = text("<p>");
    response.headers = {
        {"cache-control", "max-age=60"}, {"Content-Security-Policy", "default-src 'self'"}, {"X", "y"}};
    responder.send(std::move(response));
  });
  options_.headers = {{"X-Usual", "1"}, {"Referrer-Policy", "same-origin"}};
  start();
  const TestAnswer answer = client().ask(get("/page"));
  EXPECT_EQ(answer.headers.at("cache-control"), "max-age=60");
  EXPECT_EQ(answer.headers.at("content-security-policy"), "default-src 'self'");
  EXPECT_EQ(answer.headers.at("x-usual"), "1");
  EXPECT_EQ(answer.headers.at("x"), "y");
  EXPECT_EQ(answer.headers.at("referrer-policy"), "same-origin");
  EXPECT_EQ(answer.headers.at("x-content-type-options"), "nosniff");
}

TEST_F(ServerTest, RequestIdsDiffer) {
  start();
  TestClient one = client();
  const std::string first = one.ask(get("/hello")).headers.at("x-request-id");
  EXPECT_NE(one.ask(get("/hello")).headers.at("x-request-id"), first);
  const TestAnswer missing = one.ask(get("/nothing"));
  EXPECT_THAT(missing.body, HasSubstr("\"request_id\":\"" + missing.headers.at("x-request-id") + "\""));
}

TEST_F(ServerTest, WhatIsNotThereIsAProblem) {
  start();
  TestClient one = client();
  const TestAnswer missing = one.ask(get("/nothing"));
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.headers.at("content-type"), "application/problem+json");
  EXPECT_THAT(missing.body,
              StartsWith(R"({"type":"about:blank","title":"Not Found","status":404,"detail":)"));
  const TestAnswer wrong = one.ask(post("/hello", ""));
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers.at("allow"), "GET, HEAD, OPTIONS");
  const TestAnswer odd = one.ask("BREW /item/tea HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(odd.status, 405);
  EXPECT_EQ(odd.headers.at("allow"), "DELETE, OPTIONS");
  const TestAnswer options = one.ask("OPTIONS /echo HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(options.status, 204);
  EXPECT_EQ(options.headers.at("allow"), "POST, OPTIONS");
  EXPECT_EQ(options.headers.count("content-length"), 0u);
  const TestAnswer all = one.ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(all.headers.at("allow"), "GET, HEAD, POST, DELETE, OPTIONS");
  EXPECT_EQ(one.ask("OPTIONS /nothing HTTP/1.1\r\nHost: a\r\n\r\n").status, 404);
}

TEST_F(ServerTest, HeadIsGetWithoutABody) {
  start();
  TestClient one = client();
  one.send("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n" + get("/hello"));
  const TestAnswer head = one.receive(true);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers.at("content-length"), "5");
  EXPECT_EQ(one.receive().body, "hello");
  one.send("HEAD /nothing HTTP/1.1\r\nHost: a\r\n\r\n" + get("/hello"));
  EXPECT_EQ(one.receive(true).status, 404);
  EXPECT_EQ(one.receive().body, "hello");
  one.send("HEAD /cut HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(one.receive(true).status, 200);
}

TEST_F(ServerTest, NamesInPathsAreDecoded) {
  start();
  TestClient one = client();
  EXPECT_EQ(one.ask(get("/item/a%2Fb/part/c%20+")).body, "a/b+c +");
  EXPECT_EQ(one.ask(get("/item//part/c")).status, 404);
  EXPECT_EQ(one.ask("DELETE /item/x HTTP/1.1\r\nHost: a\r\n\r\n").status, 204);
  EXPECT_EQ(one.ask(get("/item/x/part/y/")).status, 404);
}

TEST_F(ServerTest, BodiesOfAllSizesComeBack) {
  start();
  TestClient one = client();
  for (const std::size_t size : {0, 1, 1000, 3900, 4000, 4096, 5000, 65536, 100000, 1 << 20}) {
    std::string body(size, 'x');
    for (std::size_t i = 0; i < size; ++i) body[i] = static_cast<char>('a' + i % 23);
    ASSERT_EQ(one.ask(post("/echo", body)).body, body) << size;
    std::string pieces;
    for (std::size_t at = 0; at < size; at += 1500) {
      const std::string piece = body.substr(at, 1500);
      char line[20];
      std::snprintf(line, sizeof line, "%zx\r\n", piece.size());
      pieces += line + piece + "\r\n";
    }
    ASSERT_EQ(one.ask(chunked("/echo") + pieces + "0\r\n\r\n").body, body) << size;
  }
  EXPECT_EQ(server_->counts().accepted, 1u);
}

TEST_F(ServerTest, BodiesThatAreTooLargeAreRefused) {
  start();
  const TestAnswer known = client().ask(post("/echo", std::string((1 << 20) + 1, 'x')));
  EXPECT_EQ(known.status, 413);
  EXPECT_EQ(known.headers.at("connection"), "close");
  TestClient unknown = client();
  unknown.send(chunked("/echo") + "100001\r\n" + std::string((1 << 20) + 1, 'x') + "\r\n");
  EXPECT_EQ(unknown.receive().status, 413);
  EXPECT_TRUE(unknown.is_closed());
  TestClient small = client();
  EXPECT_EQ(small.ask(post("/json", std::string(101, 'x'))).status, 413);
  EXPECT_EQ(small.ask(get("/hello")).body, "hello");  // what is small is skipped, and the connection goes on
}

TEST_F(ServerTest, AllBodiesTogetherHaveALimit) {
  options_.body_bytes_in_flight_max = 400000;
  options_.threads = 1;
  start();
  const std::string body(150000, 'x');
  std::vector<TestClient> held;
  int refused = 0;
  for (int i = 0; i < 4; ++i) {
    held.push_back(client());
    held.back().send(post("/echo", body).substr(0, 140000));
    for (int k = 0; k < 50; ++k) EXPECT_EQ(client().ask(get("/hello")).status, 200);  // until it was read
  }
  for (TestClient& one : held) {
    one.send(post("/echo", body).substr(140000));
    const TestAnswer answer = one.receive();
    refused += answer.status == 503;
    EXPECT_TRUE(answer.status == 503 || answer.body == body);
  }
  EXPECT_GE(refused, 1);
  EXPECT_LE(refused, 2);
  held.clear();
  EXPECT_TRUE(eventually([&] { return client().ask(post("/echo", body)).status == 200; }));
}

TEST_F(ServerTest, ContentTypesAreChecked) {
  start();
  TestClient one = client();
  EXPECT_EQ(one.ask(post("/json", "{}", "Content-Type: APPLICATION/json;x=y\r\n")).body, "application/json");
  EXPECT_EQ(one.ask(post("/json", "{}", "Content-Type: multipart/form-data; boundary=X\r\n")).body,
            "multipart/form-data");
  EXPECT_EQ(one.ask(post("/json", "{}")).status, 200);
  const TestAnswer wrong = one.ask(post("/json", "{}", "Content-Type: text/csv\r\n"));
  EXPECT_EQ(wrong.status, 415);
  EXPECT_THAT(wrong.body, HasSubstr("application/json, multipart/*"));
  EXPECT_EQ(one.ask(get("/hello")).body, "hello");
}

TEST_F(ServerTest, PipelinedRequestsAreAnsweredInOrder) {
  start();
  TestClient one = client();
  std::string all;
  for (int i = 0; i < 1000; ++i) {
    all += i % 3 == 0 ? post("/echo", std::to_string(i))
                      : chunked("/echo") + "4\r\n" + std::to_string(1000 + i) + "\r\n0\r\n\r\n";
  }
  std::thread sender([&] { one.send(all); });
  for (int i = 0; i < 1000; ++i) {
    const TestAnswer answer = one.receive();
    ASSERT_EQ(answer.body, std::to_string(i % 3 == 0 ? i : 1000 + i));
  }
  sender.join();
}

TEST_F(ServerTest, PipelinedRequestsWaitForTheOneBefore) {
  start();
  TestClient one = client();
  one.send(get("/later") + get("/hello") + post("/stream", "abc") + get("/hello"));
  Responder responder = kept_.take();
  std::this_thread::sleep_for(milliseconds(400));  // until the server has begun to watch the client
  one.send(get("/nothing"));
  std::thread([&] { responder.send(text("late")); }).join();
  EXPECT_EQ(one.receive().body, "late");
  EXPECT_EQ(one.receive().body, "hello");
  EXPECT_EQ(one.receive().body, "ABC");
  EXPECT_EQ(one.receive().body, "hello");
  EXPECT_EQ(one.receive().status, 404);
}

// Who never reads cannot make us hold answers: the requests wait on its side.
TEST_F(ServerTest, PipeliningIsBounded) {
  start();
  TestClient one = client();
  std::string many;
  for (int i = 0; i < 2000; ++i) many += get("/hello");
  timeval second{1, 0};
  ::setsockopt(one.socket(), SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second);
  std::size_t sent = 0;
  while (sent < (200 << 20) && one.send(many)) sent += many.size();
  EXPECT_LT(sent, 200u << 20);
  EXPECT_EQ(client().ask(get("/hello")).body, "hello");
}

TEST_F(ServerTest, OneByteAtATime) {
  start();
  TestClient one = client();
  for (const std::string& bytes : {post("/echo", "hello"), chunked("/echo") + "5\r\nhello\r\n0\r\n\r\n",
                                   chunked("/stream") + "5\r\nhello\r\n0\r\n\r\n"}) {
    for (const char byte : bytes) one.send({&byte, 1});
    EXPECT_EQ(to_lower(one.receive().body), "hello");
  }
}

TEST_F(ServerTest, MalformedRequestsEndTheirConnection) {
  start();
  TestClient one = client();
  one.send(get("/hello") + "GET / HTTP/1.1\nHost: a\n\n" + get("/hello"));
  EXPECT_EQ(one.receive().status, 200);
  const TestAnswer bad = one.receive();
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(bad.headers.at("connection"), "close");
  EXPECT_TRUE(one.is_closed());
  EXPECT_EQ(server_->counts().malformed, 1u);
  // The smuggled request is not answered.
  TestClient smuggler = client();
  smuggler.send(
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" +
      get("/hello"));
  EXPECT_EQ(smuggler.receive().status, 400);
  EXPECT_TRUE(smuggler.is_closed());
  EXPECT_THAT(observed(3)[1], StartsWith("none 400 0 "));
}

TEST_F(ServerTest, AHalfClosedClientIsAnswered) {
  start();
  TestClient one = client();
  one.send(post("/echo", "abc") + get("/hello"));
  one.half_close();
  EXPECT_EQ(one.receive().body, "abc");
  EXPECT_EQ(one.receive().body, "hello");
  EXPECT_TRUE(one.is_closed());
  TestClient stream = client();
  stream.send(post("/stream", "abc"));
  stream.half_close();
  EXPECT_EQ(stream.receive().body, "ABC");
  EXPECT_TRUE(stream.is_closed());
  for (const std::string& whole : {get("/hello"), post("/echo", "abc"), post("/count", "abc")}) {
    TestClient cut = client();
    cut.send(whole.substr(0, whole.size() - 1));
    cut.half_close();
    EXPECT_EQ(cut.receive().status, 400) << whole;
    EXPECT_TRUE(cut.is_closed());
  }
}

TEST_F(ServerTest, AnswersComeFromOtherThreads) {
  start();
  TestClient one = client();
  for (int i = 0; i < 100; ++i) {
    one.send(get("/later"));
    std::thread([&] { kept_.take().send(text(std::to_string(i))); }).join();
    ASSERT_EQ(one.receive().body, std::to_string(i));
  }
}

TEST_F(ServerTest, AnUnansweredRequestIsAnswered500) {
  start();
  TestClient one = client();
  one.send(get("/later"));
  { const Responder dropped = kept_.take(); }
  EXPECT_EQ(one.receive().status, 500);
  const TestAnswer thrown = one.ask(get("/throw"));
  EXPECT_EQ(thrown.status, 500);
  EXPECT_EQ(thrown.body.find("secret"), std::string::npos);
  EXPECT_EQ(one.ask(get("/silent")).status, 500);
  EXPECT_EQ(one.ask(get("/hello")).status, 200);
}

TEST_F(ServerTest, AClientThatHangsUpIsGone) {
  start();
  TestClient one = client();
  one.send(get("/later"));
  Responder responder = kept_.take();
  EXPECT_FALSE(responder.gone());
  one.reset();
  EXPECT_TRUE(eventually([&] { return responder.gone(); }));
  EXPECT_THAT(observed(1)[0], StartsWith("/later 0 "));
  responder.send(text("too late"));
  EXPECT_TRUE(eventually([&] { return server_->counts().connections == 0; }));
  EXPECT_EQ(server_->counts().requests_in_flight, 0u);
}

TEST_F(ServerTest, AHandlerThatTakesTooLongIsAnsweredFor) {
  options_.handler_time = milliseconds(400);
  start();
  TestClient one = client();
  one.send(get("/later"));
  Responder responder = kept_.take();
  EXPECT_EQ(one.receive().status, 503);
  EXPECT_TRUE(one.is_closed());
  EXPECT_TRUE(responder.gone());
  responder.send(text("too late"));
  EXPECT_EQ(server_->counts().timed_out, 1u);
}

TEST_F(ServerTest, SlowClientsAreCutOff) {
  options_.header_time = milliseconds(300);
  options_.idle_time = milliseconds(600);
  options_.grace = milliseconds(300);
  start();
  TestClient header = client(), idle = client(), body = client(), stream = client();
  header.send("GET / HTTP");
  body.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab");
  stream.send(chunked("/count") + "5\r\nab");
  EXPECT_EQ(header.receive().status, 408);
  EXPECT_TRUE(header.is_closed());
  EXPECT_EQ(body.receive().status, 408);
  EXPECT_TRUE(body.is_closed());
  EXPECT_EQ(stream.receive().status, 408);
  EXPECT_TRUE(stream.is_closed());
  EXPECT_TRUE(idle.is_closed());
  EXPECT_EQ(server_->counts().timed_out, 4u);
}

TEST_F(ServerTest, AClientThatDoesNotReadIsCutOff) {
  options_.grace = milliseconds(500);
  options_.bytes_per_second_min = std::uint64_t{1} << 40;
  start();
  TestClient one = client(), two = client();
  one.send(get("/big"));
  two.send(get("/endless"));
  ASSERT_TRUE(eventually([&] { return server_->counts().accepted == 2; }));
  EXPECT_TRUE(eventually([&] { return server_->counts().connections == 0; }));
  EXPECT_EQ(server_->counts().timed_out, 2u);
  ended_.get_future().wait();
}

TEST_F(ServerTest, ALargeAnswerArrivesWhole) {
  start();
  const TestAnswer answer = client().ask(get("/big"));
  EXPECT_TRUE(answer.whole);
  EXPECT_EQ(answer.body, std::string(50 << 20, 'b'));
}

TEST_F(ServerTest, ContinueIsSentWhenABodyIsWanted) {
  start();
  TestClient one = client();
  const std::string expecting = "Expect: 100-continue\r\n";
  for (const char* target : {"/echo", "/stream"}) {
    one.send("POST " + std::string(target) + " HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n" + expecting +
             "\r\n");
    EXPECT_EQ(one.receive().status, 100);
    one.send("abc");
    EXPECT_EQ(to_lower(one.receive().body), "abc");
    // Who does not wait is not told.
    EXPECT_EQ(to_lower(one.ask(post(target, "abc", expecting)).body), "abc");
  }
  for (const char* target : {"/json", "/unread"}) {  // refused, or not looked at
    TestClient refused = client();
    refused.send("POST " + std::string(target) + " HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n" +
                 expecting + "\r\n");
    const TestAnswer answer = refused.receive();
    EXPECT_NE(answer.status, 100);
    EXPECT_EQ(answer.headers.at("connection"), "close");
    EXPECT_TRUE(refused.is_closed());
  }
}

TEST_F(ServerTest, OldClientsAreAnsweredTheirWay) {
  start();
  TestClient one = client();
  one.send("GET /hello HTTP/1.0\r\n\r\n");
  EXPECT_EQ(one.receive().headers.at("connection"), "close");
  EXPECT_TRUE(one.is_closed());
  TestClient kept = client();
  kept.send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(kept.receive().headers.at("connection"), "keep-alive");
  kept.send("POST /stream HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc");
  const TestAnswer streamed = kept.receive();
  EXPECT_EQ(streamed.headers.count("transfer-encoding"), 0u);
  EXPECT_EQ(streamed.body, "ABC");
}

TEST_F(ServerTest, TheGuardIsAskedBeforeTheBody) {
  guard_ = [](Request& request, const Route& route) -> std::optional<Response> {
    if (request.header("x-key") != "right") {
      Response refusal = problem(401, "Who are you?", request.id);
      refusal.headers.emplace_back("WWW-Authenticate", "Bearer");
      return refusal;
    }
    request.caller.name = route.pattern;
    return std::nullopt;
  };
  add(Method::post, "/who",
      [](const Request& request, Responder responder) { responder.send(text(request.caller.name)); });
  routes_.back().body_bytes_max = 1000;
  start();
  TestClient one = client();
  EXPECT_EQ(one.ask(post("/who", "abc", "X-Key: right\r\n")).body, "/who");
  const TestAnswer refused = one.ask(post("/who", "abc", "X-Key: wrong\r\n"));
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.headers.at("www-authenticate"), "Bearer");
  EXPECT_EQ(one.ask(get("/nothing")).status, 404);
  // A large body is not waited for.
  TestClient large = client();
  large.send(post("/who", std::string(200000, 'x')).substr(0, 100));
  EXPECT_EQ(large.receive().status, 401);
  EXPECT_TRUE(large.is_closed());
}

TEST_F(ServerTest, BodiesAreStreamedBothWays) {
  start();
  TestClient one = client();
  one.send(chunked("/stream"));
  std::string received;
  for (int i = 0; i < 100; ++i) {  // each piece is answered before the next is sent
    one.send("3\r\nabc\r\n");
    while (one.received().find("ABC\r\n", received.size()) == std::string::npos) ASSERT_TRUE(one.more());
    received = one.received();
  }
  one.send("0\r\n\r\n");
  const TestAnswer answer = one.receive();
  EXPECT_TRUE(answer.whole);
  EXPECT_EQ(answer.body.size(), 300u);
  EXPECT_EQ(one.ask(post("/stream", "")).body, "nothing");
  EXPECT_EQ(one.ask(post("/count", std::string(5 << 20, 'x'))).body, std::to_string(5 << 20));
  EXPECT_EQ(one.ask(get("/hello")).body, "hello");
  EXPECT_EQ(server_->counts().accepted, 1u);
}

TEST_F(ServerTest, AStreamedBodyHasItsLimit) {
  for (Route& route : routes_) {
    if (route.pattern == "/count") route.body_bytes_max = 1000;
  }
  start();
  EXPECT_EQ(client().ask(post("/count", std::string(1001, 'x'))).status, 413);
  TestClient unknown = client();
  unknown.send(chunked("/count") + "3e9\r\n" + std::string(1001, 'x'));
  EXPECT_EQ(unknown.receive().status, 413);
  EXPECT_TRUE(unknown.is_closed());
  TestClient broken = client();
  broken.send(chunked("/count") + "zz\r\n");
  EXPECT_EQ(broken.receive().status, 400);
  EXPECT_TRUE(broken.is_closed());
}

TEST_F(ServerTest, AnUnreadBodyIsSkippedOrEndsTheConnection) {
  start();
  TestClient one = client();
  one.send(post("/unread", std::string(50000, 'x')) + get("/hello"));
  EXPECT_EQ(one.receive().body, "did not look");
  EXPECT_EQ(one.receive().body, "hello");
  TestClient large = client();
  large.send(post("/unread", std::string(500000, 'x')));
  const TestAnswer answer = large.receive();
  EXPECT_EQ(answer.body, "did not look");
  EXPECT_EQ(answer.headers.at("connection"), "close");
  EXPECT_TRUE(large.is_closed());
}

TEST_F(ServerTest, AnAnswerThatIsNotEndedIsCutOff) {
  start();
  TestClient one = client();
  one.send(get("/cut"));
  const TestAnswer answer = one.receive();
  EXPECT_EQ(answer.status, 200);
  EXPECT_FALSE(answer.whole);
  EXPECT_THAT(observed(1)[0], StartsWith("/cut 0 "));
}

// The handler is as fast as who reads: what the sockets hold, and no more.
TEST_F(ServerTest, AWriterWaitsForTheReader) {
  start();
  TestClient one = client();
  one.send(get("/endless"));
  while (one.received().size() < 1000) ASSERT_TRUE(one.more());
  std::size_t before = 0;
  ASSERT_TRUE(eventually([&] {
    std::this_thread::sleep_for(milliseconds(50));
    return std::exchange(before, written_.load()) == written_.load();
  }));
  EXPECT_LT(written_.load(), 64u << 20);
  one.close();
  ended_.get_future().wait();
}

TEST_F(ServerTest, StreamHandlersAreBounded) {
  options_.stream_threads = 2;
  start();
  TestClient one = client(), two = client(), three = client();
  one.send(chunked("/stream") + "1\r\na\r\n");
  two.send(chunked("/stream") + "1\r\na\r\n");
  while (one.received().empty()) ASSERT_TRUE(one.more());
  while (two.received().empty()) ASSERT_TRUE(two.more());
  EXPECT_EQ(server_->counts().stream_handlers, 2u);
  const TestAnswer busy = three.ask(post("/stream", "abc"));
  EXPECT_EQ(busy.status, 503);
  EXPECT_EQ(busy.headers.at("retry-after"), "1");
  one.send("0\r\n\r\n");
  EXPECT_TRUE(one.receive().whole);
  EXPECT_TRUE(eventually([&] { return three.ask(post("/stream", "abc")).body == "ABC"; }));
}

TEST_F(ServerTest, ConnectionsAreLimited) {
  options_.connections_max = 3;
  start();
  std::vector<TestClient> some;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(some.emplace_back(client()).ask(get("/hello")).status, 200);
  TestClient more = client();
  EXPECT_EQ(more.receive().status, 503);
  EXPECT_TRUE(more.is_closed());
  some.pop_back();
  EXPECT_TRUE(eventually([&] { return client().ask(get("/hello")).status == 200; }));
  EXPECT_GE(server_->counts().refused, 1u);
}

TEST_F(ServerTest, ConnectionsOfAnAddressAreLimited) {
  options_.connections_per_address_max = 2;
  start();
  TestClient one = client(), two = client();
  EXPECT_EQ(one.ask(get("/hello")).status, 200);
  EXPECT_EQ(two.ask(get("/hello")).status, 200);
  EXPECT_TRUE(client().is_closed());
  one.close();
  EXPECT_TRUE(eventually([&] { return client().ask(get("/hello")).status == 200; }));
}

TEST_F(ServerTest, WithoutDescriptorsItTurnsClientsAwayAndGoesOn) {
  options_.threads = 1;
  start();
  TestClient before = client();
  EXPECT_EQ(before.ask(get("/hello")).status, 200);
  TestClient turned_away;
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const int first_free = ::dup(0);
  ::close(first_free);
  const rlimit low{static_cast<rlim_t>(first_free), limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  EXPECT_EQ(::dup(0), -1);
  ASSERT_TRUE(turned_away.connect(server_->port()));
  EXPECT_TRUE(turned_away.is_closed());
  EXPECT_EQ(before.ask(get("/hello")).status, 200);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(server_->counts().refused, 1u);
  EXPECT_EQ(client().ask(get("/hello")).status, 200);
}

TEST_F(ServerTest, WhatArrivedTogetherIsWorkedOnTogether) {
  std::mutex mutex;
  std::vector<Responder> waiting;
  std::vector<std::size_t> batches;
  add(Method::get, "/batch", [&](const Request&, Responder responder) {
    const std::lock_guard lock(mutex);
    waiting.push_back(std::move(responder));
    if (waiting.size() > 1) return;
    after_arrived([&] {
      const std::lock_guard again(mutex);
      batches.push_back(waiting.size());
      for (Responder& one : waiting) one.send(text(std::to_string(waiting.size())));
      waiting.clear();
    });
  });
  std::promise<void> blocked;
  std::promise<void> block;
  add(Method::get, "/block", [&](const Request&, Responder responder) {
    blocked.set_value();
    block.get_future().wait();
    responder.send(text(""));
  });
  options_.threads = 1;
  start();
  EXPECT_EQ(client().ask(get("/batch")).body, "1");  // alone it waits for nobody
  std::vector<TestClient> clients;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(clients.emplace_back(client()).ask(get("/hello")).status, 200);
  TestClient blocker = client();
  blocker.send(get("/block"));
  blocked.get_future().wait();
  for (TestClient& one : clients) one.send(get("/batch"));
  block.set_value();
  for (TestClient& one : clients) EXPECT_EQ(one.receive().body, "20");
  EXPECT_EQ(batches, (std::vector<std::size_t>{1, 20}));
}

TEST_F(ServerTest, ADrainAnswersWhatIsUnderWay) {
  start();
  const std::uint16_t port = server_->port();
  TestClient idle = client(), busy = client(), stream = client();
  EXPECT_EQ(idle.ask(get("/hello")).status, 200);
  busy.send(get("/later"));
  Responder responder = kept_.take();
  stream.send(chunked("/stream") + "1\r\na\r\n");
  while (stream.received().empty()) ASSERT_TRUE(stream.more());
  auto stopped = std::async(std::launch::async, [&] { return server_->stop(seconds(10)); });
  EXPECT_TRUE(idle.is_closed());
  responder.send(text("done"));
  const TestAnswer last = busy.receive();
  EXPECT_EQ(last.body, "done");
  EXPECT_EQ(last.headers.at("connection"), "close");
  EXPECT_TRUE(busy.is_closed());
  stream.send("1\r\nb\r\n0\r\n\r\n");
  EXPECT_EQ(stream.receive().body, "AB");
  EXPECT_TRUE(stopped.get());
  EXPECT_FALSE(TestClient().connect(port));
}

TEST_F(ServerTest, AStopCutsWhatDoesNotEnd) {
  start();
  TestClient busy = client(), stream = client(), endless = client();
  busy.send(get("/later"));
  Responder responder = kept_.take();
  stream.send(chunked("/count") + "1\r\na\r\n");
  endless.send(get("/endless"));
  ASSERT_TRUE(eventually([&] { return server_->counts().stream_handlers == 2; }));
  EXPECT_FALSE(server_->stop(milliseconds(200)));
  EXPECT_TRUE(responder.gone());
  responder.send(text("nobody hears"));
  EXPECT_TRUE(busy.is_closed());
  EXPECT_EQ(server_->counts().connections, 0u);
}

TEST_F(ServerTest, AResponderMayOutliveTheServer) {
  start();
  TestClient one = client();
  one.send(get("/later"));
  Responder responder = kept_.take();
  server_.reset();
  EXPECT_TRUE(responder.gone());
  responder.send(text("nobody hears"));
}

TEST_F(ServerTest, AnAddressIsTakenOnce) {
  start();
  ServerOptions same = options_;
  same.port = server_->port();
  const auto second = Server::start(same, {}, nullptr, nullptr);
  ASSERT_FALSE(second);
  ServerOptions odd = options_;
  odd.address = "localhost";
  auto named = Server::start(odd, {}, nullptr, nullptr);
  ASSERT_FALSE(named);
  EXPECT_EQ(named.error().code, Errc::invalid);
}

TEST_F(ServerTest, RoutesThatClashAreRefused) {
  const auto refused = [&](std::vector<std::string> patterns) {
    std::vector<Route> routes;
    for (std::string& pattern : patterns) {
      Route route;
      route.pattern = std::move(pattern);
      route.handler = Handler([](const Request&, Responder) {});
      routes.push_back(std::move(route));
    }
    auto started = Server::start(options_, std::move(routes), nullptr, nullptr);
    return !started && started.error().code == Errc::invalid;
  };
  EXPECT_TRUE(refused({"/a", "/a"}));
  EXPECT_TRUE(refused({"/a/{x}", "/a/{y}"}));
  EXPECT_TRUE(refused({"/a/{x}/b/{y}", "/a/c/{z}/d"}));
  EXPECT_TRUE(refused({"a"}));
  EXPECT_TRUE(refused({"/a{x}"}));
  EXPECT_TRUE(refused({"/{}"}));
  EXPECT_TRUE(refused({"/a/{x}", "/{x}/b"}));
  EXPECT_FALSE(refused({"/a/{x}", "/a/b", "/a/{x}/c", "/{y}/{x}"}));
}

TEST_F(ServerTest, ManyClientsAtOnce) {
  start();
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        TestClient one = client();
        for (int k = 0; k < 20; ++k) {
          const std::string body(static_cast<std::size_t>(1 + (t * 977 + i * 131 + k * 7919) % 20000), 'x');
          right += one.ask(post("/echo", body)).body == body;
        }
        right += to_lower(one.ask(post("/stream", "abc")).body) == "abc";
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 8 * 20 * 21);
  EXPECT_TRUE(eventually([&] { return server_->counts().connections == 0; }));
  EXPECT_EQ(server_->counts().accepted, 160u);
  EXPECT_EQ(server_->counts().requests_in_flight, 0u);
  EXPECT_EQ(observed(8 * 20 * 21).size(), 8u * 20 * 21);
}

}  // namespace
}  // namespace nidus::http
