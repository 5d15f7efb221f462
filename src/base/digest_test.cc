#include "base/digest.h"

#include <gtest/gtest.h>

#include <string_view>

namespace nidus {
namespace {

std::span<const std::uint8_t> bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

TEST(Digest, KnownValues) {  // FIPS 180-4 examples, RFC 4648 section 10
  EXPECT_EQ(sha256_hex(std::as_bytes(bytes("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(base64(sha1(bytes("abc"))), "qZk+NkcGgWq6PiVxeFDCbJzQ2J0=");
  EXPECT_EQ(base64(bytes("f")), "Zg==");
  EXPECT_EQ(base64(bytes("fo")), "Zm8=");
  EXPECT_EQ(base64(bytes("foobar")), "Zm9vYmFy");
}

TEST(Digest, ChecksumSeesEveryByteAndTheLength) {
  std::string text(37, 'x');
  const auto of = [](std::string_view t) { return checksum64(std::as_bytes(bytes(t))); };
  const auto whole = of(text);
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_NE(of(changed), whole) << i;
  }
  EXPECT_NE(of(text + std::string(1, '\0')), whole);
}

}  // namespace
}  // namespace nidus
