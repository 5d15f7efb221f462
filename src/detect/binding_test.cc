#include "detect/binding.h"

#include <gmock/gmock.h>

#include <gtest/gtest.h>
#include <algorithm>

#include <cmath>
#include <limits>

#include "data/schemas.h"
#include "data/table_reader.h"
#include "detect/fingerprint.h"
#include "flow/kdd.h"

namespace nidus::detect {
namespace {

using testing::HasSubstr;

model::Schema columns(std::initializer_list<const char*> names) {
  model::Schema schema;
  for (const char* const name : names) schema.push_back({name, model::Column::Kind::numeric, {}, ""});
  return schema;
}

data::Table table(std::string_view csv) {
  auto parsed = data::parse_table(csv);
  EXPECT_TRUE(parsed) << parsed.error().message;
  return std::move(*parsed);
}

flow::FlowRecord record() {
  flow::FlowRecord r;
  r.tuple.protocol = net::protocol::tcp;
  r.tuple.destination_port = 443;
  r.start_us = 1'000'000;
  r.last_us = 3'500'000;
  r.direction[0].packets = 3;
  r.direction[1].packets = 2;
  return r;
}

TEST(FlowBindingTest, FeaturesAreFoundUnderAnyOfTheirNames) {
  const auto binding = FlowBinding::bind(
      columns({"dst_port", "Flow Duration", "Tot Fwd Pkts", "Total Backward Packets", "protocol"}),
      flow::Profile::native);
  ASSERT_TRUE(binding) << binding.error().message;
  std::vector<float> row(binding->inputs());
  binding->fill(record(), row.data());
  EXPECT_EQ(row, (std::vector<float>{443, 2'500'000, 3, 2, 6}));
}

TEST(FlowBindingTest, TheFirstColumnThatFlowsDoNotHaveIsNamedWithWhatMayHaveBeenMeant) {
  const auto binding = FlowBinding::bind(columns({"dst_port", "fwd_pktz", "service"}), flow::Profile::native);
  ASSERT_FALSE(binding);
  EXPECT_EQ(binding.error().code, Errc::not_found);
  EXPECT_EQ(binding.error().message, "flows have no feature 'fwd_pktz', did you mean 'fwd_pkts'?");
}

TEST(FlowBindingTest, NumbersWantedAsCategoriesGoByTheirSpelling) {
  model::Schema schema = columns({"protocol", "dst_port"});
  schema[0].kind = schema[1].kind = model::Column::Kind::categorical;
  schema[0].vocabulary = {"17", "6"};
  schema[1].vocabulary = {"80"};
  const auto binding = FlowBinding::bind(schema, flow::Profile::native);
  ASSERT_TRUE(binding);
  std::vector<float> row(2);
  binding->fill(record(), row.data());
  EXPECT_EQ(row[0], 1);
  EXPECT_TRUE(std::isnan(row[1]));
}

TEST(SchemaInTest, ATableOfAnotherNamingIsBoundByItsFeatures) {
  const data::Table flows = table("Dst Port,Tot Fwd Pkts,extra\n80,3,1\n");
  const auto there = schema_in(columns({"fwd_pkts", "dst_port"}), flows);
  ASSERT_TRUE(there) << there.error().message;
  EXPECT_EQ((*there)[0].name, "Tot Fwd Pkts");
  EXPECT_EQ((*there)[1].name, "Dst Port");
  const auto rows = model::TableRows::bind(*there, flows);
  ASSERT_TRUE(rows);
  EXPECT_EQ(rows->all(), (std::vector<float>{3, 80}));
}

TEST(SchemaInTest, TheFirstMissingColumnIsNamed) {
  const auto there = schema_in(columns({"src_bytes", "dst_bytes"}), table("src_byte,dst_bytes\n1,2\n"));
  ASSERT_FALSE(there);
  EXPECT_EQ(there.error().message, "no column 'src_bytes', did you mean 'src_byte'?");
}

TEST(CheckProfileTest, ATableThatSaysHowItWasMeteredMustSayTheSame) {
  const data::Table flows = table("dst_port,profile\n80,native\n81,native\n");
  EXPECT_TRUE(check_profile(flows, "native"));
  EXPECT_TRUE(check_profile(flows, ""));
  const auto other = check_profile(flows, "native active=60s");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Errc::unsupported);
  EXPECT_THAT(other.error().message, HasSubstr("metered as 'native' (its column 'profile')"));
  EXPECT_FALSE(check_profile(flows, "cic2018"));
}

TEST(CheckProfileTest, TablesOfTwoMetersAreRefused) {
  EXPECT_FALSE(check_profile(table("dst_port,profile\n80,native\n81,native active=60s\n"), "native"));
}

// All columns of the 2018 files with these values for the SYN and forward PSH counts.
data::Table table_of_2018(const char* syn, const char* psh) {
  std::string names, cells;
  for (const auto& info : flow::features()) {
    if (info.cic2018.empty()) continue;
    names += std::string(names.empty() ? "" : ",") + std::string(info.cic2018);
    cells += cells.empty() ? "" : ",";
    cells += info.feature == flow::Feature::syn_cnt   ? syn
             : info.feature == flow::Feature::fwd_psh ? psh
                                                      : "0";
  }
  return table(names + "\n" + cells + "\n");
}

TEST(FingerprintTest, ThePublishedFilesAreKnownByTheirDefects) {
  EXPECT_EQ(fingerprint(table_of_2018("1", "1")).profile, flow::Profile::cic2018);
  EXPECT_EQ(fingerprint(table_of_2018("1", "0")).profile, std::nullopt);
  EXPECT_FALSE(check_profile(table_of_2018("1", "1"), "native"));
  // What shows no profile at all is taken at its word.
  EXPECT_TRUE(check_profile(table_of_2018("1", "0"), "native"));
}

TEST(FingerprintTest, ATableOfSomethingElseIsNoFlowTable) {
  EXPECT_EQ(fingerprint(table("duration,protocol,label\n1,6,x\n")).profile, std::nullopt);
}

TEST(FingerprintTest, SettingsAreReadBackFromTheirDescription) {
  flow::MeterOptions options;
  options.active_timeout = std::chrono::seconds(60);
  options.idle_timeout = std::chrono::microseconds(1'500'001);
  options.partial_after_packets = 8;
  options.separate_vlans = true;
  const std::string text = flow::Meter(options).description();
  const auto back = meter_options_from(text);
  ASSERT_TRUE(back) << text;
  EXPECT_EQ(flow::Meter(*back).description(), text);
  EXPECT_EQ(back->active_timeout, options.active_timeout);
  for (const char* const wrong :
       {"", "nativ", "native active", "native active=-1s", "native colour=7", "native active=1e9s"}) {
    EXPECT_FALSE(meter_options_from(wrong)) << wrong;
  }
}

TEST(IdentityTest, WhoAndWhenIsNeverLearntFrom) {
  for (const char* const name :
       {"src_ip", "Src IP", " Source IP", "Timestamp", "Flow ID", "src_port", "end_reason"}) {
    EXPECT_TRUE(is_identity_column(name)) << name;
  }
  for (const char* const name : {"dst_port", "protocol", "fwd_pkts", "service"}) {
    EXPECT_FALSE(is_identity_column(name)) << name;
  }
}

// data does not know flow, so the names stand in both.
TEST(NslKddTest, TheFeaturesOfFlowsAreTheColumnsOfTheDataSet) {
  const auto& columns = data::nsl_kdd_names();
  ASSERT_EQ(columns.size(), flow::kKddNames.size() + 2);
  EXPECT_TRUE(std::equal(flow::kKddNames.begin(), flow::kKddNames.end(), columns.begin()));
}

TEST(FlowBindingTest, ContextAndFirstPacketsAreColumnsLikeOthers) {
  const auto schema = columns({"ctx_dst_hosts_2s", "fwd_pkts", "seq_size_2", "seq_gap_3"});
  const auto options = meter_for(schema, {});
  EXPECT_TRUE(options.context);
  EXPECT_EQ(options.sequence_packets, 3u);
  EXPECT_FALSE(options.once);
  const auto binding = FlowBinding::bind(schema, flow::Profile::native);
  ASSERT_TRUE(binding) << binding.error().message;
  flow::FlowRecord record;
  record.direction[0].packets = 4;
  float row[4];
  binding->fill(record, row);
  EXPECT_TRUE(std::isnan(row[0]) && std::isnan(row[2]) && std::isnan(row[3]));
  flow::FlowContext context;
  const auto place = flow::column_from_name("ctx_dst_hosts_2s")->index;
  context.values[place] = 9;
  const flow::PacketStep steps[] = {{10, 0, 0}, {20, 5, 1}};
  record.context = &context;
  record.steps = steps;
  record.sequence_packets = 2;
  binding->fill(record, row);
  EXPECT_EQ(row[0], 9);
  EXPECT_EQ(row[1], 4);
  EXPECT_EQ(row[2], -20);
  EXPECT_TRUE(std::isnan(row[3]));
}

}  // namespace
}  // namespace nidus::detect
