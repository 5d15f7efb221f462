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
