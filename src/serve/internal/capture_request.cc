#include "serve/internal/capture_request.h"

#include <utility>

#include "serve/internal/answers.h"
#include "serve/internal/kept_verdicts.h"
#include "serve/internal/store_answers.h"

namespace nidus::serve::internal {
namespace {

// Answers that are sent in one; longer ones in pieces.
constexpr std::uint64_t kWholeBytesMax = std::uint64_t{1} << 20;

}  // namespace

std::vector<std::string> capture_content_types(bool json) {
  std::vector<std::string> types = {"application/vnd.tcpdump.pcap",
                                    "application/x-pcapng",
                                    "application/octet-stream",
                                    "application/gzip",
                                    "application/zstd",
                                    "multipart/form-data"};
  if (json) types.emplace_back("application/json");
  return types;
}

void CaptureRequest::send(http::Response response) { writer_.send(std::move(response)); }

void CaptureRequest::refuse(const Error& error) {
  // What the sandbox says of a capture that is none.
  if (error.code == Errc::unsupported) return refuse(http::problem(400, error.message, request_.id));
  refuse(failure(app_, error, request_));
}

bool CaptureRequest::open(bool packets) {
  if (!app_.uploads.why_not().empty()) {
    refuse(http::problem(503,
                         "This server takes no uploads: the sandbox that reads "
                         "them cannot be had",
                         request_.id));
    return false;
  }
  PieceSource source = [this] {
    auto piece = reader_.read();
    body_failed_ = body_failed_ || !piece;
    return piece;
  };
  const std::string_view type = request_.content_type();
  if (type == "application/json") {
    body_ = packets ? json_packets(std::move(source)) : json_capture(std::move(source));
  } else if (type == "multipart/form-data") {
    body_ = form_capture(std::move(source), std::string(request_.header("content-type")));
  } else {
    body_ = raw_capture(std::move(source));
    moves_ = true;
  }
  auto first = body_->next();
  if (!first) {
    if (!body_failed_) refuse(first.error());
    return false;
  }
  if (first->empty()) {
    refuse(http::problem(400, "The capture is empty", request_.id));
    return false;
  }
  first_ = *first;
  return true;
}

sandbox::ByteSource CaptureRequest::source() {
  sandbox::ByteSource source;
  source.next = [this]() -> Result<std::span<const std::byte>> {
    if (first_) return *std::exchange(first_, std::nullopt);
    auto piece = body_->next();
    read_to_end_ = piece && piece->empty();
    return piece;
  };
  if (!moves_) return source;
  source.move = [this](int pipe) {
    auto moved = reader_.move(pipe);
    body_failed_ = body_failed_ || !moved;
    return moved;
  };
  return source;
}

std::optional<sandbox::Metered> CaptureRequest::judge(const ServedDetector& detector,
                                                      CaptureQuestion question, const VerdictSink& sink) {
  // Asked in another thread, so only when this one no longer reads: a client that hangs up before is noticed
  // there.
  question.progress = [this](const sandbox::CaptureProgress&) { return !read_to_end_ || !writer_.gone(); };
  KeptVerdicts keeper(app_, detector);
  Result<void> kept;
  auto metered =
      app_.uploads.judge(detector, question, source(),
                         [&](const auto& subject, const auto& verdict, const auto* why) -> Result<void> {
                           kept = keeper.add(subject, verdict);
                           return kept ? sink(subject, verdict, why) : kept;
                         });
  if (metered && kept) kept = keeper.finish();
  if (body_failed_) return std::nullopt;
  if (!kept) {
    refuse(store_failure(app_, kept.error(), request_));
    return std::nullopt;
  }
  if (!metered) {
    refuse(metered.error());
    return std::nullopt;
  }
  if (metered->statistics.decode.packets == 0) {
    refuse(http::problem(400,
                         "No valid packets could be decoded" +
                             (metered->fault ? ": " + metered->fault->message : std::string()),
                         request_.id));
    return std::nullopt;
  }
  return std::move(*metered);
}

void CaptureRequest::send(const std::string& content_type,
                          const std::function<Result<void>(const Give&)>& write) {
  std::string whole;
  bool begun = false;
  const auto begin = [&]() -> Result<void> {
    begun = true;
    http::Response head;
    head.content_type = content_type;
    return writer_.begin(std::move(head));
  };
  const Give give = [&](std::string_view piece) -> Result<void> {
    if (!begun) {
      whole += piece;
      if (whole.size() <= kWholeBytesMax) return {};
      if (auto done = begin(); !done) return done;
      piece = whole;
    }
    return writer_.write(piece);
  };
  const auto written = write(give);
  if (!written) {
    // Begun and not ended: the client sees that it is not whole.
    if (!begun && begin()) (void)writer_.write(whole);
    return;
  }
  if (begun) {
    (void)writer_.end();
    return;
  }
  http::Response response;
  response.content_type = content_type;
  response.body = std::move(whole);
  writer_.send(std::move(response));
}

}  // namespace nidus::serve::internal
