#include "learn/report.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/random.h"

namespace nidus::learn {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Whether the tags of a page open and close as XML demands, and every & begins a reference. Says where not.
std::string markup_fault(std::string_view page) {
  std::vector<std::string> open;
  for (std::size_t i = page.find("<html"); i < page.size();) {
    if (page[i] == '&') {
      const auto end = page.find(';', i);
      if (end == std::string_view::npos || end - i > 8)
        return "a bare & at " + std::string(page.substr(i, 40));
    }
    if (page[i] != '<') {
      ++i;
      continue;
    }
    const auto end = page.find('>', i);
    if (end == std::string_view::npos) return "an open tag at the end";
    const std::string_view tag = page.substr(i + 1, end - i - 1);
    if (tag.find('<') != std::string_view::npos) return "a < inside " + std::string(tag);
    if (tag.starts_with('/')) {
      if (open.empty() || open.back() != tag.substr(1)) return "closing " + std::string(tag);
      open.pop_back();
    } else if (!tag.ends_with('/')) {
      open.emplace_back(tag.substr(0, tag.find(' ')));
    }
    i = end + 1;
    if (!open.empty() && open.back() == "style") i = page.find("</style>", i);
  }
  return open.empty() ? "" : "never closed: " + open.back();
}

Report report_of(const std::vector<std::string>& classes, std::uint64_t seed, std::size_t rows = 600) {
  Random random(seed);
  std::vector<std::uint32_t> truth;
  std::vector<double> scores;
  const std::size_t width = classes.size() == 2 ? 1 : classes.size();
  for (std::size_t row = 0; row < rows; ++row) {
    truth.push_back(static_cast<std::uint32_t>(random.below(classes.size())));
    std::vector<double> each;
    double sum = 0;
    for (std::size_t i = 0; i < width; ++i) {
      each.push_back(random.unit() + (i == truth.back() ? 0.8 : 0));
      sum += each.back();
    }
    if (width == 1) {
      scores.push_back(0.6 * random.unit() + 0.4 * truth.back());
    } else {
      for (const double value : each) scores.push_back(value / sum);
    }
  }
  Scored scored;
  scored.classes = classes;
  scored.truth = truth;
  scored.scores = scores;
  scored.width = width;
  scored.two_stage = true;
  scored.bootstrap_replicates = 50;
  Report report;
  report.detector = "test";
  report.version = "7";
  report.facts = {{"model", "a forest"}};
  report.evaluation = *evaluate(scored);
  return report;
}

// Everything in it that is text out of the data is `text`.
Explained explained(const std::string& text) {
  Explained out;
  out.rows = 100;
  out.rows_there = 600;
  for (int i = 0; i < 20; ++i) out.features.push_back({text, 0.2 / (i + 1), 0.05, i == 3 ? -0.01 : 0.1});
  const ExplainedMistake mistake{"row 17 of day.csv " + text,
                                 5,
                                 0.9,
                                 0.3,
                                 -0.1,
                                 {{text, text, text, 0.8}, {text, text, "", -0.1}},
                                 "{}"};
  out.mistakes = {{text, false, 40, 6, {mistake}}, {text, true, 10, 1, {mistake, mistake}}};
  out.labels_left_out = 3;
  return out;
}

TEST(Report, PageHasEveryPartAndLoadsNothing) {
  Report report = report_of({"benign", "dos", "scan"}, 1);
  report.groups = {{"monday", 10, 1, 5, 4}, {"tuesday", 10, 0, 0, 0}};
  report.leaks.leaks = {{LeakKind::port, "dst_port", 0, "dst_port: a port"}};
  report.other = Report::Other{"second", "1", report.evaluation, {}, explained("src_bytes")};
  report.explained = explained("flow_pkts_s");
  const std::string page = report.to_html();
  EXPECT_EQ(markup_fault(page), "");
  for (const char* part : {"ROC",
                           "Precision and recall",
                           "Reliability",
                           "Scores",
                           "In use",
                           "Class by class",
                           "What is taken for what",
                           "Group by group",
                           "Thresholds",
                           "All figures",
                           "A against B",
                           "What it goes by (A)",
                           "What it goes by (B)",
                           "Where it is wrong, and why (A)",
                           "called attacks",
                           "missed",
                           "row 17 of day.csv",
                           "5 rows like it",
                           "3 more labels",
                           "dst_port: a port",
                           "prefers-color-scheme: dark",
                           "@media print",
                           "aria-labelledby"}) {
    EXPECT_THAT(page, HasSubstr(part));
  }
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("src=")));
  EXPECT_THAT(page, Not(HasSubstr("href=")));
  EXPECT_THAT(page, Not(HasSubstr("url(")));
  EXPECT_THAT(page, Not(HasSubstr("nan")));
}

TEST(Report, TextFromDataStaysText) {
  const std::string evil = "\"><script>alert('x')</script>&\x01<b style='x'>";
  Report report = report_of({"benign", evil, std::string(5000, 'x') + "\xE2\x82\xAC"}, 2);
  report.detector = report.version = evil;
  report.facts = {{evil, evil}};
  report.groups = {{evil, 1, 1, 1, 1},
                   {"\xE2\x80\xAE"
                    "txet",
                    1, 0, 1, 0}};
  report.leaks.leaks = {{LeakKind::id, evil, 0, evil}};
  report.other = Report::Other{evil, evil, report.evaluation, {}, explained(evil)};
  report.explained = explained(evil);
  const std::string page = report.to_html();
  EXPECT_EQ(markup_fault(page), "");
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("<b style='x'")));
  EXPECT_THAT(page, Not(HasSubstr("\x01")));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;"));
  EXPECT_THAT(page, Not(HasSubstr(std::string(200, 'x'))));
  EXPECT_TRUE(nlohmann::json::accept(report.to_json()));
}

TEST(Report, TextAndJsonSayWhatIsExplained) {
  Report report = report_of({"benign", "attack"}, 5);
  EXPECT_THAT(report.to_text(), Not(HasSubstr("goes by")));
  EXPECT_THAT(report.to_html(), Not(HasSubstr("goes by")));
  report.explained = explained("count");
  const std::string text = report.to_text();
  EXPECT_THAT(text, HasSubstr("what the detector goes by, on 100 of 600 rows"));
  EXPECT_THAT(text, HasSubstr("and 5 more; "));
  EXPECT_THAT(
      text, HasSubstr("count: 6 of 40 called attacks\n  score 0.9000  row 17 of day.csv count, and 5 rows"));
  EXPECT_THAT(text, HasSubstr("    +0.800  count count (usually count)\n    -0.100  count count\n"));
  EXPECT_THAT(text, HasSubstr("count: 1 of 10 missed"));
  const auto json = nlohmann::json::parse(report.to_json()).at("explained");
  EXPECT_EQ(json.at("features").size(), 20u);
  EXPECT_EQ(json.at("features").at(0).at("permutation"), 0.1);
  EXPECT_EQ(json.at("mistakes").at(1).at("worst").size(), 2u);
  EXPECT_EQ(json.at("mistakes").at(0).at("worst").at(0).at("rows_like_it"), 5);
  report.explained->mistakes.clear();
  EXPECT_THAT(report.to_text(), HasSubstr("no row is on the wrong side"));
  EXPECT_THAT(report.to_html(), HasSubstr("No row is on the wrong side"));
}

TEST(Report, RowsOfOneSideMakeAPageToo) {
  for (const std::uint32_t only : {0u, 1u}) {
    const std::vector<std::uint32_t> truth(30, only);
    std::vector<double> scores;
    for (int i = 0; i < 30; ++i) scores.push_back(i / 30.0);
    Scored scored;
    scored.classes = {"benign", "attack"};
    scored.truth = truth;
    scored.scores = scores;
    scored.bootstrap_replicates = 20;
    Report report;
    report.evaluation = *evaluate(scored);
    const std::string page = report.to_html();
    EXPECT_EQ(markup_fault(page), "");
    EXPECT_THAT(page, Not(HasSubstr("nan")));
    EXPECT_THAT(page, HasSubstr(only == 0 ? "no attacks among" : "It finds"));
    EXPECT_TRUE(nlohmann::json::accept(report.to_json()));
    EXPECT_FALSE(report.to_text().empty());
  }
  Report nothing;
  nothing.evaluation.classes = {"benign", "attack"};
  nothing.evaluation.confusion = Confusion(2);
  EXPECT_EQ(markup_fault(nothing.to_html()), "");
}

TEST(Report, JsonHasTheFiguresAndTheirIntervals) {
  const Report report = report_of({"benign", "attack"}, 3);
  const auto json = nlohmann::json::parse(report.to_json());
  const auto& evaluation = json.at("evaluation");
  EXPECT_EQ(json.at("detector"), "test");
  EXPECT_DOUBLE_EQ(evaluation.at("roc_auc"), *report.evaluation.roc_auc);
  EXPECT_EQ(evaluation.at("recall_at_rate").size(), 3u);
  EXPECT_DOUBLE_EQ(evaluation.at("intervals_95").at("roc_auc").at(0),
                   report.evaluation.interval(Figure::roc_auc)->low);
  EXPECT_TRUE(evaluation.at("intervals_95").at("recall_at_1e4").is_null());
  EXPECT_EQ(evaluation.at("curve").back().at("hits"), report.evaluation.attacks);
  EXPECT_EQ(evaluation.at("reliability").size(), kCalibrationBins);
  EXPECT_EQ(evaluation.at("in_use").size(), 3u);
  EXPECT_FALSE(nlohmann::json::parse(report.evaluation.to_json()).contains("curve"));
}

}  // namespace
}  // namespace nidus::learn
