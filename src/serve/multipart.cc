#include "serve/multipart.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace nidus::serve {
namespace {

Error corrupt(const char* what) { return {Errc::corrupt, fmt::format("multipart: {}", what)}; }

// The value of a parameter of a header: form-data; name="file"; filename="a.csv". Inside quotes a backslash
// stands before a quote.
std::optional<std::string> parameter_of(std::string_view header, std::string_view wanted) {
  std::size_t at = header.find(';');
  while (at != std::string_view::npos && at < header.size()) {
    ++at;
    const std::size_t equals = header.find('=', at);
    if (equals == std::string_view::npos) return std::nullopt;
    const std::string name = to_lower(trim(header.substr(at, equals - at)));
    std::string value;
    at = equals + 1;
    while (at < header.size() && (header[at] == ' ' || header[at] == '\t')) ++at;
    if (at < header.size() && header[at] == '"') {
      for (++at; at < header.size() && header[at] != '"'; ++at) {
        if (header[at] == '\\' && at + 1 < header.size()) ++at;
        value += header[at];
      }
      at = header.find(';', at);
    } else {
      const std::size_t end = std::min(header.find(';', at), header.size());
      value = trim(header.substr(at, end - at));
      at = end == header.size() ? std::string_view::npos : end;
    }
    if (name == wanted) return value;
  }
  return std::nullopt;
}

}  // namespace

Multipart::Multipart(std::string boundary, http::BodyReader& body)
    : delimiter_("\r\n--" + std::move(boundary)), body_(&body), buffer_("\r\n") {}

Result<Multipart> Multipart::open(std::string_view content_type, http::BodyReader& body) {
  if (!to_lower(content_type).starts_with("multipart/"))
    return Error{Errc::invalid, "expected a body of type multipart/form-data"};
  const auto boundary = parameter_of(content_type, "boundary");
  constexpr std::size_t kBoundaryMax = 70;  // RFC 2046, 5.1.1
  if (!boundary || boundary->empty() || boundary->size() > kBoundaryMax ||
      std::any_of(boundary->begin(), boundary->end(), [](char c) { return c < ' ' || c > '~'; }))
    return Error{Errc::invalid, "multipart: the content type names no boundary"};
  return Multipart(*boundary, body);
}

Result<bool> Multipart::more() {
  if (body_ended_) return false;
  if (at_ > 0) {
    buffer_.erase(0, at_);
    at_ = 0;
  }
  auto bytes = body_->read();
  if (!bytes) return std::move(bytes).error();
  if (bytes->empty()) {
    body_ended_ = true;
    return false;
  }
  buffer_.append(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  return true;
}

Result<std::span<const std::byte>> Multipart::read() {
  if (!in_part_) return std::span<const std::byte>();
  for (;;) {
    const std::size_t found = buffer_.find(delimiter_, at_);
    // What may be the beginning of the delimiter has to wait for its end.
    std::size_t safe = found != std::string::npos                 ? found
                       : buffer_.size() - at_ > delimiter_.size() ? buffer_.size() - delimiter_.size()
                                                                  : at_;
    if (safe > at_) {
      const auto* const start = reinterpret_cast<const std::byte*>(buffer_.data()) + at_;
      const std::span<const std::byte> piece(start, safe - at_);
      at_ = safe;
      return piece;
    }
    if (found != std::string::npos) {
      at_ = found + delimiter_.size();
      in_part_ = false;
      return std::span<const std::byte>();
    }
    auto read_more = more();
    if (!read_more) return std::move(read_more).error();
    if (!*read_more) return corrupt("the body ends within a part");
  }
}

Result<std::optional<Multipart::Part>> Multipart::next() {
  if (ended_) return std::optional<Part>();
  if (parts_ == 0 && !in_part_) in_part_ = true;  // the preamble, which nobody reads
  while (in_part_) {
    auto piece = read();
    if (!piece) return std::move(piece).error();
  }
  // Behind a delimiter: two dashes are the end, a line end begins a part.
  while (buffer_.size() - at_ < 2) {
    auto read_more = more();
    if (!read_more) return std::move(read_more).error();
    if (!*read_more) return corrupt("the body ends within a boundary");
  }
  if (buffer_.compare(at_, 2, "--") == 0) {
    ended_ = true;
    return std::optional<Part>();
  }
  if (++parts_ > kPartsMax)
    return Error{Errc::exhausted, fmt::format("multipart: more than {} parts", kPartsMax)};
  auto part = head();
  if (!part) return std::move(part).error();
  in_part_ = true;
  return std::optional<Part>(std::move(*part));
}

Result<Multipart::Part> Multipart::head() {
  // Blanks may stand behind the boundary; then headers, each a line, up to an empty one.
  std::size_t end = std::string::npos;
  for (;;) {
    end = buffer_.find("\r\n\r\n", at_);
    if (end != std::string::npos && end - at_ <= kHeadBytesMax) break;
    if (buffer_.size() - at_ > kHeadBytesMax)
      return Error{Errc::exhausted, "multipart: the headers of a part are too long"};
    auto read_more = more();
    if (!read_more) return std::move(read_more).error();
    if (!*read_more) return corrupt("the body ends within the headers of a part");
  }
  Part part;
  bool named = false;
  std::string_view lines(buffer_.data() + at_, end - at_);
  for (std::string_view line : split(lines, '\n')) {
    line = trim(line);
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string name = to_lower(trim(line.substr(0, colon)));
    const std::string_view value = trim(line.substr(colon + 1));
    if (name == "content-disposition") {
      part.name = parameter_of(value, "name").value_or("");
      part.file_name = parameter_of(value, "filename").value_or("");
      named = !part.name.empty();
    } else if (name == "content-type") {
      part.content_type = to_lower(trim(value.substr(0, value.find(';'))));
    }
  }
  if (!named) return corrupt("a part has no name");
  at_ = end + 4;
  return part;
}

}  // namespace nidus::serve
