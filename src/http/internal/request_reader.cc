#include "http/internal/request_reader.h"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <deque>
#include <optional>
#include <string>

#include "base/check.h"
#include "base/text.h"
#include "http/internal/target.h"

namespace nidus::http::internal {
namespace {

namespace beast_http = boost::beast::http;
using Ec = boost::beast::error_code;

// What framing may cost beside the body itself, so that a body of one-byte chunks with long extensions cannot
// keep us busy for ever: every chunk of one byte is six of framing.
constexpr std::uint64_t kFramingBytesFree = 16 << 10;
constexpr std::uint64_t kFramingBytesPerByte = 8;
// Empty lines before a request (RFC 9112, 2.2), in bytes.
constexpr std::size_t kEmptyLineBytesMax = 4;
// Method, blanks and version around a target.
constexpr std::size_t kRequestLineBeside = 64;

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

Method method_of(beast_http::verb verb) {
  switch (verb) {
    case beast_http::verb::get:
      return Method::get;
    case beast_http::verb::head:
      return Method::head;
    case beast_http::verb::post:
      return Method::post;
    case beast_http::verb::put:
      return Method::put;
    case beast_http::verb::patch:
      return Method::patch;
    case beast_http::verb::delete_:
      return Method::remove;
    case beast_http::verb::options:
      return Method::options;
    default:
      return Method::other;
  }
}

// uri-host [ ":" port ] of RFC 3986 by its letters: no user, path, list or blank.
bool is_host(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view(".-_~:[]%!$&'()*+;=").find(c) != std::string_view::npos;
  });
}

bool is_number(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

// Beast calls it with what it read. One object for each request: Beast's parsers cannot be used again.
class RequestParser final : public beast_http::basic_parser<true> {
 public:
  RequestParser(Request& request, std::deque<std::string>& joined, std::size_t headers_max)
      : request_(request), joined_(joined), headers_max_(headers_max) {
    eager(false);  // so that every put() is one step, and a step yields at most one piece
    header_limit(UINT32_MAX);
    body_limit(boost::none);
  }

  std::string_view target, host, transfer_encoding, content_length, expect, version;
  std::string_view content_type;
  int hosts = 0, transfer_encodings = 0, content_lengths = 0, expects = 0;
  bool http_11 = false;
  bool too_many = false;
  std::string_view piece;

 private:
  void on_request_impl(beast_http::verb verb, boost::beast::string_view, boost::beast::string_view text,
                       int number, Ec&) override {
    request_.method = method_of(verb);
    target = view(text);
    http_11 = number == 11;
  }

  void on_field_impl(beast_http::field field, boost::beast::string_view name_text,
                     boost::beast::string_view value_text, Ec& ec) override {
    if (header_is_done_) return;  // a trailer: nothing we use may stand there (RFC 9110, 6.5.1)
    const std::string_view name = view(name_text), value = view(value_text);
    if (++fields_ > headers_max_) {
      too_many = true;
      ec = beast_http::error::header_limit;
      return;
    }
    switch (field) {
      case beast_http::field::host:
        ++hosts, host = value;
        break;
      case beast_http::field::transfer_encoding:
        ++transfer_encodings, transfer_encoding = value;
        break;
      case beast_http::field::content_length:
        ++content_lengths, content_length = value;
        break;
      case beast_http::field::expect:
        ++expects, expect = value;
        break;
      case beast_http::field::content_type:
        content_type = value;
        break;
      default:
        break;
    }
    for (auto& [known, known_value] : request_.headers) {
      if (!equal_ignoring_case(known, name)) continue;
      joined_.push_back(std::string(known_value) + ", " + std::string(value));
      known_value = joined_.back();
      return;
    }
    request_.headers.emplace_back(name, value);
  }

  void on_header_impl(Ec&) override { header_is_done_ = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, Ec&) override {}
  std::size_t on_body_impl(boost::beast::string_view, Ec&) override { return 0; }  // lengths are counted here
  void on_chunk_header_impl(std::uint64_t, boost::beast::string_view, Ec&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, boost::beast::string_view body, Ec&) override {
    piece = view(body);
    return body.size();
  }
  void on_finish_impl(Ec&) override {}
  void on_response_impl(int, boost::beast::string_view, int, Ec&) override {}

  Request& request_;
  std::deque<std::string>& joined_;
  std::size_t headers_max_;
  std::size_t fields_ = 0;
  bool header_is_done_ = false;
};

struct RequestReader::Impl {
  explicit Impl(const ReaderLimits& reader_limits) : limits(reader_limits) {}

  ReaderLimits limits;
  std::optional<RequestParser> parser;
  std::deque<std::string> joined;  // values of headers that stood several times
  ReaderFault fault;

  // Of the search for the header's end. Offsets into the bytes of the request.
  std::size_t scanned = 0;     // looked at
  std::size_t begin = 0;       // of the request line, behind empty lines
  std::size_t line_begin = 0;  // of the line that is looked at
  std::size_t end = 0;         // of the header

  bool chunked = false, continue_expected = false, body_done = false;
  std::uint64_t left = 0;  // of a body of known length
  std::uint64_t framing_bytes = 0, body_bytes = 0;

  Header refuse(int status, std::string_view detail) {
    fault = {status, detail};
    return Header::fault;
  }
  Header find_end(std::span<char> bytes);
  Header parse(std::span<char> bytes, Request& request);
  Header check(std::span<char> bytes, Request& request);
  Header check_framing(Request& request);
  Header set_target(std::span<char> bytes, Request& request);
};

// Looks at every byte once, also if they come one at a time. What this lets through has lines that end in CR
// LF, no line that goes on from the one before, and no control character but tabs.
RequestReader::Header RequestReader::Impl::find_end(std::span<char> bytes) {
  // What is too long is that however its bytes are cut, and whatever stands further on.
  const auto check_length = [&] {
    if (line_begin == begin && scanned - begin > limits.target_bytes_max + kRequestLineBeside)
      return refuse(414, "The target is too long.");
    if (scanned >= limits.header_bytes_max) return refuse(431, "The header is too large.");
    return Header::more;
  };
  for (; scanned < bytes.size(); ++scanned) {
    const auto c = static_cast<unsigned char>(bytes[scanned]);
    if (c >= 0x20 && c != 0x7f) [[likely]] {
      continue;
    }
    if (c == '\t') continue;
    if (check_length() == Header::fault) return Header::fault;
    if (c == '\n') return refuse(400, "A line ends in a line feed without a carriage return.");
    if (c != '\r') return refuse(400, "The header has a control character.");
    if (scanned + 1 == bytes.size()) break;  // its line feed is to come
    if (bytes[scanned + 1] != '\n') return refuse(400, "A carriage return is not followed by a line feed.");
    const std::size_t length = scanned - line_begin;
    const bool is_first = line_begin == begin;
    if (length > 0 && !is_first && (bytes[line_begin] == ' ' || bytes[line_begin] == '\t')) {
      return refuse(400, "A header line begins with a blank.");
    }
    ++scanned;
    line_begin = scanned + 1;
    if (length > 0) continue;
    if (!is_first) {
      end = scanned + 1;
      return end > limits.header_bytes_max ? refuse(431, "The header is too large.") : Header::done;
    }
    begin = scanned + 1;
    if (begin > kEmptyLineBytesMax) return refuse(400, "There are empty lines before the request.");
  }
  return check_length();
}

RequestReader::Header RequestReader::Impl::parse(std::span<char> bytes, Request& request) {
  parser.emplace(request, joined, limits.headers_max);
  Ec ec;
  parser->put({bytes.data() + begin, end - begin}, ec);
  if (!ec && parser->is_header_done()) return Header::done;
  if (parser->too_many) return refuse(431, "There are too many headers.");
  if (ec == beast_http::error::bad_version) {
    const std::string_view line(bytes.data() + begin, end - begin);
    const std::string_view first = line.substr(0, line.find('\r'));
    const std::string_view version = first.substr(std::min(first.rfind(' '), first.size() - 1) + 1);
    if (version.size() == 8 && version.starts_with("HTTP/") && is_number(version.substr(5, 1)) &&
        version[5] != '1' && version[6] == '.' && is_number(version.substr(7))) {
      return refuse(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.");
    }
    return refuse(400, "The request line does not end in HTTP/1.1.");
  }
  if (ec == beast_http::error::bad_method) return refuse(400, "The method is not a word.");
  if (ec == beast_http::error::bad_target) return refuse(400, "The target is not one.");
  if (ec == beast_http::error::bad_content_length || ec == beast_http::error::multiple_content_length ||
      ec == beast_http::error::bad_transfer_encoding) {
    return refuse(400, "The length of the body is not clear.");
  }
  return refuse(400, "A header line is not one.");
}

RequestReader::Header RequestReader::Impl::check_framing(Request& request) {
  if (parser->content_lengths > 1) return refuse(400, "There are several Content-Length headers.");
  if (parser->content_lengths > 0 && !is_number(parser->content_length)) {
    return refuse(400, "Content-Length is not a number.");
  }
  if (parser->transfer_encodings > 0) {
    if (parser->content_lengths > 0)
      return refuse(400, "There are both Content-Length and Transfer-Encoding.");
    if (parser->transfer_encodings > 1) return refuse(400, "There are several Transfer-Encoding headers.");
    if (!parser->http_11) return refuse(400, "HTTP/1.0 has no Transfer-Encoding.");
    if (!equal_ignoring_case(parser->transfer_encoding, "chunked")) {
      return refuse(501, "The only Transfer-Encoding that is understood is chunked.");
    }
    // Beast and we agree on what chunked is, or nobody reads the body.
    if (!parser->chunked()) return refuse(400, "The length of the body is not clear.");
    chunked = true;
    return Header::done;
  }
  if (parser->chunked()) return refuse(400, "The length of the body is not clear.");
  if (parser->content_lengths > 0) {
    left = parser->content_length_remaining().value_or(0);
    request.content_length = left;
  } else {
    request.content_length = 0;
  }
  body_done = left == 0;
  return Header::done;
}

RequestReader::Header RequestReader::Impl::set_target(std::span<char> bytes, Request& request) {
  std::string_view target = parser->target;
  const bool sound = std::all_of(target.begin(), target.end(),
                                 [](char c) { return c > 0x20 && c < 0x7f && c != '#' && c != '\\'; });
  if (!sound) return refuse(400, "The target has a character that may not stand there.");
  if (target.size() > limits.target_bytes_max) return refuse(414, "The target is too long.");
  if (target == "*" && request.method == Method::options) {
    request.target = request.path = target;
    return Header::done;
  }
  if (!target.starts_with('/')) {
    // http://host/path, as to a proxy: its host is that of the Host header's place (RFC 9112, 3.2.2).
    const std::size_t scheme = equal_ignoring_case(target.substr(0, 7), "http://")    ? 7
                               : equal_ignoring_case(target.substr(0, 8), "https://") ? 8
                                                                                      : 0;
    if (scheme == 0) return refuse(400, "The target is not a path.");
    const std::string_view rest = target.substr(scheme);
    const std::size_t slash = std::min(rest.find_first_of("/?"), rest.size());
    if (slash == 0 || !is_host(rest.substr(0, slash))) return refuse(400, "The target has no host.");
    target = rest.substr(slash);
    if (target.starts_with('?')) {
      bytes[static_cast<std::size_t>(target.data() - bytes.data()) - 1] = '/';
      target = {target.data() - 1, target.size() + 1};
    }
    if (target.empty()) target = "/";
  }
  if (!percents_are_sound(target)) return refuse(400, "A % in the target is not followed by two digits.");
  request.target = target;
  request.path = target.substr(0, target.find('?'));
  return Header::done;
}

RequestReader::Header RequestReader::Impl::check(std::span<char> bytes, Request& request) {
  if (parser->hosts > 1) return refuse(400, "There are several Host headers.");
  if (parser->hosts == 0 && parser->http_11) return refuse(400, "There is no Host header.");
  if (!is_host(parser->host)) return refuse(400, "Host is not the name of one.");
  if (const Header framing = check_framing(request); framing != Header::done) return framing;
  if (const Header target = set_target(bytes, request); target != Header::done) return target;
  if (parser->expects > 0 && parser->http_11) {  // HTTP/1.0 does not know it (RFC 9110, 10.1.1)
    if (parser->expects > 1 || !equal_ignoring_case(parser->expect, "100-continue")) {
      return refuse(417, "The only expectation that is understood is 100-continue.");
    }
    continue_expected = true;
  }
  const std::string_view kind = parser->content_type.substr(0, parser->content_type.find(';'));
  if (!kind.empty()) {
    char* const letters = bytes.data() + (kind.data() - bytes.data());
    std::transform(letters, letters + kind.size(), letters,
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; });
  }
  return Header::done;
}

RequestReader::RequestReader(const ReaderLimits& limits) : impl_(std::make_unique<Impl>(limits)) {}
RequestReader::~RequestReader() = default;

void RequestReader::start() {
  impl_->scanned = impl_->begin = impl_->line_begin = impl_->end = 0;
  impl_->chunked = impl_->continue_expected = impl_->body_done = false;
  impl_->left = impl_->framing_bytes = impl_->body_bytes = 0;
  impl_->joined.clear();
}

RequestReader::Header RequestReader::read_header(std::span<char> bytes, Request& request) {
  if (const Header found = impl_->find_end(bytes); found != Header::done) return found;
  request.headers.clear();
  request.parameters.clear();
  request.target = request.path = request.body = {};
  request.content_length.reset();
  if (const Header parsed = impl_->parse(bytes, request); parsed != Header::done) return parsed;
  return impl_->check(bytes, request);
}

std::size_t RequestReader::header_bytes() const { return impl_->end; }
bool RequestReader::keeps_alive() const { return impl_->parser->keep_alive(); }
bool RequestReader::is_http_11() const { return impl_->parser->http_11; }
bool RequestReader::expects_continue() const { return impl_->continue_expected; }
bool RequestReader::body_is_done() const { return impl_->body_done; }
bool RequestReader::is_chunked() const { return impl_->chunked; }
std::uint64_t RequestReader::body_bytes_left() const { return impl_->left; }
const ReaderFault& RequestReader::fault() const { return impl_->fault; }

void RequestReader::pass_body(std::uint64_t count) {
  CHECK(!impl_->chunked && count <= impl_->left);
  impl_->left -= count;
  impl_->body_done = impl_->left == 0;
}

RequestReader::Body RequestReader::read_body(std::string_view& bytes, std::string_view& piece) {
  piece = {};
  if (impl_->body_done) return Body::done;
  if (!impl_->chunked) {
    if (bytes.empty()) return Body::more;
    piece = bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(impl_->left, bytes.size())));
    bytes.remove_prefix(piece.size());
    impl_->left -= piece.size();
    impl_->body_done = impl_->left == 0;
    return Body::piece;
  }
  RequestParser& parser = *impl_->parser;
  while (!bytes.empty()) {
    parser.piece = {};
    Ec ec;
    const std::size_t used = parser.put({bytes.data(), bytes.size()}, ec);
    bytes.remove_prefix(used);
    if (ec == beast_http::error::need_more) return Body::more;
    if (ec) {
      impl_->fault = {400, "The chunks of the body are broken."};
      return Body::fault;
    }
    impl_->body_bytes += parser.piece.size();
    impl_->framing_bytes += used - parser.piece.size();
    if (impl_->framing_bytes > kFramingBytesFree + kFramingBytesPerByte * impl_->body_bytes) {
      impl_->fault = {400, "The chunks of the body are mostly framing."};
      return Body::fault;
    }
    impl_->body_done = parser.is_done();
    if (!parser.piece.empty()) {
      piece = parser.piece;
      return Body::piece;
    }
    if (impl_->body_done) return Body::done;
  }
  return Body::more;
}

}  // namespace nidus::http::internal
