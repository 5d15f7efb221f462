#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/boost.h"
#include "model/forest.h"

// For tests and benches only: models of other programs with what those say of some rows, in the format of
// tests/explain/fixtures.py.
namespace nidus::model::testing {

struct ExplainedModel {
  std::shared_ptr<const Model> model;  // null if the file is not there or makes no sense
  std::size_t count = 0;
  std::vector<float> rows;            // row-major
  std::vector<double> contributions;  // output × row × (inputs + 1)
};

inline ExplainedModel read_explained(const std::string& path) {
  std::ifstream in(path);
  const auto word = [&in] {
    std::string text;
    in >> text;
    return text;
  };
  const auto number = [&] { return std::strtod(word().c_str(), nullptr); };
  const auto count = [&] { return static_cast<std::size_t>(number()); };
  const std::string kind = word();
  const std::size_t inputs = count(), outputs = count(), width = kind == "forest" ? outputs : 1;
  std::vector<float> base(outputs);
  for (auto& margin : base) margin = static_cast<float>(number());
  std::vector<Node> nodes;
  std::vector<std::uint32_t> roots = {0}, groups;
  std::vector<float> leaves, weights;
  std::vector<std::uint64_t> missing_right;
  for (std::size_t trees = count(); in.good() && trees > 0; --trees) {
    groups.push_back(static_cast<std::uint32_t>(count()));
    const std::size_t root = nodes.size(), size = count();
    for (std::size_t i = 0; in.good() && i < size; ++i) {
      if ((root + i) % 64 == 0) missing_right.push_back(0);
      const std::string what = word();
      weights.push_back(static_cast<float>(number()));
      if (what == "leaf") {
        nodes.push_back(Node::leaf(i, leaves.size() / width));
        for (std::size_t k = 0; k < width; ++k) leaves.push_back(static_cast<float>(number()));
        continue;
      }
      const std::size_t feature = count();
      const auto threshold = static_cast<float>(number());
      nodes.push_back(Node::inner(threshold, feature, count()));
      if (count() != 0) missing_right.back() |= std::uint64_t{1} << ((root + i) % 64);
    }
    roots.push_back(static_cast<std::uint32_t>(nodes.size()));
  }
  ExplainedModel out;
  out.count = count();
  out.rows.resize(in.good() ? out.count * inputs : 0);
  for (auto& value : out.rows) value = static_cast<float>(number());
  out.contributions.resize(in.good() ? outputs * out.count * (inputs + 1) : 0);
  for (auto& value : out.contributions) value = number();
  if (word() != "end") return out;
  TreeSet::Parts parts;
  parts.inputs = inputs;
  parts.width = width;
  parts.covers = TreeSet::pack_covers(nodes, roots, weights);
  parts.nodes = std::move(nodes);
  parts.roots = std::move(roots);
  parts.leaves = std::move(leaves);
  parts.missing_right = std::move(missing_right);
  auto set = TreeSet::make(std::move(parts));
  if (!set) return out;
  if (kind == "forest") {
    if (auto forest = Forest::make(std::move(*set))) out.model = std::make_shared<Forest>(std::move(*forest));
  } else {
    auto boost = Boost::make(std::move(*set), std::move(groups), base);
    if (boost) out.model = std::make_shared<Boost>(std::move(*boost));
  }
  return out;
}

}  // namespace nidus::model::testing
