#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/number.h"
#include "learn/internal/xgboost_json.h"

namespace nidus::learn::internal {
namespace {

using model::Node;
using Json = nlohmann::json;

Error unexpected(const std::string& what) { return {Errc::unsupported, "libxgboost's model: " + what}; }

// All trees in our layout, tree after tree.
class Trees {
 public:
  Result<void> add(const Json& tree) {
    const auto lefts = tree.at("left_children").get<std::vector<int>>();
    const auto rights = tree.at("right_children").get<std::vector<int>>();
    const auto features = tree.at("split_indices").get<std::vector<int>>();
    const auto conditions = tree.at("split_conditions").get<std::vector<float>>();
    const auto types = tree.at("split_type").get<std::vector<int>>();
    const auto hessians = tree.at("sum_hessian").get<std::vector<float>>();
    // Booleans in some versions, numbers in others.
    std::vector<bool> default_left;
    for (const auto& flag : tree.at("default_left")) {
      default_left.push_back(flag.is_boolean() ? flag.get<bool>() : flag.get<int>() != 0);
    }
    const std::size_t count = lefts.size();
    for (const std::size_t size : {rights.size(), features.size(), conditions.size(), types.size(),
                                   default_left.size(), hessians.size()}) {
      if (size != count || count == 0) return unexpected("the arrays of a tree differ in length");
    }
    if (count > Node::kNodesMax) return unexpected("a tree with too many nodes");
    // Breadth first; each pair of children gets the next two places, so children stand behind their parents.
    std::vector<std::size_t> source = {0};
    const std::size_t root = nodes_.size();
    for (std::size_t at = 0; at < source.size(); ++at) {
      const std::size_t from = source[at];
      const int left = lefts[from], right = rights[from];
      weights_.push_back(std::max(hessians[from], 0.0f));
      if (left < 0) {
        nodes_.push_back(Node::leaf(at, leaf_number(conditions[from])));
        continue;
      }
      if (static_cast<std::size_t>(left) >= count || right < 0 || static_cast<std::size_t>(right) >= count ||
          features[from] < 0 || types[from] != 0) {
        return unexpected("a node that is not a numeric split");
      }
      if (source.size() + 2 > count) return unexpected("a tree that is not one");
      // x < t is x <= the float below t.
      const float below = std::nextafter(conditions[from], -std::numeric_limits<float>::infinity());
      if (std::isnan(below) || std::isinf(below)) return unexpected("a split at infinity");
      if (!default_left[from]) missing_right_.push_back(root + at);
      nodes_.push_back(Node::inner(below, static_cast<std::size_t>(features[from]), source.size()));
      source.push_back(static_cast<std::size_t>(left));
      source.push_back(static_cast<std::size_t>(right));
    }
    roots_.push_back(static_cast<std::uint32_t>(nodes_.size()));
    return {};
  }

  Result<model::TreeSet> finish(std::size_t inputs) && {
    model::TreeSet::Parts parts;
    parts.inputs = inputs;
    if (!missing_right_.empty()) {
      std::vector<std::uint64_t> bits((nodes_.size() + 63) / 64);
      for (const auto node : missing_right_) bits[node / 64] |= std::uint64_t{1} << (node % 64);
      parts.missing_right = std::move(bits);
    }
    parts.covers = model::TreeSet::pack_covers(nodes_, roots_, weights_);
    parts.nodes = std::move(nodes_);
    parts.roots = std::move(roots_);
    parts.leaves = std::move(leaves_);
    return model::TreeSet::make(std::move(parts));
  }

 private:
  std::size_t leaf_number(float value) {
    const auto [found, added] =
        leaf_numbers_.try_emplace(std::bit_cast<std::uint32_t>(value), leaves_.size());
    if (added) leaves_.push_back(value);
    return found->second;
  }

  std::vector<Node> nodes_;
  std::vector<std::uint32_t> roots_ = {0};
  std::vector<float> leaves_;
  std::vector<float> weights_;  // sums of the hessian, one a node
  std::vector<std::size_t> missing_right_;
  std::unordered_map<std::uint32_t, std::size_t> leaf_numbers_;
};

// What the JSON of one booster says beside its trees.
struct Frame {
  std::size_t groups = 0;
  float base_margin = 0;

  bool operator==(const Frame&) const = default;
};

Result<Frame> read_frame(const Json& learner) {
  const auto objective = learner.at("objective").at("name").get<std::string>();
  const Json& parameters = learner.at("learner_model_param");
  const auto base = parse_number(parameters.at("base_score").get<std::string>());
  const auto classes = parse_integer(parameters.at("num_class").get<std::string>());
  if (!base || !classes || *classes < 0 || *classes > 1024)
    return unexpected("parameters that are no numbers");
  const bool binary = objective == "binary:logistic";
  if (!binary && objective != "multi:softprob") return unexpected("objective " + objective);
  if (!binary && *classes < 2) return unexpected("fewer than two classes");
  const auto base_score = static_cast<float>(*base);
  return Frame{binary ? 1 : static_cast<std::size_t>(*classes),
               binary ? -std::log(1.0f / base_score - 1.0f) : base_score};
}

Result<model::Boost> convert(std::span<const std::string_view> parts, std::size_t inputs) {
  Frame frame;
  std::vector<std::uint32_t> group_of;
  Trees converted;
  for (const auto& part : parts) {
    const Json json = Json::parse(part);
    const Json& learner = json.at("learner");
    const auto read = read_frame(learner);
    if (!read) return read.error();
    if (group_of.empty()) frame = *read;
    if (*read != frame) return unexpected("parts of different models");
    const Json& model = learner.at("gradient_booster").at("model");
    const auto groups = model.at("tree_info").get<std::vector<std::uint32_t>>();
    const Json& trees = model.at("trees");
    if (groups.size() != trees.size()) return unexpected("not one group for each tree");
    for (const Json& tree : trees) {
      if (auto added = converted.add(tree); !added) return std::move(added).error();
    }
    group_of.insert(group_of.end(), groups.begin(), groups.end());
  }
  auto set = std::move(converted).finish(inputs);
  if (!set) return std::move(set).error();
  return model::Boost::make(std::move(*set), std::move(group_of),
                            std::vector<float>(frame.groups, frame.base_margin));
}

}  // namespace

Result<model::Boost> from_xgboost_json(std::span<const std::string_view> parts, std::size_t inputs) {
  try {
    return convert(parts, inputs);
  } catch (const Json::exception& fault) {
    return unexpected(fault.what());
  }
}

Result<model::Boost> from_xgboost_json(std::string_view part, std::size_t inputs) {
  return from_xgboost_json(std::span(&part, 1), inputs);
}

}  // namespace nidus::learn::internal
