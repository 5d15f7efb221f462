#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "http/internal/buffer.h"
#include "http/internal/request_reader.h"
#include "http/internal/shared.h"
#include "http/internal/transport.h"

namespace nidus::http::internal {

// The line to one client and the request that is under way on it. Belongs to one thread at a time: that of
// the connection's loop, or that of a stream handler.
struct Line {
  Line(Shared& of_all, int socket)
      : shared(of_all),
        descriptor(socket),
        transport(socket, shared.options.tls ? shared.tls().get() : nullptr),
        reader(
            {shared.options.header_bytes_max, shared.options.headers_max, shared.options.target_bytes_max}) {}

  Shared& shared;
  const int descriptor;
  Transport transport;
  RequestReader reader;
  InputBuffer input;         // what it keeps is header and body of the request
  bool half_closed = false;  // the client will send no more

  Request request;
  std::string request_id;  // what request.id views
  const Route* route = nullptr;
  bool http_11 = true;
  bool keep_alive = true;
  bool continued = false;  // 100 was sent
  std::uint64_t body_bytes = 0;

  // Why the request is answered before its body is looked at; nothing if it is for the handler of `route`.
  // `allow` as in Router::Found.
  std::optional<Response> objection(std::string_view allow);
  // For what was no request, but is answered.
  void forget_request();

  // Takes the next of the body from the input. `piece` is the first of what is then unseen.
  RequestReader::Body next_piece(std::string_view& piece);

  // The client still waits to be told that it may send its body.
  bool waits_for_continue() const {
    return reader.expects_continue() && !continued && body_bytes == 0 && input.unseen().empty();
  }
  // False if it cannot be sent.
  bool tell_to_continue();

  // So that the next request can be found behind the body of this one.
  bool can_skip_body() const;

  // For what nobody keeps, or a header: the reader limits how much that can be.
  void make_room();
  // Changes the capacity of the input; views of `request` follow.
  void set_capacity(std::size_t capacity);

  // Appends the head of an answer. It tells the client whether the connection goes on after it, as far as
  // that is known.
  void append_head(std::string& out, const Response& response, ResponseHead::Framing framing,
                   std::string_view date);

  void observe(int status, std::uint64_t bytes_out) const;
};

// How a stream handler leaves a line.
enum class Remains : std::uint8_t {
  nothing,      // the next request may come
  body,         // some of the body is to be skipped
  last_answer,  // no other request can be read
  broken,       // the client is gone, or was not given a whole answer
};

// Runs the stream handler of line.route, waiting for the client in poll(). Ends early where the socket is
// shut down (shutdown(2)) by another thread.
Remains run_stream_handler(Line& line);

}  // namespace nidus::http::internal
