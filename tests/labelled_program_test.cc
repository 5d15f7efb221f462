// `nidus train` and `nidus evaluate` on labelled tables: which column says what, which rows are held out, and
// what is said of figures that mean less than they seem.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/random.h"
#include "base/testing.h"

namespace nidus {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

struct Outcome {
  int status = -1;
  std::string out, err;
};

class LabelledTest : public testing::Test {
 protected:
  Outcome nidus(const std::string& words) const {
    const std::string whole = "cd '" + folder_.string() + "' && '" NIDUS_PROGRAM "' " + words +
                              " > stdout.txt 2> stderr.txt < /dev/null";
    const int answer = std::system(whole.c_str());
    return {WIFEXITED(answer) ? WEXITSTATUS(answer) : -1, text("stdout.txt"), text("stderr.txt")};
  }
  std::string text(const std::string& name) const {
    const auto read = read_file(folder_ / name);
    return read ? *read : "";
  }
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
  }

  TemporaryFolder temporary_;
  std::filesystem::path folder_ = temporary_.path();
};

// A log in the shape of IoT-23 and CTU: big flows are attacks. Each row has a label and a detail.
struct Names {
  std::string benign, detail_of_benign, attack, detail_of_attack;
};
std::string conn_log(std::size_t rows, char separator, const std::string& last_column, const Names& names,
                     std::size_t background = 0) {
  const std::vector<std::string> columns = {"ts",       "uid",        "id.orig_h", "id.resp_h",     "proto",
                                            "duration", "conn_state", "orig_pkts", "orig_ip_bytes", "label",
                                            last_column};
  std::string out;
  const auto line = [&](const std::vector<std::string>& cells) {
    for (std::size_t i = 0; i < cells.size(); ++i) out += (i > 0 ? std::string(1, separator) : "") + cells[i];
    out += '\n';
  };
  if (separator == '\t') out += "#separator \\x09\n#unset_field\t-\n#fields\t";
  line(columns);
  Random random(1);
  for (std::size_t row = 0; row < rows + background; ++row) {
    const bool attack = random.below(2) == 0;
    const auto packets = attack ? 50 + random.below(50) : random.below(50);
    const bool unjudged = row >= rows;
    line({std::to_string(1545403816 + row), "C" + std::to_string(row), "10.0.0.1", "10.0.0.2", "tcp",
          std::to_string(random.below(1000)), "SF", std::to_string(packets), std::to_string(packets * 60),
          unjudged ? "Background"
          : attack ? names.attack
                   : names.benign,
          unjudged ? "(empty)"
          : attack ? names.detail_of_attack
                   : names.detail_of_benign});
  }
  return out;
}

// Whoever judges leaves rows out that cannot be read, and says which; whoever learns wants to be told first.
TEST_F(LabelledTest, ATextWhereANumberBelongsCostsOneRow) {
  std::string rows = "bytes,gap,label\n";
  for (int i = 0; i < 400; ++i)
    rows += std::to_string(i) + "," + std::to_string(i % 7) + (i < 200 ? ",benign\n" : ",flood\n");
  write("rows.csv", rows);
  ASSERT_EQ(nidus("train rows.csv --label label --trees 5 -o made").status, 0);
  write("bad.csv", rows + "12 kB,3,flood\n7\n8,9,benign\n");
  const std::string said =
      "2 rows could not be read and were %; the first: bad.csv:402: column 'bytes' holds "
      "'12 kB', expected a number";
  const auto with = [&](const std::string& what) {
    return std::string(said).replace(said.find('%'), 1, what);
  };
  const Outcome judged = nidus("detect bad.csv -d made --format csv");
  EXPECT_EQ(judged.status, 3);  // as for the short row
  EXPECT_THAT(judged.err, HasSubstr(with("not judged")));
  EXPECT_EQ(std::count(judged.out.begin(), judged.out.end(), '\n'), 402);
  const Outcome measured = nidus("evaluate made bad.csv --label label");
  EXPECT_EQ(measured.status, 0) << measured.err;
  EXPECT_THAT(measured.err, HasSubstr(with("left out")));
  EXPECT_THAT(measured.out, HasSubstr("401"));
  const Outcome drifted = nidus("drift made bad.csv");
  EXPECT_THAT(drifted.err, HasSubstr(with("left out")));
}

double auc(const std::string& json) {
  const std::string key = "\"roc_auc\":";
  const std::size_t at = json.find(key);
  return at == std::string::npos ? 0 : std::stod(json.substr(at + key.size()));
}

// Half of the rows have the wrong label, and a column says which they are by weighing nothing.
TEST_F(LabelledTest, RowsCountAsTheirWeightsSay) {
  Random random(6);
  std::string noisy = "bytes,gap,weight,label\n", clean = "bytes,gap,label\n";
  for (int i = 0; i < 1200; ++i) {
    const auto bytes = random.below(1000);
    const bool wrong = i % 2 == 0, attack = bytes >= 500;
    const std::string start = std::to_string(bytes) + "," + std::to_string(random.below(50)) + ",";
    noisy += start + (wrong ? "0," : "2.5,") + (attack != wrong ? "flood\n" : "benign\n");
    clean += start + (attack ? "flood\n" : "benign\n");
  }
  write("noisy.csv", noisy);
  write("clean.csv", clean);
  for (const std::string model :
       {"tree --depth 3", "forest --trees 10 --min-leaf 5", "extra-trees --trees 30 --min-leaf 5",
        "boost --rounds 20 --depth 3", "mlp --layers 16 --epochs 40 --batch 16 --learning-rate 0.01",
        "ensemble --members forest,boost --combine stack --trees 10 --rounds 20 --depth 3"}) {
    SCOPED_TRACE(model);
    const std::string line = "train noisy.csv --label label --weights none --no-checkpoint --model " + model;
    const Outcome weighed = nidus(line + " --row-weight weight -o weighed");
    ASSERT_EQ(weighed.status, 0) << weighed.err;
    // The weight is no column of the detector.
    EXPECT_GT(auc(nidus("evaluate weighed clean.csv --label label --json").out), 0.95);
    ASSERT_EQ(nidus(line + " --exclude weight -o plain").status, 0);
    EXPECT_LT(auc(nidus("evaluate plain clean.csv --label label --json").out), 0.9);
  }
}

TEST_F(LabelledTest, WeightsThatAreNoneAreRefused) {
  const auto said = [&](const std::string& weight, const std::string& more = "--row-weight weight") {
    std::string rows = "bytes,weight,label\n";
    for (int i = 0; i < 100; ++i)
      rows += std::to_string(i) + "," + (i == 41 ? weight : "1") + (i < 50 ? ",benign\n" : ",flood\n");
    write("rows.csv", rows);
    const Outcome outcome = nidus("train rows.csv --label label --trees 5 -o made " + more);
    return outcome.status == 0 ? "" : outcome.err;
  };
  EXPECT_EQ(said("0.5"), "");
  for (const std::string weight : {"-1", "much", "", "inf", "nan", "1e39"})
    EXPECT_THAT(said(weight), HasSubstr("rows.csv:43: --row-weight 'weight': '")) << weight;
  EXPECT_THAT(said("1", "--row-weight weigth"), HasSubstr("did you mean 'weight'"));
  EXPECT_THAT(said("1", "--row-weight weight --features weight"), HasSubstr("no column 'weight'"));
  EXPECT_THAT(said("1", "--row-weight weight --model mahalanobis"),
              HasSubstr("--row-weight is for trees, boosting and networks"));
  EXPECT_THAT(said("1", "--row-weight weight --model ensemble --members forest,isolation-forest"),
              HasSubstr("--row-weight is for trees, boosting and networks"));
}

TEST_F(LabelledTest, AZeroByteInATableIsNamed) {
  const std::string zero(1, '\0');
  write("zero.csv", "bytes,label\n1,benign\n2" + zero + ",flood\n3,flood\n" + std::string(200, '\n'));
  const Outcome outcome = nidus("train zero.csv --label label -o made");
  EXPECT_EQ(outcome.status, 3);
  EXPECT_THAT(outcome.err, HasSubstr("zero.csv:3: a zero byte (byte 23 of the file)"));
  EXPECT_THAT(nidus("inspect zero.csv").err, HasSubstr("zero.csv:3: a zero byte"));
  std::string wide = "\xff\xfe";
  for (const char c : std::string("bytes,label\n1,benign\n")) wide += c + zero;
  write("wide.csv", wide);
  EXPECT_THAT(nidus("inspect wide.csv").err, HasSubstr("wide.csv: text in UTF-16"));
  write("binary", "ab\n" + std::string(200, '\0') + "cd\n");
  EXPECT_THAT(nidus("inspect binary").err, HasSubstr("neither a capture nor a table"));
}

TEST_F(LabelledTest, BenignIsWhatTheLabelOfAZeekLogSays) {
  write("iot.csv", conn_log(400, ',', "detailed-label", {"Benign", "-", "Malicious", "C&C"}));
  const Outcome trained = nidus("train iot.csv --trees 5 -o iot");
  EXPECT_EQ(trained.status, 0) << trained.err;
  EXPECT_THAT(trained.err, AllOf(HasSubstr("the label is 'label'"), HasSubstr("'detailed-label' names")));
  EXPECT_THAT(text("iot/detector.json"), AllOf(HasSubstr("\"C&C\""), HasSubstr("\"benign\"")));
  const Outcome measured = nidus("evaluate iot iot.csv --json");
  EXPECT_EQ(measured.status, 0) << measured.err;
  EXPECT_THAT(measured.err, HasSubstr("the label is 'label'"));
  EXPECT_THAT(measured.out, HasSubstr("\"C&C\""));

  // CTU: vendors stand behind benign rows, and some rows nobody has judged.
  write("ctu.log", conn_log(400, '\t', "detailedlabel", {"Benign", "Microsoft", "Malicious", "(empty)"}, 30));
  const Outcome ctu = nidus("train ctu.log --trees 5 -o ctu");
  EXPECT_EQ(ctu.status, 0) << ctu.err;
  EXPECT_THAT(ctu.err, AllOf(HasSubstr("30 rows are 'Background'"), HasSubstr("--merge Background=")));
  EXPECT_THAT(text("ctu/detector.json"), AllOf(HasSubstr("\"Malicious\""), Not(HasSubstr("\"Microsoft\""))));
  const Outcome without = nidus("train ctu.log --trees 5 --merge Background= -o ctu2");
  EXPECT_EQ(without.status, 0) << without.err;
  EXPECT_THAT(without.err, AllOf(Not(HasSubstr("'Background'")), HasSubstr("30 rows without a label")));

  // Some copies have both in one cell.
  write("one.csv", conn_log(400, ',', "detailed-label",
                            {"Benign   -", "", "Malicious   PartOfAHorizontalPortScan", ""}));
  EXPECT_EQ(nidus("train one.csv --trees 5 -o one").status, 0);
  EXPECT_THAT(text("one/detector.json"), HasSubstr("\"PartOfAHorizontalPortScan\""));
}

std::string days(std::vector<std::size_t> sizes) {
  std::string out = "size,rate,day,label\n";
  Random random(1);
  for (std::size_t day = 0; day < sizes.size(); ++day) {
    for (std::size_t row = 0; row < sizes[day]; ++row) {
      const auto size = random.below(1000), rate = random.below(2000);
      out += std::to_string(size) + "," + std::to_string(rate) + ",d" + std::to_string(day) + "," +
             (size * 2 > rate ? "flood" : "benign") + "\n";
    }
  }
  return out;
}

TEST_F(LabelledTest, WhatWasHeldOutIsNoMemoryAndOtherRowsAre) {
  write("rows.csv", days({100, 100, 100, 100}));
  const std::string on = " rows.csv --label label --bootstrap 0";
  const Outcome trained = nidus("train rows.csv --label label --trees 5 --hold-out 0.3 -o made");
  ASSERT_EQ(trained.status, 0) << trained.err;
  EXPECT_THAT(trained.err, HasSubstr("held out: 120 of 400 rows (30.0 %)"));
  EXPECT_THAT(nidus("evaluate made" + on + " --hold-out 0.3").out, Not(HasSubstr("memory")));
  EXPECT_THAT(nidus("evaluate made" + on + " --hold-out 0.30").out, Not(HasSubstr("memory")));
  EXPECT_THAT(nidus("evaluate made" + on + " --hold-out 0.3 --hold-out-seed 2").out,
              HasSubstr("the rows were divided otherwise when the detector learnt (--hold-out 0.3 "
                        "--hold-out-seed 1)"));
  EXPECT_THAT(nidus("evaluate made" + on).out, HasSubstr("but for the rows held out"));
  // Of what was not learnt from there are no copies, although the file is the same.
  EXPECT_THAT(nidus("evaluate made" + on + " --hold-out 0.3 --learnt-from rows.csv").out,
              Not(HasSubstr("learnt from")));

  ASSERT_EQ(nidus("train rows.csv --label label --trees 5 -o whole").status, 0);
  EXPECT_THAT(nidus("evaluate whole" + on + " --hold-out 0.3").out,
              HasSubstr("rows.csv is what the detector learnt from: figures of it measure memory"));
}

TEST_F(LabelledTest, GroupsAreHeldOutAsNearTheShareAsTheyAllow) {
  write("rows.csv", days({180, 840, 1600, 1400}));
  const Outcome trained = nidus("train rows.csv --label label --trees 5 --hold-out 0.1 --group day -o made");
  ASSERT_EQ(trained.status, 0) << trained.err;
  EXPECT_THAT(trained.err, HasSubstr("held out: 180 of 4,020 rows (4.5 %), 1 of 4 groups: d0"));
  const Outcome more = nidus("train rows.csv --label label --trees 5 --hold-out 0.4 --group day -o more");
  EXPECT_THAT(more.err, HasSubstr("held out: 1,600 of 4,020 rows (39.8 %), 1 of 4 groups: d2"));
  const Outcome measured = nidus("evaluate more rows.csv --label label --hold-out 0.4 --group day --json");
  EXPECT_EQ(measured.status, 0) << measured.err;
  EXPECT_THAT(measured.out, HasSubstr("\"rows\":1600"));
}

// One tree gives whole benign leaves to attacks and some benign rows the highest score.
TEST_F(LabelledTest, ALineThatNothingReachesIsWarnedOf) {
  std::string rows = "a,b,label\n";
  Random random(3);
  for (int i = 0; i < 600; ++i) {
    const bool attack = i % 3 == 0;
    // A tenth of the benign rows looks like attacks.
    const bool high = attack || random.below(10) == 0;
    rows += std::to_string(random.below(500) + (high ? 1000 : 0)) + "," + std::to_string(random.below(9)) +
            "," + (attack ? "dos" : "benign") + "\n";
  }
  write("rows.csv", rows);
  const Outcome trained = nidus("train rows.csv --label label --model tree --fpr 0.001 -o made");
  ASSERT_EQ(trained.status, 0) << trained.err;
  EXPECT_THAT(trained.err, AllOf(HasSubstr("can never raise an alarm"), HasSubstr("--fpr")));
  EXPECT_THAT(nidus("inspect made").out, HasSubstr("never an alarm"));
  const Outcome generous = nidus("train rows.csv --label label --model tree --fpr 0.3 -o generous");
  EXPECT_THAT(generous.err, Not(HasSubstr("warning: this detector")));
  EXPECT_THAT(nidus("inspect generous").out, Not(HasSubstr("never an alarm")));
}

TEST_F(LabelledTest, OptionsWithoutEffectAreRefused) {
  write("rows.csv", days({300}));
  const auto refused = [&](const std::string& words, const std::string& option) {
    const Outcome outcome = nidus("train rows.csv --label label -o made " + words);
    EXPECT_EQ(outcome.status, 2) << words;
    EXPECT_THAT(outcome.err, HasSubstr(option + " is for"));
  };
  refused("--scale-pos-weight 3", "--scale-pos-weight");
  refused("--early-stopping 5", "--early-stopping");
  refused("--model boost --out-of-bag", "--out-of-bag");
  refused("--model extra-trees --out-of-bag", "--out-of-bag");
  refused("--model ensemble --members forest,mahalanobis --early-stopping 5", "--early-stopping");
  EXPECT_EQ(
      nidus("train rows.csv --label label -o made --model boost --rounds 5 --scale-pos-weight 3").status, 0);
  std::string three = "a,label\n";
  for (int i = 0; i < 300; ++i)
    three += std::to_string(i) + (i % 3 == 0 ? ",benign\n" : i % 3 == 1 ? ",x\n" : ",y\n");
  write("rows.csv", three);
  refused("--model boost --rounds 5 --scale-pos-weight 3", "--scale-pos-weight");
}

TEST_F(LabelledTest, AColumnOfUnknownTextsIsTold) {
  std::string rows = "size,service,label\n", other = rows;
  Random random(2);
  for (int i = 0; i < 300; ++i) {
    const auto size = random.below(1000);
    const std::string label = size > 500 ? "flood" : "benign";
    rows += std::to_string(size) + (i % 2 == 0 ? ",http," : ",dns,") + label + "\n";
    other += std::to_string(size) + (i % 2 == 0 ? ",HTTP/1," : ",DNS/1,") + label + "\n";
  }
  write("rows.csv", rows);
  write("other.csv", other);
  ASSERT_EQ(nidus("train rows.csv --label label --trees 5 -o made").status, 0);
  EXPECT_THAT(nidus("evaluate made other.csv --label label").err, HasSubstr("'service' (100.0 % of 300)"));
  EXPECT_THAT(nidus("detect other.csv --detector made").err, HasSubstr("'service' (100.0 % of 300)"));
  EXPECT_THAT(nidus("detect rows.csv --detector made").err, Not(HasSubstr("'service'")));
}

}  // namespace
}  // namespace nidus
