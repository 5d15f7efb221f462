#pragma once

#include <cstddef>
#include <span>

#include "base/result.h"
#include "interop/artefact.h"

namespace nidus::interop {

// Whether the bytes begin as a Keras file of either kind does: HDF5, or a zip archive with a config.json and
// weights in HDF5 in it.
bool looks_like_keras(std::span<const std::byte> bytes);

// A model that Keras saved, version 2 or 3, as HDF5 (`.h5`) or zip (`.keras`): a Sequential model, or a
// functional one that is a single chain, and such models within each other. What is a part and what is
// refused:
//
//   layers       Dense, Activation, BatchNormalization, LayerNormalization, Normalization, Rescaling, Conv1D,
//                Max- and AveragePooling1D, GlobalMax- and GlobalAveragePooling1D, UpSampling1D, Cropping1D,
//                Flatten, Reshape, RepeatVector, Permute, LSTM, GRU, SimpleRNN, Bidirectional with concat,
//                TimeDistributed of what looks at one step, ReLU, LeakyReLU, PReLU, ELU, Softmax; what only
//                trains (Dropout, noise) is left out
//   refused      Errc::unsupported: Lambda and every other class, by name; sequences of any length; branches
//
// The result is a Network in float, whose inputs are a row, or steps × channels one step behind the other.
// One sigmoid at the end, or a softmax, makes probabilities; with a softmax of two classes the score is that
// of the second. Logits are squashed where the file says that the loss took logits. A model with as many
// outputs as inputs is an autoencoder: the network is given as it is, with a note, for a Reconstruction. No
// file names its columns, classes or threshold.
//
// Errors: Errc::corrupt for bytes that contradict their formats, Errc::exhausted beyond a limit. Nothing in
// the file is run.
Result<Artefact> read_keras(std::span<const std::byte> bytes);

}  // namespace nidus::interop
