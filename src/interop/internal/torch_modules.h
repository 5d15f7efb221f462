#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "interop/internal/torch_network.h"

// Which layers a file of PyTorch tells of, for torch.cc only.
namespace nidus::interop::internal {

struct TorchModules {
  std::vector<TorchLayer> layers;
  std::vector<std::string> notes;
  // Whether layers come by name alone, without the functions between them.
  bool is_named = false;
  // Why a person has to say or confirm the architecture; empty if nobody has to.
  std::string unsure;
};

// Of a whole module, which says which functions it has, if they are modules too.
Result<TorchModules> torch_modules(const TorchFile& file, const PickleValue& root);
// Of a state_dict, whose names say where the layers stand.
Result<TorchModules> torch_modules(std::vector<std::pair<std::string, TorchTensor>> state);

// Puts ReLU where names suggest that a function stands: says so in the notes of encoders and decoders, and is
// unsure of it elsewhere.
void guess_functions(TorchModules& modules);

}  // namespace nidus::interop::internal
