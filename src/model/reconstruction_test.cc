#include "model/reconstruction.h"

#include <gmock/gmock.h>

#include <cmath>

#include "model/model_file.h"
#include "model/network.h"

namespace nidus::model {
namespace {

// Says half of what it is told.
std::shared_ptr<const Network> half(Network::Precision precision) {
  Network::Parts parts;
  parts.input = {1, 3};
  parts.precision = precision;
  parts.layers = {layer::Dense{3, 3, {0.5, 0, 0, 0, 0.5, 0, 0, 0, 0.5}, {}}};
  return std::make_shared<const Network>(*Network::make(std::move(parts)));
}

TEST(Reconstruction, IsTheMeanDifferenceBetweenInputAndOutput) {
  const std::vector<double> rows = {2, 4, -6, 0, 0, 0};
  for (const auto precision : {Network::Precision::single, Network::Precision::wide}) {
    const auto squared = *Reconstruction::make(half(precision), Reconstruction::Measure::squared);
    EXPECT_EQ(squared.scale(), Scale::error);
    EXPECT_EQ(all_scores(squared, std::span<const double>(rows), 2),
              (std::vector<double>{1.0 / 3 + 4.0 / 3 + 9.0 / 3, 0}));
    const auto absolute = *Reconstruction::make(half(precision), Reconstruction::Measure::absolute);
    EXPECT_EQ(all_scores(absolute, std::span<const double>(rows), 2),
              (std::vector<double>{1.0 / 3 + 2.0 / 3 + 3.0 / 3, 0}));
    std::vector<double> shares(6);
    absolute.shares(std::span<const double>(rows), 2, shares);
    EXPECT_EQ(shares, (std::vector<double>{1.0 / 3, 2.0 / 3, 3.0 / 3, 0, 0, 0}));
  }
}

// A float network is told floats, so the difference is that to a float.
TEST(Reconstruction, SeesTheRowAsTheModelBehindItDoes) {
  const std::vector<double> row = {0.1, 0.1, 0.1};
  std::vector<double> score(1);
  Reconstruction::make(half(Network::Precision::single), Reconstruction::Measure::absolute)
      ->score_wide(row, 1, score);
  EXPECT_DOUBLE_EQ(score[0], static_cast<double>(0.1f) / 2);
  Reconstruction::make(half(Network::Precision::wide), Reconstruction::Measure::absolute)
      ->score_wide(row, 1, score);
  EXPECT_DOUBLE_EQ(score[0], 0.05);
}

TEST(Reconstruction, ScoresTheSameAfterAFile) {
  ModelFile file;
  file.schema.resize(3);
  for (std::size_t i = 0; i < 3; ++i) file.schema[i].name = "x" + std::to_string(i);
  file.classes = {"usual", "unusual"};
  file.model = std::make_shared<const Reconstruction>(
      *Reconstruction::make(half(Network::Precision::single), Reconstruction::Measure::absolute));
  const auto bytes = serialise(file);
  ASSERT_TRUE(bytes);
  const auto loaded = parse_model(std::as_bytes(std::span(*bytes)));
  ASSERT_TRUE(loaded) << loaded.error().message;
  const std::vector<float> rows = {1, 2, 3, -4, 5.5f, 0};
  EXPECT_EQ(all_scores(*loaded->model, rows, 2), all_scores(*file.model, rows, 2));
  EXPECT_EQ(loaded->model->describe(), file.model->describe());
}

TEST(Reconstruction, RefusesAModelThatSaysSomethingElse) {
  Network::Parts parts;
  parts.input = {1, 2};
  parts.layers = {layer::Dense{2, 1, {1, 1}, {}}};
  auto network = std::make_shared<const Network>(*Network::make(std::move(parts)));
  EXPECT_EQ(Reconstruction::make(network, Reconstruction::Measure::squared).error().message,
            "reconstruction: a model that is told 2 numbers and says 1");
}

}  // namespace
}  // namespace nidus::model
