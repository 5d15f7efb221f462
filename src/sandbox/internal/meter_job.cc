#include <cstring>
#include <exception>
#include <thread>
#include <utility>

#include "sandbox/internal/jobs.h"

namespace nidus::sandbox::internal {
namespace {

// Everything that the child says of a capture.
Result<Metered> listen(Conversation& child, const detect::RecordSink& sink,
                       const std::function<void(const CaptureProgress&)>& progress) {
  Metered metered;
  bool summed_up = false;
  for (;;) {
    auto message = child.next();
    if (!message) return std::move(message).error();
    switch (message->tag) {
      case Tag::records:
        if (sink(message->records)) break;
        child.kill();
        return Error{Errc::invalid, "stopped"};
      case Tag::progress: {
        WireProgress wire;
        std::memcpy(&wire, message->bytes.data(), sizeof wire);
        if (progress) progress({wire.bytes_read, wire.frames, wire.flows});
        break;
      }
      case Tag::fault:
        metered.fault = error_of(message->bytes);
        break;
      case Tag::summary: {
        WireStatistics wire;
        std::memcpy(&wire, message->bytes.data(), sizeof wire);
        metered.statistics = from_wire(wire);
        summed_up = true;
        break;
      }
      case Tag::end:
        if (summed_up) return metered;
        [[fallthrough]];
      case Tag::ready:
      case Tag::job:
      case Tag::text:
      case Tag::file:
      case Tag::bytes:
      case Tag::note:
      case Tag::failure:
      case Tag::contexts:
      case Tag::steps:
        child.kill();
        return Error{Errc::io, "the sandboxed process said something else than it was asked"};
    }
  }
}

}  // namespace

Result<Metered> meter_capture(Conversation& child, const Job& job, const ByteSource& source,
                              const detect::RecordSink& sink,
                              const std::function<void(const CaptureProgress&)>& progress) {
  Result<Metered> metered = Error{Errc::io, ""};
  std::thread listener([&] {
    try {
      metered = listen(child, sink, progress);
    } catch (const std::exception& exception) {
      metered = Error{Errc::io, exception.what()};
      child.kill();
    }
    child.stop_writing();
  });

  std::optional<Error> failed;
  bool takes = child.say(Tag::job, std::as_bytes(std::span(&job, 1)));
  while (takes) {
    auto piece = source.next();
    if (piece && piece->empty()) break;
    auto taken = piece ? Result<bool>(child.write(*piece)) : std::move(piece).error();
    if (taken && *taken && source.move) taken = child.write_from(source.move);
    takes = taken && *taken;
    if (!taken) {
      failed = std::move(taken).error();
      child.kill();
    }
  }
  child.end_input();
  listener.join();
  if (failed) return *std::move(failed);
  return metered;
}

}  // namespace nidus::sandbox::internal
