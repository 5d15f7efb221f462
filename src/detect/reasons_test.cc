#include "detect/reasons.h"

#include <gmock/gmock.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "data/table_reader.h"
#include "detect/testing_detector.h"
#include "detect/verdict_writer.h"

namespace nidus::detect {
namespace {

using ::testing::HasSubstr;

constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

// Port at most 4: shares 0.1 (three quarters of the training weight), else 0.5 or, from 10 packets on, 0.9.
std::shared_ptr<const model::Model> covered_model(bool with_covers = true) {
  model::TreeSet::Parts parts;
  parts.inputs = 2;
  parts.nodes =
      std::vector<model::Node>{model::Node::inner(4, 0, 1), model::Node::leaf(1, 0),
                               model::Node::inner(9, 1, 3), model::Node::leaf(3, 1), model::Node::leaf(4, 2)};
  parts.roots = std::vector<std::uint32_t>{0, 5};
  parts.leaves = std::vector<float>{0.1f, 0.5f, 0.9f};
  if (with_covers) parts.covers = std::vector<float>{100, -0.25f, 0.5f};
  return std::make_shared<model::Forest>(*model::Forest::make(*model::TreeSet::make(std::move(parts))));
}

Detector explained_detector() {
  Manifest manifest = binary_manifest();
  manifest.reference_levels = {0, 0.05, 0.95, 1};
  manifest.reference = {{1, 3, 443, 65535}, {1, 2, 8000, 9000}};
  return *Detector::make(std::move(manifest), {covered_model()});
}

Explanation explain(const Reasoner& reasoner, const std::vector<float>& row, std::size_t most) {
  std::vector<double> contributions(3);
  reasoner.contributions(row, 1, contributions);
  return reasoner.top(row, contributions, most);
}

// On paper: base 0.75 × 0.1 + 0.25 × 0.7 = 0.25; port known 0.7, packets known 0.75 × 0.1 + 0.25 × 0.9 = 0.3,
// both 0.9. Port: ((0.7 - 0.25) + (0.9 - 0.3)) / 2 = 0.525, packets 0.125.
TEST(Reasons, AreTheLargestContributionsFirst) {
  const auto reasoner = *Reasoner::make(explained_detector());
  const auto all = explain(reasoner, {80, 12400}, 5);
  EXPECT_NEAR(all.base, 0.25, 1e-6);
  ASSERT_EQ(all.reasons.size(), 2u);
  EXPECT_EQ(all.reasons[0].column, 0u);
  EXPECT_NEAR(all.reasons[0].contribution, 0.525, 1e-6);
  EXPECT_NEAR(all.reasons[1].contribution, 0.125, 1e-6);
  EXPECT_EQ(all.rest, 0);
  const auto one = explain(reasoner, {80, 12400}, 1);
  ASSERT_EQ(one.reasons.size(), 1u);
  EXPECT_NEAR(one.rest, 0.125, 1e-6);
}

TEST(Reasons, AreSaidInPlainWords) {
  const auto reasoner = *Reasoner::make(explained_detector());
  EXPECT_EQ(reasoner.text(explain(reasoner, {80, 12400}, 5)),
            "dst_port 80 (usually 3 to 443) raises; fwd_pkts 12,400 (usually 2 to 8,000) raises");
  EXPECT_EQ(reasoner.text(explain(reasoner, {kMissing, 1}, 1)), "dst_port missing (usually 3 to 443) lowers");
  EXPECT_EQ(plain_number(-1234567), "-1,234,567");
  EXPECT_EQ(plain_number(0.30000001), "0.3");
  EXPECT_EQ(plain_number(0), "0");
}

TEST(Reasons, ADetectorWithoutCoversSaysWhatToDo) {
  const auto reasoner = Reasoner::make(*Detector::make(binary_manifest(), {covered_model(false)}));
  ASSERT_FALSE(reasoner);
  EXPECT_THAT(reasoner.error().message, HasSubstr("detector small cannot explain itself"));
  EXPECT_THAT(reasoner.error().message, HasSubstr("training it anew"));
}

TEST(Reasons, StandInEveryFormatOfVerdicts) {
  const Detector detector = explained_detector();
  const auto reasoner = *Reasoner::make(detector);
  const auto why = explain(reasoner, {80, 12400}, 1);
  const Verdict verdict{1, 0.9, 0.9};
  const auto written = [&](VerdictFormat format, const Explanation* explanation) {
    VerdictWriter writer({format, false, false, &reasoner}, detector);
    std::string out;
    writer.header(out);
    writer.verdict(flow("10.0.0.1", "10.0.0.2", 80), verdict, out, explanation);
    return out;
  };
  EXPECT_THAT(written(VerdictFormat::table, &why),
              HasSubstr("\n  +0.525  dst_port 80 (usually 3 to 443) raises\n"));
  const auto table = data::parse_table(written(VerdictFormat::csv, &why));
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_EQ(table->get("reasons")->text_at(0), "dst_port 80 (usually 3 to 443) raises");
  EXPECT_NEAR(table->get("base")->numbers[0], 0.25, 1e-6);
  const auto line = nlohmann::json::parse(written(VerdictFormat::ndjson, &why));
  const auto& reason = line["explanation"]["reasons"].at(0);
  EXPECT_EQ(reason["feature"], "dst_port");
  EXPECT_EQ(reason["value"], 80);
  EXPECT_EQ(reason["usual_high"], 443);
  EXPECT_NEAR(line["explanation"]["base"].get<double>() + reason["contribution"].get<double>() +
                  line["explanation"]["rest"].get<double>(),
              0.9, 1e-6);
  const auto event = nlohmann::json::parse(written(VerdictFormat::eve, &why));
  EXPECT_EQ(event["nidus"]["explanation"]["reasons"].at(0)["feature"], "dst_port");
}

}  // namespace
}  // namespace nidus::detect
