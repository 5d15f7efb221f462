#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <numeric>

#include "http/internal/testing_server.h"
#include "http/server.h"

// Bodies that go from the connection into a pipe.
namespace nidus::http {
namespace {

class MoveTest : public ServerTest {
 protected:
  MoveTest() {
    // Says how many bytes it moved, how many it read, and their checksum.
    stream(Method::post, "/move", [this](const Request&, BodyReader& body, BodyWriter& answer) {
      int ends[2];
      ASSERT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
      std::size_t moved = 0, read = 0;
      std::uint64_t sum = 0;
      const auto take = [&](std::span<const std::byte> piece) {
        for (const std::byte byte : piece) sum = sum * 31 + std::to_integer<unsigned>(byte);
      };
      const auto drain = [&] {
        char some[10000];
        for (ssize_t got; (got = ::read(ends[0], some, sizeof some)) > 0;)
          take(std::as_bytes(std::span(some, static_cast<std::size_t>(got))));
      };
      bool whole = false;
      for (;;) {
        const auto piece = body.read();
        whole = piece && piece->empty();
        if (!piece || whole) break;
        take(*piece);
        read += piece->size();
        bool failed = false;
        for (;;) {
          if (closes_pipe_ && ends[0] >= 0) ::close(std::exchange(ends[0], -1));
          const auto more = body.move(ends[1]);
          failed = !more;
          if (!more || !*more || (**more == 0 && closes_pipe_)) break;
          moved += **more;
          moved_ = moved;
          drain();
        }
        if (failed) break;
      }
      if (ends[0] >= 0) ::close(ends[0]);
      ::close(ends[1]);
      if (whole) answer.send(text(std::to_string(moved + read) + " " + std::to_string(sum)));
    });
    routes_.back().body_bytes_max = 100 << 20;
  }

  static std::string body(std::size_t size) {
    std::string out(size, '\0');
    std::uint32_t state = 1;
    for (char& c : out) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
    return out;
  }
  static std::string sum(std::string_view body) {
    return std::to_string(body.size()) + " " +
           std::to_string(std::accumulate(
               body.begin(), body.end(), std::uint64_t{0},
               [](std::uint64_t sum, char c) { return sum * 31 + static_cast<unsigned char>(c); }));
  }

  std::atomic<std::size_t> moved_ = 0;
  std::atomic<bool> closes_pipe_ = false;
};

TEST_F(MoveTest, EveryByteComesOnceAndInOrder) {
  start();
  TestClient one = client();
  for (const std::size_t size : {0, 1, 100, 70'000, 1'000'000, 5'000'000, 3}) {
    const std::string text = body(size);
    EXPECT_EQ(one.ask(post("/move", text)).body, sum(text)) << size;
    EXPECT_EQ(one.ask(get("/hello")).body, "hello") << "after " << size;
  }
  EXPECT_GT(moved_, 0u);
  // The next request, sent with the body, is not part of it.
  const std::string text = body(2'000'000);
  std::thread sender([&] { one.send(post("/move", text) + get("/hello")); });
  EXPECT_EQ(one.receive().body, sum(text));
  EXPECT_EQ(one.receive().body, "hello");
  sender.join();
  EXPECT_THAT(observed(1)[0], HasSubstr("/move 200 0 "));
  EXPECT_THAT(observed(16)[14], HasSubstr("/move 200 2000000 "));
}

TEST_F(MoveTest, ChunksAreReadInstead) {
  start();
  const std::string text = body(100'000);
  TestClient one = client();
  one.send(chunked("/move") + "186a0\r\n" + text + "\r\n0\r\n\r\n");
  EXPECT_EQ(one.receive().body, sum(text));
  EXPECT_EQ(moved_, 0u);
}

TEST_F(MoveTest, LittleOfMuchIsMovedBeforeLong) {
  start();
  const std::string text = body(4'000'000), request = post("/move", text);
  const std::size_t head = request.size() - text.size();
  TestClient one = client();
  one.send(std::string_view(request).substr(0, head + 1));
  // Not so little that it could come with the header, nor so much that its sender would wait for more room.
  std::this_thread::sleep_for(milliseconds(50));
  one.send(std::string_view(request).substr(head + 1, 20'000));
  EXPECT_TRUE(eventually([&] { return moved_ > 0; }));
  one.send(std::string_view(request).substr(head + 20'001));
  EXPECT_EQ(one.receive().body, sum(text));
}

TEST_F(MoveTest, ClientsThatStopAreNotWaitedFor) {
  options_.grace = milliseconds(300);
  options_.bytes_per_second_min = std::uint64_t{1} << 40;
  start();
  const std::string text = body(4'000'000), request = post("/move", text);
  TestClient slow = client(), gone = client(), half = client();
  slow.send(request.substr(0, 100'000));
  EXPECT_EQ(slow.receive().status, 408);
  half.send(request.substr(0, 100'000));
  half.half_close();
  EXPECT_EQ(half.receive().status, 400);
  gone.send(request.substr(0, 100'000));
  gone.reset();
  EXPECT_TRUE(eventually([&] { return server_->counts().connections <= 2; }));
  EXPECT_EQ(server_->counts().timed_out, 1u);
}

TEST_F(MoveTest, APipeThatNobodyReadsTakesNothing) {
  closes_pipe_ = true;
  start();
  const std::string text = body(3'000'000);
  EXPECT_EQ(client().ask(post("/move", text)).body, sum(text));  // all of it was read
  EXPECT_EQ(moved_, 0u);
}

}  // namespace
}  // namespace nidus::http
