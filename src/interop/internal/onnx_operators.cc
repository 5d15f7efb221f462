#include "interop/internal/onnx_operators.h"

#include <cmath>

namespace nidus::interop::internal::onnx {

Result<std::vector<std::int64_t>> Site::known_integers(std::size_t input) const {
  if (!has(input)) return corrupt("operand " + std::to_string(input) + " is left out");
  const Value& value = in(input);
  if (!value.is_known() || value.element == Element::text)
    return unsupported("operand " + std::to_string(input) + " depends on the row");
  std::vector<std::int64_t> out;
  for (const double number : *value.known) {
    if (!(std::abs(number) <= 0x1p62))
      return corrupt("operand " + std::to_string(input) + ": no whole numbers");
    out.push_back(static_cast<std::int64_t>(number));
  }
  return out;
}

Result<std::size_t> Site::axis_of(std::int64_t axis, std::size_t rank) {
  const auto count = static_cast<std::int64_t>(rank);
  if (axis < -count || axis >= count) {
    return Error{Errc::corrupt,
                 "axis " + std::to_string(axis) + " of " + std::to_string(rank) + " dimensions"};
  }
  return static_cast<std::size_t>(axis < 0 ? axis + count : axis);
}

Result<Outputs> translate(Site& site) {
  const std::string_view op = site.node.op;
  Translator translator = nullptr;
  if (site.node.domain.empty()) {
    translator = find_arithmetic(op);
    if (translator == nullptr) translator = find_shaping(op);
    if (translator == nullptr) translator = find_layer(op);
  } else if (site.node.domain == "ai.onnx.ml") {
    translator = find_classic(op);
  }
  if (translator == nullptr) return site.unsupported("an operator that is not known here");
  for (const auto& attribute : site.node.attributes) {
    if (attribute.is_graph) return site.unsupported("attribute '" + std::string(attribute.name) + "'");
  }
  const bool needs_none = op == "Constant";
  if (!needs_none && !site.has(0)) return site.corrupt("no operand");
  // Texts are moved about and encoded, and nothing else.
  static constexpr std::string_view kForTexts[] = {"Identity",      "Concat",    "ArrayFeatureExtractor",
                                                   "Gather",        "Reshape",   "LabelEncoder",
                                                   "OneHotEncoder", "Slice",     "Split",
                                                   "Squeeze",       "Unsqueeze", "Flatten"};
  for (const Value& input : site.inputs) {
    if (input.element != Element::text) continue;
    bool good = !input.is_known();
    bool listed = false;
    for (const auto each : kForTexts) listed = listed || each == op;
    if (!good || !listed) return site.unsupported("texts");
  }
  auto out = translator(site);
  if (!out && !out.error().message.starts_with("node '"))
    return std::move(out).error().within(site.node.spell());
  return out;
}

}  // namespace nidus::interop::internal::onnx
