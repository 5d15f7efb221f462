#include "model/model_file.h"

#include <gmock/gmock.h>

#include <cstring>
#include <filesystem>

#include "base/digest.h"
#include "base/file.h"
#include "base/random.h"
#include "base/testing.h"
#include "model/additive_trees.h"
#include "model/boost.h"
#include "model/ensemble.h"
#include "model/forest.h"
#include "model/preprocess.h"
#include "model/readout.h"
#include "model/testing.h"
#include "model/transform.h"

namespace nidus::model {
namespace {

using ::testing::HasSubstr;

// An ensemble of a forest, a pipeline before boosted trees, and trees summed in double behind transforms:
// every kind there is.
ModelFile everything() {
  ModelFile file;
  file.schema.resize(2);
  file.schema[0].name = "bytes";
  file.schema[0].unit = "bytes";
  file.schema[1].name = "service";
  file.schema[1].kind = Column::Kind::categorical;
  file.schema[1].vocabulary = {"http", "dns", "ssh"};
  file.classes = {"benign", "attack"};
  file.note = "{\"trained\":\"by hand\"}";
  auto forest_trees = testing::draw_trees(1, 5, 2, 31, 1, false);
  auto forest = std::make_shared<const Forest>(*Forest::make(*TreeSet::make(std::move(forest_trees.parts))));
  Step scale;
  scale.fill_missing = true;
  scale.shift = 1;
  Step hot;
  hot.encode = Step::Encode::one_hot;
  hot.categories = 3;
  auto boost_trees = testing::draw_trees(2, 6, 4, 15, 1, true);
  auto boost = std::make_shared<const Boost>(
      *Boost::make(*TreeSet::make(std::move(boost_trees.parts)), std::vector<std::uint32_t>(6, 0), {0.125f}));
  auto pipeline = std::make_shared<const Pipeline>(*Pipeline::make(*Preprocessor::make({scale, hot}), boost));
  auto wide_trees = testing::draw_trees(4, 6, 3, 15, 1, true);
  testing::widen_leaves(wide_trees.parts);
  AdditiveTrees::Parts parts;
  parts.groups = std::vector<std::uint32_t>(6, 0);
  parts.base = {0.25};
  parts.link = AdditiveTrees::Link::logistic;
  auto additive = std::make_shared<const AdditiveTrees>(
      *AdditiveTrees::make(*TreeSet::make(std::move(wide_trees.parts)), parts));
  Affine affine;
  affine.shift = {1, 0.5};
  affine.factor = {0.1, 3};
  affine.low = {-1, -2};
  affine.high = {1, 2};
  CutColumn set;
  set.is_among = true;
  set.among = {1, 7};
  set.among_missing = std::numeric_limits<double>::quiet_NaN();
  CutColumn ranks;
  ranks.cuts = {-1.5, 0, 0.1};
  CutColumn zero = ranks;
  zero.input = 1;
  zero.missing_is_zero = true;
  auto before = chain({*make_affine(affine), *make_ranks(2, {ranks, zero, set})});
  auto transformed = std::make_shared<const TransformedModel>(*TransformedModel::make(*before, additive));
  file.model = std::make_shared<const Ensemble>(
      *Ensemble::make({{forest, 1},
                       {pipeline, 0.5},
                       {std::make_shared<const Readout>(*Readout::make(transformed, {1, 0})), 0.25}}));
  return file;
}

std::vector<float> rows_of_everything() { return testing::draw_rows(3, {0, 1, 2, 2.5f}, 200, 2, true); }

Result<ModelFile> parse(std::string_view bytes) { return parse_model(std::as_bytes(std::span(bytes))); }

TEST(ModelFile, WhatWasSavedScoresTheSameToTheLastBit) {
  const ModelFile file = everything();
  const auto bytes = serialise(file);
  ASSERT_TRUE(bytes) << bytes.error().message;
  const auto again = parse(*bytes);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->schema, file.schema);
  EXPECT_EQ(again->classes, file.classes);
  EXPECT_EQ(again->note, file.note);
  EXPECT_EQ(again->model->describe(), file.model->describe());
  const auto rows = rows_of_everything();
  const auto a = all_scores(*file.model, rows, 200), b = all_scores(*again->model, rows, 200);
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(double)), 0);
  EXPECT_EQ(*serialise(*again), *bytes);
}

TEST(ModelFile, IsMappedFromDiskAndOutlivesItsName) {
  const TemporaryFolder folder;
  const auto path = folder / "model.nidus";
  const ModelFile file = everything();
  ASSERT_TRUE(save_model(path, file));
  auto again = load_model(path);
  ASSERT_TRUE(again) << again.error().message;
  std::filesystem::remove(path);
  const auto rows = rows_of_everything();
  EXPECT_EQ(all_scores(*again->model, rows, 200), all_scores(*file.model, rows, 200));
}

TEST(ModelFile, EveryTruncationIsRefused) {
  const std::string bytes = *serialise(everything());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto cut = parse(std::string_view(bytes).substr(0, size));
    ASSERT_FALSE(cut) << size;
    ASSERT_THAT(cut.error().message, HasSubstr("offset "));
  }
  EXPECT_FALSE(parse(bytes + "x"));
}

TEST(ModelFile, EveryFlippedByteIsRefused) {
  const std::string bytes = *serialise(everything());
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    std::string broken = bytes;
    broken[at] = static_cast<char>(broken[at] ^ (1 << (at % 8)));
    ASSERT_FALSE(parse(broken)) << at;
  }
}

// Writes the checksums anew, as somebody would who means harm.
void mend(std::string& bytes) {
  std::uint32_t sections = 0;
  std::memcpy(&sections, &bytes[12], 4);
  for (std::uint32_t i = 0; i < sections; ++i) {
    char* entry = &bytes[64 + i * 32];
    std::uint64_t offset = 0, size = 0;
    std::memcpy(&offset, entry, 8);
    std::memcpy(&size, entry + 8, 8);
    if (offset > bytes.size() || size > bytes.size() - offset) continue;
    const auto sum = checksum64(std::as_bytes(std::span(bytes).subspan(offset, size)));
    std::memcpy(entry + 16, &sum, 8);
  }
  const auto table = checksum64(std::as_bytes(std::span(bytes).subspan(64, sections * 32)));
  std::memcpy(&bytes[24], &table, 8);
  std::memset(&bytes[32], 0, 8);
  const auto header = checksum64(std::as_bytes(std::span(bytes).subspan(0, 64)));
  std::memcpy(&bytes[32], &header, 8);
}

TEST(ModelFile, HostileBytesWithGoodChecksumsAreRefusedOrHarmless) {
  const std::string bytes = *serialise(everything());
  {
    std::string same = bytes;
    mend(same);
    ASSERT_EQ(same, bytes);
  }
  Random random(7);
  std::size_t loaded = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string broken = bytes;
    const std::size_t changes = 1 + random.below(3);
    for (std::size_t i = 0; i < changes; ++i) {
      const std::size_t at = 64 + random.below(bytes.size() - 64);
      broken[at] = static_cast<char>(random.below(4) == 0 ? 0xff : random.below(256));
    }
    mend(broken);
    const auto file = parse(broken);
    if (!file) continue;
    ++loaded;
    const std::vector<float> rows(file->model->inputs() * 9, 0.5f);
    const auto scores = all_scores(*file->model, rows, 9);
    for (const double score : scores) ASSERT_TRUE(score >= 0 && score <= 1) << score;
  }
  EXPECT_GT(loaded, 0u);
}

TEST(ModelFile, AnotherVersionAndOtherFilesAreToldApart) {
  std::string bytes = *serialise(everything());
  bytes[8] = 4;
  EXPECT_EQ(parse(bytes).error().code, Errc::unsupported);
  EXPECT_THAT(parse(bytes).error().message, HasSubstr("version 4"));
  EXPECT_THAT(parse(std::string(100, 'P')).error().message, HasSubstr("not a nidus model"));
  EXPECT_EQ(load_model("/nowhere/model.nidus").error().code, Errc::not_found);
}

// Files of version 1 are those of the fuzz corpus.
TEST(ModelFile, TheFirstVersionIsReadAndHasNoCovers) {
  for (const std::string name : {"forest", "ensemble", "pipeline_boost"}) {
    const auto path = std::filesystem::path(NIDUS_SOURCE_DIR) / "tests/corpus/model_fuzz" / (name + ".nidus");
    ASSERT_EQ(read_file(path, 1 << 20)->at(8), 1);
    const auto file = load_model(path);
    ASSERT_TRUE(file) << file.error().message;
    const auto again = parse(*serialise(*file));
    ASSERT_TRUE(again) << again.error().message;
    const std::vector<float> rows(file->model->inputs() * 9, 0.5f);
    EXPECT_EQ(all_scores(*file->model, rows, 9), all_scores(*again->model, rows, 9));
  }
}

TEST(ModelFile, CoversAreKeptAndMustFit) {
  auto parts = testing::draw_trees(4, 3, 2, 15, 1, false).parts;
  const auto weights = testing::draw_weights(4, parts);
  parts.covers = TreeSet::pack_covers(parts.nodes.span(), parts.roots.span(), weights);
  ModelFile file;
  file.schema.resize(2);
  file.schema[0].name = "a";
  file.schema[1].name = "b";
  file.classes = {"benign", "attack"};
  file.model = std::make_shared<const Forest>(*Forest::make(*TreeSet::make(parts)));
  const auto again = parse(*serialise(file));
  ASSERT_TRUE(again) << again.error().message;
  const auto& covers = dynamic_cast<const Forest&>(*again->model).trees().parts().covers;
  EXPECT_TRUE(std::equal(covers.begin(), covers.end(), parts.covers.begin(), parts.covers.end()));

  std::vector<float> wrong(parts.covers.begin(), parts.covers.end());
  wrong.back() = std::numeric_limits<float>::infinity();
  auto broken = parts;
  broken.covers = wrong;
  EXPECT_THAT(TreeSet::make(broken).error().message, HasSubstr("tree 2: covers that are none"));
  wrong.back() = 0.75f;
  broken.covers = wrong;
  EXPECT_THAT(TreeSet::make(broken).error().message, HasSubstr("tree 2: covers that are none"));
  wrong.push_back(0);
  broken.covers = wrong;
  EXPECT_FALSE(TreeSet::make(broken));
  wrong.resize(wrong.size() - 2);
  broken.covers = wrong;
  EXPECT_THAT(TreeSet::make(broken).error().message, HasSubstr("fewer covers"));
}

TEST(ModelFile, RefusesToWriteWhatDoesNotFit) {
  ModelFile file = everything();
  file.schema.pop_back();
  EXPECT_THAT(serialise(file).error().message, HasSubstr("a schema of 1 columns for a model with 2 inputs"));
  file = everything();
  file.classes.push_back("third");
  EXPECT_FALSE(serialise(file));
  file = everything();
  file.schema[1].name = "Bytes";
  EXPECT_THAT(serialise(file).error().message, HasSubstr("twice"));
  file.model = nullptr;
  EXPECT_FALSE(serialise(file));
}

}  // namespace
}  // namespace nidus::model
