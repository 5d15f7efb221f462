#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "serve/settings.h"

namespace nidus::serve {

// The whole service: listens, answers, watches its detectors' files.
//
// Thread-safe after start().
class Service {
 public:
  // Errc::io if the address or the log cannot be had; Errc::invalid for settings that would let strangers in
  // without `insecure`. Detectors that cannot be loaded are an error here, though not later.
  static Result<std::unique_ptr<Service>> start(Settings settings);
  ~Service();

  std::uint16_t port() const;
  std::string url() const;  // "http://127.0.0.1:8080"

  // Certificates, detectors, log file and those settings that can change while it runs. What cannot be taken
  // over stays as it was, and the error says so.
  Result<void> reload(Settings settings);

  // Answers what is under way and stops. True if nothing was cut off.
  bool stop(std::chrono::milliseconds patience);

 private:
  struct Impl;
  explicit Service(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace nidus::serve
