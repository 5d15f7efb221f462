#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/result.h"
#include "interop/artefact.h"

namespace nidus::interop {

struct TorchOptions {
  // What stands between the weights, in the order in which a row goes through: words with their sizes,
  // options behind them. Empty: as the file tells, or as its names suggest. Sizes of layers with weights may
  // be left out.
  //
  //   linear 72 64 relu linear 64 16 relu linear 16 64 relu linear 64 72
  //   input 10 16 lstm 16 64 layers 2 bidirectional last linear 128 1
  //   input 1 30 conv1d 1 8 3 stride 1 padding 1 batchnorm 8 relu maxpool 2 flatten linear 120 2
  //
  // input STEPS NUMBERS (recurrent) or CHANNELS LENGTH (convolution); linear IN OUT; batchnorm N and
  // layernorm N [epsilon E]; conv1d IN OUT SIZE [stride padding dilation groups]; lstm, gru and rnn IN UNITS
  // [layers N] [bidirectional], and rnn [relu]; maxpool and avgpool SIZE [stride padding], avgpool
  // [uncounted]; globalmaxpool, globalavgpool, flatten, last (the last step), dropout, identity; prelu, relu,
  // relu6, leaky_relu [SLOPE], elu [ALPHA], selu, gelu [tanh_form], silu, mish, softplus, softsign, tanh,
  // sigmoid, hardsigmoid, hardtanh [LOW HIGH], softmax.
  //
  // "input …" alone says how long a row is where the rest is in the file.
  std::string architecture;
  std::string option = "--layers";  // what the architecture is called where a message asks for it
};

// Whether the bytes begin as a file of torch.save does, of any age, or as a TorchScript archive.
bool looks_like_torch(std::span<const std::byte> bytes);
// Whether they begin as a safetensors file: the length of a header of JSON, and its first brace.
bool looks_like_safetensors(std::span<const std::byte> bytes);

// A stack of layers out of a file of torch.save or TorchScript, or out of safetensors: a state_dict, a
// checkpoint with one under a usual name ("model_state_dict", "state_dict", "model" ...), or a whole module.
// Tensors may be views, share storages, and come from any device.
//
// A state_dict says nothing of what has no weights. With TorchOptions::architecture all is said. Without, one
// ReLU is supposed to stand where a Sequential has numbers that have no weights (0, 2: at 1), and between
// layers that are named one by one (fc1, fc2); dropout changes nothing, and nothing is taken to stand between
// the parts of a model (encoder, decoder). Within what is called encoder or decoder that is taken, and
// Artefact::notes says so; elsewhere it must be confirmed: Errc::unsupported, whose message ends with the
// architecture to give if it is right. Recurrences and convolutions need an architecture. Whole modules that
// hold their activations tell them.
//
// The result is a Network in float. As many outputs as inputs: an autoencoder, as it is, with a note.
// Otherwise outputs are classes: unless a sigmoid or softmax stands there, one output goes through a sigmoid
// and several through a softmax, as the losses of PyTorch do; of two classes the score is that of the second.
//
// Errors: Errc::unsupported for modules and names that are not done, and for files without tensors, in a
// sentence; Errc::invalid for an architecture that makes no sense or does not fit the weights; Errc::corrupt,
// Errc::exhausted. Nothing in the file is run.
Result<Artefact> read_torch(std::span<const std::byte> bytes, const TorchOptions& options = {});
Result<Artefact> read_safetensors(std::span<const std::byte> bytes, const TorchOptions& options = {});

}  // namespace nidus::interop
