#include "learn/network_trainer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "base/parallel.h"
#include "base/text.h"
#include "learn/checkpoint.h"
#include "learn/internal/build_network.h"
#include "learn/internal/training_digest.h"

namespace nidus::learn {
namespace {

using internal::AdamSettings;
using internal::LossOf;
using internal::Numbers;
using internal::Slice;
using Goal = NetworkOptions::Goal;
using Schedule = NetworkOptions::Schedule;
using Trained = internal::TrainedNetwork<float>;

constexpr std::size_t kBatchMax = 1 << 16;

Result<void> check_rows(const Dataset& rows) {
  for (std::size_t i = 0; i < rows.values.size(); ++i) {
    if (std::isfinite(rows.values[i])) continue;
    return Error{Errc::invalid, "row " + std::to_string(i / rows.inputs()) + " has no number in column '" +
                                    rows.schema[i % rows.inputs()].name + "': a network needs all of them"};
  }
  return {};
}

Result<void> check(const Dataset& training, const Dataset* stopping, model::Shape input,
                   const NetworkOptions& options) {
  if (training.rows() < 2) return Error{Errc::invalid, "fewer than two rows to learn from"};
  if (training.rows() > std::numeric_limits<std::uint32_t>::max())
    return Error{Errc::unsupported, "more than 2^32 rows"};
  if (training.inputs() != input.size())
    return Error{Errc::invalid, std::to_string(training.inputs()) + " columns for a network of " +
                                    std::to_string(input.size()) + " inputs"};
  if (stopping != nullptr && (stopping->rows() == 0 || stopping->inputs() != training.inputs()))
    return Error{Errc::invalid, "the rows to stop by are none, or of another form"};
  if (options.epochs == 0 || options.epochs > 100'000) return Error{Errc::invalid, "1 to 100,000 epochs"};
  if (options.batch < 2 || options.batch > kBatchMax)
    return Error{Errc::invalid, "a batch has 2 to " + with_thousands(kBatchMax) + " rows"};
  if (!(options.learning_rate > 0 && options.learning_rate <= 10) ||
      !(options.weight_decay >= 0 && options.weight_decay <= 10) ||
      !(options.input_noise >= 0 && options.input_noise <= 100))
    return Error{Errc::invalid, "a learning rate, decay or noise that makes no sense"};
  if (auto good = check_rows(training); !good) return good;
  if (stopping != nullptr) return check_rows(*stopping);
  return {};
}

// What each row weighs: its own weight times that of its class.
Result<std::vector<float>> row_weights(const Dataset& rows, const Dataset& by, bool balanced, Goal goal) {
  std::vector<double> by_class(by.classes.size());
  double total = 0;
  for (std::size_t i = 0; i < by.rows(); ++i) {
    const double weight = by.weights.empty() ? 1.0 : static_cast<double>(by.weights[i]);
    if (!(weight >= 0) || !std::isfinite(weight))
      return Error{Errc::invalid, "the weight of row " + std::to_string(i) + " is negative or not finite"};
    by_class[by.labels[i]] += weight;
    total += weight;
  }
  const auto present = static_cast<double>(
      std::count_if(by_class.begin(), by_class.end(), [](double weight) { return weight > 0; }));
  if (goal == Goal::label && present < 2)
    return Error{Errc::invalid, "the rows are all of one class: there is nothing to tell apart"};
  if (present < 1) return Error{Errc::invalid, "the rows weigh nothing"};
  std::vector<float> out;
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    const double own = rows.weights.empty() ? 1.0 : static_cast<double>(rows.weights[i]);
    const double weight = by_class[rows.labels[i]];
    out.push_back(static_cast<float>(balanced && weight > 0 ? own * total / (present * weight) : own));
  }
  return out;
}

// Two numbers of a normal distribution (Box and Muller, 1958).
std::pair<float, float> normal(Random& random) {
  const double radius = std::sqrt(-2 * std::log(1 - random.unit())),
               angle = 6.283185307179586 * random.unit();
  return {static_cast<float>(radius * std::cos(angle)), static_cast<float>(radius * std::sin(angle))};
}

// Rows on their way into slices, and what comes out of them into losses.
class Feeder {
 public:
  Feeder(const Dataset& rows, std::vector<float> weights, model::Shape input, const NetworkOptions& options,
         std::size_t outputs, Trained& network, std::size_t slice_rows)
      : rows_(rows),
        weights_(std::move(weights)),
        input_(input),
        options_(options),
        network_(network),
        changes_(options.change || options.input_noise > 0) {
    loss_.goal = options.goal;
    loss_.outputs = outputs;
    order_.resize(rows.rows());
    for (std::size_t i = 0; i < order_.size(); ++i) order_[i] = static_cast<std::uint32_t>(i);
    for (auto& room : changed_) room.resize(input.size());
    for (auto& target : targets_) target.resize(changes_ ? slice_rows * input.size() : 0);
    fill_ = [this](Slice<float>& slice, std::size_t first) { fill(slice, first); };
    say_ = [this](Slice<float>& slice, std::size_t first, bool learning) {
      return say(slice, first, learning);
    };
  }

  void shuffle(Random random) {
    for (std::size_t i = 0; i < order_.size(); ++i) order_[i] = static_cast<std::uint32_t>(i);
    for (std::size_t i = order_.size(); i > 1; --i) std::swap(order_[i - 1], order_[random.below(i)]);
  }
  // Rows `first` to first + count of the order are the batch. What is drawn for them is drawn by `key`.
  void begin(std::size_t first, std::size_t count, std::uint64_t key, bool with_noise) {
    first_ = first;
    key_ = key;
    noise_ = with_noise ? options_.input_noise : 0;
    double weight = 0;
    for (std::size_t i = 0; i < count; ++i) weight += static_cast<double>(weights_[order_[first + i]]);
    weight_ = weight;
    loss_.weight_of_batch = weight > 0 ? weight : 1;
  }
  double weight() const { return weight_; }
  std::size_t rows() const { return order_.size(); }
  const Trained::Fill& fill() const { return fill_; }
  const Trained::Loss& say() const { return say_; }

 private:
  void fill(Slice<float>& slice, std::size_t first) {
    const std::size_t stride = network_.input_stride(), size = input_.size();
    float* const values = slice.values[0].data();
    for (std::size_t i = 0; i < slice.rows; ++i) {
      const std::size_t row = order_[first_ + first + i];
      const float* from = rows_.values.data() + row * size;
      if (changes_) {
        std::vector<float>& room = changed_[slice.number];
        std::copy_n(from, size, room.data());
        Random random(Random::mix(key_ + row * 0x9e3779b97f4a7c15u));
        if (options_.change) options_.change(room, random);
        std::copy_n(room.data(), size, targets_[slice.number].data() + i * size);
        for (std::size_t k = 0; noise_ > 0 && k < size; k += 2) {
          const auto [a, b] = normal(random);
          room[k] += static_cast<float>(noise_) * a;
          if (k + 1 < size) room[k + 1] += static_cast<float>(noise_) * b;
        }
        from = room.data();
      }
      for (std::size_t step = 0; step < input_.steps; ++step)
        std::copy_n(from + step * input_.channels, input_.channels,
                    values + (step * slice.rows + i) * stride);
    }
  }
  double say(Slice<float>& slice, std::size_t first, bool learning) {
    const std::size_t stride = network_.output_stride(), size = input_.size();
    const float* const y = slice.values.back().data();
    float* const dy = slice.gradients.back().data();
    double sum = 0;
    for (std::size_t i = 0; i < slice.rows; ++i) {
      const std::size_t row = order_[first_ + first + i];
      const float* const target =
          changes_ ? targets_[slice.number].data() + i * size : rows_.values.data() + row * size;
      sum += loss_(y + i * stride, target, rows_.labels[row], static_cast<double>(weights_[row]),
                   learning ? dy + i * stride : nullptr);
    }
    return sum;
  }

  const Dataset& rows_;
  std::vector<float> weights_;
  model::Shape input_;
  const NetworkOptions& options_;
  Trained& network_;
  bool changes_;
  LossOf loss_;
  std::vector<std::uint32_t> order_;
  std::size_t first_ = 0;
  std::uint64_t key_ = 0;
  double noise_ = 0, weight_ = 0;
  std::vector<float> changed_[Trained::kSlices], targets_[Trained::kSlices];
  Trained::Fill fill_;
  Trained::Loss say_;
};

// Everything that the next epoch depends on.
struct State {
  std::vector<Epoch> epochs;
  std::uint64_t steps = 0;
  std::size_t best = 0;
  double learning_rate = 0;
  std::vector<float> best_weights;
  std::vector<std::vector<double>> best_states;
};

template <class T>
void put(std::string& out, std::span<const T> values) {
  out.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
}
template <class T>
bool get(std::string_view& from, std::span<T> values) {
  if (from.size() < values.size_bytes()) return false;
  std::memcpy(values.data(), from.data(), values.size_bytes());
  from.remove_prefix(values.size_bytes());
  return true;
}

std::string to_bytes(const State& state, Trained& network) {
  std::string out;
  const std::uint64_t head[] = {state.epochs.size(), state.steps, state.best, state.best_weights.size()};
  put<std::uint64_t>(out, head);
  put<double>(out, std::span(&state.learning_rate, 1));
  for (const Epoch& epoch : state.epochs) {
    const double figures[] = {epoch.loss, epoch.stopping_loss, epoch.learning_rate};
    put<double>(out, figures);
  }
  for (const auto values : {network.weights(), network.first_moments(), network.second_moments()})
    put<float>(out, values);
  for (const auto* values : network.states()) put<double>(out, *values);
  put<float>(out, state.best_weights);
  for (const auto& values : state.best_states) put<double>(out, values);
  return out;
}

bool from_bytes(std::string_view bytes, State& state, Trained& network) {
  std::uint64_t head[4] = {};
  if (!get<std::uint64_t>(bytes, head) || !get<double>(bytes, std::span(&state.learning_rate, 1)))
    return false;
  if (head[0] > bytes.size() / (3 * sizeof(double)) || head[2] >= std::max<std::uint64_t>(head[0], 1))
    return false;
  state.epochs.resize(head[0]);
  state.steps = head[1];
  state.best = head[2];
  for (Epoch& epoch : state.epochs) {
    double figures[3] = {};
    if (!get<double>(bytes, figures)) return false;
    epoch = {figures[0], figures[1], figures[2]};
  }
  for (const auto values : {network.weights(), network.first_moments(), network.second_moments()})
    if (!get<float>(bytes, values)) return false;
  for (auto* values : network.states())
    if (!get<double>(bytes, *values)) return false;
  if (head[3] != 0 && head[3] != network.weights().size()) return false;
  state.best_weights.resize(head[3]);
  if (!get<float>(bytes, state.best_weights)) return false;
  for (const auto* values : network.states()) {
    if (head[3] == 0) break;
    state.best_states.push_back(*values);
    if (!get<double>(bytes, state.best_states.back())) return false;
  }
  network.transpose_all();
  return bytes.empty();
}

// Layers in a form that tells them apart, for the checkpoint.
void add(internal::TrainingDigest& digest, const LearningLayer& layer) {
  digest.add(layer.index());
  if (const auto* const norm = std::get_if<BatchNorm>(&layer)) {
    digest.add(norm->epsilon);
    digest.add(norm->momentum);
  } else if (const auto* const dropout = std::get_if<Dropout>(&layer)) {
    digest.add(dropout->rate);
  } else {
    digest.add(std::get<model::Layer>(layer).index());
  }
}

std::uint64_t digest(const Dataset& training, const Dataset* stopping, model::Shape input,
                     const std::vector<LearningLayer>& layers, std::span<const float> weights,
                     const NetworkOptions& options) {
  internal::TrainingDigest out("network");
  for (const std::size_t number :
       {input.steps, input.channels, static_cast<std::size_t>(options.goal), options.epochs, options.batch,
        static_cast<std::size_t>(options.schedule), options.plateau, options.patience, layers.size()})
    out.add(number);
  for (const double number : {options.learning_rate, options.weight_decay, options.input_noise})
    out.add(number);
  out.add(options.balanced);
  out.add(static_cast<bool>(options.change));
  out.add(options.seed);
  for (const auto& layer : layers) add(out, layer);
  for (const float weight : weights) out.add(weight);
  out.add(training);
  if (stopping != nullptr) out.add(*stopping);
  return out.value();
}

class Training {
 public:
  Training(Trained& network, Feeder& feeder, Feeder* stopping, Workers& workers,
           const NetworkOptions& options)
      : network_(network), feeder_(feeder), stopping_(stopping), workers_(workers), options_(options) {
    state.learning_rate = options.learning_rate;
  }

  State state;

  // Whether there is nothing left to do.
  bool is_done() const {
    if (state.epochs.size() >= options_.epochs) return true;
    return stopping_ != nullptr && options_.patience > 0 && !state.epochs.empty() &&
           state.epochs.size() - 1 - state.best >= options_.patience;
  }

  // One epoch. Errc::exhausted when told to stop in the middle of it, after which the state is of no use.
  Result<void> run() {
    const std::size_t number = state.epochs.size(), rows = feeder_.rows();
    const std::size_t batches = (rows + options_.batch - 1) / options_.batch;
    const std::uint64_t key = Random::mix(Random::mix(options_.seed) + number + 1);
    if (options_.schedule == Schedule::cosine) {
      state.learning_rate = options_.learning_rate * 0.5 *
                            (1 + std::cos(3.141592653589793 * static_cast<double>(number) /
                                          static_cast<double>(options_.epochs)));
    }
    Epoch epoch;
    epoch.learning_rate = state.learning_rate;
    epoch.stopping_loss = std::numeric_limits<double>::quiet_NaN();
    feeder_.shuffle(Random(key));
    double loss = 0, weight = 0;
    for (std::size_t i = 0; i < batches; ++i) {
      const std::size_t first = rows * i / batches, count = rows * (i + 1) / batches - first;
      feeder_.begin(first, count, key, true);
      ++state.steps;
      loss += network_.gradients(workers_, count, Random::mix(key + (i + 1) * 0x9e3779b97f4a7c15u),
                                 feeder_.fill(), feeder_.say());
      weight += feeder_.weight();
      AdamSettings adam;
      adam.learning_rate = state.learning_rate;
      adam.weight_decay = options_.weight_decay;
      network_.move(workers_, adam, state.steps);
      if (options_.progress &&
          !options_.progress(
              (static_cast<double>(number) + static_cast<double>(i + 1) / static_cast<double>(batches)) /
              static_cast<double>(options_.epochs)))
        return Error{Errc::exhausted, "training was stopped before it was done"};
    }
    epoch.loss = loss / weight;
    if (stopping_ != nullptr) epoch.stopping_loss = loss_to_stop_by();
    const double judged = stopping_ != nullptr ? epoch.stopping_loss : epoch.loss;
    if (!std::isfinite(judged) || !std::isfinite(epoch.loss)) {
      return Error{Errc::invalid, "the loss is no longer a number after epoch " + std::to_string(number + 1) +
                                      ": a smaller --learning-rate may help"};
    }
    state.epochs.push_back(epoch);
    const bool better = number == 0 || judged < best_loss();
    if (better) {
      state.best = number;
      if (stopping_ != nullptr) keep_best();
    }
    const std::size_t since = number - state.best;
    if (options_.schedule == Schedule::plateau && options_.plateau > 0 && since > 0 &&
        since % options_.plateau == 0)
      state.learning_rate /= 2;
    return {};
  }

  void take_best() {
    if (state.best_weights.empty()) return;
    std::copy(state.best_weights.begin(), state.best_weights.end(), network_.weights().begin());
    const auto states = network_.states();
    for (std::size_t i = 0; i < states.size(); ++i) *states[i] = state.best_states[i];
  }

 private:
  double best_loss() const {
    const Epoch& epoch = state.epochs[state.best];
    return stopping_ != nullptr ? epoch.stopping_loss : epoch.loss;
  }
  void keep_best() {
    state.best_weights.assign(network_.weights().begin(), network_.weights().end());
    state.best_states.clear();
    for (const auto* values : network_.states()) state.best_states.push_back(*values);
  }
  double loss_to_stop_by() {
    network_.freeze();
    double loss = 0, weight = 0;
    for (std::size_t first = 0; first < stopping_->rows(); first += options_.batch) {
      const std::size_t count = std::min(options_.batch, stopping_->rows() - first);
      // The same is drawn in every epoch, so that losses can be compared.
      stopping_->begin(first, count, Random::mix(options_.seed ^ 0x5bd1e995), false);
      loss += network_.losses(workers_, count, 0, stopping_->fill(), stopping_->say());
      weight += stopping_->weight();
    }
    return loss / weight;
  }

  Trained& network_;
  Feeder& feeder_;
  Feeder* stopping_;
  Workers& workers_;
  const NetworkOptions& options_;
};

}  // namespace

Result<FittedNetwork> fit_network(const Dataset& training, const Dataset* stopping, model::Shape input,
                                  std::vector<LearningLayer> layers, const NetworkOptions& options) {
  if (auto good = check(training, stopping, input, options); !good) return std::move(good).error();
  if (auto good = internal::complete(layers, input, options.seed); !good) return std::move(good).error();
  auto made = internal::make_layers<float>(layers, input);
  const model::Shape last = made.back()->out;
  const std::size_t wanted = options.goal == Goal::reconstruction ? input.size()
                             : training.classes.size() > 2        ? training.classes.size()
                                                                  : 1;
  if (last.size() != wanted || (last.steps != 1)) {
    return Error{Errc::invalid, "the network says " + std::to_string(last.size()) + " numbers in " +
                                    std::to_string(last.steps) + " steps, where " + std::to_string(wanted) +
                                    " in one are wanted"};
  }
  auto weights = row_weights(training, training, options.balanced, options.goal);
  if (!weights) return std::move(weights).error();

  Workers workers(options.threads);
  const std::size_t batch =
      std::min(options.batch, std::max(training.rows(), stopping ? stopping->rows() : 0));
  const std::size_t slice_rows = (batch + Trained::kSlices - 1) / Trained::kSlices;
  Trained network(std::move(made), batch, internal::network_kernel());
  Feeder feeder(training, std::move(*weights), input, options, wanted, network, slice_rows);
  std::optional<Feeder> stopping_feeder;
  if (stopping != nullptr) {
    auto theirs = row_weights(*stopping, training, options.balanced, options.goal);
    if (!theirs) return std::move(theirs).error();
    stopping_feeder.emplace(*stopping, std::move(*theirs), input, options, wanted, network, slice_rows);
  }
  Training run(network, feeder, stopping_feeder ? &*stopping_feeder : nullptr, workers, options);

  Checkpoint checkpoint;
  if (!options.checkpoint.empty()) {
    auto opened = Checkpoint::open(options.checkpoint,
                                   digest(training, stopping, input, layers, network.weights(), options));
    if (!opened) return std::move(opened).error();
    checkpoint = std::move(*opened);
    const auto records = checkpoint.take_records();
    if (!records.empty() && !from_bytes(records.back().bytes, run.state, network))
      return Error{Errc::corrupt, options.checkpoint.string() + ": a record that is no epoch"};
  }
  const std::size_t resumed = run.state.epochs.size();
  while (!run.is_done()) {
    if (auto done = run.run(); !done) return std::move(done).error();
    if (options.checkpoint.empty()) continue;
    if (auto kept = checkpoint.replace(run.state.epochs.size(), to_bytes(run.state, network)); !kept)
      return std::move(kept).error();
  }
  run.take_best();

  model::Network::Parts parts;
  parts.input = input;
  parts.layers = network.finish();
  if (options.goal == Goal::label) {
    parts.scale = model::Scale::probability;
    parts.layers.push_back(model::layer::Activate{model::Activation::of(
        wanted == 1 ? model::Activation::Kind::sigmoid : model::Activation::Kind::softmax)});
  }
  auto fitted = model::Network::make(std::move(parts));
  if (!fitted) return std::move(fitted).error();
  const std::size_t best = stopping != nullptr ? run.state.best : run.state.epochs.size() - 1;
  return FittedNetwork{std::move(*fitted), std::move(run.state.epochs), best, resumed};
}

std::vector<LearningLayer> perceptron(std::span<const std::size_t> hidden, std::size_t outputs,
                                      double dropout) {
  std::vector<LearningLayer> out;
  for (const auto units : hidden) {
    out.emplace_back(model::Layer(model::layer::Dense{0, units, {}, {}}));
    out.emplace_back(BatchNorm{});
    out.emplace_back(model::Layer(model::layer::Activate{model::Activation::relu()}));
    if (dropout > 0) out.emplace_back(Dropout{dropout});
  }
  out.emplace_back(model::Layer(model::layer::Dense{0, outputs, {}, {}}));
  return out;
}

std::vector<LearningLayer> autoencoder(std::span<const std::size_t> hidden, std::size_t inputs) {
  std::vector<LearningLayer> out;
  for (const auto units : hidden) {
    out.emplace_back(model::Layer(model::layer::Dense{0, units, {}, {}}));
    out.emplace_back(model::Layer(model::layer::Activate{model::Activation::relu()}));
  }
  out.emplace_back(model::Layer(model::layer::Dense{0, inputs, {}, {}}));
  return out;
}

}  // namespace nidus::learn
