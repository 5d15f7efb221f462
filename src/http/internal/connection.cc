#include "http/internal/connection.h"

#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <exception>

#include "base/check.h"
#include "http/internal/loop.h"

namespace nidus::http::internal {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

// A request of a table of 70 features, with its body, fits in; ten thousand idle clients hold 40 MB.
constexpr std::size_t kFirstCapacity = 4096;
// A connection that waits for a request holds no more than this.
constexpr std::size_t kIdleCapacity = 32 << 10;
constexpr std::size_t kCapacityStep = 64 << 10;
// When a handler takes longer, we begin to look whether the client is still there.
constexpr std::chrono::milliseconds kWatchAfter{200};
constexpr std::chrono::seconds kLingerTime{2};
// For clients that connected just before a drain and have asked nothing yet.
constexpr std::chrono::milliseconds kDrainGrace{500};
// Steps of one connection before others get a turn: some tens of pipelined requests.
constexpr int kStepsAtOnce = 100;

}  // namespace

Connection::Connection(Loop& loop, int socket, const Peer& peer)
    : loop_(loop), shared_(loop.shared()), line_(shared_, socket), inbox_(loop.inbox()) {
  line_.request.peer = peer;
  line_.request.peer.encrypted = line_.transport.is_encrypted();
}

Connection::~Connection() { CHECK(stage_ == Stage::closed); }

void Connection::open() {
  self_ = shared_from_this();
  loop_.enter(*this);
  if (!watch()) return close();
  line_.set_capacity(kFirstCapacity);
  enter(Stage::handshake);
  set_deadline(stage_since_ + shared_.options.header_time);
  advance();
}

// The loop takes the socket. False, and the socket is closed, if it cannot.
bool Connection::watch() {
  socket_.emplace(loop_.io().get_executor());
  error_code error;
  socket_->assign(asio::ip::tcp::v4(), line_.descriptor, error);  // the family is of no account any more
  if (!error) return true;
  ::close(line_.descriptor);
  socket_.reset();
  return false;
}

void Connection::enter(Stage stage) {
  stage_ = stage;
  stage_since_ = Clock::now();
  stage_bytes_ = 0;
}

void Connection::set_deadline(Clock::time_point time) { loop_.deadlines().set(*this, time); }
Clock::time_point Connection::too_slow_at() const {
  return stage_since_ + shared_.time_allowed(stage_bytes_);
}

void Connection::advance() {
  if (advancing_) return;
  const auto self = shared_from_this();
  advancing_ = true;
  try {
    for (int steps = 1; step(); ++steps) {
      if (steps < kStepsAtOnce) continue;
      asio::post(loop_.io(), [self] { self->advance(); });
      break;
    }
  } catch (const std::exception&) {
    // Out of memory, or a guard or observer threw.
    if (stage_ != Stage::streaming && stage_ != Stage::closed) lost();
  }
  advancing_ = false;
}

// True if there may be more to do without waiting.
bool Connection::step() {
  switch (stage_) {
    case Stage::handshake:
      return step_handshake();
    case Stage::header:
      return step_header();
    case Stage::body:
      return step_body();
    case Stage::discarding:
      return step_discarding();
    case Stage::boarding:
      if (!reading_) begin_streaming();
      [[fallthrough]];
    case Stage::handling:
    case Stage::streaming:
    case Stage::answering:
    case Stage::lingering:
    case Stage::closed:
      return false;
  }
  return false;
}

bool Connection::step_handshake() {
  if (waiting_) return false;
  switch (line_.transport.handshake()) {
    case Transport::Status::done:
      line_.request.peer.certificate = line_.transport.certificate_name();
      enter(Stage::header);
      return true;
    case Transport::Status::wants_read:
      wait_for_socket(Socket::wait_read);
      return false;
    case Transport::Status::wants_write:
      wait_for_socket(Socket::wait_write);
      return false;
    case Transport::Status::end:
    case Transport::Status::lost:
      break;
  }
  shared_.malformed.fetch_add(1, std::memory_order_relaxed);
  close();
  return false;
}

bool Connection::step_header() {
  InputBuffer& input = line_.input;
  if (input.empty()) {
    if (line_.half_closed || (shared_.draining && served_)) {
      close();
      return false;
    }
    set_deadline(Clock::now() + (shared_.draining ? kDrainGrace : shared_.options.idle_time));
    if (reading_) return false;
    if (input.capacity() > kIdleCapacity) {
      line_.set_capacity(kFirstCapacity);
      shared_.release_body(std::exchange(reserved_, 0));
    }
    read_more();
    return false;
  }
  if (!in_request_) {
    in_request_ = true;
    line_.reader.start();
    line_.request.arrived = Clock::now();
  }
  switch (line_.reader.read_header(input.all(), line_.request)) {
    case RequestReader::Header::done:
      return begin_request();
    case RequestReader::Header::fault:
      return refuse_unreadable(line_.reader.fault());
    case RequestReader::Header::more:
      break;
  }
  if (line_.half_closed) return refuse_unreadable({400, "The header is cut short."});
  set_deadline(line_.request.arrived + shared_.options.header_time);
  if (reading_) return false;
  line_.make_room();
  read_more();
  return false;
}

bool Connection::begin_request() {
  Request& request = line_.request;
  line_.input.keep(line_.reader.header_bytes());
  line_.request_id.clear();
  loop_.append_request_id(line_.request_id);
  request.id = line_.request_id;
  request.caller = {};
  line_.http_11 = line_.reader.is_http_11();
  line_.keep_alive = line_.reader.keeps_alive();
  line_.continued = false;
  line_.body_bytes = 0;
  counted_ = true;
  shared_.requests_in_flight.fetch_add(1, std::memory_order_relaxed);

  const Router::Found found = shared_.router.find(request.method, request.path, request.parameters);
  line_.route = found.route;
  if (auto refusal = line_.objection(found.allow)) return refuse(std::move(*refusal));
  if (std::holds_alternative<Handler>(line_.route->handler)) {
    enter(Stage::body);
    return true;
  }
  if (shared_.streams.reserve()) return board();
  Response busy = problem(503, "All threads for streams are busy.", request.id);
  busy.headers.emplace_back("Retry-After", "1");
  return refuse(std::move(busy));
}

bool Connection::step_body() {
  const Route& route = *line_.route;
  for (bool more = false; !more;) {
    std::string_view piece;
    switch (line_.next_piece(piece)) {
      case RequestReader::Body::piece:
        line_.input.keep(piece.size());
        if (line_.body_bytes <= route.body_bytes_max) break;
        line_.keep_alive = false;
        return refuse(413, "The body is larger than " + std::to_string(route.body_bytes_max) + " bytes.");
      case RequestReader::Body::done:
        return begin_handling();
      case RequestReader::Body::fault:
        return refuse_unreadable(line_.reader.fault());
      case RequestReader::Body::more:
        more = true;
        break;
    }
  }
  if (line_.half_closed) return refuse_unreadable({400, "The body is cut short."});
  if (line_.waits_for_continue() && !line_.tell_to_continue()) {
    lost();
    return false;
  }
  set_deadline(too_slow_at());
  if (reading_) return false;
  if (!make_room_for_body()) {
    line_.keep_alive = false;
    return refuse(503, "There is no memory left for bodies.");
  }
  read_more();
  return false;
}

bool Connection::begin_handling() {
  line_.request.body = {line_.input.kept() + line_.reader.header_bytes(),
                        static_cast<std::size_t>(line_.body_bytes)};
  enter(Stage::handling);
  set_deadline(stage_since_ + kWatchAfter);
  try {
    std::get<Handler>(line_.route->handler)(line_.request, Responder(shared_from_this()));
  } catch (const std::exception&) {
    // The responder has answered 500.
  }
  return true;
}

bool Connection::board() {
  stage_ = Stage::boarding;
  loop_.deadlines().remove(*this);
  if (reading_) socket_->cancel();
  return true;
}

void Connection::begin_streaming() {
  stage_ = Stage::streaming;
  // Else each packet would wake the loop, too.
  error_code error;
  socket_->release(error);
  socket_.reset();
  shared_.streams.run([self = shared_from_this()] {
    const Remains remains = run_stream_handler(self->line_);
    asio::post(self->loop_.io(), [self, remains] { self->end_streaming(remains); });
  });
}

void Connection::end_streaming(Remains remains) {
  shared_.requests_in_flight.fetch_sub(1, std::memory_order_relaxed);
  counted_ = false;
  served_ = true;
  if (!watch()) return close();
  switch (remains) {
    case Remains::nothing:
      next_request();
      break;
    case Remains::body:
      enter(Stage::discarding);
      break;
    case Remains::last_answer:
      linger();
      break;
    case Remains::broken:
      return close();
  }
  advance();
}

bool Connection::step_discarding() {
  for (bool more = false; !more;) {
    std::string_view piece;
    switch (line_.next_piece(piece)) {
      case RequestReader::Body::piece:
        line_.input.skip(piece.size());
        break;
      case RequestReader::Body::done:
        next_request();
        return true;
      case RequestReader::Body::fault:
        linger();
        return false;
      case RequestReader::Body::more:
        more = true;
        break;
    }
  }
  if (line_.half_closed) {
    close();
    return false;
  }
  set_deadline(too_slow_at());
  if (reading_) return false;
  line_.make_room();
  read_more();
  return false;
}

void Connection::answer(Response&& response) {
  if (Loop::current() == &loop_) return deliver(std::move(response));
  const std::lock_guard lock(inbox_->mutex);
  if (!inbox_->open) return;
  inbox_->answers.emplace_back(shared_from_this(), std::move(response));
  if (inbox_->answers.size() == 1) inbox_->wake();
}

void Connection::deliver(Response&& response) {
  if (stage_ != Stage::handling) return;  // too late: it was answered for, or the client is gone
  const auto self = shared_from_this();
  compose(std::move(response));
  flush();
  advance();
}

bool Connection::refuse(Response response) {
  compose(std::move(response));
  flush();
  return true;
}
bool Connection::refuse(int status, std::string_view detail) {
  return refuse(problem(status, detail, line_.request.id));
}

// What cannot be read has no end that we could find: it is the last of its connection.
bool Connection::refuse_unreadable(const ReaderFault& fault) {
  shared_.malformed.fetch_add(1, std::memory_order_relaxed);
  line_.keep_alive = false;
  if (stage_ == Stage::header) {
    line_.forget_request();
    loop_.append_request_id(line_.request_id);
    line_.request.id = line_.request_id;
  }
  return refuse(fault.status, fault.detail);
}

void Connection::compose(Response&& response) {
  output_head_.clear();
  if (!line_.can_skip_body()) line_.keep_alive = false;
  line_.append_head(output_head_, response, ResponseHead::Framing::length, loop_.date());
  const bool without_body = line_.request.method == Method::head || has_no_body(response.status);
  output_body_ = without_body ? std::string() : std::move(response.body);
  output_status_ = response.status;
  output_sent_ = 0;
  enter(Stage::answering);
}

void Connection::flush() {
  while (output_sent_ < output_head_.size() + output_body_.size()) {
    std::string_view pieces[2];
    std::size_t count = 0;
    const std::size_t of_head = std::min(output_sent_, output_head_.size());
    if (of_head < output_head_.size()) pieces[count++] = std::string_view(output_head_).substr(of_head);
    pieces[count++] = std::string_view(output_body_).substr(output_sent_ - of_head);
    const Transport::Outcome outcome = line_.transport.write({pieces, count});
    switch (outcome.status) {
      case Transport::Status::done:
        output_sent_ += outcome.bytes;
        stage_bytes_ += outcome.bytes;
        continue;
      case Transport::Status::wants_read:
        set_deadline(too_slow_at());
        return wait_for_socket(Socket::wait_read);
      case Transport::Status::wants_write:
        set_deadline(too_slow_at());
        return wait_for_socket(Socket::wait_write);
      case Transport::Status::end:
      case Transport::Status::lost:
        return lost();
    }
  }
  finish_answer();
}

void Connection::finish_answer() {
  line_.observe(output_status_, output_body_.size());
  if (counted_) shared_.requests_in_flight.fetch_sub(1, std::memory_order_relaxed);
  counted_ = false;
  served_ = true;
  if (output_body_.capacity() > kFirstCapacity) output_body_ = std::string();
  if (!line_.keep_alive) return linger();
  if (!line_.reader.body_is_done()) return enter(Stage::discarding);
  next_request();
}

void Connection::next_request() {
  line_.input.forget_kept();
  in_request_ = false;
  stage_ = Stage::header;
}

// False if all bodies together hold too much. Grows with what has come, not with what was announced.
bool Connection::make_room_for_body() {
  InputBuffer& input = line_.input;
  const std::uint64_t left = line_.reader.is_chunked() ? kCapacityStep : line_.reader.body_bytes_left();
  const auto wanted = std::min<std::uint64_t>(left, std::max(kFirstCapacity, input.capacity() / 4));
  if (input.room().size() >= wanted) return true;
  input.close_gap();
  if (input.room().size() >= wanted) return true;
  const std::size_t held = input.all().size();
  std::size_t capacity = input.capacity();
  if (held + wanted > capacity) {
    const auto most = std::max(kCapacityStep, 2 * capacity);
    const std::uint64_t more = std::min<std::uint64_t>(held + left, most) - capacity;
    if (!shared_.reserve_body(more)) return false;
    reserved_ += more;
    capacity += static_cast<std::size_t>(more);
  }
  line_.set_capacity(capacity);
  return true;
}

void Connection::read_more() {
  CHECK(!reading_ && !line_.half_closed);
  const std::span<char> room = line_.input.room();
  CHECK(!room.empty());
  reading_ = true;
  line_.input.pin();
  if (!line_.transport.is_encrypted()) {
    socket_->async_read_some(
        asio::buffer(room.data(), room.size()),
        [self = shared_from_this()](error_code error, std::size_t count) { self->read_done(error, count); });
  } else if (line_.transport.has_buffered()) {
    asio::post(loop_.io(), [self = shared_from_this()] { self->read_encrypted(); });
  } else {
    socket_->async_wait(Socket::wait_read, [self = shared_from_this()](error_code error) {
      error ? self->read_done(error, 0) : self->read_encrypted();
    });
  }
}

void Connection::read_encrypted() {
  if (stage_ == Stage::closed) return;
  if (stage_ == Stage::boarding) return read_done(asio::error::operation_aborted, 0);
  const Transport::Outcome outcome = line_.transport.read(line_.input.room());
  const auto again = [self = shared_from_this()](error_code error) {
    error ? self->read_done(error, 0) : self->read_encrypted();
  };
  switch (outcome.status) {
    case Transport::Status::done:
      return read_done({}, outcome.bytes);
    case Transport::Status::end:
      return read_done(asio::error::eof, 0);
    case Transport::Status::lost:
      return read_done(asio::error::connection_reset, 0);
    case Transport::Status::wants_read:
      return socket_->async_wait(Socket::wait_read, again);
    case Transport::Status::wants_write:
      return socket_->async_wait(Socket::wait_write, again);
  }
}

void Connection::read_done(error_code error, std::size_t count) {
  reading_ = false;
  if (stage_ == Stage::closed) return;
  if (stage_ == Stage::lingering) {
    line_.input.filled(0);  // nobody looks at it
    return error ? close() : read_more();
  }
  line_.input.filled(count);
  if (error == asio::error::eof) {
    line_.half_closed = true;
  } else if (error && error != asio::error::operation_aborted) {
    return lost();
  }
  if (stage_ == Stage::body || stage_ == Stage::discarding) stage_bytes_ += count;
  advance();
}

template <class Wait>
void Connection::wait_for_socket(Wait what) {
  waiting_ = true;
  socket_->async_wait(what, [self = shared_from_this()](error_code error) {
    self->waiting_ = false;
    if (self->stage_ == Stage::closed) return;
    if (error) return self->lost();
    if (self->stage_ == Stage::answering) self->flush();
    self->advance();
  });
}

void Connection::reached(Clock::time_point now) {
  const auto self = shared_from_this();
  const auto count = [this] { shared_.timed_out.fetch_add(1, std::memory_order_relaxed); };
  switch (stage_) {
    case Stage::header:
      if (!in_request_) {
        if (!shared_.draining) count();
        return close();
      }
      count();
      refuse_unreadable({408, "The header took too long."});
      return advance();
    case Stage::body:
      if (now < too_slow_at()) return set_deadline(too_slow_at());
      count();
      line_.keep_alive = false;
      refuse(408, "The body comes too slowly.");
      return advance();
    case Stage::handling:
      if (now < stage_since_ + shared_.options.handler_time) {
        // A pending read tells when the client hangs up. Most answers come before one is worth its while.
        if (!reading_ && !line_.half_closed && !line_.input.room().empty()) read_more();
        return set_deadline(stage_since_ + shared_.options.handler_time);
      }
      count();
      gone_ = true;
      overdue_ = true;
      line_.keep_alive = false;
      refuse(503, "The answer took too long.");
      return advance();
    case Stage::discarding:
    case Stage::answering:
      if (now < too_slow_at()) return set_deadline(too_slow_at());
      count();
      return lost();
    case Stage::handshake:
      count();
      return close();
    case Stage::lingering:
      return close();
    case Stage::boarding:
    case Stage::streaming:
    case Stage::closed:
      return;
  }
}

void Connection::drain() {
  const auto self = shared_from_this();
  if (stage_ != Stage::header || !line_.input.empty()) return;
  if (!served_) return set_deadline(Clock::now() + kDrainGrace);
  char byte = 0;
  if (::recv(line_.descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0)
    close();  // else a request is there already
}

void Connection::cut() {
  gone_ = true;
  if (stage_ == Stage::streaming) {
    ::shutdown(line_.descriptor, SHUT_RDWR);
  } else {
    const auto self = shared_from_this();
    lost();
  }
}

// Reads on until the client closes: to close a socket with unread bytes would reset the connection, and the
// client could lose the answer that it has not read yet (RFC 9112, 9.6).
void Connection::linger() {
  if (line_.half_closed) return close();
  line_.transport.end_output();
  enter(Stage::lingering);
  set_deadline(stage_since_ + kLingerTime);
  if (reading_ || overdue_) return;
  line_.input.clear();
  read_more();
}

void Connection::lost() {
  gone_ = true;
  if (counted_) line_.observe(0, 0);
  close();
}

void Connection::close() {
  if (stage_ == Stage::closed) return;
  if (stage_ == Stage::boarding) shared_.streams.release();
  stage_ = Stage::closed;
  gone_ = true;
  if (counted_) shared_.requests_in_flight.fetch_sub(1, std::memory_order_relaxed);
  counted_ = false;
  loop_.deadlines().remove(*this);
  socket_.reset();
  loop_.leave(*this);
  shared_.addresses.leave(line_.request.peer.address);
  shared_.release_body(std::exchange(reserved_, 0));
  shared_.connection_closed();
  self_.reset();
}

}  // namespace nidus::http::internal
