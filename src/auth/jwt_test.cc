#include "auth/jwt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/hmac.h>

#include "auth/scopes.h"
#include "auth/testing.h"
#include "base/file.h"
#include "base/testing.h"

namespace nidus::auth {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t kNow = 1'800'000'000;
const std::string kGood =
    R"({"iss":"https://id.example","aud":"nidus","sub":"ann","exp":1800000100,"scope":"predict nidus:alerts other"})";

class JwtTest : public ::testing::Test {
 protected:
  static JwtOptions options() {
    JwtOptions options;
    options.issuer = "https://id.example";
    options.audience = "nidus";
    return options;
  }
  static JwtVerifier verifier(const std::string& keys) {
    auto made = JwtVerifier::parse(keys, options());
    EXPECT_TRUE(made) << made.error().message;
    return std::move(*made);
  }
  // Keys take a while to make: one of each kind for all tests.
  static const Signer& rsa() {
    static const Signer signer = Signer::rsa();
    return signer;
  }
  static const Signer& p256() {
    static const Signer signer = Signer::p256();
    return signer;
  }
  static const Signer& ed25519() {
    static const Signer signer = Signer::ed25519();
    return signer;
  }
  // What is wrong with a token that Ed25519 signed.
  static std::string problem(const std::string& claims, std::int64_t now = kNow) {
    auto claimed = verifier(ed25519().pem()).verify(ed25519().token(claims), now);
    return claimed ? "" : claimed.error().message;
  }
  static std::string header_problem(const std::string& header) {
    auto claimed = verifier(ed25519().pem()).verify(ed25519().token(header, kGood), kNow);
    return claimed ? "" : claimed.error().message;
  }
};

TEST_F(JwtTest, TokensOfThreeAlgorithmsAreGood) {
  for (const Signer* signer : {&rsa(), &p256(), &ed25519()}) {
    for (const auto& keys : {signer->pem(), R"({"keys":[)" + signer->jwk("k1") + "]}"}) {
      auto claims = verifier(keys).verify(signer->token(kGood), kNow);
      ASSERT_TRUE(claims) << claims.error().message << "\n" << keys;
      EXPECT_EQ(claims->subject, "ann");
      EXPECT_EQ(claims->scopes, kPredict | kAlerts);
      EXPECT_EQ(claims->expires_s, kNow + 100);
    }
  }
}

TEST_F(JwtTest, EveryChangedCharacterIsNoticed) {
  const auto verify = verifier(ed25519().pem());
  const std::string token = ed25519().token(kGood);
  for (std::size_t i = 0; i < token.size(); ++i) {
    std::string changed = token;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(verify.verify(changed, kNow)) << i;
    EXPECT_FALSE(verify.verify(token.substr(0, i), kNow)) << i;
  }
}

TEST_F(JwtTest, AKeySignsForItsOwnAlgorithmOnly) {
  const auto verify = verifier(rsa().pem() + p256().pem());
  const std::string rs = R"({"alg":"RS256"})", es = R"({"alg":"ES256"})", ed = R"({"alg":"EdDSA"})";
  EXPECT_TRUE(verify.verify(rsa().token(rs, kGood), kNow));
  EXPECT_TRUE(verify.verify(p256().token(es, kGood), kNow));
  EXPECT_FALSE(verify.verify(rsa().token(es, kGood), kNow));
  EXPECT_FALSE(verify.verify(p256().token(rs, kGood), kNow));
  EXPECT_FALSE(verify.verify(ed25519().token(ed, kGood), kNow));
}

// The public key is no secret: a token must not choose to be checked with it as one (RFC 8725, 2.1).
TEST_F(JwtTest, ThePublicKeyIsNoPassword) {
  const std::string pem = rsa().pem();
  const std::string text = encoded(R"({"alg":"HS256","typ":"JWT"})") + '.' + encoded(kGood);
  unsigned char mac[32];
  unsigned size = 0;
  HMAC(EVP_sha256(), pem.data(), static_cast<int>(pem.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac, &size);
  const std::string token = text + '.' + internal::base64url({mac, size});
  EXPECT_FALSE(verifier(pem).verify(token, kNow));
}

TEST_F(JwtTest, UnsignedTokensAreNoTokens) {
  const auto verify = verifier(rsa().pem());
  for (const char* algorithm : {"none", "None", "NONE", "", "RS512", "rs256", "PS256", "HS256"}) {
    const std::string header = std::string(R"({"alg":")") + algorithm + "\"}";
    EXPECT_FALSE(verify.verify(encoded(header) + '.' + encoded(kGood) + '.', kNow)) << algorithm;
    EXPECT_FALSE(verify.verify(rsa().token(header, kGood), kNow)) << algorithm;
  }
  EXPECT_FALSE(verify.verify(encoded("{}") + '.' + encoded(kGood) + '.', kNow));
}

TEST_F(JwtTest, TheHeaderMayAskForNothingElse) {
  EXPECT_EQ(header_problem(R"({"alg":"EdDSA","typ":"at+jwt"})"), "");
  EXPECT_EQ(header_problem(R"({"alg":"EdDSA","typ":"application/at+JWT"})"), "");
  EXPECT_THAT(header_problem(R"({"alg":"EdDSA","typ":"secevent+jwt"})"), HasSubstr("typ"));
  EXPECT_THAT(header_problem(R"({"alg":"EdDSA","typ":7})"), HasSubstr("typ"));
  EXPECT_THAT(header_problem(R"({"alg":"EdDSA","crit":["b64"],"b64":false})"), HasSubstr("critical"));
  EXPECT_THAT(header_problem(R"(["EdDSA"])"), HasSubstr("header"));
  // A key of the token's own, or an address of one, means nothing.
  EXPECT_EQ(header_problem(R"({"alg":"EdDSA","jwk":{},"jku":"https://evil.example","x5u":"x"})"), "");
}

TEST_F(JwtTest, OfKeysWithIdsTheNamedOneIsTried) {
  const Signer other = Signer::ed25519();
  const auto verify = verifier(R"({"keys":[)" + ed25519().jwk("a") + "," + other.jwk("b") + "]}");
  EXPECT_EQ(verify.keys(), 2u);
  EXPECT_TRUE(verify.verify(other.token(R"({"alg":"EdDSA","kid":"b"})", kGood), kNow));
  EXPECT_TRUE(verify.verify(other.token(R"({"alg":"EdDSA"})", kGood), kNow));
  EXPECT_FALSE(verify.verify(other.token(R"({"alg":"EdDSA","kid":"a"})", kGood), kNow));
  EXPECT_FALSE(verify.verify(other.token(R"({"alg":"EdDSA","kid":"c"})", kGood), kNow));
}

TEST_F(JwtTest, ClaimsMustBeThereAndRight) {
  const auto with = [](const std::string& claims) {
    return R"({"iss":"https://id.example","aud":"nidus","sub":"ann","exp":1800000100)" + claims + "}";
  };
  EXPECT_EQ(problem(with("")), "");
  EXPECT_EQ(problem(R"({"iss":"https://id.example","aud":["a","nidus"],"client_id":"c","exp":1800000100})"),
            "");
  EXPECT_THAT(problem(R"({"iss":"https://id.example.evil","aud":"nidus","sub":"a","exp":1800000100})"),
              HasSubstr("issuer"));
  EXPECT_THAT(problem(R"({"aud":"nidus","sub":"a","exp":1800000100})"), HasSubstr("issuer"));
  EXPECT_THAT(problem(R"({"iss":"https://id.example","aud":"other","sub":"a","exp":1800000100})"),
              HasSubstr("audience"));
  EXPECT_THAT(problem(R"({"iss":"https://id.example","aud":["x"],"sub":"a","exp":1800000100})"),
              HasSubstr("audience"));
  EXPECT_THAT(problem(R"({"iss":"https://id.example","sub":"a","exp":1800000100})"), HasSubstr("audience"));
  EXPECT_THAT(problem(R"({"iss":"https://id.example","aud":"nidus","exp":1800000100})"), HasSubstr("whom"));
  EXPECT_THAT(problem(R"({"iss":"https://id.example","aud":"nidus","sub":"a"})"), HasSubstr("expires"));
  EXPECT_THAT(problem(R"({"iss":"https://id.example","aud":"nidus","sub":"a","exp":"1800000100"})"),
              HasSubstr("no number"));
  EXPECT_THAT(problem(R"({"iss":"https://id.example","aud":"nidus","sub":"a","exp":-1})"),
              HasSubstr("no date"));
  EXPECT_THAT(problem("[]"), HasSubstr("claims"));
  EXPECT_THAT(problem("{"), HasSubstr("claims"));
}

TEST_F(JwtTest, TimesAreHeldWithALittleLeeway) {
  EXPECT_EQ(problem(kGood, kNow + 129), "");
  EXPECT_THAT(problem(kGood, kNow + 130), HasSubstr("expired"));
  const auto at = [](const char* claim) {
    return std::string(R"({"iss":"https://id.example","aud":"nidus","sub":"a","exp":1800000100,)") + claim +
           "}";
  };
  EXPECT_EQ(problem(at(R"("nbf":1800000030)")), "");
  EXPECT_THAT(problem(at(R"("nbf":1800000031)")), HasSubstr("not good yet"));
  EXPECT_EQ(problem(at(R"("iat":1800000029.5)")), "");
  EXPECT_THAT(problem(at(R"("iat":1800000031)")), HasSubstr("future"));
  EXPECT_THAT(problem(at(R"("nbf":null)")), HasSubstr("no number"));
}

TEST_F(JwtTest, WeakOrForeignKeysAreRefused) {
  EXPECT_EQ(JwtVerifier::parse(Signer::rsa(1024).pem(), options()).error().code, Errc::corrupt);
  EXPECT_EQ(JwtVerifier::parse(Signer::p384().pem(), options()).error().code, Errc::corrupt);
  for (const char* text :
       {"", "{}", R"({"keys":[]})", R"({"keys":7})", R"({"keys":[{"kty":"oct","k":"AAAA"}]})",
        R"({"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]})",
        R"({"keys":[{"kty":"OKP","crv":"X25519","x":"AA"}]})", "-----BEGIN PUBLIC KEY-----"}) {
    EXPECT_EQ(JwtVerifier::parse(text, options()).error().code, Errc::corrupt) << text;
  }
  // A point that is not on the curve.
  const std::string ones = encoded(std::string(32, '\1'));
  EXPECT_FALSE(JwtVerifier::parse(
      R"({"keys":[{"kty":"EC","crv":"P-256","x":")" + ones + R"(","y":")" + ones + R"("}]})", options()));
}

TEST_F(JwtTest, ATokenForEverybodyIsAskedForByNobody) {
  auto open = options();
  open.issuer.clear();
  EXPECT_EQ(JwtVerifier::parse(ed25519().pem(), open).error().code, Errc::invalid);
  open = options();
  open.audience.clear();
  EXPECT_EQ(JwtVerifier::parse(ed25519().pem(), open).error().code, Errc::invalid);
}

TEST_F(JwtTest, KeysComeFromAFile) {
  TemporaryFolder folder;
  auto from_file = options();
  from_file.keys = folder / "keys.json";
  EXPECT_EQ(JwtVerifier::open(from_file).error().code, Errc::not_found);
  ASSERT_TRUE(write_file(from_file.keys, R"({"keys":[)" + p256().jwk("k") + "]}"));
  EXPECT_TRUE(JwtVerifier::open(from_file)->verify(p256().token(kGood), kNow));
}

TEST_F(JwtTest, ALargeTokenIsNotReadAtAll) {
  EXPECT_THAT(verifier(ed25519().pem()).verify(std::string(9000, 'a'), kNow).error().message,
              HasSubstr("8 KiB"));
}

}  // namespace
}  // namespace nidus::auth
