#include "interop/internal/inflate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <string>

#include "base/file.h"
#include "interop/testing.h"

namespace nidus::interop::internal {
namespace {

using ::testing::HasSubstr;

std::span<const std::byte> as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

class Packed : public ::testing::TestWithParam<std::pair<const char*, Packing>> {
 protected:
  Packed() {
    auto text = read_file(fixture("pickle") / GetParam().first);
    EXPECT_TRUE(text);
    if (text) packed_ = *text;
  }
  std::string packed_;
};

TEST_P(Packed, IsRecognisedAndUnpacked) {
  EXPECT_EQ(packing_of(as_bytes(packed_)), GetParam().second);
  const auto plain = inflate(as_bytes(packed_));
  ASSERT_TRUE(plain) << plain.error().message;
  // joblib pads arrays by where they lie, and compressed files have their own way there; the values are the
  // same.
  EXPECT_EQ(plain->substr(0, 2), "\x80\x04");
  EXPECT_EQ(plain->back(), '.');
  EXPECT_THAT(*plain, HasSubstr("ordered"));
}

TEST_P(Packed, CutOffOrChangedIsRefusedOrAnswered) {
  for (std::size_t size = 0; size < packed_.size(); ++size) {
    const std::string part = packed_.substr(0, size);
    const auto plain = inflate(as_bytes(part));
    EXPECT_FALSE(plain) << size;
  }
  for (std::size_t i = 0; i < packed_.size(); i += 3) {
    packed_[i] ^= '\x10';
    (void)inflate(as_bytes(packed_));
    packed_[i] ^= '\x10';
  }
}

TEST_P(Packed, HasALimit) {
  const auto plain = inflate(as_bytes(packed_), 1000);
  ASSERT_FALSE(plain);
  EXPECT_EQ(plain.error().code, Errc::exhausted);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, Packed,
    ::testing::Values(std::pair("new-joblib.zlib", Packing::zlib),
                      std::pair("new-joblib.gzip", Packing::gzip),
                      std::pair("new-joblib.bz2", Packing::bzip2), std::pair("new-joblib.xz", Packing::xz),
                      std::pair("new-joblib.lzma", Packing::lzma), std::pair("new-joblib.lz4", Packing::lz4),
                      std::pair("old.z", Packing::zfile)),
    [](const auto& one) {
      return std::string(name(one.param.second)).substr(0, 4) + std::to_string(one.index);
    });

TEST(Inflate, PlainFilesAreNotPacked) {
  EXPECT_EQ(packing_of(as_bytes("")), Packing::none);
  EXPECT_EQ(packing_of(as_bytes("x")), Packing::none);
  EXPECT_EQ(packing_of(as_bytes("xylophone")), Packing::none);
  EXPECT_EQ(packing_of(as_bytes("\x80\x04")), Packing::none);
  EXPECT_FALSE(inflate(as_bytes("plain")));
}

// 16 MB of zeros in 16 KB.
TEST(Inflate, BombsEndAtTheLimit) {
  const std::string zeros(std::size_t{16} << 20, '\0');
  std::string packed(compressBound(zeros.size()), '\0');
  uLongf size = packed.size();
  ASSERT_EQ(compress2(reinterpret_cast<Bytef*>(packed.data()), &size,
                      reinterpret_cast<const Bytef*>(zeros.data()), zeros.size(), 9),
            Z_OK);
  packed.resize(size);
  EXPECT_TRUE(inflate(as_bytes(packed)));
  const auto refused = inflate(as_bytes(packed), std::size_t{1} << 20);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("more than 1,048,576 bytes"));
  // 128 MiB in 128 KB.
  std::string all;
  z_stream stream{};
  ASSERT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string piece(std::size_t{1} << 20, '\0');
  for (int i = 0; i < 128; ++i) {
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(zeros.data()));
    stream.avail_in = 1 << 20;
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = static_cast<uInt>(piece.size());
    deflate(&stream, i == 127 ? Z_FINISH : Z_NO_FLUSH);
    all.append(piece.data(), piece.size() - stream.avail_out);
  }
  deflateEnd(&stream);
  ASSERT_LT(all.size(), std::size_t{256} << 10);
  const auto bomb = inflate(as_bytes(all));
  ASSERT_FALSE(bomb);
  EXPECT_EQ(bomb.error().code, Errc::exhausted);
}

TEST(Inflate, OldContainersThatLieAboutTheirSize) {
  auto text = read_file(fixture("pickle") / "old.z");
  ASSERT_TRUE(text);
  (*text)[4] = (*text)[4] == '1' ? '2' : '1';
  EXPECT_FALSE(inflate(as_bytes(*text)));
  EXPECT_FALSE(inflate(as_bytes("ZF0x")));
}

}  // namespace
}  // namespace nidus::interop::internal
