#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "interop/internal/onnx_model.h"
#include "model/layers.h"

namespace nidus::interop::internal::onnx {

struct LayerChain {
  std::vector<model::Layer> layers;
  std::size_t inputs = 0, outputs = 0;
};

// The layers between the only input of the graph, rows of floats, and this value, where dense layers,
// normalisation and functions of each number stand one behind the other: a Network of ours computes those
// many rows at a time, a program of arrays one by one. Nothing if anything else stands there.
std::optional<LayerChain> find_layers(const Model& model, std::string_view value);

}  // namespace nidus::interop::internal::onnx
