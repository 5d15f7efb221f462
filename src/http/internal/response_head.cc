#include "http/internal/response_head.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <ctime>

#include "base/check.h"
#include "base/text.h"

namespace nidus::http::internal {
namespace {

// What a browser may do with an answer of ours: show it, and nothing else. A page of the server brings a
// policy of its own (OWASP Secure Headers Project).
constexpr std::pair<std::string_view, std::string_view> kSecurity[] = {
    {"Content-Security-Policy",
     "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Cache-Control", "no-store"},
};

// A line end in a name or value would begin a header, or an answer, of an attacker's making.
void check_header(std::string_view name, std::string_view value) {
  CHECK(!name.empty());
  for (const char c : name) {
    CHECK((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_');
  }
  for (const char c : value) CHECK((static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) || c == '\t');
}

void append_header(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

void append_digits(std::string& out, std::uint64_t number) {
  char digits[20];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

}  // namespace

ResponseHead::ResponseHead(bool encrypted, std::vector<std::pair<std::string, std::string>> additional)
    : usual_(std::move(additional)) {
  for (const auto& [name, value] : kSecurity) {
    const bool given = std::any_of(usual_.begin(), usual_.end(), [&name = name](const auto& one) {
      return equal_ignoring_case(one.first, name);
    });
    if (!given) usual_.emplace_back(name, value);
  }
  if (encrypted) usual_.emplace_back("Strict-Transport-Security", "max-age=31536000");
  for (const auto& [name, value] : usual_) {
    check_header(name, value);
    append_header(usual_text_, name, value);
  }
}

void ResponseHead::append(std::string& out, const Response& response, Framing framing,
                          std::uint64_t body_bytes, std::string_view connection, std::string_view date,
                          std::string_view request_id) const {
  CHECK(response.status >= 100 && response.status <= 999);
  out.append("HTTP/1.1 ");
  append_digits(out, static_cast<std::uint64_t>(response.status));
  out.append(" ").append(reason_of(response.status)).append("\r\nDate: ").append(date).append("\r\n");
  if (!has_no_body(response.status)) {
    if (!response.content_type.empty()) {
      check_header("Content-Type", response.content_type);
      append_header(out, "Content-Type", response.content_type);
    }
    if (framing == Framing::length) {
      out.append("Content-Length: ");
      append_digits(out, body_bytes);
      out.append("\r\n");
    } else if (framing == Framing::chunked) {
      out.append("Transfer-Encoding: chunked\r\n");
    }
  }
  if (!connection.empty()) append_header(out, "Connection", connection);
  if (!request_id.empty()) append_header(out, "X-Request-Id", request_id);
  if (response.headers.empty()) {
    out.append(usual_text_);
  } else {
    for (const auto& [name, value] : response.headers) {
      check_header(name, value);
      append_header(out, name, value);
    }
    for (const auto& [name, value] : usual_) {
      const bool replaced =
          std::any_of(response.headers.begin(), response.headers.end(),
                      [&name = name](const auto& own) { return equal_ignoring_case(own.first, name); });
      if (!replaced) append_header(out, name, value);
    }
  }
  out.append("\r\n");
}

std::string http_date(std::chrono::system_clock::time_point time) {
  constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  const int length = std::snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT",
                                   kDays[parts.tm_wday], parts.tm_mday, kMonths[parts.tm_mon],
                                   parts.tm_year + 1900, parts.tm_hour, parts.tm_min, parts.tm_sec);
  return {text, static_cast<std::size_t>(length)};
}

}  // namespace nidus::http::internal
