#include "http/internal/request_reader.h"

#include <gtest/gtest.h>

#include <string>

#include "http/internal/buffer.h"

namespace nidus::http::internal {
namespace {

struct Reading {
  int status = 200;  // of the fault; 0: wants more
  std::string method, target, path, body, headers;
  bool keeps_alive = false, expects_continue = false;
  std::string rest;

  friend bool operator==(const Reading&, const Reading&) = default;
};

// Reads one request from bytes that come `step` at a time.
Reading read_request(std::string_view bytes, std::size_t step, const ReaderLimits& limits = {}) {
  RequestReader reader(limits);
  Request request;
  Reading reading;
  reader.start();
  std::string came;
  came.reserve(bytes.size());  // so that views stay good
  auto header = RequestReader::Header::more;
  std::size_t at = 0;
  while (header == RequestReader::Header::more) {
    header = reader.read_header(came, request);
    if (header != RequestReader::Header::more) break;
    if (at == bytes.size()) {
      reading.status = 0;
      return reading;
    }
    const std::string_view next = bytes.substr(at, step);
    came.append(next);
    at += next.size();
  }
  if (header == RequestReader::Header::fault) {
    reading.status = reader.fault().status;
    EXPECT_FALSE(reader.fault().detail.empty());
    return reading;
  }
  reading.method = name_of(request.method);
  reading.target = request.target;
  reading.path = request.path;
  for (const auto& [name, value] : request.headers) {
    reading.headers.append(name).append("=").append(value).append(";");
  }
  reading.keeps_alive = reader.keeps_alive();
  reading.expects_continue = reader.expects_continue();
  std::string unseen = came.substr(reader.header_bytes());
  for (;;) {
    std::string_view left = unseen, piece;
    const auto state = reader.read_body(left, piece);
    reading.body += piece;
    unseen.erase(0, unseen.size() - left.size());
    if (state == RequestReader::Body::done) break;
    if (state == RequestReader::Body::piece) continue;
    if (state == RequestReader::Body::fault) {
      reading.status = reader.fault().status;
      return reading;
    }
    if (at == bytes.size()) {
      reading.status = 0;
      return reading;
    }
    unseen += bytes.substr(at, step);
    at = std::min(at + step, bytes.size());
  }
  reading.rest = unseen + std::string(bytes.substr(at));
  return reading;
}

// The same in one piece, byte by byte, and in pieces between.
Reading read_request(std::string_view bytes) {
  const Reading whole = read_request(bytes, bytes.size() + 1);
  for (const std::size_t step : {1, 2, 7}) EXPECT_EQ(read_request(bytes, step), whole) << bytes;
  return whole;
}

TEST(RequestReaderTest, ReadsARequestWithItsBody) {
  const Reading reading = read_request(
      "POST /predict?x=%20y HTTP/1.1\r\nHost: a:80\r\nContent-Type:  Application/JSON; charset=UTF-8 \r\n"
      "X-Two: 1\r\nx-two: 2\r\nContent-Length: 4\r\n\r\n{ } GET");
  EXPECT_EQ(reading.status, 200);
  EXPECT_EQ(reading.method, "POST");
  EXPECT_EQ(reading.target, "/predict?x=%20y");
  EXPECT_EQ(reading.path, "/predict");
  EXPECT_EQ(reading.headers,
            "Host=a:80;Content-Type=application/json; charset=UTF-8;X-Two=1, 2;Content-Length=4;");
  EXPECT_EQ(reading.body, "{ } ");
  EXPECT_EQ(reading.rest, "GET");
  EXPECT_TRUE(reading.keeps_alive);
}

TEST(RequestReaderTest, ReadsChunks) {
  const Reading reading = read_request(
      "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
      "5\r\nhello\r\n001;name=\"va;lue\"\r\n \r\n5\r\nworld\r\n0\r\nX-Trailer: 1\r\n\r\nrest");
  EXPECT_EQ(reading.status, 200);
  EXPECT_EQ(reading.body, "hello world");
  EXPECT_EQ(reading.rest, "rest");
  EXPECT_EQ(reading.headers, "Host=a;Transfer-Encoding=Chunked;");
}

TEST(RequestReaderTest, SaysWhetherTheConnectionGoesOn) {
  EXPECT_TRUE(read_request("GET / HTTP/1.1\r\nHost: a\r\n\r\n").keeps_alive);
  EXPECT_FALSE(read_request("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n").keeps_alive);
  EXPECT_FALSE(read_request("GET / HTTP/1.0\r\n\r\n").keeps_alive);
  EXPECT_TRUE(read_request("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keeps_alive);
  EXPECT_TRUE(read_request("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\nx")
                  .expects_continue);
  EXPECT_FALSE(
      read_request("POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\nx").expects_continue);
}

TEST(RequestReaderTest, TargetsThatAreUnderstood) {
  const auto target = [](std::string_view text) {
    return read_request("GET " + std::string(text) + " HTTP/1.1\r\nHost: a\r\n\r\n").target;
  };
  EXPECT_EQ(target("/"), "/");
  EXPECT_EQ(target("/a/../b//c?d?e"), "/a/../b//c?d?e");  // as sent
  EXPECT_EQ(target("http://a.example:80/b?c"), "/b?c");
  EXPECT_EQ(target("HTTPS://[::1]?c"), "/?c");
  EXPECT_EQ(target("http://a"), "/");
  EXPECT_EQ(read_request("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").path, "*");
}

struct Hostile {
  int status;
  const char* what;
  std::string bytes;
};

// Every shape by which a proxy and a server have been made to disagree about where a request ends, and some
// more.
TEST(RequestReaderTest, HostileShapesAreRefused) {
  const std::string get = "GET / HTTP/1.1\r\nHost: a\r\n", post = "POST / HTTP/1.1\r\nHost: a\r\n";
  const std::string chunked = post + "Transfer-Encoding: chunked\r\n\r\n";
  const Hostile shapes[] = {
      {400, "length and chunks", post + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG"},
      {400, "chunks and length", post + "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nG"},
      {400, "two lengths", post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"},
      {400, "the same length twice", post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"},
      {400, "a list of lengths", post + "Content-Length: 5, 5\r\n\r\nhello"},
      {400, "a signed length", post + "Content-Length: +5\r\n\r\nhello"},
      {400, "a negative length", post + "Content-Length: -5\r\n\r\nhello"},
      {400, "a hexadecimal length", post + "Content-Length: 0x5\r\n\r\nhello"},
      {400, "a length with blanks inside", post + "Content-Length: 1 5\r\n\r\nhello"},
      {400, "an empty length", post + "Content-Length:\r\n\r\nhello"},
      {400, "a length beyond 64 bits", post + "Content-Length: 18446744073709551621\r\n\r\nhello"},
      {501, "another coding", post + "Transfer-Encoding: gzip\r\n\r\n"},
      {501, "another coding before", post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
      {501, "another coding behind", post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"},
      {501, "chunked in quotes", post + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"},
      {400, "two codings",
       post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"},
      {400, "chunked twice",
       post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {400, "chunked with a vertical tab",
       post + "Transfer-Encoding: \x0b"
              "chunked\r\n\r\n0\r\n\r\n"},
      {400, "chunks in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {400, "a blank before a colon", post + "Content-Length : 5\r\n\r\nhello"},
      {400, "a tab before a colon", post + "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n"},
      {400, "a folded line", get + "X: 1\r\n Content-Length: 5\r\n\r\nhello"},
      {400, "a folded line by tab", get + "X: 1\r\n\tTransfer-Encoding: chunked\r\n\r\n"},
      {400, "a blank before the first header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"},
      {400, "bare line feeds", "GET / HTTP/1.1\nHost: a\n\n"},
      {400, "one bare line feed", "GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n"},
      {400, "a bare carriage return", "GET / HTTP/1.1\r\nHost: a\rX: 1\r\n\r\n"},
      {400, "a NUL in a value", get + std::string("X: a\0b\r\n\r\n", 10)},
      {400, "a NUL in a name", get + std::string("X\0Y: a\r\n\r\n", 10)},
      {400, "an empty name", get + ": a\r\n\r\n"},
      {400, "a line without colon", get + "nothing\r\n\r\n"},
      {400, "a name with odd letters", get + "X(Y): 1\r\n\r\n"},
      {400, "no Host", "GET / HTTP/1.1\r\n\r\n"},
      {400, "two Hosts", get + "Host: b\r\n\r\n"},
      {400, "a Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
      {400, "a Host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"},
      {400, "a Host with a list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"},
      {400, "two targets", "GET / /b HTTP/1.1\r\nHost: a\r\n\r\n"},
      {400, "two blanks", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
      {400, "a blank behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"},
      {400, "a blank in front", " GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
      {400, "no version", "GET /\r\nHost: a\r\n\r\n"},
      {400, "a version in small letters", "GET / http/1.1\r\nHost: a\r\n\r\n"},
      {400, "a version with digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n"},
      {505, "a later version", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"},
      {505, "the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
      {505, "an earlier version", "GET / HTTP/0.9\r\nHost: a\r\n\r\n"},
      {400, "TLS", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11)},
      {400, "an authority", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"},
      {400, "a relative target", "GET a HTTP/1.1\r\nHost: a\r\n\r\n"},
      {400, "an asterisk", "GET * HTTP/1.1\r\nHost: a\r\n\r\n"},
      {400, "another scheme", "GET ftp://a/b HTTP/1.1\r\nHost: a\r\n\r\n"},
      {400, "no host in the target", "GET http:///b HTTP/1.1\r\nHost: a\r\n\r\n"},
      {400, "a user in the target", "GET http://u@a/b HTTP/1.1\r\nHost: a\r\n\r\n"},
      {400, "a fragment", "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n"},
      {400, "a backslash", "GET /\\..\\ HTTP/1.1\r\nHost: a\r\n\r\n"},
      {400, "letters beyond ASCII", "GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n"},
      {400, "an encoded NUL", "GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n"},
      {400, "half a percent", "GET /a%4 HTTP/1.1\r\nHost: a\r\n\r\n"},
      {400, "a percent of other letters", "GET /a?b=%zz HTTP/1.1\r\nHost: a\r\n\r\n"},
      {400, "many empty lines", "\r\n\r\n\r\n" + get + "\r\n"},
      {417, "another expectation", post + "Content-Length: 1\r\nExpect: money\r\n\r\nx"},
      {400, "a chunk of no size", chunked + "\r\nhello"},
      {400, "a chunk of an odd size", chunked + "5g\r\nhello\r\n0\r\n\r\n"},
      {400, "a chunk of negative size", chunked + "-5\r\nhello\r\n0\r\n\r\n"},
      {400, "a chunk beyond 64 bits", chunked + "10000000000000005\r\nhello\r\n0\r\n\r\n"},
      {400, "a chunk without an end", chunked + "5\r\nhelloo\r\n0\r\n\r\n"},
      {400, "a chunk that ends in a line feed", chunked + "5\r\nhello\n0\r\n\r\n"},
      {400, "a chunk size with a blank in front", chunked + " 5\r\nhello\r\n0\r\n\r\n"},
  };
  for (const Hostile& shape : shapes) EXPECT_EQ(read_request(shape.bytes).status, shape.status) << shape.what;
}

TEST(RequestReaderTest, LimitsAreKept) {
  const ReaderLimits limits{.header_bytes_max = 1000, .headers_max = 5, .target_bytes_max = 100};
  const auto status = [&](const std::string& bytes) {
    const Reading whole = read_request(bytes, bytes.size(), limits);
    EXPECT_EQ(read_request(bytes, 1, limits), whole);
    return whole.status;
  };
  const std::string begin = "GET / HTTP/1.1\r\nHost: a\r\n";
  EXPECT_EQ(status("GET /" + std::string(99, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
  EXPECT_EQ(status("GET /" + std::string(100, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n"), 414);
  EXPECT_EQ(status("GET /" + std::string(2000, 'a')), 414);
  EXPECT_EQ(status(begin + "X: " + std::string(1000 - begin.size() - 7, 'a') + "\r\n\r\n"), 200);
  EXPECT_EQ(status(begin + "X: " + std::string(1000 - begin.size() - 6, 'a') + "\r\n\r\n"), 431);
  EXPECT_EQ(status(begin + "X: " + std::string(2000, 'a')), 431);
  EXPECT_EQ(status(begin + "A: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\n\r\n"), 200);
  EXPECT_EQ(status(begin + "A: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nE: 1\r\n\r\n"), 431);
}

// One-byte chunks, each behind a long extension: a thousand bytes to read for each that is one.
TEST(RequestReaderTest, BodiesThatAreMostlyFramingAreRefused) {
  std::string bytes = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  std::string fair = bytes;
  for (int i = 0; i < 10000; ++i) fair += "1\r\nx\r\n";
  EXPECT_EQ(read_request(fair + "0\r\n\r\n", 4096).status, 200);
  for (int i = 0; i < 1000; ++i) bytes += "1;" + std::string(1000, 'e') + "\r\nx\r\n";
  EXPECT_EQ(read_request(bytes + "0\r\n\r\n", 4096).status, 400);
}

TEST(RequestReaderTest, EveryPrefixOfARequestWantsMore) {
  const std::string bytes =
      "POST http://a/b?c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
      "3;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\n";
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(read_request(bytes.substr(0, size), 1000).status, 0) << size;
  }
  EXPECT_EQ(read_request(bytes).body, "abc");
}

}  // namespace
}  // namespace nidus::http::internal
