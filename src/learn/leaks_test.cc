#include "learn/leaks.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "base/random.h"
#include "learn/metrics.h"

namespace nidus::learn {
namespace {

using ::testing::HasSubstr;

constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

TEST(LeakByName, KnowsTheSpellingsOfPublicDataSets) {
  for (const char* name :
       {"Src IP", "id.orig_h", "IPV4_DST_ADDR", "srcip", "saddr", "Source IP", "dst_mac"}) {
    EXPECT_EQ(leak_by_name(name), LeakKind::address) << name;
  }
  for (const char* name : {"dst_port", "L4_SRC_PORT", "id.resp_p", "sport", "dsport", "Destination Port"}) {
    EXPECT_EQ(leak_by_name(name), LeakKind::port) << name;
  }
  for (const char* name : {"id", "uid", "Flow ID", "Unnamed: 0", "difficulty", "attack_cat"}) {
    EXPECT_EQ(leak_by_name(name), LeakKind::id) << name;
  }
  for (const char* name : {"Timestamp", "ts", "Stime", "frame.time", "start_time", "date"}) {
    EXPECT_EQ(leak_by_name(name), LeakKind::time) << name;
  }
  for (const char* name : {"flow.alerted", "alert.severity", "verdict.action", "alerted"})
    EXPECT_EQ(leak_by_name(name), LeakKind::verdict) << name;
  for (const char* name : {"sttl", "MIN_TTL", "ct_state_ttl"})
    EXPECT_EQ(leak_by_name(name), LeakKind::ttl) << name;
}

TEST(LeakByName, LeavesFeaturesAlone) {
  for (const char* name :
       {"duration", "dst_host_count", "dst_host_same_src_port_rate", "is_sm_ips_ports", "ct_src_dport_ltm",
        "connection_time", "idle_mean", "fwd_ip_bytes", "service", "protocol", "is_host_login",
        "orig_ip_bytes", "flow_iat_mean", "active_max", "Idle Time", "tls_alert", "land", "", "..."}) {
    EXPECT_FALSE(leak_by_name(name)) << name;
  }
}

// 400 rows, two in five attacks; columns: one that tells all, one that tells nothing, one whose middle is
// benign, and a category.
struct Rows {
  model::Schema schema;
  std::vector<float> values;
  std::vector<std::uint32_t> labels;
};

Rows four_columns() {
  Rows out;
  out.schema = {{"telling", model::Column::Kind::numeric, {}, ""},
                {"noise", model::Column::Kind::numeric, {}, ""},
                {"ends", model::Column::Kind::numeric, {}, ""},
                {"kind", model::Column::Kind::categorical, {"a", "b", "c"}, ""}};
  Random random(1);
  for (int i = 0; i < 400; ++i) {
    const bool attack = i % 5 < 2;
    out.labels.push_back(attack ? 1 + static_cast<std::uint32_t>(i % 2) : 0);
    out.values.push_back(attack ? -1.0f - static_cast<float>(i) : static_cast<float>(i));
    out.values.push_back(static_cast<float>(random.unit()));
    out.values.push_back(!attack ? 50.0f + static_cast<float>(i % 9) : i % 2 == 0 ? 1.0f : 100.0f);
    out.values.push_back(attack ? 1.0f : i % 3 == 0 ? kNone : 2.0f);
  }
  return out;
}

TEST(AloneAuc, FindsColumnsThatTellAttacksByThemselves) {
  const Rows rows = four_columns();
  const auto of = [&](std::size_t column) {
    return *alone_auc(rows.schema, column, rows.values, rows.labels);
  };
  EXPECT_EQ(of(0), 1);  // the lower the more of an attack: either direction counts
  EXPECT_LT(of(1), 0.65);
  EXPECT_EQ(of(2), 1);  // in neither direction, but by ranges
  EXPECT_EQ(of(3), 1);
}

TEST(AloneAuc, IsTheRocAucOfOneColumn) {
  Rows rows;
  rows.schema = {{"x", model::Column::Kind::numeric, {}, ""}};
  std::vector<double> scores;
  std::vector<std::uint8_t> positive;
  Random random(2);
  for (int i = 0; i < 3000; ++i) {
    positive.push_back(i % 2 == 0);
    rows.labels.push_back(positive.back());
    rows.values.push_back(static_cast<float>(random.unit() + (i % 2 == 0 ? 0.5 : 0)));
    scores.push_back(static_cast<double>(rows.values.back()));
  }
  // 1 - 0.5²/2 = 0.875 by construction; ranges can add no more than their noise.
  EXPECT_NEAR(*alone_auc(rows.schema, 0, rows.values, rows.labels), 0.875, 0.02);
  EXPECT_GE(*alone_auc(rows.schema, 0, rows.values, rows.labels), *roc_auc(scores, positive));
}

TEST(AloneAuc, HasNoOpinionOnAFewRows) {
  const Rows rows = four_columns();
  EXPECT_FALSE(
      alone_auc(rows.schema, 0, std::span(rows.values).first(4 * 30), std::span(rows.labels).first(30)));
  EXPECT_FALSE(alone_auc(rows.schema, 0, {}, {}));
}

TEST(AloneAuc, ShuffledLabelsTellNothing) {
  Rows rows = four_columns();
  Random random(3);
  for (std::size_t i = rows.labels.size(); i > 1; --i)
    std::swap(rows.labels[i - 1], rows.labels[random.below(i)]);
  for (std::size_t column = 0; column < 4; ++column) {
    EXPECT_LT(*alone_auc(rows.schema, column, rows.values, rows.labels), 0.65) << column;
  }
}

TEST(Copies, AreCountedWithTheirContradictions) {
  // 1 2 | benign; 1 2 | benign; 1 2 | attack; 3 - | attack; 3 - | attack; -0 0 | benign; 0 -0 | benign
  const std::vector<float> values = {1, 2, 1, 2, 1, 2, 3, kNone, 3, kNone, -0.0f, 0, 0, -0.0f};
  const std::vector<std::uint32_t> labels = {0, 0, 1, 1, 1, 0, 0};
  const Copies copies = count_copies(2, values, labels);
  EXPECT_EQ(copies.looked_at, 7u);
  EXPECT_EQ(copies.copies, 4u);
  EXPECT_EQ(copies.contradicted, 3u);
  EXPECT_DOUBLE_EQ(copies.accuracy_ceiling, 6.0 / 7);
  EXPECT_FALSE(copies.estimated);
}

TEST(Copies, AreEstimatedWithinBoundedMemory) {
  std::vector<float> values;
  std::vector<std::uint32_t> labels;
  for (int i = 0; i < 40000; ++i) {  // each of 10,000 rows four times
    values.push_back(static_cast<float>(i % 10000));
    labels.push_back(0);
  }
  const Copies copies = count_copies(1, values, labels, 5000);
  EXPECT_TRUE(copies.estimated);
  EXPECT_LT(copies.looked_at, 7000u);
  EXPECT_GT(copies.looked_at, 3500u);
  EXPECT_EQ(copies.copies * 4, copies.looked_at * 3);  // rows that are looked at come with all their copies
  const Overlap overlap = count_overlap(1, std::span(values).first(5000), values, 1000);
  EXPECT_TRUE(overlap.estimated);
  EXPECT_NEAR(static_cast<double>(overlap.seen) / static_cast<double>(overlap.looked_at), 0.5, 0.1);
  EXPECT_EQ(count_overlap(1, std::span(values).first(5000), values).seen, 20000u);
  EXPECT_EQ(count_copies(1, {}, {}).accuracy_ceiling, 1);
}

std::vector<LeakKind> kinds(const LeakReport& report, std::string_view column) {
  std::vector<LeakKind> out;
  for (const auto& leak : report.leaks) {
    if (leak.column == column) out.push_back(leak.kind);
  }
  return out;
}

TEST(FindLeaks, NamesEachColumnAndWhy) {
  Rows rows = four_columns();
  rows.schema[1].name = "Src Port";
  const LeakReport report = find_leaks({rows.schema, rows.values, rows.labels});
  EXPECT_THAT(kinds(report, "telling"), testing::ElementsAre(LeakKind::alone));
  EXPECT_THAT(kinds(report, "Src Port"), testing::ElementsAre(LeakKind::port));
  EXPECT_THAT(report.to_text(),
              HasSubstr("warning: telling alone tells attacks from benign rows, ROC AUC 1.0000"));
  EXPECT_FALSE(report.overlap);
}

TEST(FindLeaks, CountsRowsThatWereLearntFrom) {
  const Rows rows = four_columns();
  LeakSearch search{rows.schema, std::span(rows.values).first(4 * 100), std::span(rows.labels).first(100)};
  search.learnt_values = std::span(rows.values).subspan(4 * 90);
  search.learnt_labels = std::span(rows.labels).subspan(90);
  const LeakReport report = find_leaks(search);
  ASSERT_TRUE(report.overlap);
  EXPECT_EQ(report.overlap->looked_at, 100u);
  EXPECT_EQ(report.overlap->seen, 10u);
  EXPECT_THAT(report.to_text(), HasSubstr("10 of 100 rows"));
}

// What a column looked like to the benign rows learnt from, and what is said when it has changed so.
std::string shift_of(float scale, float gap) {
  model::Schema schema = {{"x", model::Column::Kind::numeric, {}, ""}};
  std::vector<float> values;
  std::vector<std::uint32_t> labels(100, 0);
  for (int i = 0; i < 100; ++i) values.push_back(scale * static_cast<float>(i + 10) + gap);
  const std::vector<double> levels = {0, 0.25, 0.5, 0.75, 0.9, 1};
  const std::vector<std::vector<double>> reference = {{10, 34, 59, 84, 99, 109}};
  LeakSearch search{schema, values, labels};
  search.reference_levels = levels;
  search.reference = reference;
  const LeakReport report = find_leaks(search);
  return report.leaks.empty() ? "" : report.leaks.front().message;
}

TEST(FindLeaks, NoticesColumnsThatMeanSomethingElse) {
  EXPECT_EQ(shift_of(1, 0), "");
  EXPECT_EQ(shift_of(1.2f, 3), "");
  EXPECT_THAT(shift_of(1000, 0), HasSubstr("1e+03 times"));
  EXPECT_THAT(shift_of(0.001f, 0), HasSubstr("0.001 times"));
  EXPECT_THAT(shift_of(1, 5000), HasSubstr("+5e+03"));
  EXPECT_THAT(shift_of(3, -400), HasSubstr("outside"));
  EXPECT_THAT(shift_of(0, 59), HasSubstr("59 in every benign row here"));
  EXPECT_THAT(shift_of(kNone, 0), HasSubstr("missing"));
}

// Rows of packets: the later ones are missing in all flows but every third.
LeakReport of_packets(std::size_t packets, double missing_there) {
  model::Schema schema;
  std::vector<std::vector<double>> reference;
  for (std::size_t i = 0; i < packets; ++i) {
    schema.push_back({"seq_size_" + std::to_string(i + 1), model::Column::Kind::numeric, {}, ""});
    reference.push_back({0, 50, 99});
  }
  std::vector<float> values;
  for (std::size_t row = 0; row < 300; ++row)
    values.insert(values.end(), packets, row % 3 == 0 ? static_cast<float>(row / 3) : kNone);
  const std::vector<std::uint32_t> labels(300, 0);
  const std::vector<double> levels = {0, 0.5, 1}, missing(packets, missing_there);
  LeakSearch search{schema, values, labels};
  search.reference_levels = levels;
  search.reference = reference;
  search.reference_missing = missing;
  return find_leaks(search);
}

TEST(FindLeaks, WhatWasMissingBeforeIsNoNews) {
  EXPECT_EQ(of_packets(2, 0.7).leaks.size(), 0u);
  EXPECT_EQ(of_packets(2, 0.35).leaks.size(), 0u);
  const LeakReport more = of_packets(2, 0.3);
  ASSERT_EQ(more.leaks.size(), 2u);
  EXPECT_EQ(
      more.leaks[1].message,
      "seq_size_2 is missing in 66.7 % of the benign rows, and was in 30.0 % where the detector learnt");
}

TEST(FindLeaks, ManyMissingColumnsAreOneLine) {
  EXPECT_EQ(of_packets(3, 0).leaks.size(), 3u);
  const LeakReport report = of_packets(32, 0);
  ASSERT_EQ(report.leaks.size(), 1u);
  EXPECT_EQ(report.leaks.front().kind, LeakKind::shift);
  EXPECT_EQ(
      report.leaks.front().message,
      "32 columns are missing in many more of the benign rows than where the detector learnt, at most in "
      "66.7 %: seq_size_1, seq_size_2, seq_size_3, seq_size_4, seq_size_5, …");
}

}  // namespace
}  // namespace nidus::learn
