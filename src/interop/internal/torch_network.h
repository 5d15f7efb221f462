#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "interop/internal/torch_file.h"
#include "model/network.h"

// From the modules of PyTorch to layers, for torch.cc only.
namespace nidus::interop::internal {

// A layer in the words of TorchOptions::architecture, with its weights where it has any.
struct TorchLayer {
  std::string kind;           // "linear"
  std::vector<double> sizes;  // what stands behind the word; those that are left out are not there
  std::map<std::string, double, std::less<>> options;
  std::string path;  // "encoder.4", for messages; empty where there is none
  std::map<std::string, TorchTensor, std::less<>> weights;  // by PyTorch's names: "weight", "running_mean"

  double option(std::string_view name, double otherwise) const {
    const auto found = options.find(name);
    return found == options.end() ? otherwise : found->second;
  }
};

// Reads an architecture. Errc::invalid names the word that is not understood.
Result<std::vector<TorchLayer>> parse_torch_architecture(std::string_view text);
// Writes one, sizes of weights included.
std::string torch_architecture(const std::vector<TorchLayer>& layers);

// Whether a kind of layer has weights.
bool has_torch_weights(std::string_view kind);

// The kind of layer that weights of these names and shapes belong to: "linear", "batchnorm", "layernorm",
// "conv1d", "lstm", "gru", "rnn", "prelu", with its sizes. Errc::unsupported if it is none of them.
Result<TorchLayer> recognise_torch_layer(std::string path,
                                         std::map<std::string, TorchTensor, std::less<>> weights);

// The network of layers that all have their weights. The first may be "input".
Result<model::Network::Parts> torch_network(const std::vector<TorchLayer>& layers);

}  // namespace nidus::interop::internal
