#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "auth/internal/fetch.h"

// Whatever the bytes: as an address no crash, and no way in the clear to another machine; as an answer the
// same document however it is cut, never larger than the limit.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nidus::auth::internal;
  constexpr std::size_t kMost = 64;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto url = parse_url(text)) {
    if (url->target.empty() || url->target.front() != '/' || url->host.empty() || url->port == 0)
      std::abort();
    if (!url->is_secure && url->host != "localhost" && url->host != "::1" && !url->host.starts_with("127."))
      std::abort();
  }

  std::string documents[2];
  bool whole[2] = {};
  for (const bool bytewise : {false, true}) {
    AnswerReader reader(kMost);
    bool good = true;
    for (std::size_t at = 0, step = bytewise ? 1 : size; good && at < size && !whole[bytewise]; at += step) {
      const auto done = reader.put(text.substr(at, step));
      good = done.has_value();
      whole[bytewise] = good && *done;
    }
    if (good && !whole[bytewise]) {
      const auto done = reader.end();
      whole[bytewise] = done && *done;
    }
    if (whole[bytewise]) documents[bytewise] = reader.body();
    if (documents[bytewise].size() > kMost) std::abort();
  }
  if (whole[0] && whole[1] && documents[0] != documents[1]) std::abort();
  return 0;
}
