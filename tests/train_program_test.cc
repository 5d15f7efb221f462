// `nidus train` as a user meets it: what it makes of tables that are not as they should be, that it goes on
// after it was killed, and what a search leaves behind.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/random.h"
#include "base/testing.h"

namespace nidus {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

struct Outcome {
  int status = -1;
  std::string out, err;
};

// The rows of a small table, cell by cell.
struct Rows {
  std::vector<std::string> names;
  std::vector<std::vector<std::string>> cells;

  // The columns in the order given, by their numbers.
  std::string csv(const std::vector<std::size_t>& order) const {
    std::string out;
    const auto line = [&](const std::vector<std::string>& row) {
      for (std::size_t i = 0; i < order.size(); ++i) out += (i > 0 ? "," : "") + row[order[i]];
      out += "\n";
    };
    line(names);
    for (const auto& row : cells) line(row);
    return out;
  }
  std::string csv() const {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < names.size(); ++i) order.push_back(i);
    return csv(order);
  }
};

// Attacks are those with size × 2 > rate; `service` helps a little.
Rows drawn(std::size_t rows, std::uint64_t seed = 1) {
  Random random(seed);
  Rows out;
  out.names = {"size", "rate", "service", "label"};
  for (std::size_t row = 0; row < rows; ++row) {
    const auto size = random.below(1000), rate = random.below(2000);
    const bool attack = size * 2 > rate;
    out.cells.push_back({std::to_string(size), std::to_string(rate),
                         random.below(4) == 0 ? (attack ? "irc" : "dns") : "http",
                         attack ? "flood" : "benign"});
  }
  return out;
}

class TrainTest : public testing::Test {
 protected:
  Outcome nidus(const std::string& words, const std::string& before = "") const {
    const std::string whole = "cd '" + folder_.string() + "' && " + before + "'" NIDUS_PROGRAM "' " + words +
                              " > stdout.txt 2> stderr.txt < /dev/null";
    const int answer = std::system(whole.c_str());
    return {WIFEXITED(answer) ? WEXITSTATUS(answer) : -1, text("stdout.txt"), text("stderr.txt")};
  }
  Outcome train(const std::string& bytes, const std::string& more = "") const {
    write("rows.csv", bytes);
    return nidus("train rows.csv --label label --trees 5 -o made " + more);
  }
  // The program in a child of its own, and a signal for it as soon as `ready` says so.
  int signalled(const std::vector<std::string>& words, int signal, const std::function<bool()>& ready) const {
    const pid_t child = ::fork();
    if (child == 0) {
      std::vector<char*> pointers = {const_cast<char*>(NIDUS_PROGRAM)};
      for (const auto& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
      pointers.push_back(nullptr);
      if (::chdir(folder_.c_str()) != 0 || std::freopen("stdout.txt", "w", stdout) == nullptr ||
          std::freopen("stderr.txt", "w", stderr) == nullptr) {
        ::_exit(99);
      }
      ::execv(NIDUS_PROGRAM, pointers.data());
      ::_exit(98);
    }
    int status = 0;
    bool sent = false;
    while (::waitpid(child, &status, WNOHANG) == 0) {
      if (!sent && ready()) {
        ::kill(child, signal);
        sent = true;
      }
      ::sched_yield();
    }
    EXPECT_TRUE(sent);
    return status;
  }

  std::string text(const std::string& name) const {
    const auto read = read_file(folder_ / name);
    return read ? *read : "";
  }
  std::size_t size(const std::string& name) const {
    std::error_code none;
    const auto bytes = fs::file_size(folder_ / name, none);
    return none ? 0 : static_cast<std::size_t>(bytes);
  }
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
  }

  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path();
};

TEST_F(TrainTest, OneClassOnlyIsNothingToLearnFrom) {
  Rows rows = drawn(50);
  for (auto& row : rows.cells) row[3] = "benign";
  Outcome outcome = train(rows.csv());
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.err, HasSubstr("all rows are benign"));
  for (auto& row : rows.cells) row[3] = "flood";
  outcome = train(rows.csv());
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("no row is benign"), HasSubstr("--merge")));
  EXPECT_FALSE(fs::exists(folder_ / "made"));
}

TEST_F(TrainTest, ConstantAndEmptyColumnsAreNamed) {
  Rows rows = drawn(200);
  rows.names[2] = "nothing";
  for (auto& row : rows.cells) row[2] = "";
  Outcome outcome = train(rows.csv());
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.err,
              HasSubstr("1 of 3 columns never vary in the rows to learn from and say nothing: 'nothing'"));
  for (auto& row : rows.cells) row[0] = row[1] = "7";
  for (const char* const model : {"forest", "boost"}) {
    outcome = train(rows.csv(), std::string("--model ") + model);
    EXPECT_EQ(outcome.status, 2);
    EXPECT_THAT(outcome.err, HasSubstr("no column varies"));
  }
}

TEST_F(TrainTest, NothingButMissingValuesIsAnError) {
  Rows rows = drawn(100);
  for (auto& row : rows.cells) row[0] = row[1] = row[2] = "NaN";
  const Outcome outcome = train(rows.csv());
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.err, HasSubstr("no column varies"));
}

TEST_F(TrainTest, TenRowsAreEnoughOrSaidToBeTooFew) {
  Rows rows = drawn(10);
  for (std::size_t i = 0; i < 10; ++i) rows.cells[i][3] = i < 5 ? "flood" : "benign";
  for (const char* const model : {"forest", "extra-trees", "boost"}) {
    const Outcome outcome = train(rows.csv(), std::string("--model ") + model);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("hardly more than a guess"));
  }
  rows.cells.resize(2);
  rows.cells[1][3] = "benign";
  const Outcome outcome = train(rows.csv());
  EXPECT_NE(outcome.status, 0);
  EXPECT_THAT(outcome.err, HasSubstr("error"));
}

TEST_F(TrainTest, TextAmongNumbersIsNamedWithItsLine) {
  Rows rows = drawn(100);
  rows.cells[41][1] = "12 kB";
  Outcome outcome = train(rows.csv());
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.err, HasSubstr("rows.csv:43: column 'rate' holds '12 kB', and 99 numbers"));
  outcome = train(rows.csv(), "--exclude rate");
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  // In the second of two files, behind an empty line, and in a row that is not learnt from.
  write("good.csv", drawn(50).csv());
  write("bad.csv", "\n" + rows.csv());
  outcome = nidus("train good.csv bad.csv --label label -o made");
  EXPECT_THAT(outcome.err,
              HasSubstr("bad.csv:44: column 'rate' holds '12 kB', expected a number, as good.csv has"));
  outcome = nidus("train bad.csv good.csv --label label -o made");
  EXPECT_THAT(outcome.err,
              HasSubstr("bad.csv:44: column 'rate' holds '12 kB', expected a number, as good.csv has"));
  rows.cells[41][3] = "";
  outcome = train(rows.csv());
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.err, HasSubstr("rows.csv:43: column 'rate' holds '12 kB', and 99 numbers"));
}

TEST_F(TrainTest, ReorderedColumnsChangeNothingMissingOnesAreNamed) {
  ASSERT_EQ(train(drawn(400).csv()).status, 0);
  const Rows other = drawn(100, 2);
  write("same.csv", other.csv());
  write("turned.csv", other.csv({3, 2, 1, 0}));
  const std::string figures = nidus("evaluate made same.csv --label label --json").out;
  EXPECT_THAT(figures, HasSubstr("roc_auc"));
  EXPECT_EQ(nidus("evaluate made turned.csv --label label --json").out, figures);
  write("less.csv", other.csv({0, 2, 3}));
  const Outcome less = nidus("evaluate made less.csv --label label");
  EXPECT_EQ(less.status, 3);
  EXPECT_THAT(less.err, HasSubstr("no column 'rate'"));
  // Two tables with different columns do not become one.
  const Outcome both = nidus("train rows.csv less.csv --label label -o both");
  EXPECT_NE(both.status, 0);
  EXPECT_THAT(both.err, HasSubstr("rate"));
}

TEST_F(TrainTest, TablesWithColumnsInAnotherOrderAreOneTable) {
  write("a.csv", drawn(300).csv());
  write("b.csv", drawn(300, 2).csv({2, 3, 0, 1}));
  write("c.csv", drawn(300, 2).csv());
  ASSERT_EQ(nidus("train a.csv b.csv --label label --trees 5 -o turned").status, 0);
  ASSERT_EQ(nidus("train a.csv c.csv --label label --trees 5 -o straight").status, 0);
  EXPECT_FALSE(text("turned/model-1.nidus").empty());
  EXPECT_TRUE(text("turned/model-1.nidus") == text("straight/model-1.nidus"));
}

TEST_F(TrainTest, SeveralFilesAreGroupsOnlyWhenAskedFor) {
  for (const int day : {1, 2, 3})
    write("day" + std::to_string(day) + ".csv", drawn(200, static_cast<std::uint64_t>(day)).csv());
  const std::string line = "train day1.csv day2.csv day3.csv --label label --trees 5 -o made";
  const Outcome rows = nidus(line);
  EXPECT_EQ(rows.status, 0) << rows.err;
  EXPECT_THAT(rows.err, HasSubstr("3 files, of which rows are divided one by one; --group file"));
  const Outcome whole = nidus(line + " --group file");
  EXPECT_EQ(whole.status, 0) << whole.err;
  EXPECT_THAT(whole.err, Not(HasSubstr("one by one")));
  EXPECT_THAT(whole.err, HasSubstr("400 rows to learn from, 200 for validation"));
  const Outcome measured = nidus("evaluate made day1.csv day2.csv --label label --bootstrap 0");
  EXPECT_THAT(measured.err, HasSubstr("2 files, of which rows are drawn for intervals one by one"));
}

TEST_F(TrainTest, ADoubledColumnIsToldAndKeptApart) {
  Rows rows = drawn(300);
  rows.names = {"size", "rate", "size", "label"};
  for (auto& row : rows.cells) row[2] = "1";
  const Outcome outcome = train(rows.csv());
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("'size' stands there twice"));
  EXPECT_THAT(text("made/detector.json"), HasSubstr("\"size.1\""));
}

TEST_F(TrainTest, CategoriesNeverSeenAreMissing) {
  ASSERT_EQ(train(drawn(400).csv()).status, 0);
  Rows other = drawn(60, 3);
  for (auto& row : other.cells) row[2] = "gopher";
  write("gopher.csv", other.csv());
  for (auto& row : other.cells) row[2] = "";
  write("blank.csv", other.csv());
  const Outcome unseen = nidus("evaluate made gopher.csv --label label --json");
  EXPECT_EQ(unseen.status, 0) << unseen.err;
  EXPECT_EQ(unseen.out, nidus("evaluate made blank.csv --label label --json").out);
}

// What a detector knows comes from the rows it learnt from: a text of rows held out is as good as unseen.
TEST_F(TrainTest, TextsOfRowsHeldOutAreNotLearnt) {
  Rows rows = drawn(400);
  rows.names.emplace_back("part");
  for (std::size_t row = 0; row < rows.cells.size(); ++row) {
    const bool held_out = row % 4 == 0;
    if (held_out) rows.cells[row][2] = "gopher";
    rows.cells[row].push_back(held_out ? "late" : "early " + std::to_string(row % 9));
  }
  ASSERT_EQ(train(rows.csv(), "--group part --hold-out late").status, 0);
  EXPECT_THAT(text("made/detector.json"), AllOf(HasSubstr("\"http\""), Not(HasSubstr("gopher"))));
  EXPECT_EQ(nidus("evaluate made rows.csv --label label --group part --hold-out late").status, 0);
}

// Whether a text is one column or many, the detector takes and explains the column of the table; and spelling
// it otherwise, so that the alphabet has another order, changes no score where each text is a column of its
// own.
TEST_F(TrainTest, TextsAreColumnsOfTheirOwnUnlessTheirPlaceIsAskedFor) {
  Rows rows = drawn(400);
  ASSERT_EQ(train(rows.csv()).status, 0);
  EXPECT_THAT(nidus("inspect made").out, HasSubstr("preprocessing of 3 columns (1 one-hot)"));
  EXPECT_THAT(nidus("explain made rows.csv").out, testing::ContainsRegex("service +[0-9.]+"));
  ASSERT_EQ(train(rows.csv(), "--encode index").status, 0);
  EXPECT_THAT(nidus("inspect made").out, Not(HasSubstr("one-hot")));
  EXPECT_EQ(nidus("evaluate made rows.csv --label label").status, 0);
  for (auto& row : rows.cells) row[2] = row[2] == "irc" ? "a" : row[2] == "dns" ? "c" : "b";
  ASSERT_EQ(train(rows.csv(), "--model boost --rounds 5").status, 0);
  const std::string respelt = nidus("evaluate made rows.csv --label label --json").out;
  for (auto& row : rows.cells) row[2] = row[2] == "a" ? "z" : row[2];
  ASSERT_EQ(train(rows.csv(), "--model boost --rounds 5").status, 0);
  EXPECT_EQ(nidus("evaluate made rows.csv --label label --json").out, respelt);
}

TEST_F(TrainTest, LabelsNeverSeenAreAttacksThatKeepTheirName) {
  ASSERT_EQ(train(drawn(400).csv()).status, 0);
  Rows other = drawn(60, 3);
  for (auto& row : other.cells) {
    if (row[3] == "flood") row[3] = "worm";
  }
  write("worm.csv", other.csv());
  const Outcome outcome = nidus("evaluate made worm.csv --label label --json");
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("\"worm\""));
}

// Benign rows lie on a line; what does not is odd.
Rows on_a_line(std::size_t benign, std::size_t odd, std::uint64_t seed = 1) {
  Random random(seed);
  Rows out;
  out.names = {"bytes", "packets", "service", "label"};
  for (std::size_t row = 0; row < benign + odd; ++row) {
    const auto packets = 10 + random.below(90);
    const bool is_odd = row >= benign;
    const auto bytes = (is_odd ? 5000 + random.below(5000) : 100) * packets + random.below(200);
    out.cells.push_back({std::to_string(bytes), std::to_string(packets),
                         is_odd && random.below(2) == 0 ? "irc" : "http", is_odd ? "worm" : "benign"});
  }
  return out;
}

TEST_F(TrainTest, DetectorsOfBenignRowsNeedNoAttacks) {
  write("test.csv", on_a_line(500, 50, 2).csv());
  for (const std::string model : {"isolation-forest", "mahalanobis", "histogram", "neighbours",
                                  "autoencoder --layers 8,2,8 --epochs 3"}) {
    Outcome outcome = train(on_a_line(600, 0).csv(), "--model " + model);
    EXPECT_EQ(outcome.status, 0) << model << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("180 benign validation rows"));
    EXPECT_THAT(text("made/detector.json").substr(0, 300), HasSubstr("\"kind\": \"anomaly\""));
    const Outcome judged = nidus("detect test.csv --detector made --format csv --explain");
    EXPECT_EQ(judged.status, 0) << model << judged.err;
    // Cuts between the ends of what was seen do not tell what lies beyond.
    EXPECT_EQ(judged.out.find(",anomaly,") != std::string::npos, model != "isolation-forest") << model;
    // What was said without attacks is said with them: they are not learnt from.
    const std::string bytes = text("made/model-1.nidus");
    outcome = train(on_a_line(600, 40).csv(), "--model " + model);
    EXPECT_EQ(outcome.status, 0) << model << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("420 rows to learn from, 220 for validation"));
    EXPECT_TRUE(text("made/model-1.nidus") == bytes) << model;
    const Outcome measured = nidus("evaluate made test.csv --label label --json --bootstrap 0");
    EXPECT_EQ(measured.status, 0) << model << measured.err;
    // Nor are labels needed.
    Rows bare = on_a_line(600, 0);
    bare.names.pop_back();
    for (auto& row : bare.cells) row.pop_back();
    write("bare.csv", bare.csv());
    const Outcome unlabelled = nidus("train bare.csv --trees 5 -o bare --model " + model);
    EXPECT_EQ(unlabelled.status, 0) << model << unlabelled.err;
    EXPECT_THAT(unlabelled.err, HasSubstr("all rows count as benign"));
    EXPECT_TRUE(text("bare/model-1.nidus") == bytes) << model;
  }
}

TEST_F(TrainTest, ContaminationDrawsTheLineByTheRowsLearntFrom) {
  Outcome outcome = train(on_a_line(1000, 0).csv(), "--model isolation-forest --contamination 0.2");
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(text("made/detector.json"), HasSubstr("contamination 0.2"));
  EXPECT_EQ(train(on_a_line(1000, 0).csv(), "--model isolation-forest --contamination auto").status, 0);
  EXPECT_NE(train(on_a_line(1000, 0).csv(), "--model isolation-forest --contamination 0.7").status, 0);
  EXPECT_NE(train(on_a_line(1000, 0).csv(), "--model mahalanobis --contamination 0.1").status, 0);
}

TEST_F(TrainTest, EnsemblesOfAnyMembers) {
  Rows rows = drawn(1500);
  for (std::size_t i = 0; i < rows.cells.size(); i += 5) {
    if (rows.cells[i][3] == "flood") rows.cells[i][3] = "scan";
  }
  write("test.csv", drawn(300, 2).csv());
  for (const std::string how :
       {"--members forest,boost,mlp --weights-of 0.35,0.35,0.3 --layers 8 --epochs 2",
        "--members forest,autoencoder --combine max --layers 4 --epochs 2",
        "--members forest,boost --weights-of 0.35,0.65", "--members forest,mahalanobis --combine max",
        "--members forest,boost,mahalanobis --combine vote", "--members tree,histogram --combine stack",
        "--members forest,isolation-forest --weights-of learnt",
        "--members boost,mahalanobis --combine max --name-anomalies",
        "--members mahalanobis,neighbours --combine mean"}) {
    const Outcome outcome = train(rows.csv(), "--rounds 5 --model ensemble " + how);
    EXPECT_EQ(outcome.status, 0) << how << outcome.err;
    // Which columns a perceptron goes by is not told.
    const std::string why = how.find("mlp") == std::string::npos ? " --explain" : "";
    const Outcome judged = nidus("detect test.csv --detector made --format csv" + why);
    EXPECT_EQ(judged.status, 0) << how << judged.err;
    EXPECT_EQ(nidus("evaluate made test.csv --label label --json --bootstrap 0" + why).status, 0) << how;
    EXPECT_EQ(nidus("inspect made").status, 0) << how;
  }
  EXPECT_THAT(text("made/detector.json"), HasSubstr("anomaly"));
  for (const std::string how :
       {"--members forest", "--members forest,forest", "--members forest,any",
        "--members forest,boost --weights-of 1", "--members forest,boost --weights-of a,b",
        "--members forest,boost --combine max --weights-of 1,2",
        "--members forest,boost --combine mean --name-anomalies"}) {
    EXPECT_NE(train(rows.csv(), "--rounds 5 --model ensemble " + how).status, 0) << how;
  }
}

TEST_F(TrainTest, PerceptronsAndAutoencodersFromTableToVerdict) {
  write("test.csv", drawn(500, 2).csv());
  const std::string small = " --layers 32,16 --epochs 20 --batch 64 --learning-rate 0.01";
  Outcome outcome = train(drawn(2000).csv(), "--model mlp --json" + small);
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("of the rows kept aside"), HasSubstr("neural network")));
  const Outcome measured = nidus("evaluate made test.csv --label label --bootstrap 0");
  EXPECT_EQ(measured.status, 0) << measured.err;
  const Outcome found = nidus("detect test.csv --detector made --format csv");
  ASSERT_EQ(found.status, 0) << found.err;
  EXPECT_THAT(found.out, HasSubstr("flood"));
  EXPECT_THAT(nidus("detect test.csv --detector made --explain").err, HasSubstr("neural network"));

  // What an autoencoder says is explained by the columns that it could not say again.
  write("odd.csv", on_a_line(200, 100, 3).csv());
  outcome = train(on_a_line(3000, 0).csv(),
                  "--model autoencoder --layers 8,2,8 --epochs 20 --batch 64 --learning-rate 0.01 --scaling "
                  "robust --noise 0.05");
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(text("made/detector.json"),
              AllOf(HasSubstr("\"kind\": \"anomaly\""), HasSubstr("loss_of_rows_kept_aside")));
  const Outcome judged = nidus("detect odd.csv --detector made --format ndjson --explain --attacks-only");
  ASSERT_EQ(judged.status, 0) << judged.err;
  EXPECT_GE(std::count(judged.out.begin(), judged.out.end(), '\n'), 90);
  const Outcome why = nidus("explain made odd.csv --format csv");
  ASSERT_EQ(why.status, 0) << why.err;
  EXPECT_THAT(why.out, testing::ContainsRegex("\nbytes,"));
}

TEST_F(TrainTest, NetworksOfTooLittleOrOfNoSense) {
  const std::string rows = drawn(40).csv();
  EXPECT_THAT(train(rows, "--model mlp --layers 8,x").err, HasSubstr("--layers: 'x' is no number"));
  EXPECT_THAT(train(rows, "--model lstm").err, HasSubstr("no column 'sequence'"));
  EXPECT_THAT(train(rows, "--model lstm --features size").err, HasSubstr("'size' says nothing of a packet"));
  EXPECT_THAT(train(rows, "--model ensemble --members forest,lstm").err,
              HasSubstr("all members read the same columns, and 'lstm' reads packets only"));
  EXPECT_FALSE(fs::exists(folder_ / "made.forest.checkpoint"));  // nothing was fitted for it
  EXPECT_EQ(train(drawn(12).csv(), "--model mlp --layers 8 --epochs 2").status, 0);
  EXPECT_EQ(train(on_a_line(10, 0).csv(), "--model autoencoder --layers 2 --epochs 2").status, 0);
}

// The kernel ends a program that writes more to a file than it may, here in the middle of a record of the
// checkpoint. (SIGKILL between two records is checkpoint_test's.)
TEST_F(TrainTest, WhatIsKilledGoesOnAndComesOutTheSame) {
  write("rows.csv", drawn(3000).csv());
  for (const std::string model : {"forest", "boost"}) {
    const std::string file = "made." + model + ".checkpoint";
    const std::string line =
        "train rows.csv --label label --trees 60 --rounds 400 -o made --threads 1 --model " + model;
    const Outcome killed = nidus(line, "ulimit -f 50 && ");
    EXPECT_NE(killed.status, 0);
    EXPECT_GT(size(file), 10'000u);
    EXPECT_FALSE(fs::exists(folder_ / "made" / "detector.json"));
    const Outcome resumed = nidus(line);
    EXPECT_EQ(resumed.status, 0) << resumed.err;
    EXPECT_THAT(resumed.err, HasSubstr("were there already"));
    EXPECT_FALSE(fs::exists(folder_ / file));
    const std::string bytes = text("made/model-1.nidus");
    fs::remove_all(folder_ / "made");
    const Outcome whole = nidus(line + " --no-checkpoint");
    EXPECT_EQ(whole.status, 0) << whole.err;
    EXPECT_FALSE(bytes.empty());
    EXPECT_TRUE(text("made/model-1.nidus") == bytes);
    fs::remove_all(folder_ / "made");
  }
}

// Flows of four packets: an attack's second packet is large.
Rows packets(std::size_t rows) {
  Random random(4);
  Rows out;
  for (const char* packet : {"1", "2", "3", "4"}) {
    out.names.push_back(std::string("seq_size_") + packet);
    out.names.push_back(std::string("seq_gap_") + packet);
  }
  out.names.emplace_back("label");
  for (std::size_t row = 0; row < rows; ++row) {
    out.cells.emplace_back();
    const bool attack = random.below(3) == 0;
    for (std::size_t packet = 0; packet < 4; ++packet) {
      out.cells.back().push_back(std::to_string(random.below(attack && packet == 1 ? 1500 : 300)));
      out.cells.back().push_back(std::to_string(random.below(100'000)));
    }
    out.cells.back().emplace_back(attack ? "flood" : "benign");
  }
  return out;
}

// What is killed is at the given checkpoint and has put more than so many bytes there.
struct Killed {
  std::string model, checkpoint;
  std::size_t bytes;
  std::string goes_on;
};

TEST_F(TrainTest, AKilledNetworkOrEnsembleGoesOnAndComesOutTheSame) {
  const std::string network = " --batch 32 --epochs 40 --patience 0 --layers ",
                    members = "ensemble --trees 40 --rounds 200 --members ",
                    epochs = "of 40 epochs were there", rounds = "of 200 rounds were there";
  const std::vector<Killed> all = {
      {"mlp" + network + "64,32", "mlp", 24, epochs},
      {"lstm" + network + "8", "lstm", 24, epochs},
      {"cnn-lstm" + network + "8", "cnn-lstm", 24, epochs},
      {members + "forest,boost,mahalanobis --combine stack", "boost", 2000, rounds},
      {members + "forest,boost --combine mean", "boost", 2000, rounds},
      {members + "extra-trees,autoencoder --combine mean" + network + "16,4,16", "autoencoder", 24, epochs}};
  write("rows.csv", packets(2000).csv());
  for (const auto& [model, checkpoint, bytes, goes_on] : all) {
    SCOPED_TRACE(model);
    const std::string line = "train rows.csv --label label --features sequence -o made --model " + model;
    // With boosting the number of threads must stay, elsewhere it may change.
    std::istringstream split(line + (checkpoint == "boost" ? " --threads 1" : " --threads 2"));
    const std::vector<std::string> words(std::istream_iterator<std::string>(split), {});
    const std::string file = "made." + checkpoint + ".checkpoint";
    const int status = signalled(words, SIGKILL, [&] { return size(file) > bytes; });
    ASSERT_TRUE(WIFSIGNALED(status));
    EXPECT_FALSE(fs::exists(folder_ / "made" / "detector.json"));
    const Outcome resumed = nidus(line + " --threads 1");
    ASSERT_EQ(resumed.status, 0) << resumed.err;
    EXPECT_THAT(resumed.err, HasSubstr(goes_on));
    EXPECT_FALSE(fs::exists(folder_ / file));
    std::vector<std::string> models;
    for (std::size_t i = 1; fs::exists(folder_ / fmt::format("made/model-{}.nidus", i)); ++i)
      models.push_back(text(fmt::format("made/model-{}.nidus", i)));
    ASSERT_FALSE(models.empty());
    fs::remove_all(folder_ / "made");
    ASSERT_EQ(nidus(line + " --threads 1 --no-checkpoint").status, 0);
    for (std::size_t i = 0; i < models.size(); ++i)
      EXPECT_TRUE(text(fmt::format("made/model-{}.nidus", i + 1)) == models[i]);
    fs::remove_all(folder_ / "made");
  }
}

TEST_F(TrainTest, AnInterruptSaysWhereTheWorkStands) {
  write("rows.csv", drawn(3000).csv());
  const int status = signalled({"train", "rows.csv", "--label", "label", "--trees", "10000", "-o", "made"},
                               SIGINT, [&] { return size("made.forest.checkpoint") > 20'000; });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
  EXPECT_THAT(text("stderr.txt"), HasSubstr("made.forest.checkpoint: the same command goes on from there"));
  EXPECT_TRUE(fs::exists(folder_ / "made.forest.checkpoint"));
}

TEST_F(TrainTest, AKilledSearchGoesOnAndFindsTheSame) {
  write("rows.csv", drawn(2000).csv());
  const std::string line =
      "train rows.csv --label label -o made --model any --search --candidates 9 --trees 20 --rounds 20 "
      "--threads 1";
  const int status =
      signalled({"train", "rows.csv", "--label", "label", "-o", "made", "--model", "any", "--search",
                 "--candidates", "9", "--trees", "20", "--rounds", "20", "--threads", "1"},
                SIGKILL, [&] { return size("made.search.checkpoint") > 24 + 2 * 48; });
  ASSERT_TRUE(WIFSIGNALED(status));
  const Outcome resumed = nidus(line);
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  EXPECT_THAT(resumed.err, testing::ContainsRegex("[1-9][0-9]* of 12 trials were made already"));
  EXPECT_FALSE(fs::exists(folder_ / "made.search.checkpoint"));
  const std::string model = text("made/model-1.nidus"), manifest = text("made/detector.json");
  fs::remove_all(folder_ / "made");
  ASSERT_EQ(nidus(line).status, 0);
  EXPECT_TRUE(text("made/model-1.nidus") == model);
  EXPECT_TRUE(text("made/detector.json") == manifest);
}

TEST_F(TrainTest, ASearchLeavesItsTrialsInTheManifest) {
  const std::string more = "--model any --search --candidates 5 --threads 1";
  const Outcome outcome = train(drawn(300).csv(), more);
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("7 trials; best: --model"));
  const std::string manifest = text("made/detector.json");
  EXPECT_THAT(manifest, AllOf(HasSubstr("\"trials\""), HasSubstr("cross-validated")));
  ASSERT_EQ(train(drawn(300).csv(), more).status, 0);
  EXPECT_TRUE(text("made/detector.json") == manifest);
  EXPECT_EQ(train(drawn(300).csv(), "--model any").status, 2);
  EXPECT_EQ(train(drawn(300).csv(), "--model ensemble --search").status, 2);
  // Grouped, stopped early, estimated out of bag.
  Rows rows = drawn(300);
  rows.names.push_back("day");
  for (std::size_t i = 0; i < 300; ++i) rows.cells[i].push_back("d" + std::to_string(i / 20));
  const Outcome grouped = train(rows.csv(), "--group day --search --candidates 3 --out-of-bag");
  EXPECT_EQ(grouped.status, 0) << grouped.err;
  EXPECT_THAT(grouped.err, HasSubstr("out of bag: accuracy"));
  const Outcome early = train(rows.csv(), "--group day --model boost --early-stopping 2 --rounds 40");
  EXPECT_EQ(early.status, 0) << early.err;
  EXPECT_THAT(early.err, HasSubstr("rounds kept"));
}

}  // namespace
}  // namespace nidus
