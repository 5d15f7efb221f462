// A second reader of model files, written from docs/formats/model-file.md alone and sharing no code with the
// first: if the two disagree, the document or the program is wrong. It takes its time and checks little.

#include <gmock/gmock.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "model/model_file.h"

namespace {

struct Stranger {
  struct Section {
    std::uint64_t offset, size, checksum;
    std::uint32_t elements;
  };
  struct Node {
    float threshold;
    std::uint32_t bits, feature, left;
  };
  struct Trees {
    std::uint32_t inputs = 0, width = 0;
    std::vector<Node> nodes;
    std::vector<std::uint32_t> roots;
    std::vector<float> leaves;
    std::vector<std::uint64_t> missing_right;
  };
  struct Step {
    std::uint8_t flags, encode;
    float low, high, fill, shift, scale;
    std::uint32_t categories;
  };
  struct Model {
    std::uint32_t kind = 0;
    Trees trees;
    std::vector<float> base;
    std::vector<std::uint32_t> groups;
    std::vector<Step> steps;
    std::vector<double> weights;
    std::vector<Model> inside;
  };

  std::string bytes;
  std::uint32_t version = 0;
  std::vector<Section> sections;
  std::size_t at = 0;
  std::vector<std::string> columns, classes;
  std::string note;
  Model model;

  template <class T>
  T number(std::size_t offset) const {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
  }
  template <class T>
  T next() {
    at += sizeof(T);
    return number<T>(at - sizeof(T));
  }
  std::string text() {
    const auto size = next<std::uint32_t>();
    at += size;
    return bytes.substr(at - size, size);
  }

  std::uint64_t checksum(std::size_t offset, std::size_t size) const {
    const std::uint64_t prime = 0x100000001b3;
    std::uint64_t h = 0xcbf29ce484222325 ^ size;
    std::size_t i = 0;
    for (; i + 8 <= size; i += 8) {
      h = (h ^ number<std::uint64_t>(offset + i)) * prime;
      h ^= h >> 29;
    }
    std::uint64_t r = 0;
    for (std::size_t k = 0; i + k < size; ++k)
      r |= std::uint64_t{static_cast<unsigned char>(bytes[offset + i + k])} << (8 * k);
    h = (h ^ r) * prime;
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9;
    h = (h ^ (h >> 27)) * 0x94d049bb133111eb;
    return h ^ (h >> 31);
  }

  template <class T>
  std::vector<T> array(std::uint32_t elements) {
    const auto which = next<std::uint32_t>();
    if (which == 0xffffffff) return {};
    EXPECT_EQ(sections.at(which).elements, elements);
    std::vector<T> values(sections[which].size / sizeof(T));
    std::memcpy(values.data(), bytes.data() + sections[which].offset, sections[which].size);
    return values;
  }

  Trees read_trees() {
    Trees trees;
    trees.inputs = next<std::uint32_t>();
    trees.width = next<std::uint32_t>();
    for (const auto word : array<std::uint64_t>(1)) {
      const auto first = static_cast<std::uint32_t>(word), second = static_cast<std::uint32_t>(word >> 32);
      trees.nodes.push_back({std::bit_cast<float>(first), first, second & 1023, second >> 10});
    }
    trees.roots = array<std::uint32_t>(2);
    trees.leaves = array<float>(3);
    if (version >= 3) array<double>(5);  // leaves of doubles, of which our files have none
    trees.missing_right = array<std::uint64_t>(4);
    if (version >= 2) array<float>(3);  // covers, which scoring does not need
    return trees;
  }

  Model read_model() {
    Model made;
    made.kind = next<std::uint32_t>();
    if (made.kind == 1) made.trees = read_trees();
    if (made.kind == 2) {
      made.trees = read_trees();
      made.base.resize(next<std::uint32_t>());
      for (auto& margin : made.base) margin = next<float>();
      made.groups = array<std::uint32_t>(2);
      if (version >= 3) {
        EXPECT_EQ(next<std::uint8_t>(), 0);  // scores are probabilities, in our files
      }
    }
    if (made.kind == 3) {
      made.steps.resize(next<std::uint32_t>());
      for (auto& step : made.steps) {
        step.flags = next<std::uint8_t>();
        step.encode = next<std::uint8_t>();
        for (float* value : {&step.low, &step.high, &step.fill, &step.shift, &step.scale})
          *value = next<float>();
        step.categories = next<std::uint32_t>();
      }
      made.inside.push_back(read_model());
    }
    if (made.kind == 4) {
      const auto members = next<std::uint32_t>();
      for (std::uint32_t i = 0; i < members; ++i) {
        made.weights.push_back(next<double>());
        made.inside.push_back(read_model());
      }
    }
    return made;
  }

  explicit Stranger(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(file), {});
    EXPECT_EQ(bytes.substr(0, 8), "\x89NIDUS\r\n");
    version = number<std::uint32_t>(8);
    EXPECT_TRUE(version >= 1 && version <= 3);
    const auto count = number<std::uint32_t>(12);
    EXPECT_EQ(number<std::uint64_t>(16), bytes.size());
    EXPECT_EQ(number<std::uint64_t>(24), checksum(64, 32 * count));
    const auto said = number<std::uint64_t>(32);
    std::memset(&bytes[32], 0, 8);
    EXPECT_EQ(said, checksum(0, 64));
    std::size_t end = 64 + 32 * count;
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::size_t entry = 64 + 32 * i;
      sections.push_back({number<std::uint64_t>(entry), number<std::uint64_t>(entry + 8),
                          number<std::uint64_t>(entry + 16), number<std::uint32_t>(entry + 24)});
      EXPECT_EQ(sections[i].offset, (end + 63) / 64 * 64);
      EXPECT_EQ(sections[i].checksum, checksum(sections[i].offset, sections[i].size)) << "section " << i;
      end = sections[i].offset + sections[i].size;
    }
    EXPECT_EQ(end, bytes.size());
    at = sections[0].offset;
    columns.resize(next<std::uint32_t>());
    for (auto& name : columns) {
      name = text();
      const auto kind = next<std::uint8_t>();
      text();
      if (kind != 1) continue;
      const auto entries = next<std::uint32_t>();
      for (std::uint32_t i = 0; i < entries; ++i) text();
    }
    classes.resize(next<std::uint32_t>());
    for (auto& name : classes) name = text();
    note = text();
    model = read_model();
    EXPECT_EQ(at, sections[0].offset + sections[0].size);
  }

  static std::size_t leaf_of(const Trees& trees, std::size_t tree, const std::vector<float>& row) {
    const std::size_t root = trees.roots[tree];
    for (std::size_t place = 0;;) {
      const Node& node = trees.nodes[root + place];
      if (std::isnan(node.threshold)) return node.bits - 0x7fc00000;
      const float x = row[node.feature];
      const std::size_t bit = root + place;
      const bool right = std::isnan(x) ? !trees.missing_right.empty() &&
                                             (trees.missing_right[bit / 64] >> (bit % 64) & 1) != 0
                                       : x > node.threshold;
      place = node.left + (right ? 1 : 0);
    }
  }

  static std::vector<double> score(const Model& of, const std::vector<float>& row) {
    const std::size_t trees = of.trees.roots.empty() ? 0 : of.trees.roots.size() - 1;
    std::vector<double> scores;
    if (of.kind == 1) {
      scores.assign(of.trees.width, 0);
      for (std::size_t tree = 0; tree < trees; ++tree) {
        const std::size_t leaf = leaf_of(of.trees, tree, row);
        for (std::size_t c = 0; c < scores.size(); ++c)
          scores[c] += static_cast<double>(of.trees.leaves[leaf * of.trees.width + c]);
      }
      for (auto& one : scores) one /= static_cast<double>(trees);
    }
    if (of.kind == 2) {
      std::vector<float> margins = of.base;
      for (std::size_t tree = 0; tree < trees; ++tree)
        margins[of.groups[tree]] += of.trees.leaves[leaf_of(of.trees, tree, row)];
      if (margins.size() == 1) return {1 / (1 + std::exp(-static_cast<double>(margins[0])))};
      const auto highest = static_cast<double>(*std::max_element(margins.begin(), margins.end()));
      double sum = 0;
      for (const float margin : margins) {
        scores.push_back(std::exp(static_cast<double>(margin) - highest));
        sum += scores.back();
      }
      for (auto& one : scores) one /= sum;
    }
    if (of.kind == 3) {
      std::vector<float> through;
      for (std::size_t i = 0; i < of.steps.size(); ++i) {
        const Step& step = of.steps[i];
        float x = row[i];
        if ((step.flags & 1) != 0 && x < step.low) x = step.low;
        if ((step.flags & 1) != 0 && x > step.high) x = step.high;
        if ((step.flags & 2) != 0 && std::isnan(x)) x = step.fill;
        if (step.encode == 0) {
          through.push_back((x - step.shift) * step.scale);
          continue;
        }
        for (std::uint32_t c = 0; c < step.categories; ++c)
          through.push_back(x >= static_cast<float>(c) && x < static_cast<float>(c + 1) ? 1.0f : 0.0f);
      }
      return score(of.inside[0], through);
    }
    if (of.kind == 4) {
      double weights = 0;
      for (std::size_t i = 0; i < of.inside.size(); ++i) {
        const auto part = score(of.inside[i], row);
        scores.resize(part.size());
        for (std::size_t c = 0; c < part.size(); ++c) scores[c] += of.weights[i] * part[c];
        weights += of.weights[i];
      }
      for (auto& one : scores) one /= weights;
    }
    return scores;
  }

  static void collect_thresholds(const Model& of, std::vector<float>& all) {
    for (const Node& node : of.trees.nodes)
      if (!std::isnan(node.threshold)) all.push_back(node.threshold);
    for (const Model& inside : of.inside) collect_thresholds(inside, all);
  }
};

class ModelFileReader : public ::testing::TestWithParam<std::string> {};

TEST_P(ModelFileReader, AgreesWithOursOnEveryScoreToTheLastBit) {
  const auto path = std::filesystem::path(NIDUS_SOURCE_DIR) / GetParam();
  const Stranger stranger(path);
  const auto ours = nidus::model::load_model(path);
  ASSERT_TRUE(ours) << ours.error().message;
  EXPECT_EQ(stranger.classes, ours->classes);
  EXPECT_EQ(stranger.note, ours->note);
  ASSERT_EQ(stranger.columns.size(), ours->schema.size());
  for (std::size_t i = 0; i < stranger.columns.size(); ++i)
    EXPECT_EQ(stranger.columns[i], ours->schema[i].name);

  // Rows on, above and below thresholds, missing, infinite, zero of either sign.
  std::vector<float> thresholds;
  Stranger::collect_thresholds(stranger.model, thresholds);
  ASSERT_FALSE(thresholds.empty());
  std::mt19937 random(1);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr std::size_t kRows = 400;
  std::vector<float> rows(kRows * stranger.columns.size());
  for (auto& x : rows) {
    x = thresholds[random() % thresholds.size()];
    switch (random() % 8) {
      case 0:
        x = std::nextafter(x, kInfinity);
        break;
      case 1:
        x = std::nextafter(x, -kInfinity);
        break;
      case 2:
        x = std::numeric_limits<float>::quiet_NaN();
        break;
      case 3:
        x = random() % 2 == 0 ? kInfinity : -kInfinity;
        break;
      case 4:
        x = random() % 2 == 0 ? 0.0f : -0.0f;
        break;
      case 5:
        x = static_cast<float>(random() % 5);
        break;
      default:
        break;
    }
  }
  const auto scores = nidus::model::all_scores(*ours->model, rows, kRows);
  const std::size_t inputs = stranger.columns.size(), outputs = ours->model->outputs();
  for (std::size_t row = 0; row < kRows; ++row) {
    const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(row * inputs);
    const auto theirs = Stranger::score(stranger.model, {begin, begin + static_cast<std::ptrdiff_t>(inputs)});
    ASSERT_EQ(theirs.size(), outputs);
    for (std::size_t c = 0; c < outputs; ++c) {
      ASSERT_EQ(std::bit_cast<std::uint64_t>(theirs[c]),
                std::bit_cast<std::uint64_t>(scores[row * outputs + c]))
          << "row " << row << ", output " << c;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, ModelFileReader,
                         ::testing::Values("tests/corpus/model_fuzz/forest.nidus",
                                           "tests/corpus/model_fuzz/forest_three_classes.nidus",
                                           "tests/corpus/model_fuzz/boost_three_classes.nidus",
                                           "tests/corpus/model_fuzz/pipeline_boost.nidus",
                                           "tests/corpus/model_fuzz/ensemble.nidus",
                                           "share/detectors/flows-attacks/model-1.nidus",
                                           "share/detectors/flows-attacks/model-2.nidus"),
                         [](const auto& file) {
                           std::string name = file.param;
                           std::replace_if(
                               name.begin(), name.end(), [](char c) { return std::isalnum(c) == 0; }, '_');
                           return name;
                         });

}  // namespace
