#include "interop/internal/zip.h"

#include <gmock/gmock.h>
#include <zlib.h>

#include <cstring>
#include <optional>

#include "base/random.h"

namespace nidus::interop::internal {
namespace {

using ::testing::HasSubstr;

template <class T>
void put(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

std::string deflated(std::string_view text) {
  std::string out(text.size() + 100, '\0');
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// What an archive says of a member; by default the truth.
struct Said {
  std::string name = {}, content = {};
  bool deflate = false;
  std::optional<std::uint32_t> size = {}, crc = {}, offset = {};
  std::optional<std::string> local_name = {};
  std::uint16_t flags = 0, method = 0xffff;
  bool is_64 = false;
};

std::string archive(const std::vector<Said>& members, bool end_64 = false, const std::string& comment = "") {
  std::string out, directory;
  for (const Said& m : members) {
    const std::string packed = m.deflate ? deflated(m.content) : m.content;
    const auto crc = m.crc.value_or(static_cast<std::uint32_t>(
        crc32_z(0, reinterpret_cast<const Bytef*>(m.content.data()), m.content.size())));
    const auto method = m.method != 0xffff ? m.method : static_cast<std::uint16_t>(m.deflate ? 8 : 0);
    const auto size = m.size.value_or(static_cast<std::uint32_t>(m.content.size()));
    const auto offset = m.offset.value_or(static_cast<std::uint32_t>(out.size()));
    const std::string local = m.local_name.value_or(m.name);
    put<std::uint32_t>(out, 0x04034b50);
    for (const std::uint16_t v : {std::uint16_t{20}, m.flags, method, std::uint16_t{0}, std::uint16_t{0}})
      put(out, v);
    put<std::uint32_t>(out, 0);  // checksum and sizes stand in the directory
    put<std::uint32_t>(out, 0);
    put<std::uint32_t>(out, 0);
    put(out, static_cast<std::uint16_t>(local.size()));
    put<std::uint16_t>(out, 0);
    out += local + packed;
    put<std::uint32_t>(directory, 0x02014b50);
    for (const std::uint16_t v :
         {std::uint16_t{20}, std::uint16_t{20}, m.flags, method, std::uint16_t{0}, std::uint16_t{0}})
      put(directory, v);
    put(directory, crc);
    put(directory, m.is_64 ? 0xffffffffu : static_cast<std::uint32_t>(packed.size()));
    put(directory, m.is_64 ? 0xffffffffu : size);
    put(directory, static_cast<std::uint16_t>(m.name.size()));
    put<std::uint16_t>(directory, m.is_64 ? 28 : 0);
    for (int i = 0; i < 3; ++i) put<std::uint16_t>(directory, 0);
    put<std::uint32_t>(directory, 0);
    put(directory, m.is_64 ? 0xffffffffu : offset);
    directory += m.name;
    if (m.is_64) {
      put<std::uint16_t>(directory, 1);
      put<std::uint16_t>(directory, 24);
      put<std::uint64_t>(directory, size);
      put<std::uint64_t>(directory, packed.size());
      put<std::uint64_t>(directory, offset);
    }
  }
  const std::uint64_t begin = out.size(), size = directory.size(), entries = members.size();
  out += directory;
  if (end_64) {
    const std::uint64_t at = out.size();
    put<std::uint32_t>(out, 0x06064b50);
    put<std::uint64_t>(out, 44);
    put<std::uint32_t>(out, 0);
    put<std::uint64_t>(out, 0);
    for (const std::uint64_t v : {entries, entries, size, begin}) put(out, v);
    put<std::uint32_t>(out, 0x07064b50);
    put<std::uint32_t>(out, 0);
    put(out, at);
    put<std::uint32_t>(out, 1);
  }
  put<std::uint32_t>(out, 0x06054b50);
  put<std::uint32_t>(out, 0);
  put(out, static_cast<std::uint16_t>(end_64 ? 0xffff : entries));
  put(out, static_cast<std::uint16_t>(end_64 ? 0xffff : entries));
  put(out, end_64 ? 0xffffffffu : static_cast<std::uint32_t>(size));
  put(out, end_64 ? 0xffffffffu : static_cast<std::uint32_t>(begin));
  put(out, static_cast<std::uint16_t>(comment.size()));
  return out + comment;
}

Result<Zip> open(const std::string& bytes) { return Zip::open(std::as_bytes(std::span(bytes))); }

std::string error(const std::string& bytes) {
  const auto zip = open(bytes);
  if (!zip) return zip.error().message;
  for (const auto& member : zip->members()) {
    const auto contents = Zip::read(member);
    if (!contents) return contents.error().message;
  }
  return "fine";
}

TEST(Zip, MembersAreReadStoredAndDeflated) {
  const std::string numbers(100000, '7');
  for (const bool is_64 : {false, true}) {
    std::vector<Said> members = {{.name = "m/data.pkl", .content = "stored", .deflate = false},
                                 {.name = "m/", .content = "", .deflate = false},
                                 {.name = "m/data/0", .content = numbers, .deflate = true},
                                 {.name = "m/empty", .content = "", .deflate = true}};
    for (auto& m : members) m.is_64 = is_64;
    const std::string bytes = archive(members, is_64, is_64 ? "" : "a comment");
    EXPECT_TRUE(Zip::looks_like(std::as_bytes(std::span(bytes))));
    const auto zip = open(bytes);
    ASSERT_TRUE(zip) << zip.error().message;
    EXPECT_EQ(zip->members().size(), 3u);
    EXPECT_EQ(Zip::read(*zip->find("m/data.pkl"))->text(), "stored");
    EXPECT_EQ(Zip::read(*zip->find("m/data/0"))->text(), numbers);
    EXPECT_EQ(Zip::read(*zip->find("m/empty"))->text(), "");
    EXPECT_EQ(zip->find("data.pkl"), nullptr);
    EXPECT_EQ(Zip::read(*zip->find("m/data/0"), 1000).error().code, Errc::exhausted);
  }
  EXPECT_EQ(open(archive({}))->members().size(), 0u);
}

TEST(Zip, WhatIsStoredIsNotCopied) {
  const std::string bytes = archive({{.name = "a", .content = "stored"}});
  const auto zip = open(bytes);
  const auto contents = Zip::read(*zip->find("a"));
  EXPECT_GE(contents->text().data(), bytes.data());
  EXPECT_LT(contents->text().data(), bytes.data() + bytes.size());
}

TEST(Zip, HostileArchivesAreRefused) {
  const std::string text(5000, 'a');
  for (const char* name : {"../a", "a/../../b", "/etc/passwd", "a\\b", ""})
    EXPECT_THAT(error(archive({{.name = name, .content = text}})), HasSubstr("leads elsewhere")) << name;
  EXPECT_THAT(error(archive({{.name = std::string("a\0b", 3), .content = text}})),
              HasSubstr("leads elsewhere"));
  EXPECT_THAT(error(archive({{.name = "a", .content = text}, {.name = "a", .content = text}})),
              HasSubstr("a stands twice"));
  EXPECT_THAT(error(archive({{.name = "a", .content = text}, {.name = "a", .content = "b", .offset = 0}})),
              HasSubstr("twice"));
  // Two names for the same bytes, as bombs have them.
  EXPECT_THAT(error(archive({{.name = "a", .content = text},
                             {.name = "b", .content = text, .offset = 0, .local_name = "b"}})),
              HasSubstr("contradicts"));
  EXPECT_THAT(error(archive({{.name = "a", .content = text, .deflate = true, .size = 0x7fffffff}})),
              HasSubstr("cannot have"));
  EXPECT_THAT(error(archive({{.name = "a", .content = text, .size = 10}})), HasSubstr("cannot have"));
  EXPECT_THAT(error(archive({{.name = "a", .content = text, .deflate = true, .size = 10}})),
              HasSubstr("cannot be inflated to 10 bytes"));
  EXPECT_THAT(error(archive({{.name = "a", .content = text, .deflate = true, .size = 5001}})),
              HasSubstr("cannot be inflated to 5,001 bytes"));
  EXPECT_THAT(error(archive({{.name = "a", .content = text, .crc = 1}})), HasSubstr("checksum"));
  EXPECT_THAT(error(archive({{.name = "a", .content = text, .local_name = "b"}})), HasSubstr("contradicts"));
  EXPECT_THAT(error(archive({{.name = "a", .content = text, .offset = 7}})), HasSubstr("does not begin"));
  EXPECT_THAT(error(archive({{.name = "a", .content = text, .offset = 0xfffffffe}})),
              HasSubstr("does not begin"));
  EXPECT_THAT(error(archive({{.name = "a", .content = text, .flags = 1}})), HasSubstr("encrypted"));
  EXPECT_THAT(error(archive({{.name = "a", .content = text, .method = 12}})), HasSubstr("method 12"));
  EXPECT_THAT(error("PK and more, but no archive at all"), HasSubstr("cut off"));
}

TEST(Zip, MembersThatBecomeFarMoreTogetherAreRefused) {
  const std::string zeros(std::size_t{8} << 20, '\0');
  std::vector<Said> members;
  for (int i = 0; i < 8; ++i)
    members.push_back({.name = std::to_string(i), .content = zeros, .deflate = true});
  EXPECT_EQ(error(archive(members)), "fine");
  for (int i = 8; i < 10; ++i)
    members.push_back({.name = std::to_string(i), .content = zeros, .deflate = true});
  EXPECT_THAT(error(archive(members)), HasSubstr("members that become more than"));
}

TEST(Zip, MembersThatOverlapAreRefused) {
  // A member whose content is a member: its header and bytes can be named by themselves.
  const std::string inner = archive({{.name = "b", .content = "inside"}});
  const auto begin = static_cast<std::uint32_t>(30 + 1);
  EXPECT_THAT(
      error(archive({{.name = "a", .content = inner}, {.name = "b", .content = "inside", .offset = begin}})),
      HasSubstr("overlap"));
}

TEST(Zip, EveryTruncationAndFlippedByteIsRefusedOrHarmless) {
  const std::string bytes = archive({{.name = "m/a", .content = "stored"},
                                     {.name = "m/b", .content = std::string(300, 'b'), .deflate = true}});
  for (std::size_t size = 0; size < bytes.size(); ++size) EXPECT_NE(error(bytes.substr(0, size)), "fine");
  Random random(1);
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string broken = bytes;
      broken[at] = static_cast<char>(broken[at] ^ (1 << bit));
      (void)error(broken);
    }
  }
}

}  // namespace
}  // namespace nidus::interop::internal
