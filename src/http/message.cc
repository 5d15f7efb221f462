#include "http/message.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "base/json_writer.h"
#include "base/text.h"
#include "http/internal/responder.h"
#include "http/internal/target.h"

namespace nidus::http {

std::string_view name_of(Method method) {
  switch (method) {
    case Method::get:
      return "GET";
    case Method::head:
      return "HEAD";
    case Method::post:
      return "POST";
    case Method::put:
      return "PUT";
    case Method::patch:
      return "PATCH";
    case Method::remove:
      return "DELETE";
    case Method::options:
      return "OPTIONS";
    case Method::other:
      break;
  }
  return "?";
}

std::string Peer::address_text() const {
  constexpr std::uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  char text[INET6_ADDRSTRLEN] = {};
  if (std::memcmp(address.data(), kMapped, sizeof kMapped) == 0) {
    inet_ntop(AF_INET, address.data() + sizeof kMapped, text, sizeof text);
  } else {
    inet_ntop(AF_INET6, address.data(), text, sizeof text);
  }
  return text;
}

std::string_view Request::header(std::string_view name) const {
  for (const auto& [known, value] : headers) {
    if (equal_ignoring_case(known, name)) return value;
  }
  return {};
}

std::string_view Request::content_type() const {
  const std::string_view value = header("content-type");
  return trim(value.substr(0, value.find(';')));
}

std::string_view Request::parameter(std::string_view name) const {
  for (const auto& [known, value] : parameters) {
    if (known == name) return value;
  }
  return {};
}

std::optional<std::string> Request::query(std::string_view name) const {
  if (path.size() >= target.size()) return std::nullopt;
  for (std::string_view rest = target.substr(path.size() + 1); !rest.empty();) {
    const std::size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::size_t equals = std::min(pair.find('='), pair.size());
    if (internal::percent_decoded(pair.substr(0, equals), true) != name) continue;
    return internal::percent_decoded(pair.substr(std::min(equals + 1, pair.size())), true);
  }
  return std::nullopt;
}

Response problem(int status, std::string_view detail, std::string_view request_id, std::string_view extras) {
  Response response;
  response.status = status;
  response.content_type = "application/problem+json";
  JsonWriter json(response.body);
  json.begin_object();
  json.field("type", "about:blank");
  json.field("title", reason_of(status));
  json.field("status", status);
  json.field("detail", detail);
  json.field("error", detail);
  if (!request_id.empty()) json.field("request_id", request_id);
  if (!extras.empty()) response.body.append(",").append(extras);
  json.end_object();
  return response;
}

std::string_view reason_of(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 416:
      return "Range Not Satisfiable";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    case 507:
      return "Insufficient Storage";
    default:
      return "Status";
  }
}

Responder::Responder(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Responder::Responder(Responder&&) noexcept = default;

Responder& Responder::operator=(Responder&& other) noexcept {
  if (this != &other) {
    Responder replaced(std::move(*this));  // whom we owed an answer gets one
    impl_ = std::move(other.impl_);
  }
  return *this;
}

Responder::~Responder() {
  if (impl_ != nullptr) send(problem(500, "The request was not answered.", {}));
}

void Responder::send(Response response) {
  CHECK(impl_ != nullptr);
  const std::shared_ptr<Impl> impl = std::move(impl_);
  impl->answer(std::move(response));
}

bool Responder::gone() const { return impl_ == nullptr || impl_->gone(); }

std::string_view Responder::request_id() const {
  return impl_ == nullptr ? std::string_view() : impl_->request_id();
}

}  // namespace nidus::http
