#include "learn/network_trainer.h"

#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>

#include "base/testing.h"
#include "learn/packet_networks.h"
#include "learn/preprocess_learner.h"
#include "model/model_file.h"
#include "model/packet_steps.h"
#include "model/reconstruction.h"

namespace nidus::learn {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

// Points in a square, in class 1 where exactly one of the first two numbers is above 0.
Dataset drawn(std::size_t rows, std::uint64_t seed, std::uint32_t classes = 2) {
  Random random(seed);
  Dataset out;
  for (const char* name : {"a", "b", "c"}) out.schema.push_back({name, {}, {}, {}});
  for (std::uint32_t i = 0; i < classes; ++i) out.classes.push_back(std::to_string(i));
  for (std::size_t row = 0; row < rows; ++row) {
    for (int i = 0; i < 3; ++i) out.values.push_back(static_cast<float>(random.unit() * 2 - 1));
    const bool a = out.at(row, 0) > 0, b = out.at(row, 1) > 0;
    out.labels.push_back(classes == 2 ? (a != b ? 1 : 0) : (a ? 1 : 0) + (b ? 1 : 0));
  }
  return out;
}

std::vector<LearningLayer> small(std::size_t outputs = 1) {
  return perceptron(std::vector<std::size_t>{16, 8}, outputs, 0.1);
}

NetworkOptions quick() {
  NetworkOptions out;
  out.epochs = 12;
  out.batch = 32;
  out.learning_rate = 0.01;
  out.threads = 1;
  return out;
}

std::string bytes_of(const Dataset& rows, const FittedNetwork& fitted) {
  model::ModelFile file;
  file.schema = rows.schema;
  file.classes = rows.classes;
  file.model = std::make_shared<model::Network>(fitted.network);
  return *model::serialise(file);
}

double accuracy(const model::Model& model, const Dataset& rows) {
  const auto scores = model::all_scores(model, rows.values, rows.rows());
  const std::size_t width = model.outputs();
  std::size_t right = 0;
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    const auto first = scores.begin() + static_cast<std::ptrdiff_t>(row * width);
    const auto said = width == 1
                          ? (scores[row] >= 0.5 ? 1 : 0)
                          : std::max_element(first, first + static_cast<std::ptrdiff_t>(width)) - first;
    right += said == static_cast<std::ptrdiff_t>(rows.labels[row]) ? 1 : 0;
  }
  return static_cast<double>(right) / static_cast<double>(rows.rows());
}

TEST(NetworkTrainer, LearnsWhatNoStraightLineSays) {
  const Dataset rows = drawn(2000, 1), others = drawn(1000, 2);
  const auto fitted = fit_network(rows, nullptr, {1, 3}, small(), quick());
  ASSERT_TRUE(fitted) << fitted.error().message;
  EXPECT_GT(accuracy(fitted->network, others), 0.95);
  EXPECT_EQ(fitted->network.scale(), model::Scale::probability);
  EXPECT_EQ(fitted->best, 11u);
  const Dataset three = drawn(2000, 3, 3);
  const auto classes = fit_network(three, nullptr, {1, 3}, small(3), quick());
  ASSERT_TRUE(classes) << classes.error().message;
  EXPECT_GT(accuracy(classes->network, drawn(1000, 4, 3)), 0.93);
}

TEST(NetworkTrainer, ShuffledLabelsTeachNothingOfOtherRows) {
  Dataset rows = drawn(1000, 1), others = drawn(1000, 2);
  Random random(9);
  for (auto* labels : {&rows.labels, &others.labels}) {
    for (auto& label : *labels) label = static_cast<std::uint32_t>(random.below(2));
  }
  const auto fitted = fit_network(rows, &others, {1, 3}, small(), quick());
  ASSERT_TRUE(fitted);
  // Who knows nothing loses log 2 a row.
  for (const auto& epoch : fitted->epochs) EXPECT_GT(epoch.stopping_loss, std::log(2.0) - 0.01);
}

TEST(NetworkTrainer, TheSameBytesForAnyNumberOfThreads) {
  const Dataset rows = drawn(300, 1), stopping = drawn(70, 2);
  std::string first;
  for (const std::size_t threads : {1, 2, 5}) {
    NetworkOptions options = quick();
    options.threads = threads;
    options.epochs = 4;
    options.input_noise = 0.1;
    const auto fitted = fit_network(rows, &stopping, {1, 3}, small(), options);
    ASSERT_TRUE(fitted);
    if (first.empty()) first = bytes_of(rows, *fitted);
    EXPECT_EQ(bytes_of(rows, *fitted), first) << threads;
  }
  NetworkOptions other = quick();
  other.epochs = 4;
  other.input_noise = 0.1;
  other.seed = 2;
  EXPECT_NE(bytes_of(rows, *fit_network(rows, &stopping, {1, 3}, small(), other)), first);
}

TEST(NetworkTrainer, StopsByRowsKeptAsideAndKeepsTheBest) {
  const Dataset rows = drawn(60, 1), stopping = drawn(300, 2);  // few enough to be learnt by heart
  NetworkOptions options = quick();
  options.epochs = 200;
  options.patience = 5;
  options.learning_rate = 0.02;
  const auto fitted = fit_network(rows, &stopping, {1, 3}, small(), options);
  ASSERT_TRUE(fitted);
  ASSERT_LT(fitted->epochs.size(), 200u);
  EXPECT_EQ(fitted->epochs.size(), fitted->best + 6);
  for (const auto& epoch : fitted->epochs)
    EXPECT_GE(epoch.stopping_loss, fitted->epochs[fitted->best].stopping_loss);
  // The loss that was told is that of the network that came out.
  double loss = 0;
  const auto scores = model::all_scores(fitted->network, stopping.values, stopping.rows());
  for (std::size_t i = 0; i < scores.size(); ++i)
    loss -=
        std::log(stopping.labels[i] == 1 ? scores[i] : 1 - scores[i]) / static_cast<double>(scores.size());
  EXPECT_NEAR(loss, fitted->epochs[fitted->best].stopping_loss, 1e-4);
}

TEST(NetworkTrainer, TheLearningRateGoesDownAsAskedFor) {
  const Dataset rows = drawn(64, 1);
  NetworkOptions options = quick();
  options.epochs = 4;
  options.schedule = NetworkOptions::Schedule::cosine;
  const auto cosine = fit_network(rows, nullptr, {1, 3}, small(), options);
  ASSERT_TRUE(cosine);
  EXPECT_NEAR(cosine->epochs[0].learning_rate, 0.01, 1e-12);
  EXPECT_NEAR(cosine->epochs[2].learning_rate, 0.005, 1e-12);
  options.schedule = NetworkOptions::Schedule::plateau;
  options.epochs = 60;
  options.plateau = 2;
  const auto plateau = fit_network(rows, nullptr, {1, 3}, small(), options);
  ASSERT_TRUE(plateau);
  for (std::size_t i = 1; i < plateau->epochs.size(); ++i) {
    const double rate = plateau->epochs[i].learning_rate, before = plateau->epochs[i - 1].learning_rate;
    EXPECT_TRUE(rate == before || rate == before / 2);
  }
  EXPECT_LT(plateau->epochs.back().learning_rate, 0.01);
}

TEST(NetworkTrainer, WhatIsStoppedGoesOnAndComesOutTheSame) {
  TemporaryFolder folder;
  const Dataset rows = drawn(200, 1), stopping = drawn(50, 2);
  NetworkOptions options = quick();
  options.epochs = 6;
  const std::string whole = bytes_of(rows, *fit_network(rows, &stopping, {1, 3}, small(), options));
  options.checkpoint = folder.path() / "network";
  options.progress = [](double done) { return done < 0.6; };  // in the middle of the fourth epoch
  const auto stopped = fit_network(rows, &stopping, {1, 3}, small(), options);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, Errc::exhausted);
  options.progress = {};
  const auto resumed = fit_network(rows, &stopping, {1, 3}, small(), options);
  ASSERT_TRUE(resumed) << resumed.error().message;
  EXPECT_EQ(resumed->resumed, 3u);
  EXPECT_EQ(resumed->epochs.size(), 6u);
  EXPECT_EQ(bytes_of(rows, *resumed), whole);
  // Other settings begin anew.
  options.learning_rate = 0.02;
  EXPECT_EQ(fit_network(rows, &stopping, {1, 3}, small(), options)->resumed, 0u);
}

TEST(NetworkTrainer, ClassWeightsCountAsRowsDo) {
  // Three rows of class 0 for one of class 1, at one place: what is said is the share by weight.
  Dataset rows;
  rows.schema.push_back({"a", {}, {}, {}});
  rows.classes = {"0", "1"};
  for (int i = 0; i < 64; ++i) {
    rows.values.push_back(1);
    rows.labels.push_back(i % 4 == 0 ? 1 : 0);
  }
  NetworkOptions options = quick();
  options.epochs = 300;
  options.batch = 64;
  const std::vector<LearningLayer> line = {model::Layer(model::layer::Dense{0, 1, {}, {}})};
  for (const bool balanced : {false, true}) {
    options.balanced = balanced;
    const auto fitted = fit_network(rows, nullptr, {1, 1}, line, options);
    ASSERT_TRUE(fitted);
    EXPECT_NEAR(model::all_scores(fitted->network, std::span<const float>(rows.values), 1)[0],
                balanced ? 0.5 : 0.25, 0.02);
  }
}

TEST(NetworkTrainer, AnAutoencoderFindsWhatDoesNotLieWithTheRest) {
  // Three numbers that are one: c = a + b, twice.
  Dataset rows = drawn(2000, 1);
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    rows.values[i * 3 + 1] = rows.values[i * 3];
    rows.values[i * 3 + 2] = -rows.values[i * 3];
  }
  NetworkOptions options = quick();
  options.goal = NetworkOptions::Goal::reconstruction;
  options.epochs = 30;
  const auto fitted =
      fit_network(rows, nullptr, {1, 3}, autoencoder(std::vector<std::size_t>{8, 2, 8}, 3), options);
  ASSERT_TRUE(fitted) << fitted.error().message;
  EXPECT_EQ(fitted->network.scale(), model::Scale::margin);
  const auto error = model::Reconstruction::make(std::make_shared<model::Network>(fitted->network),
                                                 model::Reconstruction::Measure::squared);
  ASSERT_TRUE(error);
  const std::vector<float> two = {0.5f, 0.5f, -0.5f, 0.5f, -0.5f, 0.5f};
  const auto scores = model::all_scores(*error, std::span<const float>(two), 2);
  EXPECT_LT(scores[0], 0.01);
  EXPECT_GT(scores[1], 10 * scores[0]);
}

TEST(NetworkTrainer, WhatMakesNoSenseIsToldInWords) {
  const Dataset rows = drawn(100, 1);
  const auto fault = [](const Dataset& given, std::vector<LearningLayer> layers,
                        const NetworkOptions& options, model::Shape shape = {1, 3}) {
    const auto fitted = fit_network(given, nullptr, shape, std::move(layers), options);
    return fitted ? std::string("no fault") : fitted.error().message;
  };
  Dataset changed = rows;
  changed.values[7] = std::nanf("");
  EXPECT_THAT(fault(changed, small(), quick()), HasSubstr("row 2 has no number in column 'b'"));
  changed = rows;
  std::fill(changed.labels.begin(), changed.labels.end(), 1u);
  EXPECT_THAT(fault(changed, small(), quick()), HasSubstr("all of one class"));
  EXPECT_THAT(fault({}, small(), quick()), HasSubstr("fewer than two rows"));
  EXPECT_THAT(fault(rows, small(2), quick()), HasSubstr("says 2 numbers"));
  EXPECT_THAT(fault(rows, small(), quick(), {1, 4}), HasSubstr("3 columns for a network of 4 inputs"));
  EXPECT_THAT(fault(rows, {Dropout{1}, model::Layer(model::layer::Dense{0, 1, {}, {}})}, quick()),
              HasSubstr("layer 0: the rate of dropout"));
  EXPECT_THAT(
      fault(rows, {model::Layer(model::layer::LayerNorm{}), model::Layer(model::layer::Dense{0, 1, {}, {}})},
            quick()),
      HasSubstr("cannot be trained"));
  EXPECT_THAT(fault(rows, {model::Layer(model::layer::Dense{0, std::size_t{1} << 60, {}, {}})}, quick()),
              HasSubstr("layer 0"));
  changed = rows;
  for (float& value : changed.values) value *= 1e30f;
  NetworkOptions wild = quick();
  wild.goal = NetworkOptions::Goal::reconstruction;
  EXPECT_THAT(fault(changed, autoencoder(std::vector<std::size_t>{4}, 3), wild),
              HasSubstr("no longer a number"));
}

TEST(NetworkTrainer, LearnsFromTwoRowsAndFromColumnsThatNeverVary) {
  Dataset rows = drawn(2, 1);
  rows.labels = {0, 1};
  rows.values = {1, 5, 0, 1, 5, 1};
  const auto fitted = fit_network(rows, nullptr, {1, 3}, small(), quick());
  ASSERT_TRUE(fitted) << fitted.error().message;
  const auto scores = model::all_scores(fitted->network, std::span<const float>(rows.values), 2);
  EXPECT_TRUE(std::isfinite(scores[0]) && std::isfinite(scores[1]));
}

TEST(PreprocessLearner, RobustScalingIgnoresWhatIsFarAway) {
  Dataset rows = drawn(100, 1);
  for (std::size_t i = 0; i < 100; ++i) {
    rows.values[i * 3] = static_cast<float>(i);
    rows.values[i * 3 + 1] = i == 0 ? 1e9f : i < 10 ? 7.0f : 3.0f;
    rows.values[i * 3 + 2] = 4;
  }
  rows.values[99 * 3] = 1e30f;
  PreprocessOptions options;
  options.scaling = PreprocessOptions::Scaling::robust;
  options.reach = 10;
  options.fill_missing = true;
  const auto steps = learn_preprocessor(rows, options);
  ASSERT_TRUE(steps);
  std::vector<float> out(6);
  steps->apply(std::vector<float>{49, 7, 4, 1e20f, -1e9f, std::nanf("")}, 2, out);
  EXPECT_NEAR(out[0], 0, 0.05);
  EXPECT_NEAR(out[1], 1, 1e-5);  // 90 % lie between 3 and 7
  EXPECT_EQ(out[2], 0);
  EXPECT_NEAR(out[3], 10, 1e-4);
  EXPECT_NEAR(out[4], -10, 1e-4);
  EXPECT_EQ(out[5], 0);
}

model::Schema packets(std::size_t count) {
  model::Schema out;
  for (std::size_t i = 1; i <= count; ++i) {
    out.push_back({"seq_gap_" + std::to_string(i), {}, {}, {}});
    out.push_back({"seq_size_" + std::to_string(i), {}, {}, {}});
  }
  return out;
}

TEST(PacketNetworks, PacketsStandAtTheEndAsFourNumbersEach) {
  const auto steps = packet_steps_of(packets(3));
  ASSERT_TRUE(steps) << steps.error().message;
  const double none = std::nan("");
  const std::vector<double> row = {0, 750, std::expm1(5.0), -1500, none, none};
  std::vector<double> out(12);
  (*steps)->apply(row, 1, out);
  const std::vector<double> wanted = {0, 0, 0, 0, 0.5, 0, 1, 1, -1, 0.5, -1, 1};
  for (std::size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(out[i], wanted[i], 1e-12) << i;
  auto schema = packets(3);
  schema[1].name = "duration";
  EXPECT_THAT(packet_steps_of(schema).error().message, HasSubstr("'duration' says nothing of a packet"));
  schema = packets(3);
  schema.pop_back();
  EXPECT_THAT(packet_steps_of(schema).error().message, HasSubstr("'seq_size_3'"));
}

TEST(PacketNetworks, APrefixIsTheFirstPacketsAtTheEnd) {
  const auto change = random_prefix({4, 2});
  Random random(1);
  std::vector<std::size_t> kept(5);
  for (int turn = 0; turn < 4000; ++turn) {
    std::vector<float> row = {0, 0, 5, 1, 6, 1, 7, 1};
    change(row, random);
    std::size_t first = 0;
    while (row[first * 2 + 1] == 0) ++first;
    ++kept[4 - first];
    for (std::size_t i = first; i < 4; ++i) ASSERT_EQ(row[i * 2], 5 + static_cast<float>(i - first));
  }
  EXPECT_EQ(kept[0], 0u);
  EXPECT_NEAR(static_cast<double>(kept[1]), 667, 120);
  EXPECT_NEAR(static_cast<double>(kept[2]), 667, 120);
  EXPECT_NEAR(static_cast<double>(kept[3]), 2667, 150);
}

// What tells the classes apart is an order of packets, which no mean or sum says.
TEST(PacketNetworks, EachKindLearnsAnOrderOfPackets) {
  Dataset rows;
  rows.schema = packets(8);
  rows.classes = {"benign", "attack"};
  Random random(4);
  for (std::size_t i = 0; i < 1200; ++i) {
    const std::size_t there = 5 + random.below(4);
    const bool attack = random.below(2) == 0;
    for (std::size_t k = 0; k < 8; ++k) {
      const double size = k == 2   ? (attack ? 1200 : -1200)
                          : k == 3 ? (attack ? -1200 : 1200)
                                   : 40.0 + static_cast<double>(random.below(60));
      rows.values.push_back(k < there ? static_cast<float>(random.below(1000)) : std::nanf(""));
      rows.values.push_back(k < there ? static_cast<float>(size) : std::nanf(""));
    }
    rows.labels.push_back(attack ? 1 : 0);
  }
  const auto steps = packet_steps_of(rows.schema);
  ASSERT_TRUE(steps);
  const model::Shape shape = packet_shape(**steps);
  const Dataset stepped = as_steps(**steps, rows);
  for (const auto kind : {PacketNetwork::lstm, PacketNetwork::cnn, PacketNetwork::cnn_lstm}) {
    NetworkOptions options = quick();
    options.epochs = 15;
    options.change = random_prefix(shape);
    const auto fitted = fit_network(stepped, nullptr, shape,
                                    packet_network(kind, std::vector<std::size_t>{12}, 1, 0.1), options);
    ASSERT_TRUE(fitted) << fitted.error().message;
    // Of whole flows; a flow cut before its third packet says nothing.
    const auto whole =
        model::TransformedModel::make(*steps, std::make_shared<model::Network>(fitted->network));
    ASSERT_TRUE(whole);
    EXPECT_GT(accuracy(*whole, rows), 0.97) << static_cast<int>(kind);
    model::ModelFile file;
    file.schema = rows.schema;
    file.classes = rows.classes;
    file.model = std::make_shared<model::TransformedModel>(*whole);
    const auto bytes = model::serialise(file);
    ASSERT_TRUE(bytes);
    const auto read = model::parse_model(std::as_bytes(std::span(*bytes)));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(model::all_scores(*read->model, std::span<const float>(rows.values), rows.rows()),
              model::all_scores(*whole, std::span<const float>(rows.values), rows.rows()));
  }
}

}  // namespace
}  // namespace nidus::learn
