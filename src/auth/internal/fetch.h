#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

// One document from one address that an administrator chose: no redirects, no cookies, no connection kept.
namespace nidus::auth::internal {

struct Url {
  bool is_secure = true;
  std::string host;  // a name, or an address without brackets
  std::uint16_t port = 443;
  std::string target;  // "/keys?tenant=1"
};

// "https://…", or "http://…" to a host that says it is this machine (127.…, [::1], localhost): keys that came
// over a network in the clear are anybody's. Errc::invalid says what is wrong with it.
Result<Url> parse_url(std::string_view text);

// The bytes of one HTTP answer, however they are cut. Grammar is left to Beast's parser.
class AnswerReader {
 public:
  explicit AnswerReader(std::size_t body_bytes_max);
  ~AnswerReader();

  // True: it is whole. Errc::corrupt, Errc::exhausted for a header over 16 KiB or a body over the limit,
  // Errc::unsupported for a status that is not 200.
  Result<bool> put(std::string_view bytes);
  // The other side has hung up, which ends an answer without a length.
  Result<bool> end();
  std::string& body();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct FetchLimits {
  std::chrono::milliseconds time = std::chrono::seconds(10);  // for all of it
  std::size_t bytes = 1 << 20;
  // PEM of who may vouch for the host; empty: whom the system trusts.
  std::filesystem::path authorities;
  int stop = -1;  // a file that becomes readable when nobody wants it any more
};

// GET. Certificates are checked, with the host's name, and TLS is 1.2 or later. Errc::io says what did not
// work, Errc::not_found without such a host; and as AnswerReader.
//
// A call that blocks; for a thread of its own, in which SIGPIPE is blocked.
Result<std::string> fetch(const Url& url, const FetchLimits& limits);

// Whether `authorities` holds certificates in PEM: what fetch() would find out later.
Result<void> check_authorities(const std::filesystem::path& authorities);

}  // namespace nidus::auth::internal
