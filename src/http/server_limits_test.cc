#include <sys/resource.h>
#include <unistd.h>

#include "http/internal/testing_server.h"
#include "http/server.h"

// What a server bears: limits, slow and lost clients, streams, many at once, its end.
namespace nidus::http {
namespace {

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
  EXPECT_TRUE(answer.body == std::string(50 << 20, 'b'));
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
  server_.reset();  // its handlers use what ends here
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
