#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <exception>

#include "base/check.h"
#include "http/internal/deadlines.h"
#include "http/internal/line.h"

namespace nidus::http::internal {
namespace {

using std::chrono::milliseconds;

// For handlers that read much: fewer calls of the system. A client's buffers hold as much again.
constexpr std::size_t kCapacity = 128 << 10;

// Of a body, what one call of the system may move: no pipe holds more.
constexpr std::uint64_t kMovedMax = 16 << 20;
// Who moves a body is woken when so much of it has come, or after so long: each packet by itself would cost
// more than its bytes do. It is also what the system acknowledges while nobody reads: of more, a client may
// have only so much under way as its congestion window holds, and stands still until we have read. Of memory
// it takes no more than net.ipv4.tcp_rmem allows.
constexpr std::uint64_t kMovedTogether = 8 << 20;
constexpr milliseconds kTogetherTime{1};
constexpr milliseconds kWaitMax = std::chrono::hours(1);

// One direction of a line: how long we have waited for the client in all, and what that has brought.
struct Pace {
  Clock::duration waited{};
  std::uint64_t bytes = 0;
};

}  // namespace

// What a stream handler sees of a line.
class StreamExchange final : public BodyReader, public BodyWriter {
 public:
  explicit StreamExchange(Line& line) : line_(line), route_max_(line.route->body_bytes_max) {}

  Result<std::span<const std::byte>> read() override {
    if (fault_.status != 0) return read_error_;
    for (;;) {
      std::string_view piece;
      switch (line_.next_piece(piece)) {
        case RequestReader::Body::piece:
          line_.input.skip(piece.size());  // the bytes stay where they are until the next are read
          if (line_.body_bytes > route_max_) {
            return fail(
                413, {Errc::exhausted, "the body is larger than " + std::to_string(route_max_) + " bytes"});
          }
          return std::as_bytes(std::span(piece));
        case RequestReader::Body::done:
          return std::span<const std::byte>();
        case RequestReader::Body::fault:
          return fail(line_.reader.fault().status, {Errc::corrupt, std::string(line_.reader.fault().detail)});
        case RequestReader::Body::more:
          break;
      }
      if (line_.waits_for_continue() && !line_.tell_to_continue()) return lost();
      if (auto filled = fill(); !filled) return std::move(filled).error();
    }
  }

  Result<std::optional<std::size_t>> move(int pipe) override {
    const bool passes = fault_.status == 0 && !line_.transport.is_encrypted() && !line_.reader.is_chunked() &&
                        !line_.reader.body_is_done() && line_.input.unseen().empty() &&
                        !line_.waits_for_continue() && !line_.half_closed;
    if (!passes) return std::optional<std::size_t>();
    for (bool patient = true;; patient = false) {
      const auto left = std::min<std::uint64_t>(line_.reader.body_bytes_left(), kMovedMax);
      const Transport::Outcome outcome = line_.transport.move(pipe, static_cast<std::size_t>(left));
      switch (outcome.status) {
        case Transport::Status::done:
          line_.reader.pass_body(outcome.bytes);
          line_.body_bytes += outcome.bytes;
          reading_.bytes += outcome.bytes;
          return std::optional(outcome.bytes);
        case Transport::Status::wants_read:
        case Transport::Status::wants_write:
          break;
        case Transport::Status::end:
          line_.half_closed = true;
          return cut_short();
        case Transport::Status::lost:
          return lost();
      }
      // Where much waits, it is the pipe that is full. Else it may be either, but after a while the reader of
      // the pipe is far on: to be told of each page that it has read costs more.
      const auto together = static_cast<int>(std::min(left, kMovedTogether));
      wake_at(patient ? together : 1);
      if (is_ready(POLLIN)) return std::optional<std::size_t>(0);
      if (!wait(POLLIN, reading_, wakes_at_ > 1 ? kTogetherTime : kWaitMax)) return too_slow();
    }
  }

  void send(Response response) override {
    CHECK(!begun_);
    begun_ = true;
    status_ = response.status;
    std::string head;
    if (!line_.can_skip_body()) line_.keep_alive = false;
    line_.append_head(head, response, ResponseHead::Framing::length,
                      http_date(std::chrono::system_clock::now()));
    const bool without_body = line_.request.method == Method::head || has_no_body(response.status);
    const std::string_view pieces[] = {head, without_body ? std::string_view() : response.body};
    ended_ = write_all(pieces).has_value();
    if (ended_) bytes_out_ = pieces[1].size();
  }

  Result<void> begin(Response head) override {
    CHECK(!begun_ && head.body.empty() && !has_no_body(head.status));
    begun_ = true;
    status_ = head.status;
    silent_ = line_.request.method == Method::head;
    chunked_ = line_.http_11;
    std::string text;
    line_.append_head(text, head,
                      chunked_ ? ResponseHead::Framing::chunked : ResponseHead::Framing::until_closed,
                      http_date(std::chrono::system_clock::now()));
    const std::string_view piece = text;
    return write_all({&piece, 1});
  }

  Result<void> write(std::string_view bytes) override {
    CHECK(begun_ && !ended_);
    if (bytes.empty() || silent_) return broken_ ? Result<void>(gone_error()) : Result<void>();
    bytes_out_ += bytes.size();
    char size[20];
    char* const size_end = std::to_chars(size, size + 16, bytes.size(), 16).ptr;
    size_end[0] = '\r';
    size_end[1] = '\n';
    const std::string_view pieces[] = {{size, static_cast<std::size_t>(size_end + 2 - size)}, bytes, "\r\n"};
    return chunked_ ? write_all(pieces) : write_all({pieces + 1, 1});
  }

  Result<void> end() override {
    CHECK(begun_ && !ended_);
    constexpr std::string_view kLast = "0\r\n\r\n";
    auto written = chunked_ && !silent_ ? write_all({&kLast, 1}) : Result<void>();
    ended_ = !broken_;
    return broken_ ? Result<void>(gone_error()) : written;
  }

  bool gone() const override {
    if (broken_) return true;
    pollfd one{line_.descriptor, 0, 0};
    return ::poll(&one, 1, 0) > 0 && (one.revents & (POLLERR | POLLHUP)) != 0;
  }

  // After the handler: answers what it left unanswered.
  Remains finish() {
    wake_at(1);
    if (!begun_ && !broken_) {
      if (fault_.status != 0) {
        send(problem(fault_.status, read_error_.message, line_.request.id));
      } else {
        send(problem(500, "The request was not answered.", line_.request.id));
      }
    }
    line_.observe(ended_ ? status_ : 0, bytes_out_);
    if (!ended_) return Remains::broken;
    if (!line_.keep_alive || fault_.status != 0 || !line_.can_skip_body()) return Remains::last_answer;
    return line_.reader.body_is_done() ? Remains::nothing : Remains::body;
  }

 private:
  static Error gone_error() { return {Errc::io, "the client hung up"}; }

  Error fail(int status, Error error) {
    fault_.status = status;
    line_.keep_alive = false;
    read_error_ = std::move(error);
    return read_error_;
  }

  Error lost() {
    broken_ = true;
    return fail(400, gone_error());
  }

  // The client will send no more, but may wait for an answer.
  Error cut_short() { return fail(400, {Errc::io, "the body is cut short"}); }

  Error too_slow() {
    line_.shared.timed_out.fetch_add(1, std::memory_order_relaxed);
    return fail(408, {Errc::exhausted, "the body came too slowly"});
  }

  bool is_ready(short events) const {
    pollfd one{line_.descriptor, events, 0};
    return ::poll(&one, 1, 0) > 0;
  }

  // How many bytes make the socket readable.
  void wake_at(int bytes) {
    if (bytes == wakes_at_) return;
    wakes_at_ = bytes;
    // Where it cannot be said, one is enough.
    (void)::setsockopt(line_.descriptor, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
  }

  Result<void> fill() {
    wake_at(1);
    if (line_.half_closed) return cut_short();
    if (line_.input.room().empty()) line_.input.close_gap();
    if (line_.input.room().empty()) return fail(400, {Errc::corrupt, "the chunks of the body are broken"});
    for (;;) {
      const Transport::Outcome outcome = line_.transport.read(line_.input.room());
      short events = POLLIN;
      switch (outcome.status) {
        case Transport::Status::done:
          line_.input.filled(outcome.bytes);
          reading_.bytes += outcome.bytes;
          return {};
        case Transport::Status::wants_read:
          break;
        case Transport::Status::wants_write:
          events = POLLOUT;
          break;
        case Transport::Status::end:
          line_.half_closed = true;
          return cut_short();
        case Transport::Status::lost:
          return lost();
      }
      if (!wait(events, reading_)) return too_slow();
    }
  }

  Result<void> write_all(std::span<const std::string_view> pieces) {
    if (broken_) return gone_error();
    std::string_view rest[3];
    std::copy(pieces.begin(), pieces.end(), rest);
    std::span<std::string_view> left(rest, pieces.size());
    for (;;) {
      while (!left.empty() && left.front().empty()) left = left.subspan(1);
      if (left.empty()) return {};
      const Transport::Outcome outcome = line_.transport.write(left);
      short events = POLLOUT;
      switch (outcome.status) {
        case Transport::Status::done: {
          writing_.bytes += outcome.bytes;
          std::size_t gone = outcome.bytes;
          for (std::string_view& piece : left) {
            const std::size_t taken = std::min(gone, piece.size());
            piece.remove_prefix(taken);
            gone -= taken;
          }
          continue;
        }
        case Transport::Status::wants_read:
          events = POLLIN;
          break;
        case Transport::Status::wants_write:
          break;
        case Transport::Status::end:
        case Transport::Status::lost:
          broken_ = true;
          return gone_error();
      }
      if (!wait(events, writing_)) {
        line_.shared.timed_out.fetch_add(1, std::memory_order_relaxed);
        broken_ = true;
        return Error{Errc::io, "the client reads too slowly"};
      }
    }
  }

  // False if the client is too slow: what it took of our time is more than what its bytes were worth.
  bool wait(short events, Pace& pace, milliseconds longest = kWaitMax) const {
    const Clock::duration allowed = line_.shared.time_allowed(pace.bytes);
    if (pace.waited >= allowed) return false;
    const auto most =
        std::chrono::ceil<milliseconds>(std::min<Clock::duration>(allowed - pace.waited, longest));
    pollfd one{line_.descriptor, events, 0};
    const Clock::time_point before = Clock::now();
    ::poll(&one, 1, static_cast<int>(most.count()));
    pace.waited += Clock::now() - before;
    return true;
  }

  Line& line_;
  const std::uint64_t route_max_;
  ReaderFault fault_{0, {}};  // of the body; status 0: none
  Error read_error_;
  Pace reading_, writing_;
  int wakes_at_ = 1;
  bool begun_ = false;   // of the answer
  bool ended_ = false;   // the answer was sent whole
  bool broken_ = false;  // no more can be sent
  bool chunked_ = true;
  bool silent_ = false;  // HEAD
  int status_ = 0;
  std::uint64_t bytes_out_ = 0;
};

Remains run_stream_handler(Line& line) {
  if (line.input.capacity() < kCapacity) line.set_capacity(kCapacity);
  StreamExchange exchange(line);
  try {
    std::get<StreamHandler>(line.route->handler)(line.request, exchange, exchange);
  } catch (const std::exception&) {
    // Answered with 500, or cut off where an answer had begun.
  }
  return exchange.finish();
}

}  // namespace nidus::http::internal
