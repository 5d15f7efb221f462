#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/model.h"
#include "model/schema.h"

namespace nidus::interop {

// The bytes of an ONNX file (operator set 13, ai.onnx.ml 2, readable by ONNX Runtime 1.6 and later) that
// scores as the model does. It takes one array "features" of floats, rows × columns of the schema in its
// order, categories by their numbers in the vocabulary and NaN for what is missing. It gives
//
//   "probabilities"  rows × classes floats, of two classes both; where the model's scores are not
//                    probabilities it is "scores" instead, rows × outputs, in the terms of the model
//   "label"          the names of the classes, or their numbers if there are no names: the most likely one,
//                    or the second when the score is above `threshold`. A model of other scores has labels
//                    only if a threshold is given, but margins, whose line is 0
//
// The properties "column.N", "category.N.M", "class.N", "scale" and "threshold" say what the columns and
// scores are; read_onnx goes by them.
//
// ONNX computes in floats. Splits of trees are decided exactly as here on rows of floats; sums of leaves,
// scaling in double and networks in double differ by the rounding of float, which is about 1e-7 of the
// largest number involved, and a property "precision" of the file says so. Errc::unsupported names the part
// of a model that ONNX has no word for, or that we have none for yet; Errc::invalid if the schema is not that
// of the model.
Result<std::string> write_onnx(const model::Model& model, const model::Schema& schema,
                               const std::vector<std::string>& classes,
                               std::optional<double> threshold = std::nullopt);

}  // namespace nidus::interop
