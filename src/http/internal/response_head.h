#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/message.h"

namespace nidus::http::internal {

// Writes what comes before the body of an answer. Thread-safe.
class ResponseHead {
 public:
  // `encrypted`: answers go through TLS, and browsers shall not come back without it. `additional` as in
  // ServerOptions::headers.
  ResponseHead(bool encrypted, std::vector<std::pair<std::string, std::string>> additional);

  enum class Framing : std::uint8_t { length, chunked, until_closed };

  // Appends status line and headers. `body_bytes` is announced with Framing::length. `connection` is
  // what Connection says; empty: nothing.
  void append(std::string& out, const Response& response, Framing framing, std::uint64_t body_bytes,
              std::string_view connection, std::string_view date, std::string_view request_id) const;

 private:
  std::vector<std::pair<std::string, std::string>> usual_;
  std::string usual_text_;  // all of them, as they are sent where no answer has its own
};

// Answers with these have no body and no Content-Length (RFC 9110, 8.6).
inline bool has_no_body(int status) { return status < 200 || status == 204 || status == 304; }

// "Sat, 21 Nov 2026 21:05:13 GMT" (RFC 9110, 5.6.7).
std::string http_date(std::chrono::system_clock::time_point time);

}  // namespace nidus::http::internal
