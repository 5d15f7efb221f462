#include "learn/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

#include "base/parallel.h"
#include "base/random.h"
#include "data/split.h"
#include "learn/checkpoint.h"
#include "learn/internal/training_digest.h"
#include "learn/metrics.h"

namespace nidus::learn {
namespace {

constexpr std::size_t kClassRowsLeast = 50;

template <class T>
T one_of(Random& random, std::initializer_list<T> values) {
  return values.begin()[random.below(values.size())];
}

// Between both, evenly on a logarithmic scale, to two digits, so that it can be typed.
double log_between(Random& random, double low, double high) {
  const double value = low * std::pow(high / low, random.unit());
  const double unit = std::pow(10.0, std::floor(std::log10(value)) - 1);
  return std::round(value / unit) * unit;
}

Candidate draw(Random& random, Candidate::Kind kind, const Candidate& defaults, std::size_t inputs) {
  Candidate out = defaults;
  out.kind = kind;
  if (kind == Candidate::Kind::boost) {
    out.boost.learning_rate = log_between(random, 0.03, 0.4);
    out.boost.rounds = one_of<std::size_t>(random, {50, 100, 200, 400});
    out.boost.max_depth = 3 + random.below(8);
    out.boost.min_child_weight = one_of(random, {1.0, 1.0, 3.0, 10.0});
    out.boost.subsample = one_of(random, {0.6, 0.8, 1.0});
    out.boost.columns_per_tree = one_of(random, {0.5, 0.75, 1.0});
    out.boost.lambda = log_between(random, 0.3, 10);
    out.boost.gamma = one_of(random, {0.0, 0.0, 0.1, 1.0});
    out.boost.balanced = random.below(2) == 0;
    return out;
  }
  const double share = one_of(random, {0.0, 0.1, 0.2, 0.35, 0.6});  // 0: the square root
  out.forest.features_per_split = static_cast<std::size_t>(std::ceil(share * static_cast<double>(inputs)));
  out.forest.max_depth = one_of<std::size_t>(random, {0, 0, 0, 24, 12});
  out.forest.min_leaf = one_of<std::size_t>(random, {1, 1, 2, 4, 8});
  out.forest.balanced = random.below(2) == 0;
  out.forest.extra_trees = kind == Candidate::Kind::extra_trees;
  out.forest.bootstrap = !out.forest.extra_trees;
  return out;
}

std::vector<Candidate> draw_candidates(const SearchOptions& options, std::size_t inputs) {
  std::vector<Candidate> out;
  Random random(Random::mix(options.seed) + 1);
  for (std::size_t i = 0; i < std::max(options.candidates, options.kinds.size()); ++i) {
    const auto kind = options.kinds[i % options.kinds.size()];
    if (i >= options.kinds.size()) {
      out.push_back(draw(random, kind, options.defaults, inputs));
      continue;
    }
    out.push_back(options.defaults);
    out.back().kind = kind;
    out.back().forest.extra_trees = kind == Candidate::Kind::extra_trees;
    out.back().forest.bootstrap = !out.back().forest.extra_trees;
  }
  return out;
}

// The fold of each row: again and again a share is cut off what is left.
Result<std::vector<std::size_t>> make_folds(const Dataset& training, const SearchOptions& options) {
  std::vector<std::size_t> fold(training.rows(), options.folds - 1), left(training.rows());
  std::iota(left.begin(), left.end(), std::size_t{0});
  for (std::size_t i = 0; i + 1 < options.folds; ++i) {
    std::vector<std::uint32_t> labels, groups;
    for (const auto row : left) {
      labels.push_back(training.labels[row]);
      if (!options.groups.empty()) groups.push_back(options.groups[row]);
    }
    data::SplitOptions split;
    split.validation = 1 / static_cast<double>(options.folds - i);
    split.train = 1 - split.validation;
    split.test = 0;
    split.seed = Random::mix(options.seed) + i;
    const auto parts =
        groups.empty() ? data::stratified_split(labels, split) : data::grouped_split(labels, groups, split);
    if (!parts) return parts.error();
    for (const auto at : parts->validation) fold[left[at]] = i;
    std::vector<std::size_t> rest;
    for (const auto at : parts->train) rest.push_back(left[at]);
    left = std::move(rest);
  }
  return fold;
}

// The rows of each class in a seeded order, of which a round takes the first ones.
std::vector<std::vector<std::size_t>> shuffled_classes(const Dataset& training, std::uint64_t seed) {
  std::vector<std::vector<std::size_t>> out(training.classes.size());
  for (std::size_t row = 0; row < training.rows(); ++row) out[training.labels[row]].push_back(row);
  Random random(Random::mix(seed) + 2);
  for (auto& rows : out) {
    for (std::size_t i = rows.size(); i > 1; --i) std::swap(rows[i - 1], rows[random.below(i)]);
  }
  return out;
}

std::vector<std::size_t> part_of(const std::vector<std::vector<std::size_t>>& classes, double share) {
  std::vector<std::size_t> out;
  for (const auto& rows : classes) {
    const auto wanted = static_cast<std::size_t>(std::ceil(share * static_cast<double>(rows.size())));
    const std::size_t count = std::min(rows.size(), std::max(wanted, kClassRowsLeast));
    out.insert(out.end(), rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(count));
  }
  std::sort(out.begin(), out.end());
  return out;
}

// The mean over the classes that have rows of how well the score of the class ranks them.
double mean_precision(const std::vector<double>& scores, const std::vector<std::uint32_t>& labels,
                      std::size_t classes) {
  const std::size_t width = scores.size() / labels.size();
  double sum = 0, count = 0;
  for (std::size_t cls = width == 1 ? 1 : 0; cls < classes; ++cls) {
    std::vector<double> of_class(labels.size());
    std::vector<std::uint8_t> positive(labels.size());
    for (std::size_t row = 0; row < labels.size(); ++row) {
      of_class[row] = scores[width == 1 ? row : row * width + cls];
      positive[row] = labels[row] == cls ? 1 : 0;
    }
    if (const auto precision = average_precision(of_class, positive)) {
      sum += *precision;
      count += 1;
    }
  }
  return count > 0 ? sum / count : 0;
}

Result<std::shared_ptr<const model::Model>> fit(const Candidate& candidate, const Dataset& rows,
                                                std::size_t threads, const Progress& progress) {
  if (candidate.kind == Candidate::Kind::boost) {
    BoostOptions options = candidate.boost;
    options.early_stopping = 0;
    options.checkpoint.clear();
    options.threads = threads;
    options.progress = progress;
    auto fitted = fit_boost(rows, nullptr, options);
    if (!fitted) return std::move(fitted).error();
    return std::shared_ptr<const model::Model>(std::make_shared<model::Boost>(std::move(fitted->model)));
  }
  ForestOptions options = candidate.forest;
  options.out_of_bag = false;
  options.checkpoint.clear();
  options.threads = threads;
  options.progress = progress;
  auto fitted = fit_forest(rows, options);
  if (!fitted) return std::move(fitted).error();
  return std::shared_ptr<const model::Model>(std::make_shared<model::Forest>(std::move(fitted->forest)));
}

// What one round works on: each fold's rows to learn from and to judge by, made once.
struct Round {
  struct Fold {
    Dataset training, judged;
  };
  std::vector<Fold> folds;
};

Result<Round> make_round(const Dataset& training, const std::vector<std::size_t>& rows,
                         const std::vector<std::size_t>& fold_of, std::size_t folds) {
  Round out;
  for (std::size_t fold = 0; fold < folds; ++fold) {
    std::vector<std::size_t> learnt, judged;
    for (const auto row : rows) (fold_of[row] == fold ? judged : learnt).push_back(row);
    if (judged.empty()) continue;
    out.folds.push_back({take(training, learnt), take(training, judged)});
    const auto counts = out.folds.back().training.class_counts();
    if (std::count_if(counts.begin(), counts.end(), [](auto count) { return count > 0; }) < 2) {
      return Error{Errc::invalid,
                   "too few rows or groups for a search: without one part of them only one class is left"};
    }
  }
  return out;
}

// How well the candidate ranks the rows of each fold when it learns from the others.
Result<double> try_candidate(const Candidate& candidate, const Round& round, std::size_t threads,
                             const Progress& progress, std::size_t classes) {
  std::vector<double> scores;
  std::vector<std::uint32_t> labels;
  for (const auto& fold : round.folds) {
    const auto model = fit(candidate, fold.training, threads, progress);
    if (!model) return model.error();
    const auto of_fold = model::all_scores(**model, fold.judged.values, fold.judged.rows());
    scores.insert(scores.end(), of_fold.begin(), of_fold.end());
    labels.insert(labels.end(), fold.judged.labels.begin(), fold.judged.labels.end());
  }
  return mean_precision(scores, labels, classes);
}

// Tells one search from another by all that its trials depend on.
std::uint64_t digest(const Dataset& training, const SearchOptions& options,
                     const std::vector<Candidate>& candidates) {
  internal::TrainingDigest out("search");
  for (const auto number : {options.folds, options.keep_one_in, options.rows_least}) out.add(number);
  out.add(options.seed);
  for (const Candidate& candidate : candidates) {
    out.add(static_cast<std::uint8_t>(candidate.kind));
    if (candidate.kind == Candidate::Kind::boost) {
      const BoostOptions& with = candidate.boost;
      for (const auto number : {with.rounds, with.max_depth, with.bins}) out.add(number);
      for (const auto number : {with.learning_rate, with.min_child_weight, with.subsample,
                                with.columns_per_tree, with.lambda, with.gamma, with.scale_positive}) {
        out.add(number);
      }
      out.add(with.balanced);
      out.add(with.seed);
      continue;
    }
    const ForestOptions& with = candidate.forest;
    for (const auto number :
         {with.trees, with.max_depth, with.min_leaf, with.features_per_split, with.bins, with.nodes_max}) {
      out.add(number);
    }
    for (const bool is : {with.bootstrap, with.extra_trees, with.balanced}) out.add(is);
    out.add(with.seed);
  }
  for (const auto group : options.groups) out.add(group);
  out.add(training);
  return out.value();
}

// What became of each trial, and how much of the time was spent when it ended; kept in the checkpoint.
class TrialLog {
 public:
  struct Entry {
    double score, seconds;
    double spent;  // seconds of the search, over all the times it was started
  };

  static Result<TrialLog> open(const std::filesystem::path& path, std::uint64_t search) {
    TrialLog out;
    if (path.empty()) return out;
    auto file = Checkpoint::open(path, search);
    if (!file) return std::move(file).error();
    out.file_ = std::move(*file);
    for (const auto& record : out.file_.take_records()) {
      Entry entry{};
      const bool pause = record.number == kPause;
      if (record.bytes.size() != sizeof entry || (!pause && record.number != out.entries_.size()))
        return Error{Errc::corrupt, path.string() + ": not the trials of a search"};
      std::memcpy(&entry, record.bytes.data(), sizeof entry);
      if (!(entry.spent >= out.spent_) || !std::isfinite(entry.spent) || !std::isfinite(entry.score))
        return Error{Errc::corrupt, path.string() + ": not the times and scores of a search"};
      out.spent_ = entry.spent;
      if (!pause) out.entries_.push_back(entry);
    }
    return out;
  }

  // The trial of this number if it was made before.
  const Entry* find(std::size_t trial) const { return trial < entries_.size() ? &entries_[trial] : nullptr; }
  // Seconds that went into the search before it was opened.
  double spent() const { return spent_; }

  Result<void> add(std::size_t trial, const Entry& entry) {
    return file_.append(trial, {reinterpret_cast<const char*>(&entry), sizeof entry});
  }
  // The search ends within a trial, whose time counts.
  Result<void> pause(double spent) {
    const Entry entry{0, 0, spent};
    return file_.append(kPause, {reinterpret_cast<const char*>(&entry), sizeof entry});
  }

 private:
  static constexpr std::uint64_t kPause = ~std::uint64_t{0};

  Checkpoint file_;
  std::vector<Entry> entries_;
  double spent_ = 0;
};

}  // namespace

std::string Candidate::describe() const {
  if (kind == Kind::boost) {
    std::string out = fmt::format("--model boost --rounds {} --depth {} --learning-rate {:g}", boost.rounds,
                                  boost.max_depth, boost.learning_rate);
    out += fmt::format(" --min-child-weight {:g} --subsample {:g} --columns {:g} --lambda {:g} --gamma {:g}",
                       boost.min_child_weight, boost.subsample, boost.columns_per_tree, boost.lambda,
                       boost.gamma);
    return out + (boost.balanced ? " --weights balanced" : " --weights none");
  }
  return fmt::format("--model {} --trees {} --depth {} --min-leaf {} --split-features {} --weights {}",
                     kind == Kind::forest ? "forest" : "extra-trees", forest.trees, forest.max_depth,
                     forest.min_leaf, forest.features_per_split, forest.balanced ? "balanced" : "none");
}

Result<SearchResult> search(const Dataset& training, const SearchOptions& options) {
  if (options.kinds.empty() || options.folds < 2 || options.keep_one_in < 2) {
    return Error{Errc::invalid, "a search needs a kind of model, two folds, and to drop some"};
  }
  if (training.rows() == 0) return Error{Errc::invalid, "no rows to learn from"};
  if (!options.groups.empty() && options.groups.size() != training.rows()) {
    return Error{Errc::invalid, "not one group for each row"};
  }
  const auto clock = options.clock ? options.clock : [] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  };
  auto folds = make_folds(training, options);
  if (!folds) return std::move(folds).error();
  const auto classes = shuffled_classes(training, options.seed);
  std::vector<Candidate> candidates = draw_candidates(options, training.inputs());
  auto log = TrialLog::open(options.checkpoint,
                            options.checkpoint.empty() ? 0 : digest(training, options, candidates));
  if (!log) return std::move(log).error();
  const double limit = options.minutes * 60, begin = clock() - log->spent();
  const auto spent = [&] { return clock() - begin; };

  std::size_t rounds = 1, trials = candidates.size();
  for (std::size_t left = candidates.size(); left > options.keep_one_in; ++rounds) {
    left = (left + options.keep_one_in - 1) / options.keep_one_in;
    trials += left;
  }
  bool stopped = false;
  SearchResult result;
  result.best = candidates.front();
  const Progress progress = [&](double) {
    const double now = spent();
    if (options.progress &&
        !options.progress(
            std::min(1.0, std::max(static_cast<double>(result.trials.size()) / static_cast<double>(trials),
                                   now / limit)))) {
      stopped = true;
    }
    result.out_of_time = result.out_of_time || now >= limit;
    return !stopped && !result.out_of_time;
  };
  for (std::size_t number = 0; number < rounds && !result.out_of_time; ++number) {
    const double share = std::max(
        std::pow(static_cast<double>(options.keep_one_in), -static_cast<double>(rounds - 1 - number)),
        std::min(1.0, static_cast<double>(options.rows_least) / static_cast<double>(training.rows())));
    const auto rows = part_of(classes, share);
    std::optional<Round> round;  // made for the first trial that is not in the log
    std::vector<std::pair<double, std::size_t>> ranking;
    for (std::size_t i = 0; i < candidates.size() && !result.out_of_time; ++i) {
      TrialLog::Entry entry{};
      if (const auto* const known = log->find(result.trials.size())) {
        entry = *known;
        ++result.resumed;
      } else {
        if (!round) {
          auto made = make_round(training, rows, *folds, options.folds);
          if (!made) return std::move(made).error();
          round = std::move(*made);
        }
        const double started = spent();
        if (started >= limit && log->spent() > 0) {  // it had its time before it was started again
          result.out_of_time = true;
          break;
        }
        auto score = try_candidate(candidates[i], *round, options.threads, progress, training.classes.size());
        if (stopped || result.out_of_time) {
          if (auto kept = log->pause(spent()); !kept) return std::move(kept).error();
          if (stopped) return Error{Errc::exhausted, "the search was stopped before it was done"};
          break;
        }
        if (!score) return std::move(score).error();
        const double ended = spent();
        entry = {*score, ended - started, ended};
        if (auto kept = log->add(result.trials.size(), entry); !kept) return std::move(kept).error();
      }
      result.trials.push_back({candidates[i], number, rows.size(), entry.score, entry.seconds});
      ranking.emplace_back(-entry.score, i);  // of equals the one ranked higher before, or drawn earlier
      result.out_of_time = entry.spent >= limit && result.trials.size() < trials;
    }
    if (ranking.empty()) break;
    std::sort(ranking.begin(), ranking.end());
    result.best = candidates[ranking.front().second];
    ranking.resize(
        std::min(ranking.size(), (candidates.size() + options.keep_one_in - 1) / options.keep_one_in));
    std::vector<Candidate> kept;
    for (const auto& [score, at] : ranking) kept.push_back(candidates[at]);
    candidates = std::move(kept);
  }
  return result;
}

}  // namespace nidus::learn
