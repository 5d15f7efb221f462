#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"
#include "interop/internal/onnx_builder.h"
#include "interop/internal/onnx_model.h"

// What each operator means: https://onnx.ai/onnx/operators. Where the standard leaves it open, what ONNX
// Runtime does.
namespace nidus::interop::internal::onnx {

// One node on its way into the program.
struct Site {
  const Node& node;
  Builder& builder;
  std::int64_t opset = 0;     // of the node's domain
  std::vector<Value> inputs;  // of the node; element none for one left out
  std::vector<bool> wanted;   // of its outputs: whether anybody reads it
  // Texts of each column of the row that holds some, which encoders fill in.
  std::vector<std::vector<std::string>>& vocabularies;

  bool has(std::size_t input) const {
    return input < inputs.size() && inputs[input].element != Element::none;
  }
  const Value& in(std::size_t input) const { return inputs[input]; }
  // Of an input that must be known, such as the axes of a reduction. Errc::unsupported if it is not.
  Result<std::vector<std::int64_t>> known_integers(std::size_t input) const;
  // An axis counted from the front. Errc::corrupt if there is none of this number.
  static Result<std::size_t> axis_of(std::int64_t axis, std::size_t rank);
  Error corrupt(const std::string& what) const { return {Errc::corrupt, node.spell() + ": " + what}; }
  Error unsupported(const std::string& what) const { return {Errc::unsupported, node.spell() + ": " + what}; }
};

using Outputs = std::vector<Value>;  // element none for one that is not made
// Of an operator that does nothing to its input.
inline Result<Outputs> same(Site& s) { return Outputs{s.in(0)}; }
// Of an operator with a single output.
inline Result<Outputs> one(Result<Value> value) {
  if (!value) return std::move(value).error();
  return Outputs{std::move(*value)};
}

// Errc::unsupported names the node and its operator if we do not know it, or not with these options.
Result<Outputs> translate(Site& site);

// By family; nothing for an operator of another.
using Translator = Result<Outputs> (*)(Site&);
Translator find_arithmetic(std::string_view op);
Translator find_shaping(std::string_view op);
Translator find_layer(std::string_view op);
Translator find_classic(std::string_view op);  // of domain ai.onnx.ml

// What classifiers and ensembles do to their sums: NONE, LOGISTIC, SOFTMAX, SOFTMAX_ZERO, PROBIT.
Result<Value> post_transform(Site& site, const Value& sums, std::string_view name);

}  // namespace nidus::interop::internal::onnx
