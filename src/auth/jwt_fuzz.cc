#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "auth/jwt.h"

// Whatever the bytes, as a token and as a file of keys: no crash, and no token that nobody signed is good.
// The key is that of RFC 8037, appendix A.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  nidus::auth::JwtOptions options;
  options.issuer = "i";
  options.audience = "a";
  static const auto verifier = nidus::auth::JwtVerifier::parse(
      R"({"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})",
      options);
  if (verifier->verify(text, 1'800'000'000)) std::abort();
  (void)nidus::auth::JwtVerifier::parse(text, options);
  return 0;
}
