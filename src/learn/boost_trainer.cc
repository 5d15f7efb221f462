#include "learn/boost_trainer.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/parallel.h"
#include "base/random.h"
#include "learn/checkpoint.h"
#include "learn/internal/binned.h"
#include "learn/internal/boost_grower.h"
#include "learn/internal/training_digest.h"

// A round is one tree for each group, grown from the margins that the rounds before it left for every row. It
// depends on those margins, the options and its own seed, and on nothing else that was remembered: so a round
// is one record of the checkpoint, and training that goes on from there takes the very steps that it would
// have taken. Margins are floats to which each round adds one leaf, which is what scoring does.
namespace nidus::learn {
namespace {

using internal::BoostGrower;
using internal::Gradients;
using internal::GrownTree;

// Below this many values a thread costs more than it brings.
constexpr std::size_t kValuesEach = 100'000;
// Rows whose gradients are computed together.
constexpr std::size_t kRows = 16'384;

// What each row weighs; empty if all weigh the same.
std::vector<float> row_weights(const Dataset& dataset, bool balanced) {
  std::vector<float> weights = dataset.weights;
  if (!balanced) return weights;
  if (weights.empty()) weights.assign(dataset.rows(), 1.0f);
  std::vector<double> by_class(dataset.classes.size());
  double total = 0, present = 0;
  for (std::size_t i = 0; i < weights.size(); ++i)
    by_class[dataset.labels[i]] += static_cast<double>(weights[i]);
  for (const double weight : by_class) {
    total += weight;
    present += weight > 0 ? 1 : 0;
  }
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double all = by_class[dataset.labels[i]];
    if (all > 0) weights[i] = static_cast<float>(static_cast<double>(weights[i]) * total / (present * all));
  }
  return weights;
}

Result<void> check(const Dataset& training, const Dataset* validation, const BoostOptions& options) {
  if (training.rows() == 0) return Error{Errc::invalid, "no rows to learn from"};
  for (const auto weight : training.weights) {
    if (!(weight >= 0) || !std::isfinite(weight)) {
      return Error{Errc::invalid, "the weight of a row is negative or not finite"};
    }
  }
  const auto counts = training.class_counts();
  if (std::count_if(counts.begin(), counts.end(), [](auto count) { return count > 0; }) < 2) {
    return Error{Errc::invalid, "the rows are all of one class: there is nothing to tell apart"};
  }
  if (training.inputs() == 0 || training.inputs() > model::Node::kFeaturesMax) {
    return Error{Errc::unsupported, std::to_string(training.inputs()) + " columns, boosted trees take 1 to " +
                                        std::to_string(model::Node::kFeaturesMax)};
  }
  if (options.rounds == 0) return Error{Errc::invalid, "boosting takes at least one round"};
  if (options.max_depth == 0 || options.max_depth > 20)
    return Error{Errc::invalid, "depth lies between 1 and 20"};
  if (options.bins < 3 || options.bins > 256) return Error{Errc::invalid, "bins lie between 3 and 256"};
  const auto is_share = [](double x) { return x > 0 && x <= 1; };
  const auto is_positive = [](double x) { return x > 0 && std::isfinite(x); };
  const auto is_penalty = [](double x) { return x >= 0 && std::isfinite(x); };
  for (const auto& [good, what] :
       {std::pair(is_positive(options.learning_rate), "the learning rate is above 0"),
        std::pair(is_positive(options.scale_positive), "the weight of attack rows is above 0"),
        std::pair(is_share(options.subsample), "the share of rows lies above 0, up to 1"),
        std::pair(is_share(options.columns_per_tree), "the share of columns lies above 0, up to 1"),
        std::pair(is_penalty(options.min_child_weight), "the least weight of a child is 0 or above"),
        std::pair(is_penalty(options.lambda), "lambda is 0 or above"),
        std::pair(is_penalty(options.gamma), "gamma is 0 or above")}) {
    if (!good) return Error{Errc::invalid, std::string("boosting: ") + what};
  }
  if (validation != nullptr && (validation->schema != training.schema ||
                                validation->classes != training.classes || validation->rows() == 0)) {
    return Error{Errc::invalid, "the validation rows have other columns or classes, or there are none"};
  }
  return {};
}

// Minus the logarithm of what the margins give the true class, the mean over the rows by their weights.
double log_loss(const Dataset& dataset, std::span<const float> weights, std::span<const float> margins) {
  const std::size_t groups = margins.size() / dataset.rows();
  double sum = 0, all = 0;
  for (std::size_t row = 0; row < dataset.rows(); ++row) {
    const float* const margin = margins.data() + row * groups;
    const std::uint32_t truth = dataset.labels[row];
    double loss = 0;
    if (groups == 1) {
      const double z = static_cast<double>(truth == 1 ? margin[0] : -margin[0]);
      loss = z > 0 ? std::log1p(std::exp(-z)) : std::log1p(std::exp(z)) - z;
    } else {
      const double highest = static_cast<double>(*std::max_element(margin, margin + groups));
      double powers = 0;
      for (std::size_t i = 0; i < groups; ++i) powers += std::exp(static_cast<double>(margin[i]) - highest);
      loss = std::log(powers) + highest - static_cast<double>(margin[truth]);
    }
    const double weight = weights.empty() ? 1.0 : static_cast<double>(weights[row]);
    sum += weight * loss;
    all += weight;
  }
  return all > 0 ? sum / all : 0;
}

// Where margins begin: the logarithm of the odds of an attack, or of each class's share, by the weights. A
// booster that begins at even odds spends its first rounds on learning them.
std::vector<float> base_margins(const Dataset& training, std::span<const float> weights,
                                double scale_positive) {
  std::vector<double> by_class(training.classes.size());
  double total = 0;
  for (std::size_t row = 0; row < training.rows(); ++row) {
    double weight = weights.empty() ? 1.0 : static_cast<double>(weights[row]);
    if (by_class.size() == 2 && training.labels[row] == 1) weight *= scale_positive;
    by_class[training.labels[row]] += weight;
    total += weight;
  }
  constexpr double kLeast = 1e-6;  // of a class without rows
  const auto share = [&](std::size_t cls) { return std::clamp(by_class[cls] / total, kLeast, 1 - kLeast); };
  if (by_class.size() == 2) return {static_cast<float>(std::log(share(1) / (1 - share(1))))};
  std::vector<float> out;
  for (std::size_t cls = 0; cls < by_class.size(); ++cls)
    out.push_back(static_cast<float>(std::log(share(cls))));
  return out;
}

std::uint64_t digest(const Dataset& training, const Dataset* validation, const BoostOptions& options) {
  internal::TrainingDigest out("boost 2");
  for (const double number :
       {options.learning_rate, options.min_child_weight, options.subsample, options.columns_per_tree,
        options.lambda, options.gamma, options.scale_positive})
    out.add(number);
  for (const std::size_t number : {options.max_depth, options.bins, options.early_stopping}) out.add(number);
  out.add(options.balanced);
  out.add(options.seed);
  out.add(training);
  if (validation != nullptr) out.add(*validation);
  return out.value();
}

// Trees one after the other, as they stand in a model.
class TreeList {
 public:
  void add(const GrownTree& tree) {
    const std::size_t root = nodes_.size();
    for (std::size_t at = 0; at < tree.nodes.size(); ++at) {
      const model::Node& node = tree.nodes[at];
      if (tree.missing_right[at] != 0) {
        bits_.resize((root + at) / 64 + 1);
        bits_[(root + at) / 64] |= std::uint64_t{1} << ((root + at) % 64);
      }
      nodes_.push_back(node.is_leaf() ? model::Node::leaf(at, leaf(tree.shares[node.leaf_number()])) : node);
    }
    covers_.insert(covers_.end(), tree.covers.begin(), tree.covers.end());
    roots_.push_back(static_cast<std::uint32_t>(nodes_.size()));
  }

  Result<model::Boost> finish(std::size_t inputs, std::vector<float> begin) && {
    const std::size_t groups = begin.size();
    std::vector<std::uint32_t> group_of(roots_.size() - 1);
    for (std::size_t i = 0; i < group_of.size(); ++i) group_of[i] = static_cast<std::uint32_t>(i % groups);
    if (leaves_.size() > model::Node::kLeavesMax)
      return Error{Errc::unsupported, "more leaves than a model holds: fewer rounds or less depth"};
    model::TreeSet::Parts parts;
    parts.inputs = inputs;
    parts.covers = model::TreeSet::pack_covers(nodes_, roots_, covers_);
    if (!bits_.empty()) bits_.resize((nodes_.size() + 63) / 64);
    parts.missing_right = std::move(bits_);
    parts.nodes = std::move(nodes_);
    parts.roots = std::move(roots_);
    parts.leaves = std::move(leaves_);
    auto set = model::TreeSet::make(std::move(parts));
    if (!set) return std::move(set).error();
    return model::Boost::make(std::move(*set), std::move(group_of), std::move(begin));
  }

 private:
  // Equal leaves are one.
  std::size_t leaf(float value) {
    const auto [found, added] = numbers_.try_emplace(std::bit_cast<std::uint32_t>(value), leaves_.size());
    if (added) leaves_.push_back(value);
    return found->second;
  }

  std::vector<model::Node> nodes_;
  std::vector<std::uint32_t> roots_ = {0};
  std::vector<float> covers_, leaves_;
  std::vector<std::uint64_t> bits_;
  std::unordered_map<std::uint32_t, std::size_t> numbers_;
};

// The trees of one round, one for each group.
using Round = std::vector<GrownTree>;

// Adds what the trees of one round give to the margins of each row.
Result<void> add_round(const Round& round, const Dataset& dataset, std::vector<float>& margins) {
  TreeList trees;
  for (const GrownTree& tree : round) trees.add(tree);
  const std::size_t groups = round.size(), width = dataset.inputs();
  const auto model = std::move(trees).finish(width, std::vector<float>(groups));
  if (!model) return model.error();
  std::vector<float> leaves(kRows * groups);
  for (std::size_t first = 0; first < dataset.rows(); first += kRows) {
    const std::size_t rows = std::min(kRows, dataset.rows() - first);
    model->margins(std::span(dataset.values).subspan(first * width, rows * width), rows,
                   std::span(leaves).first(rows * groups));
    for (std::size_t i = 0; i < rows * groups; ++i) margins[first * groups + i] += leaves[i];
  }
  return {};
}

// The rows of a training in bins, their margins, and what grows trees from them.
class Rounds {
 public:
  Rounds(const Dataset& training, const BoostOptions& options, std::span<const float> weights,
         std::size_t groups, std::size_t threads, std::vector<float>& margins)
      : training_(training),
        options_(options),
        weights_(weights),
        groups_(groups),
        margins_(margins),
        workers_(threads),
        binned_(training, options.bins - 1, internal::Binned::Use::boosting, workers_),
        grower_(binned_,
                {.max_depth = options.max_depth,
                 .min_child_weight = options.min_child_weight,
                 .lambda = options.lambda,
                 .gamma = options.gamma,
                 .learning_rate = options.learning_rate,
                 .columns_per_tree = options.columns_per_tree},
                workers_),
        gradients_(weight_max(), weight_max() * (groups == 1 ? 0.25 : 0.5)) {}

  // One more tree for each group, after which the margins are moved on.
  Round next(std::size_t number) {
    const std::uint64_t seed = Random::mix(options_.seed) + Random::mix(number + 1);
    choose_rows(seed);
    if (groups_ > 1) find_totals();
    Round round;
    for (std::size_t group = 0; group < groups_; ++group) {
      const std::uint64_t own = Random::mix(seed + group + 1);
      fill(group, own);
      round.push_back(grower_.grow(gradients_, Random(own)));
      move_on(group, round.back());
    }
    return round;
  }

 private:
  double weight(std::size_t row) const {
    const double own = weights_.empty() ? 1.0 : static_cast<double>(weights_[row]);
    return groups_ == 1 && training_.labels[row] == 1 ? own * options_.scale_positive : own;
  }
  double weight_max() const {
    double most = 0;
    for (std::size_t row = 0; row < training_.rows(); ++row) most = std::max(most, weight(row));
    return most > 0 ? most : 1;
  }
  // body(chunk, first row, row behind the last), on all threads.
  template <class Body>
  void each_chunk(const Body& body) {
    const std::size_t rows = training_.rows();
    workers_.run((rows + kRows - 1) / kRows,
                 [&](std::size_t chunk) { body(chunk, chunk * kRows, std::min(rows, (chunk + 1) * kRows)); });
  }
  bool learns_from_all() const { return begins_.back() == training_.rows(); }

  bool is_chosen(std::size_t row) const {
    if (!weights_.empty() && !(weights_[row] > 0)) return false;
    if (options_.subsample >= 1) return true;
    constexpr std::uint64_t kStep = 0x9e3779b97f4a7c15u;
    return static_cast<double>(Random::mix(seed_ + (row + 1) * kStep) >> 11) * 0x1p-53 < options_.subsample;
  }

  // Counts the rows that this round learns from, and where those of each chunk begin.
  void choose_rows(std::uint64_t seed) {
    if (!begins_.empty() && options_.subsample >= 1) return;  // the same in every round
    seed_ = seed;
    begins_.assign((training_.rows() + kRows - 1) / kRows + 1, 0);
    each_chunk([&](std::size_t chunk, std::size_t first, std::size_t end) {
      std::size_t count = 0;
      for (std::size_t row = first; row < end; ++row) count += is_chosen(row) ? 1 : 0;
      begins_[chunk + 1] = count;
    });
    for (std::size_t i = 1; i < begins_.size(); ++i) begins_[i] += begins_[i - 1];
  }

  // With several groups: of each row the logarithm of the sum of its powers, before this round.
  void find_totals() {
    totals_.resize(training_.rows());
    each_chunk([&](std::size_t, std::size_t first, std::size_t end) {
      for (std::size_t row = first; row < end; ++row) {
        const float* const margin = margins_.data() + row * groups_;
        const float highest = *std::max_element(margin, margin + groups_);
        float powers = 0;
        for (std::size_t i = 0; i < groups_; ++i) powers += std::exp(margin[i] - highest);
        totals_[row] = highest + std::log(powers);
      }
    });
  }

  // The derivatives of log loss by the margin: p - y and p (1 - p). With several groups the second is twice
  // that, as XGBoost has it, since a group does not move alone.
  void fill(std::size_t group, std::uint64_t seed) {
    const BoostGrower::Room room = grower_.room(begins_.back());
    const bool all = learns_from_all();
    each_chunk([&](std::size_t chunk, std::size_t first, std::size_t end) {
      std::size_t at = begins_[chunk];
      for (std::size_t row = first; row < end; ++row) {
        if (!all && !is_chosen(row)) continue;
        const float margin = margins_[row * groups_ + group];
        const auto p = static_cast<double>(groups_ == 1 ? 1.0f / (1.0f + std::exp(-margin))
                                                        : std::exp(margin - totals_[row]));
        const bool mine = training_.labels[row] == (groups_ == 1 ? 1 : group);
        const double w = weight(row), twice = groups_ == 1 ? 1 : 2;
        room.rows[at] = static_cast<std::uint32_t>(row);
        room.gradients[at] = gradients_.pack(w * (p - (mine ? 1.0 : 0.0)), w * twice * p * (1 - p),
                                             Random::mix(seed + row * 0x9e3779b97f4a7c15u));
        ++at;
      }
    });
  }

  void move_on(std::size_t group, const GrownTree& tree) {
    const auto leaves = grower_.leaves();
    workers_.run(leaves.size(), [&](std::size_t i) {
      for (const auto row : grower_.rows(leaves[i])) margins_[row * groups_ + group] += leaves[i].value;
    });
    if (learns_from_all()) return;
    each_chunk([&](std::size_t, std::size_t first, std::size_t end) {
      for (std::size_t row = first; row < end; ++row) {
        if (is_chosen(row)) continue;
        std::size_t node = 0;
        while (!tree.nodes[node].is_leaf()) {
          const float x = training_.at(row, tree.nodes[node].feature());
          const bool right = std::isnan(x) ? tree.missing_right[node] != 0 : x > tree.nodes[node].threshold();
          node = tree.nodes[node].left() + (right ? 1 : 0);
        }
        margins_[row * groups_ + group] += tree.shares[tree.nodes[node].leaf_number()];
      }
    });
  }

  const Dataset& training_;
  const BoostOptions& options_;
  std::span<const float> weights_;
  std::size_t groups_;
  std::vector<float>& margins_;
  Workers workers_;
  internal::Binned binned_;
  BoostGrower grower_;
  Gradients gradients_;
  std::vector<std::size_t> begins_;  // of the chosen rows of each chunk; behind the last, their number
  std::vector<float> totals_;
  std::uint64_t seed_ = 0;  // that rows were chosen with
};

}  // namespace

Result<FittedBoost> fit_boost(const Dataset& training, const Dataset* validation,
                              const BoostOptions& options) {
  if (auto good = check(training, validation, options); !good) return std::move(good).error();
  const std::size_t groups = training.classes.size() == 2 ? 1 : training.classes.size();
  Checkpoint checkpoint;
  if (!options.checkpoint.empty()) {
    auto opened = Checkpoint::open(options.checkpoint, digest(training, validation, options));
    if (!opened) return std::move(opened).error();
    checkpoint = std::move(*opened);
  }

  std::vector<Round> rounds;
  std::vector<double> losses;
  const std::vector<float> weights = row_weights(training, options.balanced);
  const std::vector<float> begin = base_margins(training, weights, options.scale_positive);
  const auto beginning = [&](const Dataset& dataset) {
    std::vector<float> out(dataset.rows() * groups);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = begin[i % groups];
    return out;
  };
  std::vector<float> margins = beginning(training), validation_margins, validation_weights;
  std::size_t best = 0;
  if (validation != nullptr) {
    validation_margins = beginning(*validation);
    validation_weights = row_weights(*validation, options.balanced);
  }
  // Takes up a round; false when there should be no more.
  const auto take = [&](Round round) -> Result<bool> {
    const std::size_t number = rounds.size();
    if (validation != nullptr) {
      if (auto added = add_round(round, *validation, validation_margins); !added)
        return std::move(added).error();
      losses.push_back(log_loss(*validation, validation_weights, validation_margins));
    }
    rounds.push_back(std::move(round));
    if (validation == nullptr || options.early_stopping == 0 || losses.back() < losses[best]) best = number;
    return number + 1 < options.rounds &&
           (options.early_stopping == 0 || number - best < options.early_stopping);
  };

  bool more = true;
  for (auto& record : checkpoint.take_records()) {
    if (!more || record.number != rounds.size()) break;
    auto round = internal::round_from_bytes(record.bytes, groups);
    if (!round) return Error{Errc::corrupt, options.checkpoint.string() + ": a round that is none"};
    if (auto added = add_round(*round, training, margins); !added)
      return Error(added.error()).within(options.checkpoint.string());
    auto taken = take(std::move(*round));
    if (!taken) return std::move(taken).error();
    more = *taken;
  }
  const std::size_t resumed = rounds.size();
  const auto go_on = [&] {
    return !options.progress ||
           options.progress(static_cast<double>(rounds.size()) / static_cast<double>(options.rounds));
  };
  const Error stopped{Errc::exhausted, "training was stopped before it was done"};
  if (resumed > 0 && !go_on()) return stopped;

  if (more) {
    const std::size_t most = options.threads == 0 ? default_threads() : options.threads;
    Rounds steps(training, options, weights, groups,
                 std::clamp<std::size_t>(training.values.size() / kValuesEach, 1, most), margins);
    while (more) {
      Round round = steps.next(rounds.size());
      if (auto kept = checkpoint.append(rounds.size(), internal::round_to_bytes(round)); !kept)
        return std::move(kept).error();
      auto taken = take(std::move(round));
      if (!taken) return std::move(taken).error();
      more = *taken;
      if (!go_on() && more) return stopped;
    }
  }
  rounds.resize(best + 1);
  TreeList trees;
  for (const Round& round : rounds) {
    for (const GrownTree& tree : round) trees.add(tree);
  }
  auto model = std::move(trees).finish(training.inputs(), begin);
  if (!model) return std::move(model).error();
  return FittedBoost{std::move(*model), best + 1, resumed, std::move(losses)};
}

std::uint64_t boost_bytes(std::size_t rows, std::size_t inputs) {
  const std::uint64_t tiles = (std::uint64_t{inputs} + internal::Binned::kTile - 1) / internal::Binned::kTile;
  return std::uint64_t{rows} * (tiles * internal::Binned::kTile + 40);
}

}  // namespace nidus::learn
