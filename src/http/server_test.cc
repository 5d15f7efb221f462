#include "http/server.h"

#include "http/internal/testing_server.h"

// What a server says: answers, framing, routes. What it bears is in server_limits_test.cc.
namespace nidus::http {
namespace {

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
  const TestAnswer packed = one.ask(post("/json", "{}", "Content-Encoding: gzip\r\n"));
  EXPECT_EQ(packed.status, 415);
  EXPECT_EQ(packed.headers.at("accept-encoding"), "identity");
  EXPECT_EQ(one.ask(post("/json", "{}", "Content-Encoding: Identity\r\n")).status, 200);
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

// The read that watches for a client's end while a handler works is still pending when the next request
// begins.
TEST_F(ServerTest, AWatchedConnectionGoesOn) {
  options_.idle_time = milliseconds(1500);
  start();
  TestClient one = client();
  const std::string expecting = "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n";
  for (const char* target : {"/echo", "/stream"}) {
    one.send(get("/later") + "POST " + target + " HTTP/1.1\r\nHost: a\r\n" + expecting);
    Responder responder = kept_.take();
    std::this_thread::sleep_for(milliseconds(400));
    responder.send(text("late"));
    EXPECT_EQ(one.receive().body, "late");
    EXPECT_EQ(one.receive().status, 100);
    one.send("abc");
    EXPECT_EQ(to_lower(one.receive().body), "abc");
  }
  one.send(get("/later"));
  Responder responder = kept_.take();
  std::this_thread::sleep_for(milliseconds(400));
  responder.send(text("late"));
  EXPECT_EQ(one.receive().body, "late");
  EXPECT_TRUE(one.is_closed());  // idle
  EXPECT_EQ(server_->counts().timed_out, 1u);
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

}  // namespace
}  // namespace nidus::http
