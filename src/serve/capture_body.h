#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace nidus::serve {

// The next bytes of a body; none at its end. They live until the next call.
using PieceSource = std::function<Result<std::span<const std::byte>>()>;

// The capture in the body of a request, whatever it is wrapped in, as it
// arrives. None of it is held but a piece.
//
// Not thread-safe.
class CaptureBody {
 public:
  virtual ~CaptureBody() = default;
  // The next bytes of a capture file; none at the end. They live until the next
  // call. Errc::invalid says what is wrong with the body; the errors of its
  // source are passed on.
  virtual Result<std::span<const std::byte>> next() = 0;

  // Of JSON packets, after the first next(): whether none of them says when it
  // was captured.
  virtual bool times_absent() const { return false; }
  // Of JSON packets: those that were no base64, and left out.
  virtual std::uint64_t undecodable() const { return 0; }
};

// The body is the capture.
std::unique_ptr<CaptureBody> raw_capture(PieceSource source);

// The first file of a form; `content_type` is that of the body.
std::unique_ptr<CaptureBody> form_capture(PieceSource source, std::string content_type);

// {"content": base64}.
std::unique_ptr<CaptureBody> json_capture(PieceSource source);

// {"packets": [base64 | {"data": base64, "timestamp": seconds, "length": bytes on the wire}, …], "linktype":
// number}, as a pcap file with nanoseconds. Without times all packets are of the same moment; a length is
// only needed of frames that were cut. `linktype` (the LINKTYPE_ registry; 1, Ethernet, if it is not there)
// is to stand before the packets where they are more than a MiB.
std::unique_ptr<CaptureBody> json_packets(PieceSource source);

}  // namespace nidus::serve
