#include "flow/features_doc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "flow/features.h"

namespace nidus::flow {
namespace {

using testing::HasSubstr;

TEST(FeaturesDocTest, TheFileInDocsIsWhatTheCodeGenerates) {
  const auto file = read_file(NIDUS_SOURCE_DIR "/docs/features.md");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_TRUE(*file == features_markdown()) << "run: nidus help features > docs/features.md";
}

TEST(FeaturesDocTest, EveryFeatureHasARow) {
  const std::string text = features_markdown();
  for (const FeatureInfo& info : features()) {
    EXPECT_THAT(text, HasSubstr("| `" + std::string(info.key) + "` | " + std::string(info.unit) + " |"));
  }
}

// A name is a name: numbers once stood there by mistake.
TEST(FeaturesDocTest, SpellingsOfCleanedCopiesAreKnown) {
  EXPECT_EQ(feature_from_name(" Fwd Packets Length Total"), Feature::fwd_bytes);
  EXPECT_EQ(feature_from_name("Init Bwd Win Bytes"), Feature::bwd_init_win);
  EXPECT_EQ(feature_from_name("Fwd Seg Size Min"), feature_from_name("min_seg_size_forward"));
}

TEST(FeaturesDocTest, NamesAreWords) {
  for (const FeatureInfo& info : features()) {
    for (const auto text : {info.cic2017, info.cic2018, info.cic2020}) {
      if (!text.empty()) {
        EXPECT_TRUE(std::isalpha(static_cast<unsigned char>(text[0]))) << info.key << ": " << text;
      }
    }
  }
}

}  // namespace
}  // namespace nidus::flow
