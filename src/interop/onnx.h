#pragma once

#include <cstddef>
#include <span>

#include "base/result.h"
#include "interop/artefact.h"

namespace nidus::interop {

// An ONNX model (https://onnx.ai, operator sets 7 to 28, ai.onnx.ml 1 to 5) of one row or any number of rows,
// in one file. What gives probabilities or other scores of rows is a model, what gives rows of rows a
// transform; which of its outputs counts, and what it says, `origin` and `notes` tell.
//
// Scores are those of ONNX Runtime within the rounding of float: sums of trees and products of matrices are
// taken in double here and in float there, in an order that depends on its version and threads. A row is
// judged as a batch of one. One ensemble of trees behind at most scaling and filling in becomes a Forest or
// Boost of ours; everything else a program (model/tensor_program.h).
//
// Errc::corrupt for bytes that contradict the format and graphs that contradict themselves;
// Errc::unsupported names the node and its operator, or the option, that we do not know; Errc::exhausted for
// sizes beyond the limits of a program. Thread-safe. Keeps nothing of `bytes`.
Result<Artefact> read_onnx(std::span<const std::byte> bytes);

// Whether the bytes may be one: for telling formats apart, before anything is known.
bool looks_like_onnx(std::span<const std::byte> bytes);

}  // namespace nidus::interop
