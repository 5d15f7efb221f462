#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace nidus::auth {

struct KeyFeedOptions {
  // Of a JWK set: https://, or http:// on this machine. Redirects are not followed.
  std::string url;
  std::filesystem::path authorities;  // PEM of who may vouch for its host; empty: whom the system trusts
  std::chrono::milliseconds every = std::chrono::hours(1);
  // Between two looks that somebody's token asked for, or after a look that failed. Doubles with each
  // failure, up to `every`.
  std::chrono::milliseconds at_least = std::chrono::seconds(10);
  std::chrono::milliseconds time = std::chrono::seconds(10);  // for one look
};

// Keeps a document from an address up to date, in a thread of its own. Whoever answers there can name the
// keys that sign tokens; he can neither send more than 1 MiB, nor take longer than `time`, nor send us
// elsewhere.
//
// Thread-safe.
class KeyFeed {
 public:
  // Is given each document; an error says that it is no good, which counts as a look that failed.
  using Take = std::function<Result<void>(std::string_view document)>;
  // Is told of each look: an error, or none after it worked. Both are called in the thread of the feed.
  using Report = std::function<void(const Error* error)>;

  // Errc::invalid for an address that makes no sense, Errc::io and corrupt for authorities that cannot be
  // read. Nothing is sent.
  static Result<void> check(const KeyFeedOptions& options);
  // Looks at once and waits for it, at most `time`. That it failed is no error: it will be tried again.
  static Result<std::unique_ptr<KeyFeed>> start(const KeyFeedOptions& options, Take take, Report report);
  ~KeyFeed();  // does not wait for an answer

  // Somebody named a key that is not known: a look is due, if the last is long enough ago. Never waits.
  void ask();
  // Looks now and waits for it, however long ago the last is. The error of a look that failed.
  Result<void> refresh();

  struct Counts {
    std::uint64_t looks = 0, failures = 0;
    double good_age_s = -1;  // since a look worked; negative: none ever did
  };
  Counts counts() const;

 private:
  struct Impl;
  explicit KeyFeed(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace nidus::auth
