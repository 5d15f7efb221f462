#include "detect/subject.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"
#include "data/table_reader.h"
#include "detect/testing_detector.h"

namespace nidus::detect {
namespace {

TEST(SubjectTest, TimesAreReadBackAsTheyAreWritten) {
  for (const std::int64_t us : {0LL, 1'700'000'000'123'456LL, -1LL, 951'782'400'000'000LL}) {
    EXPECT_EQ(parse_iso8601(iso8601(us)), us);
  }
  EXPECT_EQ(parse_iso8601("2023-11-14 22:13:20.5"), 1'700'000'000'500'000);
  for (const char* const wrong :
       {"", "2023-11-14", "2023-02-30T00:00:00Z", "14/11/2023 10:13:20", "2023-11-14T25:00:00Z"}) {
    EXPECT_FALSE(parse_iso8601(wrong)) << wrong;
  }
}

TEST(SubjectTest, RowsOfFlowTablesKnowTheirFlow) {
  const auto table = data::parse_table(
      "src_ip,src_port,dst_ip,dst_port,protocol,timestamp,flow_duration,fwd_pkts,bwd_pkts\n"
      "10.0.0.1,4000,10.0.0.2,22,6,2023-11-14T22:13:20.123456Z,1000000,3,2\n"
      "nobody,4000,10.0.0.2,22,6,yesterday,0,1,0\n");
  ASSERT_TRUE(table);
  const TableSubjects subjects(*table, "rows.csv");
  const Subject first = subjects.at(0);
  EXPECT_EQ(source_text(first), "10.0.0.1:4000");
  EXPECT_EQ(destination_text(first), "10.0.0.2:22");
  EXPECT_EQ(first.start_us, 1'700'000'000'123'456);
  EXPECT_EQ(first.last_us, 1'700'000'001'123'456);
  EXPECT_EQ(first.packets_both(), 5u);
  EXPECT_FALSE(subjects.at(1).has_addresses);
  EXPECT_FALSE(subjects.at(1).start_us);
  EXPECT_TRUE(first.has_protocol && first.has_packets[0] && first.has_packets[1] && first.has_port[1]);
  EXPECT_FALSE(first.has_any_bytes());
}

TEST(SubjectTest, WhatATableDoesNotSayIsNotKnown) {
  const auto table = data::parse_table("duration,proto,fwd_pkts\n1,tcp,\n2,UDP,5\n3,quic,0\n");
  ASSERT_TRUE(table);
  const TableSubjects subjects(*table, "rows.csv");
  EXPECT_TRUE(subjects.at(0).has_protocol);
  EXPECT_EQ(subjects.at(0).tuple.protocol, 6);
  EXPECT_EQ(subjects.at(1).tuple.protocol, 17);
  EXPECT_FALSE(subjects.at(2).has_protocol);
  EXPECT_FALSE(subjects.at(0).has_any_packets());
  EXPECT_TRUE(subjects.at(1).has_packets[0]);
  EXPECT_FALSE(subjects.at(1).has_packets[1]);
  EXPECT_TRUE(subjects.at(2).has_packets[0]);
  EXPECT_FALSE(subjects.at(1).has_port[0] || subjects.at(1).has_port[1]);
  EXPECT_EQ(destination_text(subjects.at(1)), "-");
}

}  // namespace
}  // namespace nidus::detect
