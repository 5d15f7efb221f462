#include "learn/isolation_trainer.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "base/parallel.h"
#include "base/random.h"

namespace nidus::learn {
namespace {

using model::Node;

constexpr float kHighest = std::numeric_limits<float>::max();

// A leaf is told by its depth and its rows until all trees are there.
struct IsolationLeaf {
  std::uint32_t depth = 0, rows = 0;
  auto operator<=>(const IsolationLeaf&) const = default;
};

struct IsolationTree {
  std::vector<Node> nodes;  // leaf numbers are places in `leaves`
  std::vector<float> covers;
  std::vector<IsolationLeaf> leaves;
};

// Different rows below `rows`, `count` of them or all (Floyd's algorithm; Bentley and Floyd, 1987).
void draw_rows(Random& random, std::size_t rows, std::size_t count, std::vector<std::size_t>& out) {
  out.clear();
  if (count >= rows) {
    out.resize(rows);
    std::iota(out.begin(), out.end(), std::size_t{0});
    return;
  }
  for (std::size_t last = rows - count; last < rows; ++last) {
    const std::size_t row = random.below(last + 1);
    const auto at = std::lower_bound(out.begin(), out.end(), row);
    if (at != out.end() && *at == row) {
      out.push_back(last);  // larger than all before
    } else {
      out.insert(at, row);
    }
  }
}

// Grows one tree after the other; one for each thread.
class IsolationGrower {
 public:
  IsolationGrower(const Dataset& training, std::size_t samples)
      : training_(training),
        samples_(std::min(samples, training.rows())),
        depth_max_(static_cast<std::uint32_t>(
            std::ceil(std::log2(static_cast<double>(std::max<std::size_t>(samples_, 2)))))),
        values_(samples_ * training.inputs()) {}

  IsolationTree grow(Random random) {
    gather(random);
    IsolationTree tree;
    tree.nodes.emplace_back();
    tree.covers.emplace_back();
    open_.push_back(
        {0, 0, static_cast<std::uint32_t>(samples_), 0, static_cast<std::uint32_t>(training_.inputs())});
    while (!open_.empty()) {
      const Open node = open_.back();
      open_.pop_back();
      const std::uint32_t rows = node.end - node.begin;
      tree.covers[node.at] = static_cast<float>(rows);
      Open child = node;
      Split split;
      if (rows < 2 || node.depth == depth_max_ || !draw_split(random, child, split)) {
        tree.nodes[node.at] = Node::leaf(node.at, tree.leaves.size());
        tree.leaves.push_back({node.depth, rows});
        continue;
      }
      const auto left = static_cast<std::uint32_t>(tree.nodes.size());
      tree.nodes.resize(left + 2);
      tree.covers.resize(left + 2);
      tree.nodes[node.at] = Node::inner(split.threshold, split.column, left);
      const float* const column = values_.data() + split.column * samples_;
      const auto first = order_.begin() + node.begin, last = order_.begin() + node.end;
      const auto middle =
          std::partition(first, last, [&](std::uint16_t row) { return !(column[row] > split.threshold); });
      const auto cut = static_cast<std::uint32_t>(middle - order_.begin());
      ++child.depth;
      open_.push_back({left + 1, cut, node.end, child.depth, child.columns});
      open_.push_back({left, node.begin, cut, child.depth, child.columns});
    }
    return tree;
  }

 private:
  struct Open {
    std::uint32_t at, begin, end, depth;
    // The first so many of columns_ may vary in these rows. What a subtree does to their order stays among
    // them, so they are the same when its sibling is reached.
    std::uint32_t columns;
  };
  struct Split {
    std::size_t column = 0;
    float threshold = 0;
  };

  void gather(Random& random) {
    const std::size_t inputs = training_.inputs();
    draw_rows(random, training_.rows(), samples_, rows_);
    for (std::size_t i = 0; i < samples_; ++i) {
      const float* const row = training_.values.data() + rows_[i] * inputs;
      // Infinities count as the largest numbers, between which a place can be drawn; NaN stays.
      for (std::size_t input = 0; input < inputs; ++input)
        values_[input * samples_ + i] = row[input] > kHighest    ? kHighest
                                        : row[input] < -kHighest ? -kHighest
                                                                 : row[input];
    }
    order_.resize(samples_);
    std::iota(order_.begin(), order_.end(), std::uint16_t{0});
    columns_.resize(inputs);
    std::iota(columns_.begin(), columns_.end(), std::uint32_t{0});
  }

  // False when no column varies. Columns found constant are taken off node.columns.
  bool draw_split(Random& random, Open& node, Split& split) {
    std::uint32_t untried = node.columns;
    while (untried > 0) {
      const auto pick = static_cast<std::uint32_t>(random.below(untried));
      split.column = columns_[pick];
      const float* const column = values_.data() + split.column * samples_;
      float low = kHighest, high = -kHighest;
      std::uint32_t missing = 0;
      for (std::uint32_t i = node.begin; i < node.end; ++i) {
        const float value = column[order_[i]];
        missing += std::isnan(value) ? 1 : 0;
        low = value < low ? value : low;
        high = value > high ? value : high;
      }
      const bool present = missing < node.end - node.begin;
      if (present && low < high) {
        const double wide =
            static_cast<double>(low) + (static_cast<double>(high) - static_cast<double>(low)) * random.unit();
        split.threshold = static_cast<float>(wide);
        if (!(split.threshold < high)) split.threshold = low;
        return true;
      }
      if (present && missing > 0) {
        split.threshold = std::nextafter(low, -std::numeric_limits<float>::infinity());
        return true;
      }
      --untried;
      std::swap(columns_[pick], columns_[untried]);
      --node.columns;
    }
    return false;
  }

  const Dataset& training_;
  std::size_t samples_;
  std::uint32_t depth_max_;
  std::vector<float> values_;  // of the rows drawn, column by column
  std::vector<std::size_t> rows_;
  std::vector<std::uint16_t> order_;
  std::vector<std::uint32_t> columns_;
  std::vector<Open> open_;
};

// Equal leaves, which nearly all are, get one number.
Result<model::AdditiveTrees> assemble(std::vector<IsolationTree> trees, std::size_t inputs,
                                      std::size_t samples) {
  std::map<IsolationLeaf, std::size_t> numbers;
  std::vector<double> values;
  std::vector<Node> nodes;
  std::vector<float> covers;
  std::vector<std::uint32_t> roots = {0};
  for (const auto& tree : trees) {
    for (std::size_t i = 0; i < tree.nodes.size(); ++i) {
      Node node = tree.nodes[i];
      if (node.is_leaf()) {
        const IsolationLeaf& leaf = tree.leaves[node.leaf_number()];
        const auto [at, added] = numbers.try_emplace(leaf, values.size());
        if (added) values.push_back(leaf.depth + model::mean_search_path(leaf.rows));
        node = Node::leaf(i, at->second);
      }
      nodes.push_back(node);
    }
    covers.insert(covers.end(), tree.covers.begin(), tree.covers.end());
    roots.push_back(static_cast<std::uint32_t>(nodes.size()));
  }
  const double whole =
      static_cast<double>(trees.size()) * model::mean_search_path(static_cast<double>(samples));
  model::TreeSet::Parts parts;
  parts.inputs = inputs;
  parts.covers = model::TreeSet::pack_covers(nodes, roots, covers);
  parts.nodes = std::move(nodes);
  parts.roots = std::move(roots);
  parts.wide_leaves = std::move(values);
  auto set = model::TreeSet::make(std::move(parts));
  if (!set) return std::move(set).error();
  model::AdditiveTrees::Parts forest;
  forest.base = {0};
  forest.link = model::AdditiveTrees::Link::isolation;
  forest.factor = 1 / whole;
  forest.kind = "isolation forest";
  return model::AdditiveTrees::make(std::move(*set), std::move(forest));
}

}  // namespace

Result<model::AdditiveTrees> fit_isolation_forest(const Dataset& training, const IsolationOptions& options) {
  if (training.rows() < 2) return Error{Errc::invalid, "an isolation forest learns from two rows at least"};
  if (training.inputs() == 0 || training.inputs() > Node::kFeaturesMax) {
    return Error{Errc::unsupported, std::to_string(training.inputs()) +
                                        " columns, an isolation forest takes 1 to " +
                                        std::to_string(Node::kFeaturesMax)};
  }
  if (options.trees == 0 || options.trees > 100'000)
    return Error{Errc::invalid, "an isolation forest has 1 to 100,000 trees"};
  if (options.samples < 2 || options.samples > 65'535)
    return Error{Errc::invalid, "a tree of an isolation forest is grown from 2 to 65,535 rows"};

  Workers workers(options.threads);
  std::vector<IsolationTree> trees(options.trees);
  // The random numbers of a tree depend on seed and number alone, so trees can be grown in any order.
  constexpr std::size_t kBlock = 8;
  std::mutex mutex;  // guards `done` and the calls of progress
  std::size_t done = 0;
  std::atomic<bool> stopped{false};
  workers.run((options.trees + kBlock - 1) / kBlock, [&](std::size_t block) {
    if (stopped.load(std::memory_order_relaxed)) return;
    IsolationGrower grower(training, options.samples);
    const std::size_t first = block * kBlock, end = std::min(first + kBlock, options.trees);
    for (std::size_t tree = first; tree < end; ++tree) {
      trees[tree] =
          grower.grow(Random(Random::mix(options.seed) + Random::mix(static_cast<std::uint64_t>(tree) + 1)));
    }
    const std::lock_guard lock(mutex);
    done += end - first;
    if (options.progress && !options.progress(static_cast<double>(done) / static_cast<double>(options.trees)))
      stopped = true;
  });
  if (done < options.trees) return Error{Errc::exhausted, "training was stopped before it was done"};
  return assemble(std::move(trees), training.inputs(), std::min(options.samples, training.rows()));
}

Result<double> contamination_threshold(std::span<const double> training_scores, double contamination) {
  if (training_scores.empty()) return Error{Errc::invalid, "no rows to draw the line of --contamination by"};
  if (!(contamination > 0 && contamination <= 0.5))
    return Error{Errc::invalid, "a contamination lies above 0 and not above 0.5"};
  // score_samples, ascending.
  std::vector<double> normal;
  normal.reserve(training_scores.size());
  for (const double score : training_scores) {
    if (std::isnan(score)) return Error{Errc::invalid, "a score that is not a number"};
    normal.push_back(-score);
  }
  std::sort(normal.begin(), normal.end());
  // np.percentile(…, 100 * contamination), with its two ways of rounding.
  const double place = contamination * static_cast<double>(normal.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, normal.size() - 1);
  const double share = place - static_cast<double>(below), gap = normal[above] - normal[below];
  const double offset = share < 0.5 ? normal[below] + gap * share : normal[above] - gap * (1 - share);
  return std::nextafter(-offset, std::numeric_limits<double>::infinity());
}

}  // namespace nidus::learn
