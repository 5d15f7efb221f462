// The program as a user meets it: captures in, verdicts out, and what it says and answers when something is
// wrong.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <tuple>

#include "base/file.h"
#include "base/testing.h"
#include "base/text.h"
#include "data/table_reader.h"
#include "detect/testing.h"

namespace nidus {
namespace {

namespace fs = std::filesystem;
using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

struct Outcome {
  int status = -1;
  std::string out, err;
};

// A folder of its own in which commands run.
class ProgramTest : public testing::Test {
 protected:
  // A shell command in the folder, in which $nidus is the program.
  Outcome shell(const std::string& command) const {
    const std::string whole = "cd '" + folder_.string() + "' && nidus='" NIDUS_PROGRAM "' && { " + command +
                              " ; } > stdout.txt 2> stderr.txt < /dev/null";
    const int answer = std::system(whole.c_str());
    return {WIFEXITED(answer) ? WEXITSTATUS(answer) : -1, text("stdout.txt"), text("stderr.txt")};
  }
  Outcome nidus(const std::string& words) const { return shell("\"$nidus\" " + words); }

  std::string text(const std::string& name) const {
    const auto read = read_file(folder_ / name);
    return read ? *read : "";
  }
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
  }

  // People who look things up and load pages, and one who knocks at every port.
  static detect::CaptureBuilder office(int visits, int knocks,
                                       std::int64_t start_us = 1'700'000'000'000'000) {
    detect::CaptureBuilder capture;
    std::int64_t now = start_us;
    for (int i = 0; i < std::max(visits, knocks); ++i) {
      now += 50'000;
      const auto port = static_cast<std::uint16_t>(20000 + i);
      if (i < visits) {
        const std::size_t page = 400 + static_cast<std::size_t>(i % 7) * 130;
        capture.at(now).tcp("10.0.0.5", port, "10.0.1.1", 80, "S");
        capture.at(now + 300).tcp("10.0.1.1", 80, "10.0.0.5", port, "SA");
        capture.at(now + 500).tcp("10.0.0.5", port, "10.0.1.1", 80, "A");
        capture.at(now + 900).tcp("10.0.0.5", port, "10.0.1.1", 80, "PA", 180);
        capture.at(now + 2000).tcp("10.0.1.1", 80, "10.0.0.5", port, "PA", page);
        capture.at(now + 2500).tcp("10.0.0.5", port, "10.0.1.1", 80, "FA");
        capture.at(now + 2700).tcp("10.0.1.1", 80, "10.0.0.5", port, "FA");
        capture.at(now + 2900).tcp("10.0.0.5", port, "10.0.1.1", 80, "A");
      }
      if (i < knocks) {
        const auto knocked = static_cast<std::uint16_t>(1 + i);
        capture.at(now + 10'000).tcp("10.0.0.66", 40000, "10.0.1.1", knocked, "S");
        capture.at(now + 10'100).tcp("10.0.1.1", knocked, "10.0.0.66", 40000, "R");
      }
    }
    return capture;
  }

  // Three days of the office with their labels, and a detector that learnt from them.
  void train(const std::string& more = "") const {
    std::string labels = "capture,from,to,a,a_port,b,b_port,protocol,label,attack,group\n";
    for (const char* const day : {"mon", "tue", "wed", "thu"}) {
      office(150, 150).save((folder_ / (std::string(day) + ".pcap")).string());
      labels += std::string(day) + ".pcap,,,10.0.0.66,,,,tcp,port_scan,syn_scan," + day + "\n";
      labels += std::string(day) + ".pcap,,,,,,,,benign,," + day + "\n";
    }
    write("labels.csv", labels);
    const Outcome outcome =
        nidus("train mon.pcap tue.pcap wed.pcap thu.pcap --labels labels.csv --trees 10 -o office " + more);
    ASSERT_EQ(outcome.status, 0) << outcome.err;
  }

  static std::size_t lines(const std::string& text) {
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  }

  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path();
};

TEST_F(ProgramTest, WithoutAVerbItSaysWhatItCanDo) {
  const Outcome outcome = nidus("");
  EXPECT_EQ(outcome.status, 2);
  for (const char* const verb : {"detect", "flows", "inspect"}) EXPECT_THAT(outcome.out, HasSubstr(verb));
  EXPECT_EQ(nidus("help").status, 0);
  EXPECT_THAT(nidus("version").out, StartsWith("nidus "));
  EXPECT_THAT(nidus("help labels").out, HasSubstr("capture,from,to,a,a_port"));
  EXPECT_THAT(nidus("flows --help").out, HasSubstr("--active-timeout"));
}

// ./run builds the other two programs for these verbs alone.
TEST_F(ProgramTest, WithoutTheOtherProgramsItDoesWhatASensorDoes) {
  const auto run = read_file(fs::path(NIDUS_SOURCE_DIR) / "run");
  ASSERT_TRUE(run);
  const std::string needing_all = run->substr(0, run->find(") build release ;;"));
  fs::copy_file(NIDUS_PROGRAM, folder_ / "nidus");
  const Outcome help = shell("./nidus help");
  int own = 0, others = 0;
  for (const std::string_view line : split(help.out, '\n')) {
    if (!line.starts_with("  ") || line.starts_with("  nidus")) continue;
    const std::string verb(line.substr(2, line.find(' ', 2) - 2));
    if (verb == "help" || verb == "version") break;
    const Outcome outcome = shell("./nidus help " + verb);
    if (outcome.status == 0) {
      ++own;
      EXPECT_THAT(needing_all, Not(HasSubstr(" " + verb + " ")));
    } else {
      ++others;
      EXPECT_THAT(outcome.err, HasSubstr("'nidus " + verb + "' is done by nidus-"));
      EXPECT_THAT(needing_all + " ", HasSubstr(" " + verb + " "));
      EXPECT_EQ(nidus(verb + " --help").status, 0);
      EXPECT_THAT(nidus("help " + verb).out, HasSubstr("--help"));
    }
  }
  EXPECT_EQ(own, 6);
  EXPECT_EQ(others, 7);
}

TEST_F(ProgramTest, WhatWasMistypedIsRecognised) {
  Outcome outcome = nidus("detct x.pcap");
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.err, HasSubstr("did you mean 'detect'?"));
  outcome = nidus("flows --fromat csv x.pcap");
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.err, HasSubstr("unknown option '--fromat', did you mean '--format'?"));
  outcome = nidus("flows --profile cic2019 x.pcap");
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.err, HasSubstr("did you mean 'cic201"));
  EXPECT_EQ(nidus("flows").status, 2);
  EXPECT_EQ(nidus("flows --threads many x.pcap").status, 2);
  EXPECT_EQ(nidus("detect x.pcap").status, 2);
}

TEST_F(ProgramTest, FlowsWritesOneRowAFlowAndTalksOnStderr) {
  office(3, 5).save((folder_ / "day.pcap").string());
  const Outcome outcome = nidus("flows day.pcap --community-id");
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(lines(outcome.out), 1u + 8u);
  EXPECT_THAT(outcome.err, HasSubstr("day.pcap: 34 packets"));
  EXPECT_THAT(outcome.err, HasSubstr("8 flows"));
  const auto table = data::parse_table(outcome.out);
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_NE(table->get("community_id"), nullptr);
  EXPECT_EQ(table->get("profile")->text_at(0), "native");
}

TEST_F(ProgramTest, FlowsAreTheSameFromAFileAPipeAndWithMoreThreads) {
  detect::random_capture(9, 5000).save((folder_ / "mix.pcap").string());
  const std::string expected = nidus("flows mix.pcap --threads 1").out;
  ASSERT_GT(lines(expected), 100u);
  EXPECT_TRUE(nidus("flows mix.pcap --threads 8").out == expected);
  EXPECT_TRUE(shell("cat mix.pcap | \"$nidus\" flows -").out == expected);
  // Without context a stream hands out its records more often, so their order differs.
  ASSERT_EQ(shell("\"$nidus\" flows mix.pcap --features flow | sort > a; cat mix.pcap | \"$nidus\" flows - "
                  "--features flow | sort > b")
                .status,
            0);
  EXPECT_TRUE(text("a") == text("b"));
  EXPECT_FALSE(text("a").empty());
}

TEST_F(ProgramTest, FeaturesAreWrittenInTheGroupsThatAreAskedFor) {
  office(3, 5).save((folder_ / "day.pcap").string());
  const auto columns = [&](const std::string& words) {
    const auto table = data::parse_table(nidus("flows day.pcap " + words).out);
    EXPECT_TRUE(table);
    return table ? table->columns() : 0;
  };
  const std::size_t plain = columns("--features flow");
  EXPECT_EQ(columns(""), plain + 56);
  EXPECT_EQ(columns("--features flow,context,sequence"), plain + 56 + 64);
  EXPECT_EQ(columns("--features sequence"), 9u + 64u);
  EXPECT_EQ(nidus("flows day.pcap --features flew").status, 2);
  const auto table = data::parse_table(nidus("flows day.pcap --features context,sequence").out);
  ASSERT_TRUE(table);
  // The last knock: five in 2 s, all refused, at five ports of one host, beside three visits.
  EXPECT_EQ(table->get("ctx_src_failures_2s")->numbers[7], 5);
  EXPECT_EQ(table->get("ctx_src_ports_2s")->numbers[7], 5);
  EXPECT_EQ(table->get("ctx_dst_flows_2s")->numbers[7], 8);
  EXPECT_EQ(table->get("ctx_dst_hosts_10s")->numbers[7], 2);
  EXPECT_EQ(table->get("seq_gap_2")->numbers[7], 100);
  EXPECT_TRUE(std::isnan(table->get("seq_size_3")->numbers[7]));
  EXPECT_EQ(table->get("seq_size_4")->numbers[0], 180);
  EXPECT_EQ(table->get("seq_size_5")->numbers[0], -400);
}

// A visit has eight packets; after three nothing but the handshake was seen, and after four what was asked
// for.
TEST_F(ProgramTest, AFlowIsJudgedAfterItsFirstPackets) {
  train("--features sequence --early 4");
  EXPECT_THAT(nidus("inspect office").out, HasSubstr("native partial=4"));
  const Outcome early = nidus("detect mon.pcap -d office --format csv");
  ASSERT_EQ(early.status, 0) << early.err;
  const auto table = data::parse_table(early.out);
  ASSERT_TRUE(table);
  ASSERT_EQ(table->rows(), 300u);  // each flow once
  for (std::size_t row = 0; row < 300; ++row) {
    const bool scan = table->get("src_ip")->text_at(row) == "10.0.0.66";
    EXPECT_EQ(table->get("label")->text_at(row), scan ? "port_scan" : "benign");
    EXPECT_EQ(table->get("fwd_pkts")->numbers[row], scan ? 1 : 3);
  }
  const auto sooner = data::parse_table(nidus("detect mon.pcap -d office --format csv --early 2").out);
  ASSERT_TRUE(sooner);
  ASSERT_EQ(sooner->rows(), 300u);
  EXPECT_EQ(sooner->get("fwd_pkts")->numbers[0], 1);
  // A table of the same flows, early records among them, is judged alike.
  ASSERT_EQ(nidus("flows mon.pcap --early 4 --features flow,sequence -o mon.csv").status, 0);
  const auto rows = data::parse_table(nidus("detect mon.csv -d office --format csv --attacks-only").out);
  ASSERT_TRUE(rows);
  EXPECT_EQ(rows->rows(), 150u);
}

TEST_F(ProgramTest, FlowsWritesToAFileAndSummarisesAsJson) {
  office(3, 5).save((folder_ / "day.pcap").string());
  const Outcome outcome = nidus("flows day.pcap -o flows.ndjson --format ndjson --json");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.out, StartsWith("{\"input\":\"day.pcap\""));
  EXPECT_EQ(lines(text("flows.ndjson")), 8u);
  EXPECT_EQ(nidus("flows day.pcap -o day.pcap").status, 2);
  EXPECT_EQ(nidus("flows day.pcap -o /no/such/folder/x.csv").status, 1);
}

TEST_F(ProgramTest, ConnectionsOfKddHaveTheColumnsOfKdd) {
  office(3, 5).save((folder_ / "day.pcap").string());
  const Outcome all = nidus("flows day.pcap --profile nsl-kdd");
  EXPECT_EQ(all.status, 0) << all.err;
  EXPECT_THAT(all.out, StartsWith("duration,protocol_type,service,flag,"));
  EXPECT_EQ(lines(all.out), 1u + 8u);
  EXPECT_LT(nidus("flows day.pcap --profile nsl-kdd --short").out.find('\n'), all.out.find('\n'));
}

TEST_F(ProgramTest, AReaderThatGoesAwayIsNoError) {
  detect::random_capture(9, 60'000, 400).save((folder_ / "mix.pcap").string());
  ASSERT_EQ(shell("{ \"$nidus\" flows mix.pcap --threads 1 2> said; echo $? > status; } | head -n 1").status,
            0);
  EXPECT_EQ(text("status"), "0\n");
  EXPECT_THAT(text("said"), Not(HasSubstr("error")));
}

TEST_F(ProgramTest, BadCapturesAreBadInput) {
  write("empty.pcap", "");
  write("notes.pcap", "milk, bread\n");
  const std::string whole = office(3, 5).bytes();
  write("cut.pcap", whole.substr(0, whole.size() - 7));
  for (const char* const input : {"missing.pcap", "empty.pcap", "notes.pcap", "."}) {
    const Outcome outcome = nidus(std::string("flows ") + input);
    EXPECT_THAT(outcome.status, AnyOf(3)) << input << ": " << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(input));
    EXPECT_THAT(outcome.err, HasSubstr("error"));
  }
  const Outcome cut = nidus("flows cut.pcap");
  EXPECT_EQ(cut.status, 3);
  EXPECT_EQ(lines(cut.out), 1u + 8u);
  EXPECT_THAT(cut.err, HasSubstr("33 frames before it were read"));
}

TEST_F(ProgramTest, ADetectorTrainedOnCapturesFindsTheScanInAnother) {
  train();
  office(40, 25, 1'700'100'000'000'000).save((folder_ / "new.pcap").string());
  const Outcome summary = nidus("detect new.pcap --detector office");
  EXPECT_EQ(summary.status, 0) << summary.err;
  EXPECT_THAT(summary.out, HasSubstr("25 of 65 flows look like attacks"));
  EXPECT_THAT(summary.out, HasSubstr("10.0.0.66"));
  EXPECT_THAT(summary.out, HasSubstr("port_scan"));
  EXPECT_EQ(nidus("detect new.pcap --detector office --fail-on-alert").status, 10);

  const Outcome csv = nidus("detect new.pcap -d office --format csv");
  EXPECT_EQ(lines(csv.out), 1u + 65u);
  EXPECT_THAT(csv.err, HasSubstr("25 of 65"));
  EXPECT_EQ(lines(nidus("detect new.pcap -d office --format eve").out), 25u);
  EXPECT_EQ(lines(nidus("detect new.pcap -d office --format table").out), 1u + 25u);
  EXPECT_EQ(lines(nidus("detect new.pcap -d office --format ndjson --attacks-only").out), 25u);
  EXPECT_THAT(nidus("detect new.pcap -d office --json").out, HasSubstr("\"attacks\":25"));
  // The same with any number of threads.
  EXPECT_EQ(nidus("detect new.pcap -d office --format csv --threads 8").out, csv.out);
}

TEST_F(ProgramTest, VerdictsComeWithReasons) {
  train();
  office(40, 25, 1'700'100'000'000'000).save((folder_ / "new.pcap").string());
  const Outcome csv = nidus("detect new.pcap -d office --format csv --explain");
  ASSERT_EQ(csv.status, 0) << csv.err;
  const auto table = data::parse_table(csv.out);
  ASSERT_TRUE(table) << table.error().message;
  ASSERT_EQ(table->rows(), 65u);
  for (std::size_t row = 0; row < 65; ++row) {
    EXPECT_THAT(std::string(table->get("reasons")->text_at(row)), HasSubstr("(usually ")) << row;
  }
  EXPECT_THAT(nidus("detect new.pcap -d office --format table --explain --reasons 2").out,
              HasSubstr(" raises\n"));
  EXPECT_THAT(nidus("detect new.pcap -d office --format eve --explain").out, HasSubstr("\"usual_low\":"));
  EXPECT_THAT(nidus("detect new.pcap -d office --explain").out, HasSubstr("mean contribution to the score"));
  EXPECT_THAT(nidus("detect new.pcap -d office --explain --json").out, HasSubstr("\"mean_contribution\":"));
  // The same with any number of threads, and from a table of the same flows.
  EXPECT_EQ(nidus("detect new.pcap -d office --format csv --explain --threads 8").out, csv.out);
  ASSERT_EQ(nidus("flows new.pcap -o new.csv").status, 0);
  const auto again = data::parse_table(nidus("detect new.csv -d office --format csv --explain").out);
  ASSERT_TRUE(again);
  for (std::size_t row = 0; row < 65; ++row)
    ASSERT_EQ(again->get("reasons")->text_at(row), table->get("reasons")->text_at(row));
}

TEST_F(ProgramTest, ExplainSaysWhatADetectorGoesBy) {
  train();
  const Outcome csv = nidus("explain office thu.pcap --labels labels.csv --format csv");
  ASSERT_EQ(csv.status, 0) << csv.err;
  const auto table = data::parse_table(csv.out);
  ASSERT_TRUE(table) << table.error().message;
  const auto& contribution = table->get("mean_abs_contribution")->numbers;
  const auto& gain = table->get("gain")->numbers;
  double gains = 0;
  for (std::size_t i = 0; i < table->rows(); ++i) {
    gains += gain[i];
    if (i > 0) {
      EXPECT_GE(contribution[i - 1], contribution[i]);
    }
  }
  EXPECT_NEAR(gains, 1, 1e-9);
  EXPECT_GT(contribution[0], 0);
  ASSERT_NE(table->get("permutation"), nullptr);
  EXPECT_EQ(nidus("explain office thu.pcap --labels labels.csv --format csv --threads 3").out, csv.out);

  const Outcome text = nidus("explain office thu.pcap --rows 50");
  EXPECT_THAT(text.out, HasSubstr("50 of 300 rows"));
  EXPECT_THAT(text.out, Not(HasSubstr("permutation")));
  ASSERT_EQ(nidus("flows thu.pcap -o thu.csv").status, 0);
  EXPECT_EQ(nidus("explain office thu.csv --rows 50").out, text.out);
  EXPECT_THAT(nidus("explain office thu.csv --format json").out, HasSubstr("\"mean_abs_contribution\":"));
  EXPECT_THAT(nidus("inspect office").out, testing::ContainsRegex("gain +[a-z_]+ [0-9.]+ %"));
}

TEST_F(ProgramTest, EvaluateExplainsItsMistakes) {
  train("--classes binary");
  const std::string words = "evaluate office thu.pcap --labels labels.csv --bootstrap 0 --explain";
  const Outcome fine = nidus(words);
  ASSERT_EQ(fine.status, 0) << fine.err;
  EXPECT_THAT(fine.out, HasSubstr("what the detector goes by, on 300 of 300 rows"));
  EXPECT_THAT(fine.out, HasSubstr("no row is on the wrong side of the threshold"));
  // The importance is that of `nidus explain`, to the last digit.
  const std::string explained = nidus("explain office thu.pcap --labels labels.csv --format json").out;
  const auto features = explained.find("\"features\":");
  ASSERT_NE(features, std::string::npos);
  EXPECT_THAT(nidus(words + " --json").out,
              HasSubstr(explained.substr(features, explained.rfind(']') - features)));

  // A threshold that calls everything an attack makes mistakes of all benign flows.
  const Outcome wrong = nidus(words + " --threshold 0 --html why.html");
  ASSERT_EQ(wrong.status, 0) << wrong.err;
  EXPECT_THAT(wrong.out, HasSubstr("benign: 150 of 150 called attacks"));
  EXPECT_THAT(wrong.out, testing::ContainsRegex("flow [0-9,]+ of thu.pcap: 10\\.[0-9.]+:[0-9]+ to 10\\."));
  EXPECT_THAT(wrong.out, HasSubstr("(usually "));
  EXPECT_EQ(nidus(words + " --threshold 0 --threads 3").out, wrong.out);
  const std::string page = text("why.html");
  EXPECT_THAT(page, HasSubstr("What it goes by"));
  EXPECT_THAT(page, HasSubstr("Where it is wrong, and why"));
  // A flow is found again by its number, also in the table of the same flows.
  ASSERT_EQ(nidus("flows thu.pcap --labels labels.csv -o thu.csv").status, 0);
  const Outcome of_table =
      nidus("evaluate office thu.csv --label label --bootstrap 0 --explain --threshold 0 --json");
  ASSERT_EQ(of_table.status, 0) << of_table.err;
  const std::string number = wrong.out.substr(wrong.out.find("flow ", wrong.out.find("called attacks")) + 5);
  EXPECT_THAT(of_table.out,
              HasSubstr("\"where\":\"row " + number.substr(0, number.find(' ')) + " of thu.csv: "));
  EXPECT_THAT(of_table.out, HasSubstr("\"explanation\":{\"base\":"));
}

TEST_F(ProgramTest, CapturesAndTablesOfTheSameFlowsGetTheSameVerdicts) {
  train();
  ASSERT_EQ(nidus("flows mon.pcap -o mon.csv").status, 0);
  const Outcome both = nidus("detect mon.pcap mon.csv --detector office --format csv");
  EXPECT_EQ(both.status, 0) << both.err;
  const auto table = data::parse_table(both.out);
  ASSERT_TRUE(table) << table.error().message;
  ASSERT_EQ(table->rows(), 600u);
  for (std::size_t row = 0; row < 300; ++row) {
    ASSERT_EQ(table->get("score")->numbers[row], table->get("score")->numbers[row + 300]) << row;
    ASSERT_EQ(table->get("start")->text_at(row), table->get("start")->text_at(row + 300)) << row;
  }
}

TEST_F(ProgramTest, EvaluateMeasuresWithLabels) {
  train("--classes binary");
  const Outcome text = nidus("evaluate office thu.pcap --labels labels.csv");
  EXPECT_EQ(text.status, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("attack"));
  EXPECT_THAT(nidus("evaluate office thu.pcap --labels labels.csv --json").out, HasSubstr("\"roc_auc\":1"));
  EXPECT_EQ(nidus("evaluate office thu.pcap").status, 2);
  // Judged before their ends they are as many flows, and say something else.
  const std::string whole = nidus("evaluate office thu.pcap --labels labels.csv --bootstrap 0 --json").out,
                    early =
                        nidus("evaluate office thu.pcap --labels labels.csv --bootstrap 0 --json --early 3")
                            .out;
  EXPECT_THAT(whole, HasSubstr("\"rows\":300,\"attacks\":150,"));
  EXPECT_THAT(early, HasSubstr("\"rows\":300,\"attacks\":150,"));
  EXPECT_NE(early, whole);
  write("flows.csv", "dst_port,label\n80,benign\n");
  EXPECT_THAT(nidus("evaluate office flows.csv --label label --early 3").err,
              HasSubstr("--early is for captures"));
  office(1, 1).save((folder_ / "sun.pcap").string());
  const Outcome unknown = nidus("evaluate office sun.pcap --labels labels.csv");
  EXPECT_EQ(unknown.status, 3);
  EXPECT_THAT(unknown.err, HasSubstr("no rule about sun.pcap"));
}

TEST_F(ProgramTest, EvaluateWritesAPage) {
  train();
  const Outcome done =
      nidus("evaluate office thu.pcap --labels labels.csv --html report.html --bootstrap 50");
  ASSERT_EQ(done.status, 0) << done.err;
  EXPECT_THAT(done.err, HasSubstr("wrote report.html"));
  const std::string page = text("report.html");
  EXPECT_THAT(page, StartsWith("<!DOCTYPE html>"));
  EXPECT_THAT(page, HasSubstr("<svg"));
  EXPECT_THAT(page, HasSubstr("</html>"));
  EXPECT_EQ(nidus("evaluate office thu.pcap --labels labels.csv --html thu.pcap").status, 2);
  EXPECT_NE(nidus("evaluate office thu.pcap --labels labels.csv --html no/such/folder.html").status, 0);
  // The same figures, to the last byte, whoever asks.
  EXPECT_EQ(nidus("evaluate office thu.pcap --labels labels.csv --bootstrap 50 --threads 3").out, done.out);
}

TEST_F(ProgramTest, EvaluateComparesTwoDetectorsOnTheSameFlows) {
  train();
  ASSERT_EQ(nidus("train mon.pcap tue.pcap --labels labels.csv --trees 3 --classes binary -o other").status,
            0);
  const Outcome same = nidus("evaluate --compare office office thu.pcap --labels labels.csv --bootstrap 50");
  ASSERT_EQ(same.status, 0) << same.err;
  EXPECT_THAT(same.out, HasSubstr("McNemar"));
  EXPECT_THAT(same.out, HasSubstr("1.000"));
  const Outcome json =
      nidus("evaluate --compare office other thu.pcap --labels labels.csv --bootstrap 50 --json");
  ASSERT_EQ(json.status, 0) << json.err;
  EXPECT_THAT(json.out, HasSubstr("\"compared_with\":{\"detector\":\"other\""));
  EXPECT_THAT(json.out, HasSubstr("\"only_a_right\""));
  EXPECT_EQ(nidus("evaluate --compare office other --labels labels.csv").status, 2);
}

TEST_F(ProgramTest, RowsThatGiveTheAnswerAwayAreNamed) {
  train();
  ASSERT_EQ(nidus("flows mon.pcap tue.pcap --labels labels.csv -o flows.csv").status, 0);
  const Outcome trained =
      nidus("train flows.csv --label label --trees 5 --features src_port,fwd_bytes -o telling");
  ASSERT_EQ(trained.status, 0) << trained.err;
  EXPECT_THAT(trained.err, HasSubstr("warning: src_port: a port"));
  EXPECT_THAT(trained.err, HasSubstr("fwd_bytes alone tells attacks from benign rows"));
  const Outcome measured =
      nidus("evaluate telling flows.csv --label label --learnt-from flows.csv --bootstrap 0");
  ASSERT_EQ(measured.status, 0) << measured.err;
  EXPECT_THAT(measured.out, HasSubstr("(100.0 %) equal rows learnt from"));
  EXPECT_THAT(measured.out, HasSubstr("flows.csv is what the detector learnt from"));
}

TEST_F(ProgramTest, ADetectorCanBeTrainedOnTablesToo) {
  train();
  ASSERT_EQ(nidus("flows mon.pcap tue.pcap --labels labels.csv -o flows.csv").status, 0);
  const Outcome trained = nidus("train flows.csv --label label --trees 5 -o tables");
  ASSERT_EQ(trained.status, 0) << trained.err;
  EXPECT_THAT(nidus("detect wed.pcap --detector tables").out,
              HasSubstr("150 of 300 flows look like attacks"));
  const Outcome wrong = nidus("train flows.csv --label lable -o x");
  EXPECT_EQ(wrong.status, 3);
  EXPECT_THAT(wrong.err, HasSubstr("did you mean 'label'?"));
}

// What is written for other programs is read back by our own readers of their files, which their tests hold
// to them.
TEST_F(ProgramTest, ADetectorThatWasExportedJudgesTheSame) {
  train();
  ASSERT_EQ(
      nidus("train *.pcap --labels labels.csv --model boost --trees 10 --classes binary -o boosted").status,
      0);
  office(40, 25, 1'700'100'000'000'000).save((folder_ / "new.pcap").string());
  for (const auto& [detector, as, file] :
       {std::tuple("office", "onnx", "office.onnx"), std::tuple("boosted", "onnx", "boosted.onnx"),
        std::tuple("boosted", "xgboost", "boosted.json")}) {
    SCOPED_TRACE(file);
    const Outcome exported = nidus(fmt::format("export {} --to {} -o {}", detector, as, file));
    ASSERT_EQ(exported.status, 0) << exported.err;
    const auto before =
        data::parse_table(nidus(fmt::format("detect new.pcap -d {} --format csv", detector)).out);
    const Outcome judged = nidus(fmt::format("detect new.pcap -d {} --format csv", file));
    ASSERT_EQ(judged.status, 0) << judged.err;
    const auto after = data::parse_table(judged.out);
    ASSERT_TRUE(before && after);
    ASSERT_EQ(after->rows(), before->rows());
    for (std::size_t row = 0; row < after->rows(); ++row)
      ASSERT_NEAR(after->get("score")->numbers[row], before->get("score")->numbers[row], 1e-6) << row;
  }
  EXPECT_THAT(nidus("export office --to xgboost -o x.json").err, HasSubstr("try --to onnx"));
  EXPECT_EQ(nidus("export office --to onnx").status, 2);
}

TEST_F(ProgramTest, TheSameSeedMakesTheSameDetector) {
  train();
  const std::string first = text("office/model-1.nidus");
  train("--threads 1");
  EXPECT_TRUE(text("office/model-1.nidus") == first);
  EXPECT_FALSE(first.empty());
}

TEST_F(ProgramTest, WrongTablesAndDetectorsAreBadInput) {
  train();
  write("other.csv", "duration,service\n1,http\n");
  Outcome outcome = nidus("detect other.csv --detector office");
  EXPECT_EQ(outcome.status, 3);
  EXPECT_THAT(outcome.err, HasSubstr("other.csv: no column 'dst_port'"));
  write("rowless.csv", "duration,service\n");
  EXPECT_EQ(nidus("detect rowless.csv --detector office").status, 3);
  write("ragged.csv", "a,b\n1,2\n1,2,3\n");
  EXPECT_EQ(nidus("detect ragged.csv --detector office").status, 3);
  EXPECT_EQ(nidus("detect missing.csv --detector office").status, 3);
  ASSERT_EQ(nidus("flows mon.pcap --active-timeout 10 -o short.csv").status, 0);
  outcome = nidus("detect short.csv --detector office");
  EXPECT_EQ(outcome.status, 3);
  EXPECT_THAT(outcome.err, HasSubstr("metered as 'native active=10s'"));
  EXPECT_EQ(nidus("detect short.csv --detector office --any-profile").status, 0);

  EXPECT_EQ(nidus("detect mon.pcap --detector missing").status, 3);
  EXPECT_EQ(nidus("detect mon.pcap --detector .").status, 3);
  write("office/model-1.nidus", "not a model");
  outcome = nidus("detect mon.pcap --detector office");
  EXPECT_EQ(outcome.status, 3);
  EXPECT_THAT(outcome.err, HasSubstr("SHA-256"));
}

TEST_F(ProgramTest, InspectKnowsEverythingByItsBytes) {
  train();
  ASSERT_EQ(nidus("flows mon.pcap -o mon.csv").status, 0);
  const Outcome outcome = nidus("inspect mon.pcap mon.csv office office/model-1.nidus");
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  for (const char* const fact :
       {"capture", "Ethernet", "native (its column 'profile')", "detector", "random forest"}) {
    EXPECT_THAT(outcome.out, HasSubstr(fact));
  }
  EXPECT_THAT(outcome.out, testing::ContainsRegex("figures_validation +[0-9]+ rows, .*ROC AUC [01]\\."));
  const std::string json = nidus("inspect mon.pcap office --json").out;
  EXPECT_EQ(lines(json), 2u);
  EXPECT_THAT(json, HasSubstr("\"figures_validation\":{\"rows\":"));
  write("odd.bin", std::string("\0\1\2\3", 4));
  EXPECT_EQ(nidus("inspect odd.bin").status, 3);
}

TEST_F(ProgramTest, AFailingInputDoesNotKeepTheOthersFromBeingJudged) {
  train();
  const Outcome outcome = nidus("detect missing.pcap mon.pcap --detector office");
  EXPECT_EQ(outcome.status, 3);
  EXPECT_THAT(outcome.out, HasSubstr("150 of 300"));
}

}  // namespace
}  // namespace nidus
