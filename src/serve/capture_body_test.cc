#include "serve/capture_body.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/digest.h"
#include "net/capture.h"

namespace nidus::serve {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

PieceSource pieces(const std::string& text, std::size_t size) {
  return [&text, size, at = std::size_t{0}]() mutable -> Result<std::span<const std::byte>> {
    const auto piece = std::as_bytes(std::span(text.data() + at, std::min(size, text.size() - at)));
    at += piece.size();
    return piece;
  };
}

std::string encoded(std::string_view bytes) {
  return base64({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

// All of the capture, or "! " and what is wrong.
std::string all(CaptureBody& body) {
  std::string out;
  for (;;) {
    auto piece = body.next();
    if (!piece) {
      EXPECT_EQ(piece.error().code, Errc::invalid);
      return "! " + piece.error().message;
    }
    if (piece->empty()) return out;
    out.append(reinterpret_cast<const char*>(piece->data()), piece->size());
  }
}

std::string content(const std::string& json, std::size_t size = 1000) {
  return all(*json_capture(pieces(json, size)));
}
std::string packets(const std::string& json, std::size_t size = 1000) {
  return all(*json_packets(pieces(json, size)));
}

// A pcap as one line a frame: "time link bytes".
std::string frames(const std::string& pcap) {
  if (pcap.starts_with("! ")) return pcap;
  const std::span<const std::uint8_t> bytes(reinterpret_cast<const std::uint8_t*>(pcap.data()), pcap.size());
  auto capture = net::Capture::open_memory(bytes, "packets");
  if (!capture) return capture.error().message;
  std::string out;
  net::Frame frame;
  while (capture->next(frame) == net::Next::frame) {
    out += std::to_string(frame.time.ns) + " " + std::to_string(static_cast<int>(frame.link)) + " " +
           std::string(frame.bytes.begin(), frame.bytes.end()) + "\n";
  }
  if (capture->fault()) out += capture->fault()->message;
  return out;
}

TEST(CaptureBodyTest, ContentIsDecodedInAnyPieces) {
  std::string bytes;
  for (int i = 0; i < 1000; ++i) bytes += static_cast<char>(i * 7);
  std::string escaped = encoded(bytes);
  // As some writers of JSON do it.
  for (std::size_t at = 0; (at = escaped.find('/', at)) != std::string::npos; at += 2)
    escaped.insert(at, 1, '\\');
  const std::string json =
      "{\"filename\": \"a.pcap\", \"more\": {\"content\": "
      "[1]}, \"content\": \"" +
      escaped + "\\n\"}";
  for (const std::size_t size : {1, 2, 3, 5, 64, 10'000}) EXPECT_EQ(content(json, size), bytes);
}

TEST(CaptureBodyTest, ContentThatIsNoneIsRefused) {
  for (const char* const nothing : {"", " ", "{}", "[]", "null", "\"\"", "0", "[{\"content\":\"\"}]"})
    EXPECT_EQ(content(nothing), "! No JSON data provided") << nothing;
  EXPECT_EQ(content("{\"filename\":\"x\"}"), "! No content provided");
  EXPECT_EQ(content("{\"content\":\"\"}"), "! content is empty");
  EXPECT_THAT(content("{\"content\":\"Zm9\"}"), HasSubstr("it ends too early"));
  EXPECT_THAT(content("{\"content\":\"Zm9v*\"}"), HasSubstr("character 5 does not belong there"));
  EXPECT_THAT(content("{\"content\":17}"), HasSubstr("is to be a text"));
  EXPECT_THAT(content("{\"content\":null}"), HasSubstr("is to be a text"));
  EXPECT_THAT(content("{\"content\":{\"a\":1}}"), HasSubstr("is to be a text"));
  EXPECT_THAT(content("{\"content\":\"Zm9v\",\"content\":\"Zm9v\"}"), HasSubstr("twice"));
  EXPECT_THAT(content("{\"content\":\"Zm9v\""), HasSubstr("not JSON: byte 17: ends too early"));
  EXPECT_THAT(content("{\"content\":\"Zm9v\"} x"), HasSubstr("not JSON"));
}

TEST(PacketsBodyTest, PlainPacketsAreOfOneMoment) {
  const std::string json = "{\"packets\":[\"" + encoded("one") + "\", \"" + encoded("three") + "\"]}";
  for (const std::size_t size : {1, 3, 1000}) EXPECT_EQ(frames(packets(json, size)), "0 1 one\n0 1 three\n");
  auto body = json_packets(pieces(json, 5));
  ASSERT_TRUE(body->next());
  EXPECT_TRUE(body->times_absent());
}

TEST(PacketsBodyTest, TimesAndLinkTypeAreTaken) {
  const std::string one = encoded("one");
  const std::string given =
      "{\"packets\":[{\"data\":\"" + one +
      "\",\"timestamp\":1700000000.123456,\"x\":[{}]},{\"timestamp\":" + "5e0,\"data\":\"" + one +
      "\"}],\"linktype\":101,\"note\":\"n\"}";
  for (const std::size_t size : {1, 3, 1000})
    EXPECT_EQ(frames(packets(given, size)), "1700000000123456000 101 one\n5000000000 101 one\n");
  EXPECT_THAT(packets("{\"packets\":[{\"data\":\"Zm9v\",\"timestamp\":1,\"length\":-1}]}"),
              HasSubstr("length is to be a number of bytes"));
  auto body = json_packets(pieces(given, 1000));
  ASSERT_TRUE(body->next());
  EXPECT_FALSE(body->times_absent());
}

TEST(PacketsBodyTest, WhatIsNoBase64IsLeftOutAndCounted) {
  const std::string json = "{\"packets\":[\"***\",\"" + encoded("one") + "\",\"\",{\"data\":\"Zg\"}]}";
  auto body = json_packets(pieces(json, 4));
  EXPECT_EQ(frames(all(*body)), "0 1 one\n");
  EXPECT_EQ(body->undecodable(), 3u);
  for (const char* const none : {"{\"packets\":[]}", "{\"packets\":[\"*\"]}", "{\"packets\":[\"\"]}"})
    EXPECT_EQ(packets(none), "! No valid packets could be decoded");
}

TEST(PacketsBodyTest, PacketsThatAreNoneAreRefused) {
  EXPECT_EQ(packets("{}"), "! No JSON data provided");
  EXPECT_EQ(packets("{\"content\":\"x\"}"), "! No packets provided");
  for (const char* const wrong : {"{\"packets\":\"Zm9v\"}", "{\"packets\":1}", "{\"packets\":{\"a\":1}}"})
    EXPECT_THAT(packets(wrong), HasSubstr("packets is to be a list")) << wrong;
  EXPECT_THAT(packets("{\"packets\":[\"Zm9v\",3]}"), StartsWith("! packets[1]: "));
  EXPECT_THAT(packets("{\"packets\":[null]}"), StartsWith("! packets[0]: "));
  EXPECT_THAT(packets("{\"packets\":[[\"Zm9v\"]]}"), StartsWith("! packets[0]: "));
  EXPECT_THAT(packets("{\"packets\":[{\"timestamp\":1}]}"), HasSubstr("an object without data"));
  EXPECT_THAT(packets("{\"packets\":[{\"data\":1}]}"), HasSubstr("data is to be a text"));
  EXPECT_THAT(packets("{\"packets\":[{\"data\":[\"Zm9v\"]}]}"), HasSubstr("data is to be a text"));
  EXPECT_THAT(packets("{\"packets\":[{\"data\":\"Zm9v\",\"data\":\"Zm9v\"}]}"),
              HasSubstr("data is there twice"));
  for (const char* const time : {"-1", "5000000000", "\"1\"", "null", "1e999"}) {
    EXPECT_THAT(packets("{\"packets\":[{\"data\":\"Zm9v\",\"timestamp\":" + std::string(time) + "}]}"),
                HasSubstr("timestamp is to be a number of seconds"))
        << time;
  }
  EXPECT_THAT(packets("{\"packets\":[\"Zm9v\",{\"data\":\"Zm9v\",\"timestamp\":1}]}"),
              HasSubstr("have a timestamp all of them, or none"));
  for (const char* const link : {"\"ethernet\"", "-1", "65536", "1.5", "[1]", "true"})
    EXPECT_THAT(packets("{\"packets\":[\"Zm9v\"],\"linktype\":" + std::string(link) + "}"),
                HasSubstr("linktype is to be a number"))
        << link;
  EXPECT_THAT(packets("{\"packets\":[\"" + encoded(std::string(262145, 'x')) + "\"]}"),
              HasSubstr("which no frame is"));
}

TEST(PacketsBodyTest, ALateLinkTypeHoldsForShortBodiesOnly) {
  std::string json = "{\"packets\":[\"" + encoded(std::string(200'000, 'x')) + "\"";
  for (int i = 0; i < 6; ++i) json += ",\"" + encoded(std::string(200'000, 'x')) + "\"";
  EXPECT_THAT(packets(json + "],\"linktype\":101}"), HasSubstr("is to stand before so many packets"));
  EXPECT_THAT(frames(packets(json + "],\"linktype\":1}")), StartsWith("0 1 xxx"));
}

TEST(FormCaptureTest, TheFirstFileOfAFormIsTaken) {
  const std::string kForm = "multipart/form-data; boundary=b";
  const std::string form =
      "--b\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n"
      "--b\r\nContent-Disposition: form-data; name=\"pcap\"; "
      "filename=\"x.pcap\"\r\n\r\nbytes\r\n--b--\r\n";
  for (const std::size_t size : {1, 10, 1000})
    EXPECT_EQ(all(*form_capture(pieces(form, size), kForm)), "bytes");
  EXPECT_THAT(all(*form_capture(pieces(form, 10), "multipart/form-data; boundary=c")), StartsWith("! "));
  EXPECT_THAT(all(*form_capture(pieces(form, 10), "multipart/form-data")), StartsWith("! "));
  const std::string none =
      "--b\r\nContent-Disposition: form-data; "
      "name=\"note\"\r\n\r\nhello\r\n--b--\r\n";
  EXPECT_EQ(all(*form_capture(pieces(none, 10), kForm)), "! no file in the form");
}

}  // namespace
}  // namespace nidus::serve
