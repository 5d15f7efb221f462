#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/json_writer.h"
#include "base/number.h"
#include "base/text.h"
#include "cmd_learn/fitting.h"
#include "data/split.h"
#include "learn/network_trainer.h"
#include "learn/packet_networks.h"
#include "learn/preprocess_learner.h"
#include "model/preprocess.h"
#include "model/reconstruction.h"
#include "model/transform.h"

namespace nidus::cmd {
namespace {

constexpr double kStoppingShare = 0.1;
constexpr std::size_t kStoppingRowsLeast = 20;  // to learn from; with fewer, none are kept aside
// With fewer groups a tenth of them is a few: the loss then goes by what happens to be in those, and some
// kinds of rows are on one side only. No figure and no threshold comes from these rows, so chance may divide
// them.
constexpr std::size_t kStoppingGroupsLeast = 100;
// As far as a column may go from what is usual, in deviations: further, one number would drown the others.
constexpr double kReach = 10;

Result<std::vector<std::size_t>> sizes_of(const TrainArguments& given, std::vector<std::size_t> usual) {
  if (given.layers.empty()) return usual;
  constexpr std::size_t kLayersMax = 64, kUnitsMax = 16384;
  std::vector<std::size_t> out;
  for (const auto& text : given.layers) {
    const auto units = parse_integer(text);
    if (!units || *units < 1 || *units > static_cast<std::int64_t>(kUnitsMax))
      return Error{Errc::invalid, fmt::format("--layers: '{}' is no number from 1 to 16,384", text)};
    out.push_back(static_cast<std::size_t>(*units));
  }
  if (out.size() > kLayersMax) return Error{Errc::invalid, "--layers: more than 64"};
  return out;
}

learn::PreprocessOptions preprocessing_of(const TrainArguments& given) {
  using Scaling = learn::PreprocessOptions::Scaling;
  learn::PreprocessOptions out;
  out.scaling = given.scaling == "robust"    ? Scaling::robust
                : given.scaling == "min-max" ? Scaling::min_max
                : given.scaling == "none"    ? Scaling::none
                                             : Scaling::standard;
  out.log = given.scaling == "log";
  out.reach = out.scaling == Scaling::none ? 0 : kReach;
  out.clip_to_range = false;
  out.fill_missing = true;
  out.one_hot = given.encode == "one-hot";
  return out;
}

learn::NetworkOptions options_of(const Lesson& lesson) {
  const TrainArguments& given = lesson.given;
  learn::NetworkOptions out;
  out.epochs = given.epochs;
  out.batch = given.batch;
  if (given.learning_rate != 0) out.learning_rate = given.learning_rate;
  using Schedule = learn::NetworkOptions::Schedule;
  out.schedule = given.schedule == "cosine"     ? Schedule::cosine
                 : given.schedule == "constant" ? Schedule::constant
                                                : Schedule::plateau;
  out.patience = given.patience;
  out.balanced = given.weights == "balanced";
  out.seed = given.seed;
  out.threads = given.metering.threads;
  return out;
}

// The rows that are learnt from, and those by which training ends; whole groups on one side where there are
// many.
struct Divided {
  learn::Dataset learning, stopping;
};

Result<Divided> divide_for_stopping(const learn::Dataset& rows, std::span<const std::uint32_t> groups,
                                    const TrainArguments& given) {
  if (given.patience == 0 || rows.rows() < kStoppingRowsLeast) {
    if (given.patience != 0) say("too few rows to keep some aside to stop by: all epochs are run");
    return Divided{rows, {}};
  }
  data::SplitOptions shares;
  shares.train = 1 - kStoppingShare;
  shares.validation = kStoppingShare;
  shares.test = 0;
  shares.seed = given.seed;
  const std::size_t different = std::set<std::uint32_t>(groups.begin(), groups.end()).size();
  const auto parts = different < kStoppingGroupsLeast ? data::stratified_split(rows.labels, shares)
                                                      : data::grouped_split(rows.labels, groups, shares);
  if (!parts) return parts.error();
  if (parts->validation.empty() || parts->train.empty()) {
    say("too few rows of a class to keep some aside to stop by: all epochs are run");
    return Divided{rows, {}};
  }
  return Divided{learn::take(rows, parts->train), learn::take(rows, parts->validation)};
}

std::string network_json(const learn::FittedNetwork& fitted) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.field("epochs", fitted.epochs.size());
  json.field("kept", fitted.best + 1);
  for (const bool stopping : {false, true}) {
    json.key(stopping ? "loss_of_rows_kept_aside" : "loss");
    json.begin_array();
    for (const auto& epoch : fitted.epochs) {
      const double loss = stopping ? epoch.stopping_loss : epoch.loss;
      if (std::isfinite(loss)) json.value(loss);
    }
    json.end_array();
  }
  json.end_object();
  return out;
}

// Fits on rows that are numbers only.
Result<std::shared_ptr<const model::Network>> fit_rows(const Lesson& lesson, const learn::Dataset& learning,
                                                       const learn::Dataset& stopping, model::Shape shape,
                                                       std::vector<learn::LearningLayer> layers,
                                                       learn::NetworkOptions options, Learnt& learnt) {
  const TrainArguments& given = lesson.given;
  options.checkpoint = lesson.checkpoints.file(given.model);
  Result<learn::FittedNetwork> fitted = Error{};
  {
    ProgressBar bar(given.model);
    options.progress = progress_of(bar);
    fitted = learn::fit_network(learning, stopping.rows() > 0 ? &stopping : nullptr, shape, std::move(layers),
                                options);
  }
  if (!fitted) {
    say_where_it_stands(options.checkpoint);
    return std::move(fitted).error();
  }
  if (fitted->resumed > 0)
    say(fmt::format("{} of {} epochs were there already", fitted->resumed, fitted->epochs.size()));
  const learn::Epoch& kept = fitted->epochs[fitted->best];
  say(fmt::format(
      "{}: {} epochs, kept number {}: loss {:.4g}{}", given.model, fitted->epochs.size(), fitted->best + 1,
      kept.loss,
      stopping.rows() > 0 ? fmt::format(", {:.4g} of the rows kept aside", kept.stopping_loss) : ""));
  learnt.figures[given.model] = network_json(*fitted);
  return std::make_shared<const model::Network>(std::move(fitted->network));
}

Result<ModelPointer> fit_columns(const Lesson& lesson, const Divided& rows, Learnt& learnt) {
  const TrainArguments& given = lesson.given;
  const bool encodes = given.model == "autoencoder";
  auto sizes = sizes_of(given, encodes ? std::vector<std::size_t>{64, 16, 64}
                                       : std::vector<std::size_t>{512, 256, 128, 64, 32});
  if (!sizes) return std::move(sizes).error();
  auto steps = learn::learn_preprocessor(rows.learning, preprocessing_of(given));
  if (!steps) return std::move(steps).error();
  const learn::Dataset learning = learn::preprocess(*steps, rows.learning),
                       stopping = learn::preprocess(*steps, rows.stopping);
  learn::NetworkOptions options = options_of(lesson);
  std::vector<learn::LearningLayer> layers;
  if (encodes) {
    options.goal = learn::NetworkOptions::Goal::reconstruction;
    options.input_noise = given.noise;
    layers = learn::autoencoder(*sizes, learning.inputs());
  } else {
    const std::size_t classes = learning.classes.size();
    layers = learn::perceptron(*sizes, classes == 2 ? 1 : classes, given.dropout);
  }
  auto network =
      fit_rows(lesson, learning, stopping, {1, learning.inputs()}, std::move(layers), options, learnt);
  if (!network) return std::move(network).error();
  ModelPointer inner = *network;
  if (encodes) {
    auto error = model::Reconstruction::make(inner, model::Reconstruction::Measure::squared);
    if (!error) return std::move(error).error();
    inner = std::make_shared<model::Reconstruction>(std::move(*error));
  }
  auto whole = model::Pipeline::make(std::move(*steps), std::move(inner));
  if (!whole) return std::move(whole).error();
  return ModelPointer(std::make_shared<model::Pipeline>(std::move(*whole)));
}

Result<ModelPointer> fit_packets(const Lesson& lesson, const Divided& rows, Learnt& learnt) {
  const TrainArguments& given = lesson.given;
  auto sizes = sizes_of(given, {32});
  if (!sizes) return std::move(sizes).error();
  auto steps = learn::packet_steps_of(rows.learning.schema);
  if (!steps) return std::move(steps).error();
  const model::Shape shape = learn::packet_shape(**steps);
  const learn::Dataset learning = learn::as_steps(**steps, rows.learning),
                       stopping = learn::as_steps(**steps, rows.stopping);
  const std::size_t classes = learning.classes.size();
  const auto kind = given.model == "lstm"  ? learn::PacketNetwork::lstm
                    : given.model == "cnn" ? learn::PacketNetwork::cnn
                                           : learn::PacketNetwork::cnn_lstm;
  learn::NetworkOptions options = options_of(lesson);
  options.change = learn::random_prefix(shape);
  auto network = fit_rows(lesson, learning, stopping, shape,
                          learn::packet_network(kind, *sizes, classes == 2 ? 1 : classes, given.dropout),
                          options, learnt);
  if (!network) return std::move(network).error();
  auto whole = model::TransformedModel::make(std::move(*steps), std::move(*network));
  if (!whole) return std::move(whole).error();
  return ModelPointer(std::make_shared<model::TransformedModel>(std::move(*whole)));
}

}  // namespace

Result<void> fit_networks(const Lesson& lesson, Learnt& learnt) {
  const TrainArguments& given = lesson.given;
  const bool benign_only = is_of_benign_rows(given.model);
  std::vector<std::size_t> chosen;
  std::vector<std::uint32_t> groups;
  for (std::size_t row = 0; row < lesson.training.rows(); ++row) {
    if (benign_only && lesson.training.labels[row] != 0) continue;
    chosen.push_back(row);
    if (!lesson.groups.empty()) groups.push_back(lesson.groups[row]);
  }
  auto rows = divide_for_stopping(learn::take(lesson.training, chosen), groups, given);
  if (!rows) return std::move(rows).error();
  auto model =
      reads_packets(given.model) ? fit_packets(lesson, *rows, learnt) : fit_columns(lesson, *rows, learnt);
  if (!model) return std::move(model).error();
  learnt.models.push_back(std::move(*model));
  return {};
}

}  // namespace nidus::cmd
