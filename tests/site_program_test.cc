// `nidus calibrate` and `nidus drift` as a user meets them: a detector of one network on another.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "base/file.h"
#include "base/random.h"
#include "base/testing.h"
#include "detect/detector.h"

namespace nidus {
namespace {

using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;
using Json = nlohmann::json;

struct Outcome {
  int status = -1;
  std::string out, err;
};

// Flows, one a second. Attacks have large sizes; at another site ordinary ones are larger too.
std::string flows(std::size_t rows, std::uint64_t seed, double size, double attacks, bool labelled,
                  std::size_t from = 0) {
  Random random(seed);
  std::string out = labelled ? "timestamp,bytes,gap,service,label\n" : "timestamp,bytes,gap,service\n";
  for (std::size_t row = 0; row < rows; ++row) {
    const bool attack = random.unit() < attacks;
    double bytes = size;
    for (int i = 0; i < 6; ++i) bytes += random.unit() * 100;
    if (attack) bytes += 300;
    out += std::to_string(1'700'000'000 + from + row) + "," + std::to_string(bytes) + "," +
           std::to_string(random.below(1000)) + "," + (random.below(3) == 0 ? "dns" : "http");
    if (labelled) out += attack ? ",flood" : ",benign";
    out += "\n";
  }
  return out;
}

class SiteTest : public testing::Test {
 protected:
  void SetUp() override {
    write("train.csv", flows(4000, 1, 0, 0.3, true));
    const auto trained = nidus("train train.csv --label label --trees 50 --min-leaf 40 --fpr 0.05 -o made");
    ASSERT_EQ(trained.status, 0) << trained.err;
  }

  Outcome nidus(const std::string& words) const {
    const std::string whole = "cd '" + folder_.path().string() + "' && '" NIDUS_PROGRAM "' " + words +
                              " > stdout.txt 2> stderr.txt < /dev/null";
    const int answer = std::system(whole.c_str());
    return {WIFEXITED(answer) ? WEXITSTATUS(answer) : -1, text("stdout.txt"), text("stderr.txt")};
  }
  std::string text(const std::string& name) const {
    const auto read = read_file(folder_ / name);
    return read ? *read : "";
  }
  void write(const std::string& name, const std::string& bytes) const {
    ASSERT_TRUE(write_file(folder_ / name, bytes));
  }
  void write_log_line(const std::string& line) const {
    write("opened.log", text("opened.log") + line + "\n");
  }
  detect::Manifest manifest(const std::string& name) const {
    const auto loaded = detect::Detector::load(folder_ / name);
    return loaded ? loaded->manifest() : detect::Manifest{};
  }
  // The share of rows that `detect` calls attacks.
  double alarm_share(const std::string& detector, const std::string& rows) const {
    const auto judged = nidus("detect " + rows + " -d " + detector + " --json");
    const Json json = Json::parse(judged.out, nullptr, false);
    if (judged.status != 0 || !json.is_object()) return -1;
    return json.at("attacks").get<double>() / json.at("flows").get<double>();
  }

  const TemporaryFolder folder_;
};

TEST_F(SiteTest, TheLineIsDrawnAgainWhereOrdinaryTrafficIsAnother) {
  write("site.csv", flows(20'000, 2, 120, 0, false));
  write("later.csv", flows(20'000, 3, 120, 0, false));
  EXPECT_GT(alarm_share("made", "later.csv"), 0.2);
  const std::string before = text("made/detector.json");
  const auto done = nidus("calibrate made site.csv --fpr 0.05 -o here");
  ASSERT_EQ(done.status, 0) << done.err;
  EXPECT_THAT(done.out, HasSubstr("20,000 rows in 5 h 33 min; lines are drawn by the earlier 14,000"));
  EXPECT_THAT(done.out, HasSubstr("* --fpr"));
  EXPECT_THAT(done.out, HasSubstr("conservative"));
  EXPECT_EQ(text("made/detector.json"), before);
  // What is trimmed, a tenth of the wish here, is on top of it: there is no attack among the rows.
  EXPECT_NEAR(alarm_share("here", "later.csv"), 0.055, 0.015);
  const auto now = manifest("here");
  EXPECT_EQ(now.version, "1+site");
  EXPECT_EQ(now.threshold.wanted_rate, 0.05);
  EXPECT_NEAR(now.threshold.realised_rate, 0.055, 0.015);
  EXPECT_TRUE(now.threshold.resolvable);
  EXPECT_EQ(now.trained_on.sources, manifest("made").trained_on.sources);
  EXPECT_THAT(now.figures.at("site"), HasSubstr("nidus calibrate made site.csv"));
  EXPECT_THAT(nidus("inspect here").out, HasSubstr("site"));
}

TEST_F(SiteTest, AnAttackAmongTheRowsDoesNotHideItself) {
  write("site.csv", flows(20'000, 2, 0, 0.004, false));
  const auto done = nidus("calibrate made site.csv --preset balanced -o here");
  ASSERT_EQ(done.status, 0) << done.err;
  write("attacked.csv", flows(5000, 4, 0, 1, false));
  const double found_before = alarm_share("made", "attacked.csv");
  // The line that was drawn for 5 % finds more than one for 1 %, but not by much more.
  EXPECT_GT(alarm_share("here", "attacked.csv"), 0.6);
  EXPECT_GE(found_before, alarm_share("here", "attacked.csv"));
}

// Attacks in the earlier rows only, by which the line is drawn: the later ones would not show them.
TEST_F(SiteTest, ALineThatAttacksHaveLiftedIsNotMade) {
  std::string flood;  // the same flow again and again
  for (int i = 0; i < 4000; ++i) flood += std::to_string(1'700'010'000 + i) + ",640,500,http\n";
  write("early.csv", flows(10'000, 2, 0, 0, false) + flood);
  write("late.csv", flows(6000, 3, 0, 0, false, 14'000));
  const std::string command = "calibrate made early.csv late.csv --preset balanced --json -o here";
  const auto done = nidus(command);
  EXPECT_EQ(done.status, 2);
  EXPECT_THAT(done.err, HasSubstr("warning: the old line takes "));
  EXPECT_THAT(done.err, HasSubstr("here was not made"));
  EXPECT_EQ(text("here/detector.json"), "");
  const Json json = Json::parse(done.out);
  const auto kinds = [](const Json& of) {
    std::set<std::string> out;
    for (const Json& warning : of.at("warnings")) out.insert(warning.at("kind"));
    return out;
  };
  EXPECT_THAT(kinds(json), IsSupersetOf({"rows_look_attacked", "hardly_reached"}));
  const Json& was = json.at("lines").front();
  EXPECT_GT(was.at("rate_drawn_by").get<double>(), was.at("rate").get<double>() + 0.03);
  // Whoever insists has it, and what was measured goes with it.
  const auto forced = nidus(command + " --force");
  EXPECT_EQ(forced.status, 0) << forced.err;
  EXPECT_THAT(manifest("here").figures.at("site"), HasSubstr("rows_look_attacked"));
  EXPECT_LT(alarm_share("here", "early.csv"), 0.001);
  // Fewer, which leave it a little room.
  write("some.csv", flows(14'000, 2, 0, 0.05, false));
  const auto some = nidus("calibrate made some.csv late.csv --preset balanced --json -o some");
  EXPECT_EQ(some.status, 2);
  EXPECT_THAT(kinds(Json::parse(some.out)), IsSupersetOf({"rows_look_attacked", "hardly_reached"}));
  // Traffic without attacks raises no doubt.
  write("clean.csv", flows(14'000, 2, 0, 0, false));
  const auto clean = nidus("calibrate made clean.csv late.csv --preset balanced --json -o clean");
  EXPECT_EQ(clean.status, 0);
  EXPECT_EQ(kinds(Json::parse(clean.out)), std::set<std::string>{});
  EXPECT_THAT(clean.err, Not(HasSubstr("warning")));
}

// A tree gives all of a flood one score, and the only line that keeps the rate is above it.
TEST_F(SiteTest, ALineThatNothingReachesIsNotMade) {
  ASSERT_EQ(nidus("train train.csv --label label --model tree --fpr 0.05 -o tree").status, 0);
  const std::string flood = flows(10'000, 5, 400, 1, false, 10'000);
  write("site.csv", flows(10'000, 2, 0, 0, false) + flood.substr(flood.find('\n') + 1));
  const auto done = nidus("calibrate tree site.csv --preset balanced --json -o here");
  EXPECT_EQ(done.status, 2);
  EXPECT_THAT(done.err, HasSubstr("the detector is deaf"));
  const Json json = Json::parse(done.out);
  EXPECT_EQ(json.at("warnings").at(0).at("kind"), "deaf");
  EXPECT_EQ(json.at("warnings").at(0).at("refused"), true);
  EXPECT_EQ(json.at("lines").at(0).at("deaf"), false);
  EXPECT_EQ(json.at("lines").at(2).at("deaf"), true);
  EXPECT_EQ(text("here/detector.json"), "");
}

TEST_F(SiteTest, RowsThatSayNothingAreNoSite) {
  std::string rows = "timestamp,bytes,gap,service\n";
  for (int i = 0; i < 2000; ++i) rows += std::to_string(1'700'000'000 + i) + ",,,\n";
  write("empty.csv", rows);
  const auto empty = nidus("calibrate made empty.csv -o here");
  EXPECT_EQ(empty.status, 2);
  EXPECT_THAT(empty.err, HasSubstr("all 2,000 rows have one and the same score"));
  EXPECT_THAT(empty.err, HasSubstr("2,000 of the 2,000 rows have not one value"));
  EXPECT_EQ(text("here/detector.json"), "");
  write("some.csv", flows(4000, 2, 0, 0, false) + "1700009000,,,\n");
  const auto some = nidus("calibrate made some.csv -o here");
  EXPECT_EQ(some.status, 0) << some.err;
  EXPECT_THAT(some.err, HasSubstr("warning: 1 of the 4,001 rows have not one value"));
  // Who is judged is told, too.
  const auto judged = nidus("detect some.csv -d made");
  EXPECT_THAT(judged.out, HasSubstr("1 flows have not one value"));
  EXPECT_EQ(Json::parse(nidus("detect empty.csv -d made --json").out).at("without_values"), 2000);
}

TEST_F(SiteTest, ANumberOfAlertsAnHour) {
  write("site.csv", flows(20'000, 2, 60, 0, false));
  const auto done = nidus("calibrate made site.csv --alerts-per-hour 36 --trim 0 --json -o here");
  ASSERT_EQ(done.status, 0) << done.err;
  const Json json = Json::parse(done.out);
  EXPECT_EQ(json.at("chosen"), "36 an hour");
  const Json& line = json.at("lines").back();
  EXPECT_NEAR(line.at("nominal_rate").get<double>(), 0.01, 1e-4);
  EXPECT_NEAR(line.at("alarms_per_hour").get<double>(), 36, 18);
}

TEST_F(SiteTest, WishesThatMakeNoSense) {
  write("few.csv", flows(50, 2, 0, 0, false));
  write(
      "untimed.csv", "bytes,gap,service\n" + [] {
        std::string out;
        for (int i = 0; i < 500; ++i) out += std::to_string(i) + ",1,dns\n";
        return out;
      }());
  EXPECT_EQ(nidus("calibrate made few.csv --fpr 0.01 -o made").status, 2);
  EXPECT_EQ(nidus("calibrate made few.csv --fpr 0.01 --preset balanced -o here").status, 2);
  EXPECT_EQ(nidus("calibrate made few.csv --cost-miss 10 -o here").status, 2);
  EXPECT_EQ(nidus("calibrate made few.csv").status, 2);
  const auto few = nidus("calibrate made few.csv --fpr 0.01 -o here");
  EXPECT_EQ(few.status, 2);
  EXPECT_THAT(few.err, HasSubstr("35 rows are too few for a rate of 0.01"));
  const auto untimed = nidus("calibrate made untimed.csv --alerts-per-hour 5 -o here");
  EXPECT_EQ(untimed.status, 2);
  EXPECT_THAT(untimed.err, HasSubstr("do not say when"));
  const auto costs = nidus("calibrate made untimed.csv --cost-miss 10 --cost-alert 1 -o here");
  EXPECT_EQ(costs.status, 3);
  EXPECT_THAT(costs.err, HasSubstr("not made probabilities"));
  EXPECT_THAT(nidus("calibrate made nowhere.csv -o here").err, HasSubstr("nowhere.csv"));
  EXPECT_EQ(text("here/detector.json"), "");
}

TEST_F(SiteTest, ScoresThatAreProbabilities) {
  write("more.csv", flows(12'000, 11, 0, 0.3, true));
  for (const char* method : {"platt", "isotonic"}) {
    const auto trained =
        nidus(std::string("train more.csv --label label --model ensemble --trees 20 --rounds 20 "
                          "--validation 0.5 --calibration ") +
              method + " -o " + method);
    ASSERT_EQ(trained.status, 0) << trained.err;
    const auto made = manifest(method);
    EXPECT_EQ(made.calibration.method, method);
    EXPECT_GT(made.calibration.rows, 2000u);
    EXPECT_EQ(made.members.size(), 1u);
    write("test.csv", flows(6000, 12, 0, 0.3, true));
    const Json json =
        Json::parse(nidus(std::string("evaluate ") + method + " test.csv --label label --json").out);
    EXPECT_LT(json.at("evaluation").at("calibration_error").get<double>(), 0.05) << method;
    // An alert is worth it from a chance of one in five on.
    const auto costs =
        nidus(std::string("calibrate ") + method + " test.csv --cost-miss 50 --cost-alert 10 -o costs");
    ASSERT_EQ(costs.status, 0) << costs.err;
    EXPECT_DOUBLE_EQ(manifest("costs").threshold.value, 0.2);
    const Json drift = Json::parse(nidus(std::string("drift ") + method + " test.csv --json").out);
    EXPECT_NEAR(drift.at("expected").at("attack_share").get<double>(), 0.3, 0.05);
    EXPECT_NEAR(drift.at("expected").at("recall").get<double>(),
                json.at("evaluation").at("attack_recall").get<double>(), 0.08);
  }
}

TEST_F(SiteTest, AHandfulOfLabelledAlerts) {
  write("site.csv", flows(20'000, 2, 100, 0, false));
  write("alerts.csv", flows(60, 21, 100, 0.5, true));
  const auto done = nidus(
      "calibrate made site.csv --labelled alerts.csv --label label --attack-share 0.01 "
      "--cost-miss 100 --cost-alert 1 -o here");
  ASSERT_EQ(done.status, 0) << done.err;
  EXPECT_THAT(done.err, HasSubstr("scores become probabilities by 60 labelled rows"));
  const auto made = manifest("here");
  EXPECT_EQ(made.calibration.method, "platt");
  EXPECT_EQ(made.calibration.rows, 60u);
  EXPECT_DOUBLE_EQ(made.threshold.value, 0.01);
  // It is less sure of the site's ordinary rows than it was before, since few are attacks there.
  write("test.csv", flows(8000, 22, 100, 0.01, true));
  const auto error = [&](const std::string& detector) {
    const Json json = Json::parse(nidus("evaluate " + detector + " test.csv --label label --json").out);
    return json.at("evaluation").at("brier").get<double>();
  };
  EXPECT_LT(error("here"), error("made") / 2);
  EXPECT_EQ(nidus("explain here test.csv").status, 0);
  // The line of before is that of before, whatever scale the scores have now.
  const auto plain = nidus("calibrate made site.csv --json -o plain");
  const auto curved = nidus("calibrate made site.csv --labelled alerts.csv --label label --json -o curved");
  const Json was = Json::parse(plain.out).at("lines").front();
  EXPECT_GT(was.at("alarms").get<int>(), 0);
  EXPECT_EQ(Json::parse(curved.out).at("lines").front(), was);
  EXPECT_THAT(curved.err, HasSubstr("% of the site's rows are taken to be attacks, as of those labelled"));
  EXPECT_THAT(done.err, Not(HasSubstr("as of those labelled")));
  // With the share of attacks of a handful that was picked, an alert is worth it everywhere.
  const auto all = nidus(
      "calibrate made site.csv --labelled alerts.csv --label label --cost-miss 1000000 --cost-alert 1 "
      "--json -o all");
  EXPECT_EQ(all.status, 0);
  EXPECT_THAT(all.err, HasSubstr("warning: the new line takes 100 % of all rows"));
  EXPECT_EQ(Json::parse(all.out).at("warnings").at(0).at("kind"), "most_are_alarms");
  write("benign.csv", flows(60, 21, 100, 0, true));
  EXPECT_EQ(nidus("calibrate made site.csv --labelled benign.csv --label label -o no").status, 2);
}

TEST_F(SiteTest, RowsThatNoLabelKnowsAreUnknown) {
  write("more.csv", flows(12'000, 11, 0, 0.3, true));
  const auto trained =
      nidus("train more.csv --label label --trees 30 --min-leaf 5 --validation 0.5 --unknown 0.1 -o knows");
  ASSERT_EQ(trained.status, 0) << trained.err;
  ASSERT_EQ(manifest("knows").unknown.labels.size(), 2u);
  write("test.csv", flows(6000, 12, 0, 0.3, true));
  const auto judged = nidus("detect test.csv -d knows --json");
  const Json json = Json::parse(judged.out);
  // A row is unknown only if neither label is credible, so there are fewer than a tenth of each.
  EXPECT_LE(json.at("unknown").get<double>() / 6000, 0.12);
  EXPECT_THAT(nidus("detect test.csv -d knows --format csv").out, HasSubstr("version,unknown\n"));
  EXPECT_THAT(nidus("evaluate knows test.csv --label label").err, HasSubstr("unknown, meant for 10 %"));
  EXPECT_EQ(nidus("detect test.csv -d made --json").out.find("unknown"), std::string::npos);
}

TEST_F(SiteTest, FiguresOverTimeAndHowOftenATestWasOpened) {
  write("test.csv", flows(6000, 12, 0, 0.3, true));
  write("other.csv", flows(600, 13, 0, 0.3, true));
  const auto first = nidus("evaluate made test.csv --label label --over hour --log opened.log --json");
  ASSERT_EQ(first.status, 0) << first.err;
  EXPECT_THAT(first.err, HasSubstr("test.csv: not opened before"));
  const Json periods = Json::parse(first.out).at("periods");
  ASSERT_EQ(periods.size(), 2u);  // 6,000 seconds from 22:13:20 on
  EXPECT_EQ(periods[0].at("from"), "2023-11-14 22:00");
  EXPECT_EQ(periods[1].at("from"), "2023-11-14 23:00");
  std::uint64_t attacks = 0, rows = 0;
  for (const Json& period : periods) {
    attacks += period.at("attacks").get<std::uint64_t>();
    rows += period.at("attacks").get<std::uint64_t>() + period.at("benign").get<std::uint64_t>();
  }
  EXPECT_EQ(rows, 6000u);
  EXPECT_EQ(attacks, Json::parse(first.out).at("evaluation").at("attacks").get<std::uint64_t>());
  // The bytes count, not the name, and detectors are told apart.
  ASSERT_EQ(nidus("calibrate made test.csv --fpr 0.4 -o here").status, 0);
  write("copy.csv", text("test.csv"));
  const auto second = nidus("evaluate here copy.csv other.csv --label label --log opened.log");
  EXPECT_THAT(second.err, HasSubstr("copy.csv: opened 1 time before, by 1 other detector"));
  EXPECT_THAT(second.err, HasSubstr("other.csv: not opened before"));
  write_log_line("not a line of ours");
  const auto third = nidus("evaluate made test.csv --label label --log opened.log");
  EXPECT_THAT(third.err, HasSubstr("test.csv: opened 2 times before, by 1 other detector"));
  const auto refused = nidus("evaluate made test.csv --label label --log nowhere/opened.log");
  EXPECT_EQ(refused.status, 1);
  EXPECT_EQ(refused.out, "");
  write("untimed.csv", "bytes,gap,service,label\n1,2,dns,benign\n900,2,dns,flood\n");
  EXPECT_EQ(nidus("evaluate made untimed.csv --label label --over day").status, 3);
}

TEST_F(SiteTest, ALineThatFollowsTheTraffic) {
  write("site.csv", flows(40'000, 2, 120, 0, false));
  EXPECT_GT(alarm_share("made", "site.csv"), 0.2);
  const auto judged = nidus("detect site.csv -d made --rolling 0.02 --format csv");
  ASSERT_EQ(judged.status, 0) << judged.err;
  EXPECT_THAT(judged.err, HasSubstr("the line was drawn 40 times, by 1,000 rows each"));
  // The heading names the line that was used at last, not the detector's.
  const std::string said = "it is ";
  const std::size_t at_line = judged.err.find(said);
  ASSERT_NE(at_line, std::string::npos);
  EXPECT_THAT(judged.err, HasSubstr(fmt::format("threshold rolling for 0.02, {:.3f} now)",
                                                std::stod(judged.err.substr(at_line + said.size())))));
  EXPECT_THAT(nidus("detect site.csv -d made --rolling 0.02 --json").out, HasSubstr("\"rolling\":0.02"));
  // Only the first three blocks were judged by the detector's own line.
  std::size_t attacks = 0, row = 0, early = 0;
  std::set<std::string> lines;
  const double own = manifest("made").threshold.value;
  for (std::size_t at = 0; (at = judged.out.find('\n', at)) != std::string::npos; ++at, ++row) {
    const std::string line = judged.out.substr(at + 1, judged.out.find('\n', at + 1) - at - 1);
    const std::size_t flood = line.find(",flood,");
    if (flood == std::string::npos) continue;
    ++(row < 3000 ? early : attacks);
    // The line that is written is the one that was used.
    const std::size_t score = line.find(',', flood + 7) + 1, used = line.find(',', score) + 1;
    EXPECT_GE(std::stod(line.substr(score)), std::stod(line.substr(used)));
    lines.insert(line.substr(used, line.find(',', used) - used));
    if (row < 3000) {
      EXPECT_DOUBLE_EQ(std::stod(line.substr(used)), own);
    }
  }
  EXPECT_GT(early, 600u);
  EXPECT_NEAR(static_cast<double>(attacks) / 37'000, 0.025, 0.015);
  EXPECT_GT(lines.size(), 5u);
  EXPECT_EQ(nidus("detect site.csv -d made --rolling 0.02 --threshold 0.5").status, 2);
}

TEST_F(SiteTest, DriftTellsTheSameFromAnother) {
  write("same.csv", flows(5000, 5, 0, 0, false));
  write("other.csv", flows(5000, 6, 200, 0, false));
  const auto same = nidus("drift made same.csv --fail-on-drift");
  EXPECT_EQ(same.status, 0) << same.err;
  EXPECT_THAT(same.out, HasSubstr("as the detector knows ordinary rows to look"));
  const auto other = nidus("drift made other.csv --fail-on-drift");
  EXPECT_EQ(other.status, 10);
  EXPECT_THAT(other.out, HasSubstr("others than the detector knows"));
  EXPECT_EQ(nidus("drift made other.csv").status, 0);
  const Json json = Json::parse(nidus("drift made other.csv --json").out);
  EXPECT_EQ(json.at("verdict"), "drifted");
  for (const Json& column : json.at("columns")) {
    EXPECT_EQ(column.at("verdict"), column.at("name") == "bytes" ? "drifted" : "stable") << column.dump();
  }
  // After it was calibrated there, that is what ordinary rows look like.
  ASSERT_EQ(nidus("calibrate made other.csv --fpr 0.05 -o here").status, 0);
  write("more.csv", flows(5000, 7, 200, 0, false));
  EXPECT_EQ(nidus("drift here more.csv --fail-on-drift").status, 0);
}

TEST_F(SiteTest, DriftNamesTextsThatAreNew) {
  std::string rows = flows(2000, 5, 0, 0, false);
  for (std::size_t at = rows.find(",http"); at != std::string::npos; at = rows.find(",http", at + 4000))
    rows.replace(at, 5, ",quic");
  write("new.csv", rows);
  const Json json = Json::parse(nidus("drift made new.csv --json").out);
  for (const Json& column : json.at("columns")) {
    if (column.at("name") == "service") {
      EXPECT_GT(column.at("unknown").get<double>(), 0.005);
    }
  }
  EXPECT_EQ(nidus("drift made").status, 2);
  EXPECT_EQ(nidus("drift made made").status, 3);
}

}  // namespace
}  // namespace nidus
