#pragma once

#include <atomic>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "http/internal/deadlines.h"
#include "http/internal/line.h"
#include "http/internal/responder.h"

namespace nidus::http::internal {

class Connection;
class Loop;

// Where other threads put answers for the connections of a loop. Outlives the loop, for answers that come too
// late.
struct Inbox {
  std::mutex mutex;
  bool open = true;
  std::vector<std::pair<std::shared_ptr<Connection>, Response>> answers;
  std::function<void()> wake;  // called under the mutex when the first answer is put in
};

// One client. A state machine on the thread of its loop: each step looks at the stage and does what can be
// done without waiting. One request at a time; what a client sends ahead (pipelining) waits in the input
// buffer, and when that is full, in the client.
//
// While a stream handler runs, its thread has the line for itself and waits with poll(); the loop then only
// ever shuts the socket down. So back-pressure is that of TCP, with no queues in between.
//
// A connection keeps itself alive until it is closed; then whoever still owes an answer does.
class Connection final : public Responder::Impl,
                         public Deadline,
                         public std::enable_shared_from_this<Connection> {
 public:
  // Owns `socket` from now on.
  Connection(Loop& loop, int socket, const Peer& peer);
  ~Connection();
  void open();

  // Any thread.
  void answer(Response&& response) override;
  bool gone() const override { return gone_.load(std::memory_order_relaxed); }
  std::string_view request_id() const override { return line_.request.id; }

  // The loop's.
  void deliver(Response&& response);
  void reached(Clock::time_point now);  // its deadline
  void drain();
  void cut();
  std::size_t place = 0;  // in the loop's list

 private:
  using Socket =
      boost::asio::basic_stream_socket<boost::asio::ip::tcp, boost::asio::io_context::executor_type>;

  enum class Stage : std::uint8_t {
    handshake,
    header,      // waits for a request or the rest of its header
    body,        // reads a body whole
    handling,    // a handler owes an answer
    boarding,    // waits for a pending read to end before a stream handler gets the line
    streaming,   // a stream handler has the line
    answering,   // sends an answer
    discarding,  // reads what nobody wanted of a body
    lingering,   // has sent its last, and waits for the client to have seen it
    closed,
  };

  void advance();
  bool step();
  bool step_handshake();
  bool step_header();
  bool step_body();
  bool step_discarding();
  bool begin_request();
  bool begin_handling();
  bool board();
  void begin_streaming();
  void end_streaming(Remains remains);

  // Answers in place of a handler.
  bool refuse(Response response);
  bool refuse(int status, std::string_view detail);
  bool refuse_unreadable(const ReaderFault& fault);
  void compose(Response&& response);
  void flush();
  void finish_answer();
  void next_request();

  void read_more();
  void read_encrypted();
  void read_done(boost::system::error_code error, std::size_t count);
  template <class Wait>
  void wait_for_socket(Wait what);
  bool make_room_for_body();
  void enter(Stage stage);
  bool watch();
  void set_deadline(Clock::time_point time);
  Clock::time_point too_slow_at() const;
  void linger();
  void lost();
  void close();

  Loop& loop_;
  Shared& shared_;
  Line line_;
  std::optional<Socket> socket_;
  std::shared_ptr<Inbox> inbox_;
  std::shared_ptr<Connection> self_;

  Stage stage_ = Stage::handshake;
  bool advancing_ = false;
  bool reading_ = false;     // a read is pending
  bool waiting_ = false;     // a wait for the socket is pending that is no read
  bool in_request_ = false;  // the first byte of a request was seen
  bool counted_ = false;     // in requests_in_flight
  bool served_ = false;      // at least one request was answered
  bool overdue_ = false;     // its handler did not answer in time, and may still look at the request
  std::atomic<bool> gone_ = false;

  Clock::time_point stage_since_{};
  std::uint64_t stage_bytes_ = 0;  // that went through since then
  std::uint64_t reserved_ = 0;     // of Shared::body_bytes

  std::string output_head_, output_body_;
  std::size_t output_sent_ = 0;
  int output_status_ = 0;
};

}  // namespace nidus::http::internal
