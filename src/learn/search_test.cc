#include "learn/search.h"

#include <gmock/gmock.h>

#include <cmath>
#include <set>

#include "base/file.h"
#include "base/random.h"
#include "base/testing.h"

namespace nidus::learn {
namespace {

using ::testing::HasSubstr;

// Class 1 where two columns are on the same side of a half, which takes depth; the group says in which
// stretch of hundred rows a row stands.
Dataset drawn(std::size_t rows, std::size_t classes = 2, double noise = 0.1) {
  Random random(9);
  Dataset out;
  for (const char* name : {"a", "b", "c", "d"}) out.schema.push_back({name, {}, {}, {}});
  for (const char* name : {"benign", "scan", "flood"}) {
    if (out.classes.size() < classes) out.classes.emplace_back(name);
  }
  for (std::size_t row = 0; row < rows; ++row) {
    for (int i = 0; i < 4; ++i) out.values.push_back(static_cast<float>(random.unit()));
    const float* const x = &out.values[row * 4];
    std::uint32_t label = (x[0] > 0.5f) == (x[1] > 0.5f) ? 1 : 0;
    if (classes == 3 && label == 1 && x[2] > 0.7f) label = 2;
    if (random.unit() < noise) label = static_cast<std::uint32_t>(random.below(classes));
    out.labels.push_back(label);
  }
  return out;
}

SearchOptions small() {
  SearchOptions options;
  options.kinds = {Candidate::Kind::forest, Candidate::Kind::extra_trees, Candidate::Kind::boost};
  options.defaults.forest.trees = 10;
  options.defaults.boost.rounds = 10;
  options.candidates = 9;
  options.rows_least = 300;
  options.threads = 1;
  options.minutes = 60;
  return options;
}

std::string summary(const SearchResult& result) {
  std::string out = result.best.describe() + "\n";
  for (const auto& trial : result.trials) {
    out += std::to_string(trial.round) + " " + std::to_string(trial.rows) + " " +
           std::to_string(trial.score) + " " + trial.candidate.describe() + "\n";
  }
  return out;
}

TEST(Search, GivesMoreRowsToFewerCandidates) {
  const auto result = search(drawn(1200), small());
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_FALSE(result->out_of_time);
  ASSERT_EQ(result->trials.size(), 9u + 3u);
  double best = 0;
  std::set<std::string> last;
  for (std::size_t i = 0; i < 12; ++i) {
    const Trial& trial = result->trials[i];
    EXPECT_EQ(trial.round, i < 9 ? 0u : 1u);
    EXPECT_NEAR(static_cast<double>(trial.rows), i < 9 ? 400 : 1200, 2);
    if (i < 9) continue;
    last.insert(trial.candidate.describe());
    best = std::max(best, trial.score);
  }
  EXPECT_EQ(last.count(result->best.describe()), 1u);
  for (const auto& trial : result->trials) {
    const bool chosen = trial.round == 1 && trial.candidate.describe() == result->best.describe();
    EXPECT_TRUE(!chosen || trial.score == best);
  }
  // A tenth of the labels are drawn by lot, half of those wrong: a model that knows the rule is right in 95
  // of 100, and no ranking of such rows is much better than that.
  EXPECT_GT(best, 0.9);
  EXPECT_LT(best, 0.98);
}

TEST(Search, TheSameSeedFindsTheSame) {
  const Dataset data = drawn(450, 3);
  SearchOptions options = small();
  options.candidates = 4;
  const auto a = search(data, options), again = search(data, options);
  ASSERT_TRUE(a && again);
  EXPECT_EQ(summary(*a), summary(*again));
  options.kinds = {Candidate::Kind::forest, Candidate::Kind::extra_trees};
  const auto b = search(data, options);
  options.threads = 2;
  const auto c = search(data, options);
  ASSERT_TRUE(b && c);
  EXPECT_EQ(summary(*b), summary(*c));
  options.seed = 2;
  EXPECT_NE(summary(*search(data, options)), summary(*c));
}

// Each group has its own place in a column and its own label, at random: whoever has seen other rows of the
// group knows all, whoever has not knows nothing.
TEST(Search, JudgesByGroupsThatWereNotSeen) {
  Random random(4);
  Dataset data = drawn(1200, 2, 0);
  std::vector<std::uint32_t> groups;
  for (std::size_t row = 0; row < data.rows(); ++row) {
    const auto group = static_cast<std::uint32_t>(row / 20);
    groups.push_back(group);
    data.labels[row] = static_cast<std::uint32_t>(Random::mix(group + 7) & 1);
    for (std::size_t i = 0; i < 4; ++i)
      data.values[row * 4 + i] = static_cast<float>(Random::mix(group * 4 + i) % 1000);
  }
  SearchOptions options = small();
  options.kinds = {Candidate::Kind::forest};
  options.candidates = 3;
  const auto mixed = search(data, options);
  options.groups = groups;
  const auto grouped = search(data, options);
  ASSERT_TRUE(mixed && grouped);
  EXPECT_GT(mixed->trials.front().score, 0.99);
  EXPECT_LT(grouped->trials.front().score, 0.75);
}

TEST(Search, EndsWhenItsTimeIsUp) {
  const Dataset data = drawn(600);
  SearchOptions options = small();
  double now = 0;
  options.clock = [&now] { return now += 1; };  // each look at the clock takes a second
  options.minutes = 4;
  const auto some = search(data, options);
  ASSERT_TRUE(some);
  EXPECT_TRUE(some->out_of_time);
  EXPECT_GT(some->trials.size(), 0u);
  EXPECT_LT(some->trials.size(), 9u);
  options.minutes = 0.05;
  const auto none = search(data, options);
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->out_of_time);
  EXPECT_EQ(none->trials.size(), 0u);
  EXPECT_THAT(none->best.describe(), HasSubstr("--model forest --trees 10"));
}

// The same as `search` in one go, by a process that dies after so many calls of the progress.
SearchResult in_pieces(const Dataset& data, SearchOptions options, const std::filesystem::path& file,
                       std::size_t calls) {
  options.checkpoint = file;
  for (;;) {
    std::size_t left = calls;
    options.progress = [&left](double) { return left-- > 0; };
    auto result = search(data, options);
    if (result) return std::move(*result);
    EXPECT_EQ(result.error().code, Errc::exhausted);
    if (++calls > 400) return {};
  }
}

TEST(Search, GoesOnWhereItWasStopped) {
  const TemporaryFolder folder;
  const Dataset data = drawn(1200);
  SearchOptions options = small();
  options.kinds = {Candidate::Kind::forest, Candidate::Kind::extra_trees};
  const auto whole = search(data, options);
  ASSERT_TRUE(whole);
  const auto pieces = in_pieces(data, options, folder / "pieces", 70);
  EXPECT_EQ(summary(pieces), summary(*whole));
  EXPECT_GT(pieces.resumed, 3u);
  EXPECT_FALSE(pieces.out_of_time);
  // Killed at any byte of the file: what is whole there is taken, the rest is done again.
  const std::string bytes = *read_file(folder / "pieces");
  for (std::size_t length = 0; length < bytes.size(); length += 97) {
    ASSERT_TRUE(write_file(folder / "cut", bytes.substr(0, length)));
    options.checkpoint = folder / "cut";
    const auto resumed = search(data, options);
    ASSERT_TRUE(resumed) << resumed.error().message;
    EXPECT_EQ(summary(*resumed), summary(*whole)) << length;
  }
  // All is there: nothing is fitted again.
  options.checkpoint = folder / "pieces";
  options.progress = [](double) { return false; };
  EXPECT_EQ(summary(*search(data, options)), summary(*whole));
  // Another search begins anew.
  options.progress = {};
  options.seed = 2;
  EXPECT_EQ(search(data, options)->resumed, 0u);
}

TEST(Search, TimeSpentBeforeItWasStoppedCounts) {
  const TemporaryFolder folder;
  const Dataset data = drawn(600);
  double now = 0;
  SearchOptions options = small();
  options.checkpoint = folder / "search";
  options.clock = [&now] { return now += 1; };
  options.minutes = 5;
  std::size_t calls = 100;
  options.progress = [&calls](double) { return calls-- > 0; };
  ASSERT_FALSE(search(data, options));
  options.progress = {};
  now = 1e6;  // of another start of the machine
  const double began = now;
  const auto rest = search(data, options);
  ASSERT_TRUE(rest);
  EXPECT_TRUE(rest->out_of_time);
  EXPECT_GT(rest->resumed, 0u);
  EXPECT_LT(now - began, 5 * 60 - 90);
  // With its time gone it makes no further trial, and says the same again.
  const auto again = search(data, options);
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->out_of_time);
  EXPECT_EQ(again->resumed, again->trials.size());
  EXPECT_EQ(summary(*again), summary(*rest));
  // More minutes are the same search.
  options.minutes = 60;
  const auto more = search(data, options);
  ASSERT_TRUE(more);
  EXPECT_FALSE(more->out_of_time);
  EXPECT_EQ(more->resumed, again->trials.size());
  options.checkpoint.clear();
  EXPECT_EQ(summary(*more), summary(*search(data, options)));
}

TEST(Search, AFileThatIsNoSearchIsRefused) {
  const TemporaryFolder folder;
  const Dataset data = drawn(600);
  SearchOptions options = small();
  options.checkpoint = folder / "search";
  ASSERT_TRUE(search(data, options));
  std::string bytes = *read_file(options.checkpoint);
  bytes[24] = 7;  // the number of the first trial
  ASSERT_TRUE(write_file(options.checkpoint, bytes));
  EXPECT_EQ(search(data, options).error().code, Errc::corrupt);
}

TEST(Search, CanBeStoppedAndRefusesWhatHasNoAnswer) {
  SearchOptions options = small();
  options.progress = [](double fraction) { return fraction < 0.2; };
  EXPECT_EQ(search(drawn(600), options).error().code, Errc::exhausted);
  options = small();
  EXPECT_FALSE(search(drawn(0), options));
  Dataset one = drawn(100);
  std::fill(one.labels.begin(), one.labels.end(), 1u);
  EXPECT_FALSE(search(one, options));
  options.kinds.clear();
  EXPECT_FALSE(search(drawn(100), options));
}

}  // namespace
}  // namespace nidus::learn
