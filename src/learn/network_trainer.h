#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "learn/dataset.h"
#include "learn/progress.h"
#include "model/layers.h"
#include "model/network.h"

namespace nidus::learn {

// What layers are called while they learn. Of model::Layer dense, conv1d (of one group), pooling, reshaping
// to one step, an LSTM forward with its usual functions, and ReLU, ELU, tanh and sigmoid can learn. Weights
// that are given are where training begins; where a kernel is empty it is drawn by the seed (He et al. 2015
// before ReLU and ELU, Glorot and Bengio 2010 elsewhere), and inputs of 0 are what the layer before gives.
struct BatchNorm {
  double epsilon = 1e-5, momentum = 0.1;
};
struct Dropout {
  double rate = 0.5;  // below 1
};
using LearningLayer = std::variant<model::Layer, BatchNorm, Dropout>;

struct NetworkOptions {
  // What is made small: the cross entropy of the label, behind a sigmoid or, with more than two classes, a
  // softmax, which the fitted network ends with; or the mean squared distance of a row from what comes out.
  enum class Goal : std::uint8_t { label, reconstruction };
  // How the learning rate goes down: not at all; halved when the loss has not improved for `plateau` epochs;
  // along half a cosine to 0 at the last epoch (Loshchilov and Hutter, 2017).
  enum class Schedule : std::uint8_t { constant, plateau, cosine };

  Goal goal = Goal::label;
  std::size_t epochs = 30;
  std::size_t batch = 256;
  double learning_rate = 1e-3;
  double weight_decay = 0;  // of matrices, as in AdamW
  Schedule schedule = Schedule::plateau;
  std::size_t plateau = 3;
  // With rows to stop by: end when their loss has not improved for so many epochs, and keep the best. 0:
  // never.
  std::size_t patience = 8;
  bool balanced = false;   // weigh classes so that each counts the same
  double input_noise = 0;  // deviation of noise added to each number of a row that is learnt from
  // What else becomes of a row before the network sees it, drawn anew in each epoch. May be empty.
  std::function<void(std::span<float> row, Random& random)> change;
  std::uint64_t seed = 1;
  std::size_t threads = 0;  // 0: all processors
  // A file that takes each epoch as it is finished, and from which the same training goes on; see Checkpoint.
  std::filesystem::path checkpoint;  // empty: none
  Progress progress;                 // may be empty; called after each batch
};

struct Epoch {
  double loss = 0;           // mean over the rows, as they were learnt from
  double stopping_loss = 0;  // of the rows to stop by, with what was learnt by then; NaN without them
  double learning_rate = 0;
};

struct FittedNetwork {
  model::Network network;
  std::vector<Epoch> epochs;
  std::size_t best = 0;     // which of them the weights are of
  std::size_t resumed = 0;  // epochs that came from the checkpoint
};

// Trains by Adam (Kingma and Ba, 2015) on mini-batches of shuffled rows, in float. Rows hold `input` steps ×
// channels numbers, all finite. An epoch's rows are divided into batches of as nearly the same size as can
// be. `stopping`, which may be null, holds rows of the same form by which training ends; they are not learnt
// from.
//
// The same bytes for the same rows, options and seed, whatever the number of threads, resumed or not, on
// processors with the same instructions: gradients are added up in four slices of a batch, in their order.
//
// Errc::invalid for rows or options without sense, or a loss that is no longer a number; Errc::unsupported
// for layers that cannot learn; Errc::corrupt for layers that do not fit each other; Errc::exhausted when
// progress said stop; Errc::io for a checkpoint that cannot be written.
Result<FittedNetwork> fit_network(const Dataset& training, const Dataset* stopping, model::Shape input,
                                  std::vector<LearningLayer> layers, const NetworkOptions& options = {});

// Hidden layers of these sizes, each a dense layer, batch normalisation, ReLU and dropout (where rate > 0);
// then `outputs` numbers.
std::vector<LearningLayer> perceptron(std::span<const std::size_t> hidden, std::size_t outputs,
                                      double dropout);

// Hidden layers of these sizes with ReLU between them, then `inputs` numbers again.
std::vector<LearningLayer> autoencoder(std::span<const std::size_t> hidden, std::size_t inputs);

}  // namespace nidus::learn
