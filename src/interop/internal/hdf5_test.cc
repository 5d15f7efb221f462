#include "interop/internal/hdf5.h"

#include <gmock/gmock.h>

#include <numeric>

#include "interop/testing.h"

// Reads the files of tests/interop/make_hdf5.py.
namespace nidus::interop::internal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string file(const std::string& name) {
  auto bytes = read_file(fixture("hdf5/" + name));
  EXPECT_TRUE(bytes) << bytes.error().message;
  return bytes ? *bytes : "";
}

Result<Hdf5> open(const std::string& bytes) { return Hdf5::open(std::as_bytes(std::span(bytes))); }

// What make_hdf5.py puts into an array.
void expect_values(const Result<Hdf5::Numbers>& numbers, std::vector<std::size_t> shape, double step,
                   double first) {
  ASSERT_TRUE(numbers) << numbers.error().message;
  EXPECT_EQ(numbers->shape, shape);
  const std::size_t count = std::accumulate(shape.begin(), shape.end(), std::size_t{1}, std::multiplies<>());
  ASSERT_EQ(numbers->values.size(), count);
  for (std::size_t i = 0; i < count; ++i)
    ASSERT_EQ(numbers->values[i], static_cast<double>(i) * step + first) << i;
}

TEST(Hdf5, NumbersOfEveryTypeAndShapeAreRead) {
  for (const char* name : {"old.h5", "v108.h5", "latest.h5"}) {
    SCOPED_TRACE(name);
    const std::string bytes = file(name);
    const auto hdf5 = open(bytes);
    ASSERT_TRUE(hdf5) << hdf5.error().message;
    for (const char* half : {"a", "b"}) {
      const std::string group = std::string("types/") + half;
      const auto links = hdf5->links(group);
      ASSERT_TRUE(links) << links.error().message;
      EXPECT_GE(links->size(), 7u);
      for (const auto& link : *links) {
        SCOPED_TRACE(link);
        const bool is_float = link.find('f') != link.npos, is_unsigned = link.find('u') != link.npos;
        expect_values(hdf5->numbers(group + "/" + link), {3, 4}, is_float ? 0.5 : 1, is_unsigned ? 0 : -3);
      }
    }
    EXPECT_EQ(hdf5->numbers("shapes/scalar")->values, std::vector<double>{2.5});
    EXPECT_TRUE(hdf5->numbers("shapes/scalar")->shape.empty());
    expect_values(hdf5->numbers("shapes/empty"), {0, 4}, 0.5, -3);
    expect_values(hdf5->numbers("shapes/one"), {7}, 0.5, -3);
    expect_values(hdf5->numbers("/shapes//three"), {2, 3, 4}, 0.5, -3);
    expect_values(hdf5->numbers("shapes/compact"), {5}, 0.5, -3);
  }
}

TEST(Hdf5, TextsOfAttributesAreRead) {
  for (const char* name : {"old.h5", "latest.h5"}) {
    SCOPED_TRACE(name);
    const std::string bytes = file(name);
    const auto hdf5 = open(bytes);
    ASSERT_TRUE(hdf5);
    EXPECT_THAT(**hdf5->texts("texts", "variable"), ElementsAre("model"));
    EXPECT_THAT(**hdf5->texts("texts", "fixed"), ElementsAre("tensorflow"));
    EXPECT_THAT(**hdf5->texts("texts", "list"), ElementsAre("dense", "dense_1", "lstm"));
    EXPECT_THAT(**hdf5->texts("texts", "variable list"), ElementsAre("gr\u00fcn", "", std::string(300, 'x')));
    EXPECT_THAT(**hdf5->texts("texts", "nothing"), ElementsAre());
    EXPECT_FALSE(*hdf5->texts("texts", "other"));
    EXPECT_THAT(hdf5->texts("texts", "number").error().message, HasSubstr("is no text"));
    EXPECT_EQ(hdf5->texts("no", "list").error().code, Errc::not_found);
  }
}

TEST(Hdf5, GroupsOfManyLinksAreWalked) {
  const std::string bytes = file("old.h5");
  const auto hdf5 = open(bytes);
  ASSERT_TRUE(hdf5);
  EXPECT_EQ(hdf5->links("many")->size(), 40u);
  EXPECT_EQ(hdf5->numbers("many/layer_37")->values, std::vector<double>{37});
  EXPECT_TRUE(hdf5->find("many/layer_0"));
  EXPECT_EQ(hdf5->find("many/layer_40").error().message, "hdf5: no 'many/layer_40' in the file");
  EXPECT_EQ(hdf5->numbers("many").error().message, "hdf5: 'many' is no array");
}

TEST(Hdf5, ChunksAreUnpacked) {
  const std::string bytes = file("chunks.h5");
  const auto hdf5 = open(bytes);
  ASSERT_TRUE(hdf5);
  for (const std::string group : {"plain", "gzip", "shuffled"}) {
    SCOPED_TRACE(group);
    expect_values(hdf5->numbers(group + "/one"), {10}, 0.5, -3);
    expect_values(hdf5->numbers(group + "/two"), {7, 9}, 0.5, -3);
    expect_values(hdf5->numbers(group + "/whole"), {5, 6}, 0.5, -3);
  }
  EXPECT_EQ(hdf5->numbers("lzf").error().code, Errc::unsupported);
  EXPECT_THAT(hdf5->numbers("lzf").error().message, HasSubstr("packed by filter 32000"));
  EXPECT_EQ(hdf5->numbers("unwritten").error().code, Errc::unsupported);
  const std::string latest = file("latest_chunks.h5");
  const auto other = open(latest);
  ASSERT_TRUE(other);
  expect_values(other->numbers("single"), {5, 6}, 0.5, -3);
  EXPECT_EQ(other->numbers("fixed array").error().code, Errc::unsupported);
  EXPECT_THAT(other->links("dense").error().message, HasSubstr("fractal heap"));
}

// Nine million numbers in as many thousand bytes; and a few less, which may be had once.
TEST(Hdf5, ArraysThatBecomeFarMoreThanTheFileAreRefused) {
  const std::string bytes = file("bomb.h5");
  ASSERT_LT(bytes.size(), 30000u);
  const auto hdf5 = open(bytes);
  ASSERT_TRUE(hdf5);
  EXPECT_EQ(hdf5->numbers("large").error().code, Errc::exhausted);
  const auto another = open(bytes);
  ASSERT_TRUE(another);
  EXPECT_TRUE(another->numbers("half"));
  EXPECT_THAT(another->numbers("half").error().message, HasSubstr("far more than the file"));
}

// Looks at all there is.
void read_all(const Hdf5& hdf5, const std::string& path, int depth) {
  (void)hdf5.numbers(path);
  for (const char* name : {"variable", "fixed", "list", "variable list", "number"})
    (void)hdf5.texts(path, name);
  const auto links = hdf5.links(path);
  if (!links || depth == 0) return;
  for (std::size_t i = 0; i < links->size() && i < 20; ++i)
    read_all(hdf5, path + "/" + (*links)[i], depth - 1);
}

TEST(Hdf5, TruncatedAndFlippedFilesAreRefusedOrHarmless) {
  for (const char* name : {"old.h5", "latest.h5", "chunks.h5", "latest_chunks.h5"}) {
    const std::string bytes = file(name);
    for (std::size_t size = 0; size < bytes.size(); size += 797) {
      const std::string cut = bytes.substr(0, size);
      if (const auto hdf5 = open(cut)) read_all(*hdf5, "", 2);
    }
    for (std::size_t at = 0; at < bytes.size(); at += 53) {
      std::string broken = bytes;
      broken[at] = static_cast<char>(broken[at] ^ (1 << (at % 8)));
      if (const auto hdf5 = open(broken)) read_all(*hdf5, "", 2);
    }
  }
}

// A B-tree that is its own child, and a header that goes on in itself.
TEST(Hdf5, CirclesEnd) {
  const std::string bytes = file("old.h5");
  for (const char* signature : {"TREE", "SNOD", "HEAP"}) {
    for (std::size_t at = bytes.find(signature); at != bytes.npos; at = bytes.find(signature, at + 1)) {
      std::string circle = bytes;
      circle[at + 5] = 1;  // a level above
      for (std::size_t i = 0; i < 8 && at + 32 + i < bytes.size(); ++i)
        circle[at + 32 + i] = static_cast<char>((at >> (8 * i)) & 0xff);
      if (const auto hdf5 = open(circle)) read_all(*hdf5, "", 2);
    }
  }
}

}  // namespace
}  // namespace nidus::interop::internal
