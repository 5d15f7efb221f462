#include "learn/checkpoint.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <filesystem>
#include <string>

#include "base/file.h"
#include "base/random.h"
#include "base/testing.h"
#include "learn/boost_trainer.h"
#include "learn/forest_trainer.h"
#include "model/model_file.h"

namespace nidus::learn {
namespace {

using ::testing::HasSubstr;

class CheckpointTest : public ::testing::Test {
 protected:
  TemporaryFolder temporary_;
  std::filesystem::path folder_ = temporary_.path();
  std::filesystem::path file_ = folder_ / "training";
};

Dataset drawn(std::size_t rows, std::uint32_t classes) {
  Random random(5);
  Dataset out;
  for (const char* name : {"a", "b", "c", "d"}) out.schema.push_back({name, {}, {}, {}});
  for (const char* name : {"benign", "scan", "flood"}) {
    if (out.classes.size() < classes) out.classes.emplace_back(name);
  }
  for (std::size_t row = 0; row < rows; ++row) {
    double sum = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      const double value = static_cast<double>(random.below(300)) / 100;
      sum += i < 2 ? value : 0;
      out.values.push_back(random.below(20) == 0 ? std::nanf("") : static_cast<float>(value));
    }
    const auto label = static_cast<std::uint32_t>(sum * classes / 6);
    out.labels.push_back(random.below(10) == 0 ? static_cast<std::uint32_t>(random.below(classes)) : label);
  }
  return out;
}

std::string bytes_of(const Dataset& data, std::shared_ptr<const model::Model> model) {
  model::ModelFile file;
  file.schema = data.schema;
  file.classes = data.classes;
  file.model = std::move(model);
  return *model::serialise(file);
}

// Both trainers behind one face: bytes of the model, how many trees or rounds came from the checkpoint.
struct Outcome {
  std::string bytes;
  std::size_t resumed = 0;
};

Outcome train_forest(const Dataset& data, const std::filesystem::path& checkpoint, const Progress& progress,
                     bool extra) {
  ForestOptions options;
  options.trees = 12;
  options.threads = 2;
  options.extra_trees = extra;
  options.checkpoint = checkpoint;
  options.progress = progress;
  auto fitted = fit_forest(data, options);
  EXPECT_TRUE(fitted) << fitted.error().message;
  return {bytes_of(data, std::make_shared<model::Forest>(fitted->forest)), fitted->resumed};
}

Outcome train_boost(const Dataset& data, const std::filesystem::path& checkpoint, const Progress& progress) {
  BoostOptions options;
  options.rounds = 30;
  options.threads = 1;
  options.subsample = 0.8;
  options.columns_per_tree = 0.75;
  options.checkpoint = checkpoint;
  options.progress = progress;
  const Dataset validation = drawn(200, static_cast<std::uint32_t>(data.classes.size()));
  auto fitted = fit_boost(data, &validation, options);
  EXPECT_TRUE(fitted) << fitted.error().message;
  return {bytes_of(data, std::make_shared<model::Boost>(fitted->model)), fitted->resumed};
}

// Runs `train` in a child that is killed as soon as the given part is done: the kernel ends it, nothing is
// flushed or closed.
template <class Train>
void kill_at(double part, const Train& train) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    train([part](double fraction) {
      if (fraction >= part) ::kill(::getpid(), SIGKILL);
      return true;
    });
    ::_exit(0);  // not reached
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  ASSERT_EQ(WTERMSIG(status), SIGKILL);
}

TEST_F(CheckpointTest, AForestThatWasKilledGoesOnAndIsTheSame) {
  for (const bool extra : {false, true}) {
    const Dataset data = drawn(1500, extra ? 3 : 2);
    const auto train = [&](const Progress& progress) { return train_forest(data, file_, progress, extra); };
    kill_at(0.3, train);
    kill_at(0.7, train);
    const Outcome resumed = train({});
    EXPECT_GE(resumed.resumed, 8u);  // 0.7 of 12 were done; the one that another thread was at may be too
    EXPECT_LT(resumed.resumed, 12u);
    EXPECT_EQ(resumed.bytes, train_forest(data, {}, {}, extra).bytes);
    std::filesystem::remove(file_);
  }
}

TEST_F(CheckpointTest, BoostingThatWasKilledGoesOnAndIsTheSame) {
  for (const std::uint32_t classes : {2u, 3u}) {
    const Dataset data = drawn(1500, classes);
    const auto train = [&](const Progress& progress) { return train_boost(data, file_, progress); };
    kill_at(0.2, train);
    kill_at(0.5, train);
    const Outcome resumed = train({});
    EXPECT_EQ(resumed.resumed, 15u);
    EXPECT_EQ(resumed.bytes, train_boost(data, {}, {}).bytes);
    std::filesystem::remove(file_);
  }
}

TEST_F(CheckpointTest, AFileCutAnywhereIsGoneOnFrom) {
  const Dataset data = drawn(60, 2);
  const std::string whole = train_forest(data, file_, {}, false).bytes;
  const auto content = read_file(file_);
  ASSERT_TRUE(content);
  Random random(3);
  for (int i = 0; i < 60; ++i) {
    const std::size_t length = i < 30 ? static_cast<std::size_t>(i) : random.below(content->size());
    std::string cut = content->substr(0, length);
    if (i % 5 == 4 && length > 40) cut[length - 1 - random.below(length - 30)] ^= 4;  // and damaged
    ASSERT_TRUE(write_file(file_, cut));
    EXPECT_EQ(train_forest(data, file_, {}, false).bytes, whole) << length;
  }
}

TEST_F(CheckpointTest, AnotherTrainingBeginsAnew) {
  const Dataset data = drawn(300, 2);
  train_forest(data, file_, {}, false);
  EXPECT_EQ(train_forest(data, file_, {}, false).resumed, 12u);
  Dataset other = data;
  other.values[7] += 1;
  const Outcome fresh = train_forest(other, file_, {}, false);
  EXPECT_EQ(fresh.resumed, 0u);
  EXPECT_EQ(fresh.bytes, train_forest(other, {}, {}, false).bytes);
  EXPECT_EQ(train_forest(other, file_, {}, true).resumed, 0u);  // other settings
}

TEST_F(CheckpointTest, AFileThatIsNoCheckpointIsLeftAlone) {
  ASSERT_TRUE(write_file(file_, "my thesis, the only copy of it"));
  ForestOptions options;
  options.checkpoint = file_;
  const auto fitted = fit_forest(drawn(100, 2), options);
  ASSERT_FALSE(fitted);
  EXPECT_THAT(fitted.error().message, HasSubstr("left alone"));
  EXPECT_EQ(*read_file(file_), "my thesis, the only copy of it");
  options.checkpoint = folder_ / "none" / "there";
  EXPECT_EQ(fit_forest(drawn(100, 2), options).error().code, Errc::io);
}

TEST_F(CheckpointTest, OnlyOneWritesIt) {
  const auto first = Checkpoint::open(file_, 1);
  ASSERT_TRUE(first);
  const auto second = Checkpoint::open(file_, 1);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("another training"));
}

TEST_F(CheckpointTest, SaysWhatItFound) {
  {
    auto checkpoint = Checkpoint::open(file_, 1);
    ASSERT_TRUE(checkpoint);
    EXPECT_EQ(checkpoint->found(), Checkpoint::Found::nothing);
    ASSERT_TRUE(checkpoint->append(3, "three"));
    ASSERT_TRUE(checkpoint->append(1, ""));
  }
  {
    auto checkpoint = Checkpoint::open(file_, 1);
    ASSERT_TRUE(checkpoint);
    EXPECT_EQ(checkpoint->found(), Checkpoint::Found::same_training);
    const auto records = checkpoint->take_records();
    ASSERT_EQ(records.size(), 2u);
    EXPECT_EQ(records[0].number, 3u);
    EXPECT_EQ(records[0].bytes, "three");
    EXPECT_EQ(records[1].bytes, "");
  }
  auto checkpoint = Checkpoint::open(file_, 2);
  ASSERT_TRUE(checkpoint);
  EXPECT_EQ(checkpoint->found(), Checkpoint::Found::other_training);
  EXPECT_TRUE(checkpoint->take_records().empty());
}

}  // namespace
}  // namespace nidus::learn
