#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"
#include "serve/application.h"
#include "serve/capture_body.h"
#include "serve/uploads.h"

namespace nidus::serve::internal {

// One request with a capture in its body: what every route that takes one does
// with it.
class CaptureRequest {
 public:
  CaptureRequest(Application& app, const http::Request& request, http::BodyReader& reader,
                 http::BodyWriter& writer)
      : app_(app), request_(request), reader_(reader), writer_(writer) {}

  void send(http::Response response);
  void refuse(http::Response response) { send(std::move(response)); }
  void refuse(const Error& error);

  // Finds out how the capture is wrapped and reads the first of it; false after
  // it refused. `packets`: the JSON is a list of them.
  bool open(bool packets);
  CaptureBody& body() { return *body_; }
  // Its bytes from the first on.
  sandbox::ByteSource source();
  // Whether the body could not be read: the server answers that by itself.
  bool body_failed() const { return body_failed_; }

  // Judges it; nothing after it refused, or when the client is gone.
  std::optional<sandbox::Metered> judge(const ServedDetector& detector, CaptureQuestion question,
                                        const VerdictSink& sink);

  // Sends what `write` gives, in one if it is short. An error of `write` cuts
  // the answer off.
  using Give = std::function<Result<void>(std::string_view)>;
  void send(const std::string& content_type, const std::function<Result<void>(const Give&)>& write);

 private:
  Application& app_;
  const http::Request& request_;
  http::BodyReader& reader_;
  http::BodyWriter& writer_;
  std::unique_ptr<CaptureBody> body_;
  std::optional<std::span<const std::byte>> first_;
  bool moves_ = false;  // the body is the capture, and need not be looked at here
  bool body_failed_ = false;
  std::atomic<bool> read_to_end_ = false;
};

// What a body with a capture may be.
std::vector<std::string> capture_content_types(bool json);

// The detector of this name, else that for captures. Errc::not_found, without a
// message if there is none at all.
Result<std::shared_ptr<const ServedDetector>> detector_for_captures(const Application& app,
                                                                    const std::optional<std::string>& name);

}  // namespace nidus::serve::internal
