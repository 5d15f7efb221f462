#include "http/internal/line.h"

#include "base/text.h"

namespace nidus::http::internal {
namespace {

// How much of an unwanted body is read so that the connection can go on; beyond it a new one is cheaper.
constexpr std::uint64_t kSkippedBytesMax = 64 << 10;

bool allows(const Route& route, std::string_view type) {
  if (route.content_types.empty() || type.empty()) return true;
  for (const std::string_view allowed : route.content_types) {
    if (allowed == type) return true;
    if (allowed.ends_with("/*") && type.starts_with(allowed.substr(0, allowed.size() - 1))) return true;
  }
  return false;
}

}  // namespace

std::optional<Response> Line::objection(std::string_view allow) {
  if (route == nullptr) {
    if (request.path == "*") allow = shared.router.allow_of_all();
    if (allow.empty()) return problem(404, "There is nothing here.", request.id);
    Response response;
    if (request.method == Method::options) {
      response.status = 204;
    } else {
      response = problem(405, "This path takes " + std::string(allow) + ".", request.id);
    }
    response.headers.emplace_back("Allow", allow);
    return response;
  }
  if (shared.guard) {
    if (auto refusal = shared.guard(request, *route)) return refusal;
  }
  if (reader.body_is_done()) return std::nullopt;
  if (!allows(*route, request.content_type())) {
    std::string expected;
    for (const std::string& type : route->content_types) expected += (expected.empty() ? "" : ", ") + type;
    return problem(415, "The body has to be " + expected + ".", request.id);
  }
  const std::string_view encoding = request.header("content-encoding");
  if (!route->unpacks && !encoding.empty() && !equal_ignoring_case(encoding, "identity")) {
    Response response =
        problem(415, "The body has to come unpacked, without a Content-Encoding.", request.id);
    response.headers.emplace_back("Accept-Encoding", "identity");  // RFC 9110, 15.5.16
    return response;
  }
  if (request.content_length.value_or(0) > route->body_bytes_max) {
    return problem(413, "The body is larger than " + std::to_string(route->body_bytes_max) + " bytes.",
                   request.id);
  }
  return std::nullopt;
}

void Line::forget_request() {
  request.method = Method::other;
  request.target = request.path = request.body = {};
  request.headers.clear();
  request.parameters.clear();
  request.caller = {};
  request_id.clear();
  route = nullptr;
  body_bytes = 0;
}

RequestReader::Body Line::next_piece(std::string_view& piece) {
  const std::string_view unseen = input.unseen();
  std::string_view rest = unseen;
  const RequestReader::Body state = reader.read_body(rest, piece);
  const std::size_t framing =
      piece.empty() ? unseen.size() - rest.size() : static_cast<std::size_t>(piece.data() - unseen.data());
  if (framing > 0) input.skip(framing);
  body_bytes += piece.size();
  return state;
}

bool Line::tell_to_continue() {
  constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  continued = true;
  const Transport::Outcome outcome = transport.write({&kContinue, 1});
  // 25 bytes that nothing is in front of: what does not take them will take nothing.
  return outcome.status == Transport::Status::done && outcome.bytes == kContinue.size();
}

bool Line::can_skip_body() const {
  if (reader.body_is_done()) return true;
  return !reader.is_chunked() && reader.body_bytes_left() <= kSkippedBytesMax && !waits_for_continue();
}

void Line::make_room() {
  if (input.room().empty()) input.close_gap();
  if (!input.room().empty()) return;
  const bool at_front = 2 * input.all().size() > input.capacity();
  set_capacity(at_front ? 2 * input.capacity() : input.capacity());
}

void Line::set_capacity(std::size_t capacity) {
  input.set_capacity(capacity, [this](const char* from, const char* to, std::size_t size) {
    const auto follow = [&](std::string_view& view) {
      const auto first = reinterpret_cast<std::uintptr_t>(from);
      const auto at = reinterpret_cast<std::uintptr_t>(view.data());
      if (at >= first && at < first + size) view = {to + (at - first), view.size()};
    };
    follow(request.target);
    follow(request.path);
    for (auto& [name, value] : request.headers) {
      follow(name);
      follow(value);
    }
  });
}

void Line::append_head(std::string& out, const Response& response, ResponseHead::Framing framing,
                       std::string_view date) {
  if (framing == ResponseHead::Framing::until_closed || shared.draining) keep_alive = false;
  const std::string_view connection = !keep_alive ? "close" : http_11 ? "" : "keep-alive";
  shared.head.append(out, response, framing, response.body.size(), connection, date, request.id);
}

void Line::observe(int status, std::uint64_t bytes_out) const {
  if (!shared.observer) return;
  Exchange exchange;
  exchange.route = route;
  exchange.status = status;
  exchange.bytes_in = body_bytes;
  exchange.bytes_out = bytes_out;
  exchange.time = std::chrono::steady_clock::now() - request.arrived;
  shared.observer(request, exchange);
}

}  // namespace nidus::http::internal
