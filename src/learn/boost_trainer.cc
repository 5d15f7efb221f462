#include "learn/boost_trainer.h"

#include <xgboost/c_api.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/number.h"
#include "base/parallel.h"
#include "base/random.h"
#include "base/text.h"
#include "learn/checkpoint.h"
#include "learn/internal/training_digest.h"
#include "learn/internal/xgboost_json.h"

// Each round is a booster of its own in libxgboost, with one tree for each class, that begins at the margins
// which the rounds before it left for every row. So a round depends on those margins, the options and its own
// seed, and on nothing that only libxgboost remembers: a round is one record of the checkpoint, and training
// that goes on from there takes the very steps that it would have taken. The margins of the rows are floats
// to which each round adds one leaf, which is what libxgboost does inside one booster, and what our scoring
// does.
//
// The rows go to libxgboost in chunks, of which it keeps bins only, so the table is not held twice.
namespace nidus::learn {
namespace {

Error xgboost_error() {
  // The message comes with a C++ stack trace behind its first line.
  const std::string_view message = XGBGetLastError();
  std::string_view line = message.substr(0, message.find("\nStack trace"));
  return {Errc::unsupported, "libxgboost: " + std::string(trim(line))};
}

struct MatrixCloser {
  void operator()(void* handle) const { XGDMatrixFree(handle); }
};
struct BoosterCloser {
  void operator()(void* handle) const { XGBoosterFree(handle); }
};
using Matrix = std::unique_ptr<void, MatrixCloser>;
using Booster = std::unique_ptr<void, BoosterCloser>;

// Far beyond any feature, and small enough that libxgboost's own arithmetic on it stays finite.
constexpr float kLarge = 1e37f;

std::string number_text(double value) {
  std::string text;
  append_number(text, value);
  return text;
}

// Gives the rows to libxgboost, some at a time, as often as it asks.
class Chunks {
 public:
  enum class What : std::uint8_t {
    rows,
    // For a matrix of which only the cuts between bins are wanted. libxgboost 1.7 reads the rows four times:
    // it counts values, sketches quantiles, fills its table of bins by row, and that by column. The two
    // tables are as large as the sketches, and not needed here: from the third time on every value is
    // missing, so that they stay empty. One row more, without a value from the first time on, keeps it from
    // taking for granted that no value is missing.
    cuts_only,
  };

  Chunks(const Dataset& dataset, DMatrixHandle proxy, What what)
      : dataset_(dataset),
        proxy_(proxy),
        what_(what),
        rows_(dataset.rows() + (what == What::cuts_only ? 1 : 0)),
        values_(std::min(kRows, rows_) * dataset.inputs()) {}

  static int next(DataIterHandle self) { return static_cast<Chunks*>(self)->next(); }
  static void reset(DataIterHandle self) {
    auto* const chunks = static_cast<Chunks*>(self);
    chunks->first_ = 0;
    ++chunks->times_;
  }

 private:
  static constexpr std::size_t kRows = 8192;

  int next() {
    const std::size_t rows = std::min(kRows, rows_ - first_), width = dataset_.inputs();
    if (rows == 0) return 0;
    const bool all_missing = what_ == What::cuts_only && times_ > 2;
    const std::size_t given = all_missing ? 0 : std::min(rows, dataset_.rows() - first_);
    const float* const from = dataset_.values.data() + first_ * width;
    for (std::size_t i = 0; i < given * width; ++i)
      values_[i] = std::clamp(from[i], -kLarge, kLarge);  // NaN stays
    std::fill(values_.begin() + static_cast<std::ptrdiff_t>(given * width),
              values_.begin() + static_cast<std::ptrdiff_t>(rows * width),
              std::numeric_limits<float>::quiet_NaN());
    first_ += rows;
    const std::string array = R"({"data": [)" +
                              std::to_string(reinterpret_cast<std::uintptr_t>(values_.data())) +
                              R"(, true], "shape": [)" + std::to_string(rows) + ", " + std::to_string(width) +
                              R"(], "typestr": "<f4", "version": 3})";
    return XGProxyDMatrixSetDataDense(proxy_, array.c_str()) == 0 ? 1 : -1;
  }

  const Dataset& dataset_;
  DMatrixHandle proxy_;
  What what_;
  std::size_t rows_;
  std::vector<float> values_;
  std::size_t first_ = 0;
  int times_ = 0;  // that it began to read
};

// libxgboost's threads wait for each other by spinning, several times a round. Below half a million values
// each they burn more time than they save, and on a busy machine they burn that of others.
int threads_for(const Dataset& training, std::size_t asked) {
  constexpr std::size_t kValuesEach = 500'000;
  const std::size_t most = asked == 0 ? default_threads() : asked;
  return static_cast<int>(std::clamp<std::size_t>(training.values.size() / kValuesEach, 1, most));
}

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

// A matrix in bins without labels. `cuts` may be null: another matrix whose cuts are taken.
Result<Matrix> make_bins(const Dataset& dataset, const BoostOptions& options, int threads, Chunks::What what,
                         DMatrixHandle cuts) {
  DMatrixHandle handle = nullptr;
  if (XGProxyDMatrixCreate(&handle) != 0) return xgboost_error();
  const Matrix proxy(handle);
  Chunks chunks(dataset, proxy.get(), what);
  const std::string config = R"({"missing": NaN, "nthread": )" + std::to_string(threads) +
                             R"(, "max_bin": )" + std::to_string(options.bins) + "}";
  if (XGQuantileDMatrixCreateFromCallback(&chunks, proxy.get(), cuts, &Chunks::reset, &Chunks::next,
                                          config.c_str(), &handle) != 0) {
    return xgboost_error();
  }
  return Matrix(handle);
}

// The sketches of which libxgboost makes the cuts take more than twice as much as the bins, and would stay
// until the bins are there. So cuts are made first, in a matrix of their own, and are the same.
Result<Matrix> make_matrix(const Dataset& dataset, const BoostOptions& options,
                           std::span<const float> weights, int threads) {
  int major = 0, minor = 0, patch = 0;
  XGBoostVersion(&major, &minor, &patch);
  Matrix cuts;
  if (major == 1 && minor == 7) {  // how often others read the rows is not known
    auto made = make_bins(dataset, options, threads, Chunks::What::cuts_only, nullptr);
    if (!made) return std::move(made).error();
    cuts = std::move(*made);
  }
  auto made = make_bins(dataset, options, threads, Chunks::What::rows, cuts.get());
  if (!made) return std::move(made).error();
  Matrix matrix = std::move(*made);
  const std::vector<float> labels(dataset.labels.begin(), dataset.labels.end());
  if (XGDMatrixSetFloatInfo(matrix.get(), "label", labels.data(), labels.size()) != 0) return xgboost_error();
  if (!weights.empty() &&
      XGDMatrixSetFloatInfo(matrix.get(), "weight", weights.data(), weights.size()) != 0) {
    return xgboost_error();
  }
  return matrix;
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

// What a booster is told. Of itself its margins would begin at zero.
std::vector<std::pair<std::string, std::string>> parameters(const Dataset& training,
                                                            const BoostOptions& options, int threads) {
  const bool binary = training.classes.size() == 2;
  std::vector<std::pair<std::string, std::string>> out = {
      {"booster", "gbtree"},
      {"tree_method", "hist"},
      {"verbosity", "0"},
      {"disable_default_eval_metric", "1"},
      {"base_score", binary ? "0.5" : "0"},
      {"objective", binary ? "binary:logistic" : "multi:softprob"},
      {"nthread", std::to_string(threads)},
      {"max_depth", std::to_string(options.max_depth)},
      {"max_bin", std::to_string(options.bins)},
      {"eta", number_text(options.learning_rate)},
      {"min_child_weight", number_text(options.min_child_weight)},
      {"subsample", number_text(options.subsample)},
      {"colsample_bytree", number_text(options.columns_per_tree)},
      {"lambda", number_text(options.lambda)},
      {"gamma", number_text(options.gamma)},
  };
  if (binary) {
    out.emplace_back("scale_pos_weight", number_text(options.scale_positive));
  } else {
    out.emplace_back("num_class", std::to_string(training.classes.size()));
  }
  return out;
}

std::uint64_t digest(const Dataset& training, const Dataset* validation, const BoostOptions& options,
                     int threads) {
  internal::TrainingDigest out("boost");
  for (const auto& [name, value] : parameters(training, options, threads)) {
    for (const char letter : name + "=" + value + ";") out.add(letter);
  }
  out.add(options.balanced);
  out.add(options.early_stopping);
  out.add(options.seed);
  out.add(training);
  if (validation != nullptr) out.add(*validation);
  return out.value();
}

// Adds what the trees of one round give to the margins of each row.
void add_round(const model::Boost& round, const Dataset& dataset, std::vector<float>& margins) {
  constexpr std::size_t kRows = 4096;
  const std::size_t groups = round.outputs(), width = dataset.inputs();
  std::vector<float> leaves(kRows * groups);
  for (std::size_t first = 0; first < dataset.rows(); first += kRows) {
    const std::size_t rows = std::min(kRows, dataset.rows() - first);
    round.margins(std::span(dataset.values).subspan(first * width, rows * width), rows,
                  std::span(leaves).first(rows * groups));
    for (std::size_t i = 0; i < rows * groups; ++i) margins[first * groups + i] += leaves[i];
  }
}

// Lets libxgboost take one more step from the margins, and moves them on. The round as JSON.
Result<std::string> boost_once(DMatrixHandle matrix,
                               const std::vector<std::pair<std::string, std::string>>& settings,
                               std::uint64_t seed, std::vector<float>& margins) {
  if (XGDMatrixSetFloatInfo(matrix, "base_margin", margins.data(), margins.size()) != 0)
    return xgboost_error();
  BoosterHandle handle = nullptr;
  if (XGBoosterCreate(&matrix, 1, &handle) != 0) return xgboost_error();
  const Booster booster(handle);
  for (const auto& [name, value] : settings) {
    if (XGBoosterSetParam(booster.get(), name.c_str(), value.c_str()) != 0) return xgboost_error();
  }
  if (XGBoosterSetParam(booster.get(), "seed", std::to_string(seed % 2147483647).c_str()) != 0) {
    return xgboost_error();
  }
  if (XGBoosterUpdateOneIter(booster.get(), 0, matrix) != 0) return xgboost_error();
  bst_ulong length = 0;
  const float* moved = nullptr;
  // Bit 0 of the mask: margins. These it kept while it grew the trees.
  if (XGBoosterPredict(booster.get(), matrix, 1, 0, 1, &length, &moved) != 0) return xgboost_error();
  if (length != margins.size())
    return Error{Errc::unsupported, "libxgboost: margins of another number of rows"};
  std::copy_n(moved, length, margins.begin());
  const char* json = nullptr;
  if (XGBoosterSaveModelToBuffer(booster.get(), R"({"format": "json"})", &length, &json) != 0)
    return xgboost_error();
  return std::string(json, length);
}

}  // namespace

Result<FittedBoost> fit_boost(const Dataset& training, const Dataset* validation,
                              const BoostOptions& options) {
  if (auto good = check(training, validation, options); !good) return std::move(good).error();
  const int threads = threads_for(training, options.threads);
  const auto settings = parameters(training, options, threads);
  const std::size_t groups = training.classes.size() == 2 ? 1 : training.classes.size();
  const std::size_t inputs = training.inputs();
  Checkpoint checkpoint;
  if (!options.checkpoint.empty()) {
    auto opened = Checkpoint::open(options.checkpoint, digest(training, validation, options, threads));
    if (!opened) return std::move(opened).error();
    checkpoint = std::move(*opened);
  }

  std::vector<std::string> rounds;
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
  const auto take = [&](std::string json) -> Result<bool> {
    const std::size_t number = rounds.size();
    if (validation != nullptr) {
      const auto round = internal::from_xgboost_json(json, inputs);
      if (!round) return round.error();
      add_round(*round, *validation, validation_margins);
      losses.push_back(log_loss(*validation, validation_weights, validation_margins));
    }
    rounds.push_back(std::move(json));
    if (validation == nullptr || options.early_stopping == 0 || losses.back() < losses[best]) best = number;
    return number + 1 < options.rounds &&
           (options.early_stopping == 0 || number - best < options.early_stopping);
  };

  bool more = true;
  for (auto& record : checkpoint.take_records()) {
    if (!more || record.number != rounds.size()) break;
    const auto round = internal::from_xgboost_json(record.bytes, inputs);
    if (!round) return Error(round.error()).within(options.checkpoint.string());
    if (round->outputs() != groups)
      return Error{Errc::corrupt, options.checkpoint.string() + ": other classes"};
    add_round(*round, training, margins);
    auto taken = take(std::move(record.bytes));
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
    auto matrix = make_matrix(training, options, weights, threads);
    if (!matrix) return std::move(matrix).error();
    while (more) {
      auto json = boost_once(matrix->get(), settings, Random::mix(options.seed) + rounds.size(), margins);
      if (!json) return std::move(json).error();
      if (auto kept = checkpoint.append(rounds.size(), *json); !kept) return std::move(kept).error();
      auto taken = take(std::move(*json));
      if (!taken) return std::move(taken).error();
      more = *taken;
      if (!go_on() && more) return stopped;
    }
  }
  rounds.resize(best + 1);
  const std::vector<std::string_view> parts(rounds.begin(), rounds.end());
  auto model = internal::from_xgboost_json(parts, inputs);
  if (!model) return std::move(model).error();
  auto begun = model::Boost::make(
      model->trees(), std::vector<std::uint32_t>(model->groups().begin(), model->groups().end()), begin);
  if (!begun) return std::move(begun).error();
  return FittedBoost{std::move(*begun), best + 1, resumed, std::move(losses)};
}

std::uint64_t boost_bytes(std::size_t rows, std::size_t inputs) {
  return std::uint64_t{rows} * (3 * std::uint64_t{inputs} + 64);
}

}  // namespace nidus::learn
