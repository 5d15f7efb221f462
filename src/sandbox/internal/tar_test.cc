#include "sandbox/internal/tar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "base/file.h"
#include "base/testing.h"

namespace nidus::sandbox::internal {
namespace {

using testing::HasSubstr;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Archives as the system's tar makes them.
class TarTest : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& bytes) const {
    std::filesystem::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
  }
  std::string tar(const std::string& words) const {
    const std::string command =
        "cd '" + folder_.path().string() + "' && tar -cf archive.tar " + words + " 2>/dev/null";
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
    const auto read = read_file(folder_ / "archive.tar");
    return read ? *read : "";
  }

  TemporaryFolder folder_;
};

TEST_F(TarTest, FilesComeOutUnderTheirOwnNames) {
  write("d/detector.json", "{}");
  write("d/model-1.nidus", std::string(1000, 'm'));
  for (const char* const format : {"ustar", "gnu", "pax", "v7"}) {
    const std::string archive = tar(std::string("--format=") + format + " d");
    EXPECT_EQ(is_tar(bytes_of(archive)), std::string(format) != "v7");
    const auto members = read_tar(bytes_of(archive));
    ASSERT_TRUE(members) << members.error().message;
    ASSERT_EQ(members->size(), 2u) << format;
    for (const auto& member : *members) {
      if (member.name == "detector.json") EXPECT_EQ(text_of(member.bytes), "{}");
      if (member.name == "model-1.nidus") EXPECT_EQ(text_of(member.bytes), std::string(1000, 'm'));
    }
  }
}

TEST_F(TarTest, LongNamesAreWhole) {
  const std::string name = std::string(120, 'n') + ".pkl";
  write("d/" + name, "x");
  for (const char* const format : {"gnu", "pax"}) {
    const std::string archive = tar(std::string("--format=") + format + " d");
    const auto members = read_tar(bytes_of(archive));
    ASSERT_TRUE(members) << members.error().message;
    ASSERT_EQ(members->size(), 1u);
    EXPECT_EQ((*members)[0].name, name);
  }
}

TEST_F(TarTest, LinksTwinsAndDamageAreRefused) {
  write("d/a", "1");
  std::filesystem::create_symlink("/etc/passwd", folder_ / "d/link");
  EXPECT_THAT(read_tar(bytes_of(tar("d"))).error().message, HasSubstr("d/link: neither a file nor a folder"));
  std::filesystem::remove(folder_ / "d/link");
  write("e/a", "2");
  EXPECT_THAT(read_tar(bytes_of(tar("d e"))).error().message, HasSubstr("a second file called a"));
  std::string archive = tar("d/a");
  archive[0] = 'b';
  EXPECT_THAT(read_tar(bytes_of(archive)).error().message, HasSubstr("checksum"));
  archive = tar("d/a");
  EXPECT_THAT(read_tar(bytes_of(archive.substr(0, 512))).error().message,
              HasSubstr("longer than the archive"));
  EXPECT_FALSE(read_tar({}));
}

TEST_F(TarTest, GzipIsBounded) {
  write("zeros", std::string(1 << 20, '\0'));
  const std::string command =
      "gzip -c '" + (folder_ / "zeros").string() + "' > '" + (folder_ / "z.gz").string() + "'";
  ASSERT_EQ(std::system(command.c_str()), 0);
  const auto packed = read_file(folder_ / "z.gz");
  ASSERT_TRUE(packed);
  const auto whole = gunzip(bytes_of(*packed), 1 << 20);
  ASSERT_TRUE(whole) << whole.error().message;
  EXPECT_EQ(whole->size(), 1u << 20);
  EXPECT_EQ(gunzip(bytes_of(*packed), 1 << 19).error().code, Errc::exhausted);
  EXPECT_EQ(gunzip(bytes_of(packed->substr(0, packed->size() / 2)), 1 << 20).error().code, Errc::corrupt);
}

}  // namespace
}  // namespace nidus::sandbox::internal
