#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "interop/internal/onnx_model.h"
#include "model/model.h"

namespace nidus::interop::internal::onnx {

// The graph as a Forest or Boost of ours, behind scaling and filling in if there is any: they are walked
// faster than trees inside a program and are explained exactly. Nothing if the graph is more than that, or
// what its trees say is not what ours can.
std::optional<Result<std::shared_ptr<const model::Model>>> read_native(const Model& model,
                                                                       std::string_view scores);

}  // namespace nidus::interop::internal::onnx
