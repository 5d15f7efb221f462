#include "http/message.h"

#include <gtest/gtest.h>

#include "http/internal/responder.h"

namespace nidus::http {
namespace {

Request asked(std::string_view target) {
  Request request;
  request.target = target;
  request.path = target.substr(0, target.find('?'));
  return request;
}

TEST(MessageTest, QueriesAreDecoded) {
  const Request request = asked("/a?x=1&na%6De=b%26c+d&empty=&flag&x=2&=none");
  EXPECT_EQ(request.query("x"), "1");
  EXPECT_EQ(request.query("name"), "b&c d");
  EXPECT_EQ(request.query("empty"), "");
  EXPECT_EQ(request.query("flag"), "");
  EXPECT_EQ(request.query(""), "none");
  EXPECT_EQ(request.query("y"), std::nullopt);
  EXPECT_EQ(asked("/a").query("x"), std::nullopt);
  EXPECT_EQ(asked("/a?").query("x"), std::nullopt);
  EXPECT_EQ(asked("/a?&&x=3").query("x"), "3");
}

TEST(MessageTest, HeadersAreFoundWithoutCase) {
  Request request;
  request.headers = {{"Content-Type", "text/csv ; charset=UTF-8"}, {"X-Empty", ""}};
  EXPECT_EQ(request.header("CONTENT-type"), "text/csv ; charset=UTF-8");
  EXPECT_EQ(request.content_type(), "text/csv");
  EXPECT_EQ(request.header("x-empty"), "");
  EXPECT_EQ(request.header("accept"), "");
}

TEST(MessageTest, AddressesAreWritten) {
  Peer peer;
  EXPECT_EQ(peer.address_text(), "::");
  peer.address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 7};
  EXPECT_EQ(peer.address_text(), "10.0.0.7");
  peer.address = {0x20, 0x01, 0x0d, 0xb8};
  EXPECT_EQ(peer.address_text(), "2001:db8::");
}

TEST(MessageTest, AProblemSaysItTheOldWaysToo) {
  const Response response = problem(400, "no \"flows\"", "id-1", "\"missing_features\":[\"a\"]");
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.content_type, "application/problem+json");
  EXPECT_EQ(response.body,
            R"({"type":"about:blank","title":"Bad Request","status":400,"detail":"no \"flows\"",)"
            R"("error":"no \"flows\"","request_id":"id-1","missing_features":["a"]})");
}

Response with_status(int status) {
  Response response;
  response.status = status;
  return response;
}

struct Recorder : Responder::Impl {
  virtual ~Recorder() = default;
  void answer(Response&& response) override { statuses.push_back(response.status); }
  bool gone() const override { return false; }
  std::string_view request_id() const override { return "7"; }
  std::vector<int> statuses;
};

TEST(MessageTest, AResponderAnswersExactlyOnce) {
  const auto recorder = std::make_shared<Recorder>();
  { Responder(recorder).send(with_status(201)); }
  EXPECT_EQ(recorder->statuses, std::vector{201});
  {
    Responder first(recorder);
    EXPECT_EQ(first.request_id(), "7");
    Responder second(std::move(first));
    EXPECT_TRUE(first.gone());  // NOLINT(bugprone-use-after-move): what a moved one says
    EXPECT_FALSE(second.gone());
  }
  EXPECT_EQ(recorder->statuses, (std::vector{201, 500}));
  {
    Responder one(recorder), other(recorder);
    one = std::move(other);  // answers for the one
    one.send(with_status(204));
  }
  EXPECT_EQ(recorder->statuses, (std::vector{201, 500, 500, 204}));
}

}  // namespace
}  // namespace nidus::http
