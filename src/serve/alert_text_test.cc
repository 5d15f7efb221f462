#include "serve/alert_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace nidus::serve {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

store::Address v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
  return {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d};
}

store::Alert alert() {
  store::Alert alert;
  alert.id = 7;
  alert.label = "dos";
  alert.source = v4(192, 0, 2, 1);
  alert.target = v4(10, 0, 0, 2);
  alert.source_port = 4000;
  alert.target_port = 80;
  alert.protocol = 6;
  alert.first_us = 1'800'000'000'000'000;
  alert.last_us = 1'800'000'060'000'000;
  alert.count = 12;
  alert.score_max = 0.95;
  alert.detector = "forest 1";
  alert.origin = "capture";
  alert.flow = R"({"packets":3})";
  return alert;
}

Ask asked(std::map<std::string, std::string, std::less<>> questions) {
  return [questions](std::string_view name) -> std::optional<std::string> {
    const auto found = questions.find(name);
    if (found == questions.end()) return std::nullopt;
    return found->second;
  };
}

TEST(AlertTextTest, NetworksAreRangesOfAddresses) {
  EXPECT_EQ(address_range("10.1.2.3")->first, v4(10, 1, 2, 3));
  EXPECT_EQ(address_range("10.1.2.3")->last, v4(10, 1, 2, 3));
  EXPECT_EQ(address_range("10.1.0.0/16")->first, v4(10, 1, 0, 0));
  EXPECT_EQ(address_range("10.1.0.0/16")->last, v4(10, 1, 255, 255));
  EXPECT_EQ(address_text(address_range("2001:db8::/32")->last), "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff");
  EXPECT_EQ(address_text(address_range("0.0.0.0/0")->last), "255.255.255.255");
  EXPECT_FALSE(address_range("10.1.0.0/33"));
  EXPECT_FALSE(address_range("localhost"));
  EXPECT_EQ(address_text(std::nullopt), "-");
}

TEST(AlertTextTest, TimesAreDatesOrSeconds) {
  EXPECT_EQ(*time_of("2026-11-21T11:41:29Z"), 1'795'261'289'000'000);
  EXPECT_EQ(*time_of("12.5"), 12'500'000);
  EXPECT_FALSE(time_of("yesterday"));
  EXPECT_FALSE(time_of("1e300"));
  EXPECT_FALSE(time_of("nan"));
}

TEST(AlertTextTest, QuestionsAreReadAndRefused) {
  const auto query = alert_query(asked({{"state", "new, escalated"},
                                        {"label", "dos"},
                                        {"source", "10.0.0.0/8"},
                                        {"from", "10"},
                                        {"score_min", "0.5"},
                                        {"count_min", "3"}}));
  ASSERT_TRUE(query);
  EXPECT_EQ(query->states.size(), 2u);
  EXPECT_EQ(query->from_us, 10'000'000);
  EXPECT_EQ(query->count_min, 3u);
  EXPECT_EQ(query->source->last, v4(10, 255, 255, 255));
  EXPECT_THAT(alert_query(asked({{"state", "escaleted"}})).error().message,
              HasSubstr("did you mean 'escalated'"));
  EXPECT_THAT(alert_query(asked({{"target", "10.0.0"}})).error().message, HasSubstr("target"));
  EXPECT_THAT(alert_query(asked({{"score_min", "high"}})).error().message, HasSubstr("score_min"));
  EXPECT_FALSE(alert_query(asked({{"count_min", "-1"}})));
  EXPECT_FALSE(verdict_query(asked({{"attack", "yes"}})));
  EXPECT_EQ(verdict_query(asked({{"alert", "9"}}))->alert, 9);
  EXPECT_TRUE(known_question("score_min", true));
  EXPECT_FALSE(known_question("score_min", false));
}

TEST(AlertTextTest, CursorsGoThereAndBack) {
  const auto cursor = cursor_of(cursor_text({-5, 9}));
  EXPECT_EQ(cursor->last_us, -5);
  EXPECT_EQ(cursor->id, 9);
  for (const char* text : {"", "5", "5:", "a:b", "1:2:3"}) EXPECT_FALSE(cursor_of(text)) << text;
}

TEST(AlertTextTest, AnAlertIsOneObject) {
  std::string out;
  JsonWriter json(out);
  append_alert(json, alert());
  EXPECT_THAT(out,
              StartsWith(R"({"id":7,"state":"new","label":"dos","src_ip":"192.0.2.1","src_port":4000,)"));
  EXPECT_THAT(out, HasSubstr(R"("first":"2027-01-15T08:00:00.000000Z")"));
  EXPECT_THAT(out, HasSubstr(R"("severity":1)"));
  EXPECT_THAT(out, HasSubstr(R"("flow":{"packets":3}})"));
}

TEST(AlertTextTest, EveIsWhatViewersRead) {
  std::string out;
  append_alert_eve(out, alert());
  EXPECT_THAT(out, StartsWith(R"({"timestamp":"2027-01-15T08:01:00.000000+0000","event_type":"alert",)"));
  EXPECT_THAT(out, HasSubstr(R"("src_ip":"192.0.2.1","src_port":4000,"dest_ip":"10.0.0.2","dest_port":80)"));
  EXPECT_THAT(out, HasSubstr(R"("community_id":"1:)"));
  EXPECT_THAT(out, HasSubstr(R"("category":"Attempted Denial of Service")"));
  EXPECT_EQ(out.back(), '\n');
}

TEST(AlertTextTest, NoSpreadsheetRunsALabel) {
  store::Alert evil = alert();
  evil.label = "=cmd|' /C calc'!A0";
  evil.detector = "@x, \"y\"";
  std::string out;
  append_alert_csv(out, evil);
  EXPECT_EQ(out,
            "7,new,'=cmd|' /C calc'!A0,192.0.2.1,4000,10.0.0.2,80,6,2027-01-15T08:00:00.000000Z,"
            "2027-01-15T08:01:00.000000Z,12,0.95,\"'@x, \"\"y\"\"\"\n");
}

}  // namespace
}  // namespace nidus::serve
