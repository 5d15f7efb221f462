#include <fmt/format.h>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "auth/internal/fetch.h"
#include "base/number.h"
#include "base/text.h"

namespace nidus::auth::internal {
namespace {

namespace beast_http = boost::beast::http;

constexpr std::uint32_t kHeaderBytesMax = 16 << 10;

Error invalid_url(const std::string& why) { return {Errc::invalid, why}; }

bool is_this_machine(std::string_view host) {
  return host == "localhost" || host == "::1" ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos);
}

}  // namespace

Result<Url> parse_url(std::string_view text) {
  Url url;
  if (text.size() > 2048) return invalid_url("longer than 2,048 characters");
  for (const char c : text) {
    if (c <= ' ' || c >= 0x7f || c == '\\' || c == '"' || c == '<' || c == '>')
      return invalid_url("a character that no address has; write it with a percent sign");
  }
  std::string_view rest = text;
  if (rest.starts_with("https://")) {
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
    url.is_secure = false;
    url.port = 80;
  } else {
    return invalid_url("neither https:// nor http://");
  }
  const auto slash = rest.find_first_of("/?#");
  std::string_view authority = rest.substr(0, slash);
  url.target = slash == std::string_view::npos ? "/" : std::string(rest.substr(slash));
  if (url.target.front() == '?') url.target.insert(0, 1, '/');
  if (url.target.find('#') != std::string::npos) return invalid_url("what follows # is never sent");
  if (authority.find('@') != std::string_view::npos)
    return invalid_url("names and passwords do not belong into it");
  std::string_view port;
  if (authority.starts_with('[')) {
    const auto close = authority.find(']');
    if (close == std::string_view::npos) return invalid_url("an open bracket");
    url.host = authority.substr(1, close - 1);
    port = authority.substr(close + 1);
    if (url.host.find_first_not_of("0123456789abcdefABCDEF:.") != std::string::npos)
      return invalid_url("no address between the brackets");
  } else {
    const auto colon = authority.find(':');
    url.host = to_lower(authority.substr(0, colon));
    if (colon != std::string_view::npos) port = authority.substr(colon);
    if (url.host.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyz.-_") != std::string::npos)
      return invalid_url("no name of a host");
  }
  if (url.host.empty() || url.host.size() > 253) return invalid_url("no host");
  if (!port.empty()) {
    const auto number = port.front() == ':' ? parse_integer(port.substr(1)) : std::nullopt;
    if (!number || *number < 1 || *number > 65535) return invalid_url("no port after the host");
    url.port = static_cast<std::uint16_t>(*number);
  }
  if (!url.is_secure && !is_this_machine(url.host))
    return invalid_url("http:// is for this machine only; others need https://");
  return url;
}

struct AnswerReader::Impl {
  explicit Impl(std::size_t bytes_max) {
    parser.header_limit(kHeaderBytesMax);
    parser.body_limit(bytes_max);
    parser.eager(true);
  }

  Result<bool> done() {
    if (!parser.is_header_done()) return false;
    const int status = parser.get().result_int();
    if (status != 200) return Error{Errc::unsupported, fmt::format("the answer is {}, not 200", status)};
    return parser.is_done();
  }
  static Error fault(const boost::beast::error_code& code) {
    const bool is_limit = code == beast_http::error::body_limit || code == beast_http::error::header_limit;
    return {is_limit ? Errc::exhausted : Errc::corrupt, "the answer: " + code.message()};
  }

  beast_http::response_parser<beast_http::string_body> parser;
  std::string kept;  // what the parser has not taken yet
};

AnswerReader::AnswerReader(std::size_t body_bytes_max) : impl_(std::make_unique<Impl>(body_bytes_max)) {}
AnswerReader::~AnswerReader() = default;

Result<bool> AnswerReader::put(std::string_view bytes) {
  auto& [parser, kept] = *impl_;
  kept.append(bytes);
  std::size_t taken = 0;
  while (taken < kept.size() && !parser.is_done()) {
    boost::beast::error_code code;
    const std::size_t count =
        parser.put(boost::asio::const_buffer(kept.data() + taken, kept.size() - taken), code);
    taken += count;
    if (code == beast_http::error::need_more) break;
    if (code) return Impl::fault(code);
    if (count == 0) break;
  }
  kept.erase(0, taken);
  // A line that never ends is no header; Beast counts those that do.
  if (kept.size() > kHeaderBytesMax) return Error{Errc::exhausted, "the answer: its header is too long"};
  return impl_->done();
}

Result<bool> AnswerReader::end() {
  boost::beast::error_code code;
  if (!impl_->parser.is_header_done()) return Error{Errc::corrupt, "the answer: no header, or half of one"};
  impl_->parser.put_eof(code);
  if (code) return Impl::fault(code);
  return impl_->done();
}

std::string& AnswerReader::body() { return impl_->parser.get().body(); }

}  // namespace nidus::auth::internal
