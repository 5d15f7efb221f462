#pragma once

#include <array>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "http/internal/connection.h"
#include "http/internal/deadlines.h"
#include "http/internal/shared.h"

namespace nidus::http::internal {

using Executor = boost::asio::io_context::executor_type;
using Socket = boost::asio::basic_stream_socket<boost::asio::ip::tcp, Executor>;
using Acceptor = boost::asio::basic_socket_acceptor<boost::asio::ip::tcp, Executor>;
using Timer = boost::asio::basic_waitable_timer<Clock, boost::asio::wait_traits<Clock>, Executor>;

// One thread: its io_context, its listening socket, and the connections that came in through it. They never
// change threads, but for the time that a stream handler has one. Public functions are for this thread where
// nothing else is said.
class Loop {
 public:
  // `listener` is a listening, non-blocking socket, which the loop owns from now on.
  Loop(Shared& shared, std::size_t index, int listener);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Any thread. drain() and cut() may follow, and before the end of this object finish().
  void start();
  // Any thread. No new connections; those that wait for a request are closed, the others are after their
  // answer.
  void drain();
  // Any thread. Closes what is open.
  void cut();
  // Any thread. Ends the thread; no connection may be left.
  void finish();

  // The loop that runs the calling thread; null if none does.
  static Loop* current();

  Shared& shared() { return shared_; }
  boost::asio::io_context& io() { return io_; }
  const std::shared_ptr<Inbox>& inbox() const { return inbox_; }
  Deadlines& deadlines() { return deadlines_; }
  // What Date says.
  std::string_view date();
  void append_request_id(std::string& out);
  void after_arrived(std::function<void()> task);

  void enter(Connection& connection);
  void leave(Connection& connection);

 private:
  void run();
  void tick();
  void wait_for_connections();
  bool accept();
  bool admit(int socket, const Peer& peer);
  void run_after_arrived();
  void read_inbox();

  Shared& shared_;
  const std::size_t index_;
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<Executor> work_;
  Acceptor acceptor_;
  Timer timer_;
  // Given back when there are no others, so that who connects can be turned away and need not wait for a
  // timeout.
  int spare_descriptor_;
  bool accepting_paused_ = false;
  bool finished_ = false;
  Deadlines deadlines_;
  std::vector<Connection*> connections_;
  std::shared_ptr<Inbox> inbox_;
  std::vector<std::pair<std::shared_ptr<Connection>, Response>>
      read_;  // of the inbox, to use its memory again
  std::vector<std::function<void()>> after_, running_after_;
  std::string date_;
  std::chrono::system_clock::time_point date_second_{};
  std::string id_prefix_;
  std::uint64_t ids_ = 0;
  std::thread thread_;
};

}  // namespace nidus::http::internal
