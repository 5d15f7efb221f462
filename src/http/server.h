#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "http/message.h"

namespace nidus::http {

// Gets the request with its whole body, on the thread that read it, and must not block: it answers at once,
// or keeps the responder and answers later from any thread. The request lives until the answer was sent.
using Handler = std::function<void(const Request&, Responder)>;

// Runs on a thread of its own, out of a bounded pool, and may block. The answer may begin before the body was
// read to its end.
using StreamHandler = std::function<void(const Request&, BodyReader&, BodyWriter&)>;

// A route of `get` also takes HEAD; OPTIONS is answered for every path. A path of fixed words comes before
// one with names.
struct Route {
  Method method = Method::get;
  // "/api/v1/detectors/{name}/activate": a name in braces takes one segment. Also what metrics call the
  // route.
  std::string pattern;
  // Beyond it 413.
  std::uint64_t body_bytes_max = 0;
  // What a body may be, as content types in lower case; "multipart/*" takes all of a kind. Another is 415; a
  // request that does not say, or has no body, passes. Empty: anything.
  std::vector<std::string> content_types;
  // Whether the handler finds out by itself that a body is packed. Else one with a Content-Encoding is 415.
  bool unpacks = false;
  std::variant<Handler, StreamHandler> handler;
  // The caller's, for the guard: which scopes are needed, and what a request costs.
  std::uint32_t scopes = 0;
  double cost = 1;
};

// Asked once the header of a request was read and before any of its body, on the thread that read it; must
// not block. Fills request.caller, or refuses with an answer.
using Guard = std::function<std::optional<Response>(Request& request, const Route& route)>;

// Told once about each request that was answered, also by the server itself, on the thread that answered it;
// must not block. `route` is null where there was none; what could not be read as a request has an empty
// target.
struct Exchange {
  const Route* route = nullptr;
  int status = 0;                             // 0: the client hung up before an answer
  std::uint64_t bytes_in = 0, bytes_out = 0;  // of bodies
  std::chrono::nanoseconds time{};            // from the first byte read to the last byte given to the system
};
using Observer = std::function<void(const Request&, const Exchange&)>;

struct TlsOptions {
  std::filesystem::path certificate, key;  // PEM; certificate with its chain
  std::filesystem::path
      client_authorities;  // PEM; not empty: a client must show a certificate signed by them
};

struct ServerOptions {
  std::string address = "127.0.0.1";  // an address of this machine, not a name
  std::uint16_t port = 8080;          // 0: any that is free; Server::port() says which
  std::optional<TlsOptions> tls;
  std::size_t threads = 0;          // that read, write and run handlers; 0: one for each processor
  std::size_t stream_threads = 16;  // stream handlers at once; one more is answered 503

  std::size_t connections_max = 20000;
  std::size_t connections_per_address_max = 10000;  // of IPv6: per network of 64 bits
  std::size_t header_bytes_max = 16 << 10;          // request line and headers; beyond it 431
  std::size_t headers_max = 100;
  std::size_t target_bytes_max = 8 << 10;  // beyond it 414
  // Bodies held whole, by all connections together; beyond it 503.
  std::uint64_t body_bytes_in_flight_max = std::uint64_t{1} << 30;

  std::chrono::milliseconds header_time = std::chrono::seconds(10);  // from the first byte to the last
  std::chrono::milliseconds idle_time = std::chrono::seconds(60);    // between requests
  // A body, and the reading of an answer, must move at least this fast after a time of grace. Only time that
  // we wait for the client counts.
  std::uint64_t bytes_per_second_min = 1000;
  std::chrono::milliseconds grace = std::chrono::seconds(5);
  std::chrono::milliseconds handler_time = std::chrono::seconds(60);  // of handlers of whole bodies; then 503

  // Sent with each answer, beside those that every answer has.
  std::vector<std::pair<std::string, std::string>> headers;
};

// What the sockets are doing, for metrics.
struct ServerCounts {
  std::uint64_t connections = 0;         // open now
  std::uint64_t accepted = 0;            // ever
  std::uint64_t refused = 0;             // for limits of connections
  std::uint64_t timed_out = 0;           // header, body, idle or reader too slow
  std::uint64_t malformed = 0;           // requests that were no HTTP
  std::uint64_t requests_in_flight = 0;  // whose answer was not given yet
  std::uint64_t stream_handlers = 0;     // running now
};

// An HTTP/1.1 server (RFC 9110, 9112) that is hard to stall: nothing that a client sends or leaves out blocks
// another client. Message framing that two parties could read in two ways is refused and the connection
// closed: Content-Length with Transfer-Encoding, two lengths that differ, another coding than chunked, spaces
// before a colon, folded lines, bare line feeds.
//
// Deadlines are kept to a tenth of a second. From start() on, the process ignores SIGPIPE.
//
// Thread-safe after start().
class Server {
 public:
  // Errc::invalid if two routes take the same requests or an option makes no sense; Errc::io if the address
  // cannot be bound; those of a certificate that cannot be read or used.
  static Result<Server> start(ServerOptions options, std::vector<Route> routes, Guard guard,
                              Observer observer);

  Server(Server&&) noexcept;
  Server& operator=(Server&&) noexcept;
  ~Server();  // stop(0 s)

  std::uint16_t port() const;
  ServerCounts counts() const;

  // Reads certificate and key again, for connections to come; open ones go on. On an error the old ones stay.
  Result<void> reload_certificates();

  // Takes no more connections, answers what is under way, says "Connection: close", and returns when all are
  // closed or the time is over; what is open then is cut. True if nothing was cut. Waits for stream handlers,
  // whose reads and writes fail then, to return. Not to be called by a handler.
  bool stop(std::chrono::milliseconds patience);

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// To be called by a handler of whole bodies on the thread that runs it: runs `task` on that thread, after the
// handlers of all requests that were found with this one. What arrived together can so be worked on together,
// and nothing ever waits for what has not arrived. `task` may call after_arrived() itself.
void after_arrived(std::function<void()> task);

}  // namespace nidus::http
