#include "learn/forest_trainer.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/parallel.h"
#include "base/random.h"
#include "base/text.h"
#include "learn/checkpoint.h"
#include "learn/internal/binned.h"
#include "learn/internal/training_digest.h"
#include "learn/internal/tree_grower.h"

namespace nidus::learn {
namespace {

using internal::GrownTree;
using internal::TreeGrower;
using model::Node;

// The random numbers of a tree depend on seed and number alone, so trees can be grown in any order.
Random random_of_tree(std::uint64_t seed, std::size_t tree) {
  return Random(Random::mix(seed) + Random::mix(static_cast<std::uint64_t>(tree) + 1));
}

// Draws as many rows as there are, with replacement. A row drawn more than 65,535 times counts as often as
// that.
void draw(Random& random, bool bootstrap, std::vector<std::uint16_t>& copies) {
  if (!bootstrap) {
    std::fill(copies.begin(), copies.end(), std::uint16_t{1});
    return;
  }
  std::fill(copies.begin(), copies.end(), std::uint16_t{0});
  for (std::size_t i = 0; i < copies.size(); ++i) {
    auto& count = copies[random.below(copies.size())];
    if (count < std::numeric_limits<std::uint16_t>::max()) ++count;
  }
}

// What the rows of each class weigh, beside their own weights.
Result<std::vector<double>> class_weights(const Dataset& training, bool balanced) {
  const std::size_t classes = training.classes.size();
  std::vector<double> by_class(classes);
  for (std::size_t i = 0; i < training.rows(); ++i) {
    const double weight = training.weights.empty() ? 1.0 : static_cast<double>(training.weights[i]);
    if (!(weight >= 0) || !std::isfinite(weight)) {
      return Error{Errc::invalid, "the weight of row " + std::to_string(i) + " is negative or not finite"};
    }
    by_class[training.labels[i]] += weight;
  }
  std::size_t present = 0;
  double total = 0;
  for (const double weight : by_class) {
    present += weight > 0 ? 1 : 0;
    total += weight;
  }
  if (present < 2)
    return Error{Errc::invalid, "the rows are all of one class: there is nothing to tell apart"};
  std::vector<double> weights(classes, 1.0);
  for (std::size_t cls = 0; balanced && cls < classes; ++cls) {
    if (by_class[cls] > 0) weights[cls] = total / (static_cast<double>(present) * by_class[cls]);
  }
  return weights;
}

Result<void> check(const Dataset& training, const ForestOptions& options) {
  if (training.rows() == 0) return Error{Errc::invalid, "no rows to learn from"};
  if (training.rows() > std::numeric_limits<std::uint32_t>::max()) {
    return Error{Errc::unsupported, "more than 2^32 rows"};
  }
  if (training.classes.size() < 2) return Error{Errc::invalid, "fewer than two classes to tell apart"};
  if (training.classes.size() > 65536) return Error{Errc::unsupported, "more than 65,536 classes"};
  if (training.inputs() == 0 || training.inputs() > Node::kFeaturesMax) {
    return Error{Errc::unsupported, std::to_string(training.inputs()) + " columns, a forest takes 1 to " +
                                        std::to_string(Node::kFeaturesMax)};
  }
  if (options.trees == 0 || options.trees > 100'000)
    return Error{Errc::invalid, "a forest has 1 to 100,000 trees"};
  if (options.bins < 2 || options.bins > 255) return Error{Errc::invalid, "bins lie between 2 and 255"};
  if (options.min_leaf == 0) return Error{Errc::invalid, "a leaf has at least one row"};
  return {};
}

// Puts the trees behind each other and gives equal leaves one number: nearly all leaves of a full tree are
// pure, so a table of thousands of leaves shrinks to a few lines that stay in the fastest cache.
class Assembly {
 public:
  explicit Assembly(std::size_t width) : width_(width) { roots_.push_back(0); }

  Result<void> add(const GrownTree& tree) {
    if (tree.too_large) {
      return Error{Errc::unsupported,
                   "a tree would have more than " + with_thousands(Node::kNodesMax) +
                       " nodes: set a limit for its depth, its nodes or the rows in a leaf"};
    }
    // The leaves of the tree, then its nodes, with the numbers that those have in the forest.
    std::vector<std::size_t> numbers(tree.shares.size() / width_);
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = number_of(tree.shares.data() + i * width_);
    for (std::size_t i = 0; i < tree.nodes.size(); ++i) {
      const Node& node = tree.nodes[i];
      nodes_.push_back(node.is_leaf() ? Node::leaf(i, numbers[node.leaf_number()]) : node);
    }
    weights_.insert(weights_.end(), tree.covers.begin(), tree.covers.end());
    if (nodes_.size() > 0x7fffffffu) return Error{Errc::unsupported, "more than 2^31 nodes in a forest"};
    if (leaves_.size() / width_ > Node::kLeavesMax) {
      return Error{Errc::unsupported,
                   "more than " + with_thousands(Node::kLeavesMax) +
                       " different leaves: set a limit for the depth or the rows in a leaf"};
    }
    roots_.push_back(static_cast<std::uint32_t>(nodes_.size()));
    return {};
  }

  Result<model::Forest> finish(std::size_t inputs) && {
    model::TreeSet::Parts parts;
    parts.inputs = inputs;
    parts.width = width_;
    parts.covers = model::TreeSet::pack_covers(nodes_, roots_, weights_);
    parts.nodes = std::move(nodes_);
    parts.roots = std::move(roots_);
    parts.leaves = std::move(leaves_);
    auto set = model::TreeSet::make(std::move(parts));
    if (!set) return std::move(set).error();
    return model::Forest::make(std::move(*set));
  }

 private:
  std::size_t number_of(const float* shares) {
    std::string key(reinterpret_cast<const char*>(shares), width_ * sizeof(float));
    const auto [found, added] = numbers_.try_emplace(std::move(key), leaves_.size() / width_);
    if (added) leaves_.insert(leaves_.end(), shares, shares + width_);
    return found->second;
  }

  std::size_t width_;
  std::vector<Node> nodes_;
  std::vector<std::uint32_t> roots_;
  std::vector<float> leaves_;
  std::vector<float> weights_;  // of each node
  std::unordered_map<std::string, std::size_t> numbers_;
};

// The mean of the trees that did not draw a row, tree after tree, so the same for any number of threads.
void estimate_out_of_bag(const Dataset& training, const ForestOptions& options, Workers& workers,
                         FittedForest& fitted) {
  const std::size_t rows = training.rows(), width = fitted.forest.outputs();
  const model::TreeSet& trees = fitted.forest.trees();
  std::vector<std::vector<bool>> drawn(trees.trees());
  workers.run(trees.trees(), [&](std::size_t tree) {
    std::vector<std::uint16_t> copies(rows);
    Random random = random_of_tree(options.seed, tree);
    draw(random, options.bootstrap, copies);
    drawn[tree].resize(rows);
    for (std::size_t row = 0; row < rows; ++row) drawn[tree][row] = copies[row] > 0;
  });

  fitted.out_of_bag_scores.assign(rows * width, 0.0);
  std::vector<std::uint32_t> seen_by(rows);
  constexpr std::size_t kBlock = 64;
  workers.run((rows + kBlock - 1) / kBlock, [&](std::size_t block) {
    const std::size_t first = block * kBlock, count = std::min(kBlock, rows - first);
    std::uint32_t leaves[kBlock];
    for (std::size_t tree = 0; tree < trees.trees(); ++tree) {
      trees.walk(tree, training.values.data() + first * training.inputs(), count, leaves);
      for (std::size_t i = 0; i < count; ++i) {
        if (drawn[tree][first + i]) continue;
        ++seen_by[first + i];
        for (std::size_t c = 0; c < width; ++c)
          fitted.out_of_bag_scores[(first + i) * width + c] += trees.value(leaves[i], c);
      }
    }
  });

  std::uint64_t judged = 0, right = 0;
  for (std::size_t row = 0; row < rows; ++row) {
    double* scores = fitted.out_of_bag_scores.data() + row * width;
    for (std::size_t c = 0; c < width; ++c) {
      scores[c] = seen_by[row] > 0 ? scores[c] / seen_by[row] : std::numeric_limits<double>::quiet_NaN();
    }
    if (seen_by[row] == 0) continue;
    const std::size_t said =
        width == 1 ? (scores[0] >= 0.5 ? 1u : 0u)
                   : static_cast<std::size_t>(std::max_element(scores, scores + width) - scores);
    ++judged;
    right += said == training.labels[row] ? 1 : 0;
  }
  if (judged > 0) fitted.out_of_bag_accuracy = static_cast<double>(right) / static_cast<double>(judged);
}

// The number of trees is not among the settings: each tree is what it is whatever their number.
std::uint64_t digest(const Dataset& training, const ForestOptions& options,
                     const internal::GrowOptions& grow) {
  internal::TrainingDigest out("forest 2");
  for (const std::size_t number :
       {grow.max_depth, grow.min_leaf, grow.features_per_split, grow.nodes_max, options.bins}) {
    out.add(number);
  }
  out.add(options.bootstrap);
  out.add(options.extra_trees);
  out.add(options.balanced);
  out.add(options.seed);
  out.add(training);
  return out.value();
}

}  // namespace

Result<FittedForest> fit_forest(const Dataset& training, const ForestOptions& options) {
  if (auto good = check(training, options); !good) return std::move(good).error();
  const auto weights = class_weights(training, options.balanced);
  if (!weights) return weights.error();

  Workers workers(options.threads);
  const internal::Binned binned(
      training, options.bins,
      options.extra_trees ? internal::Binned::Use::extra_trees : internal::Binned::Use::forest, workers);
  internal::GrowOptions grow;
  grow.max_depth = options.max_depth;
  grow.min_leaf = std::min<std::size_t>(options.min_leaf, std::numeric_limits<std::uint32_t>::max());
  grow.features_per_split = options.features_per_split;
  if (grow.features_per_split == 0) {
    grow.features_per_split =
        std::max<std::size_t>(1, static_cast<std::size_t>(std::sqrt(static_cast<double>(training.inputs()))));
  }
  grow.random_cuts = options.extra_trees;
  if (options.nodes_max > 0) grow.nodes_max = std::max<std::size_t>(3, options.nodes_max / options.trees);

  const std::size_t width = training.classes.size() == 2 ? 1 : training.classes.size();
  std::vector<GrownTree> grown(options.trees);
  std::size_t done = 0;
  Checkpoint checkpoint;
  if (!options.checkpoint.empty()) {
    auto opened = Checkpoint::open(options.checkpoint, digest(training, options, grow));
    if (!opened) return std::move(opened).error();
    checkpoint = std::move(*opened);
    for (const auto& record : checkpoint.take_records()) {
      if (record.number >= options.trees || !grown[record.number].nodes.empty()) continue;
      auto tree = internal::tree_from_bytes(record.bytes, width);
      if (!tree) return Error{Errc::corrupt, options.checkpoint.string() + ": a record that is no tree"};
      grown[record.number] = std::move(*tree);
      ++done;
    }
  }
  const std::size_t resumed = done;
  const auto go_on = [&] {
    return !options.progress ||
           options.progress(static_cast<double>(done) / static_cast<double>(options.trees));
  };
  const Error told_to_stop{Errc::exhausted, "training was stopped before it was done"};
  if (resumed > 0 && !go_on()) return told_to_stop;

  std::mutex mutex;  // guards `idle`, `done`, `failed`, the checkpoint and the calls of progress
  std::vector<std::unique_ptr<TreeGrower>> idle;
  std::optional<Error> failed;
  std::atomic<bool> stopped{false};
  workers.run(options.trees, [&](std::size_t tree) {
    if (!grown[tree].nodes.empty() || stopped.load(std::memory_order_relaxed)) return;
    std::unique_ptr<TreeGrower> grower;
    {
      const std::lock_guard lock(mutex);
      if (!idle.empty()) {
        grower = std::move(idle.back());
        idle.pop_back();
      }
    }
    if (grower == nullptr) {
      grower = std::make_unique<TreeGrower>(
          binned, internal::Targets{training.labels, *weights, training.weights}, grow);
    }
    std::vector<std::uint16_t> copies(training.rows());
    Random random = random_of_tree(options.seed, tree);
    draw(random, options.bootstrap, copies);
    grown[tree] = grower->grow(copies, random);
    std::string bytes;
    if (!options.checkpoint.empty() && !grown[tree].too_large) bytes = internal::to_bytes(grown[tree]);
    const std::lock_guard lock(mutex);
    idle.push_back(std::move(grower));
    ++done;
    if (!bytes.empty()) {
      if (auto kept = checkpoint.append(tree, bytes); !kept && !failed) failed = std::move(kept).error();
    }
    if (failed || grown[tree].too_large || !go_on()) stopped = true;
  });
  if (failed) return std::move(*failed);
  const bool too_large =
      std::any_of(grown.begin(), grown.end(), [](const auto& tree) { return tree.too_large; });
  if (done < options.trees && !too_large) return told_to_stop;

  Assembly assembly(width);
  for (auto& tree : grown) {
    if (tree.nodes.empty()) continue;  // stopped by one that is too large, which stands behind it
    if (auto added = assembly.add(tree); !added) return std::move(added).error();
    tree = {};
  }
  auto forest = std::move(assembly).finish(training.inputs());
  if (!forest) return std::move(forest).error();
  FittedForest fitted{std::move(*forest), resumed, {}, std::nullopt};
  if (options.out_of_bag && options.bootstrap) estimate_out_of_bag(training, options, workers, fitted);
  return fitted;
}

std::uint64_t forest_bytes(std::size_t rows, std::size_t inputs, std::size_t threads) {
  const std::uint64_t bins = std::uint64_t{rows} * inputs;
  return bins + (threads == 0 ? default_threads() : threads) * (bins / 15 + std::uint64_t{rows} * 18);
}

}  // namespace nidus::learn
