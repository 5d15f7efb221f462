#include "base/file.h"
#include "base/testing.h"

#include <gtest/gtest.h>

namespace nidus {
namespace {

TEST(File, WrittenBytesAreMappedAndRead) {
  const TemporaryFolder folder;
  const auto path = folder / "file";
  ASSERT_TRUE(write_file(path, "hello"));
  EXPECT_EQ(*read_file(path), "hello");
  const auto mapped = MappedFile::open(path);
  ASSERT_TRUE(mapped);
  EXPECT_EQ(mapped->bytes().size(), 5u);
  EXPECT_EQ(read_file(path, 4).error().code, Errc::exhausted);
}

TEST(File, NamesWhatIsMissing) {
  const auto missing = MappedFile::open("/no/such/file");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::not_found);
  EXPECT_NE(missing.error().message.find("/no/such/file"), std::string::npos);
  EXPECT_EQ(MappedFile::open(std::filesystem::temp_directory_path()).error().code, Errc::invalid);
}

}  // namespace
}  // namespace nidus
