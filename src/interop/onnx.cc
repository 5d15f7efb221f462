#include "interop/onnx.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/number.h"
#include "base/text.h"
#include "interop/internal/onnx_native.h"
#include "interop/internal/onnx_network.h"
#include "interop/internal/onnx_operators.h"
#include "interop/internal/protobuf.h"
#include "model/network.h"
#include "model/tensor_program.h"

namespace nidus::interop {
namespace {

using namespace internal::onnx;  // NOLINT: the names of the format
using Op = Builder::Op;

constexpr std::int64_t kOpsetMin = 7, kOpsetMax = 28, kOpsetMlMax = 5;
constexpr std::size_t kColumnsMax = 65536;

// One input of the graph: some columns of the row.
struct InputSource {
  const Port* port = nullptr;
  std::size_t begin = 0;
  Dims dims;
  Element element = Element::f32;
};

struct Graph {
  Model model;
  std::map<std::string_view, std::size_t> producers;  // of a value: the node
  std::vector<InputSource> sources;
  std::size_t columns = 0;
};

Element normalised(Element element) {
  if (element == Element::f32 || element == Element::f64 || element == Element::boolean ||
      element == Element::text || element == Element::f16 || element == Element::none) {
    return element;
  }
  return Element::i64;
}

// How many columns a matrix without that number must have, by what reads it: 0 if nothing tells.
std::int64_t columns_wanted(const Model& model, std::string_view name) {
  std::set<std::string_view> names{name};
  std::int64_t out = 0;
  for (const Node& node : model.nodes) {
    if (node.inputs.empty() || !names.contains(node.inputs[0])) continue;
    const auto weights =
        node.inputs.size() > 1 ? model.initializers.find(node.inputs[1]) : model.initializers.end();
    const bool known = weights != model.initializers.end() && weights->second.dims.size() == 2;
    if (node.op == "Identity" || node.op == "Cast" || node.op == "Scaler" || node.op == "Imputer") {
      names.insert(node.outputs.empty() ? std::string_view() : node.outputs[0]);
      const auto all = std::max(node.numbers("offset").size(), node.numbers("imputed_value_floats").size());
      if (all > 1) return static_cast<std::int64_t>(all);
    } else if (node.op == "LinearClassifier" || node.op == "LinearRegressor") {
      const auto rows = std::max<std::size_t>(node.numbers("intercepts").size(), 1);
      return static_cast<std::int64_t>(node.numbers("coefficients").size() / rows);
    } else if (node.op == "MatMul" && known) {
      return weights->second.dims[0];
    } else if (node.op == "Gemm" && known) {
      return weights->second.dims[node.integer("transB", 0) != 0 ? 1 : 0];
    } else if (node.op.starts_with("TreeEnsemble")) {
      for (const auto feature : node.integers("nodes_featureids"))
        out = std::max(out, std::clamp<std::int64_t>(feature, 0, kColumnsMax) + 1);
    }
  }
  return out;
}

Result<Graph> prepare(std::span<const std::byte> bytes) {
  auto model = read_model(bytes);
  if (!model) return std::move(model).error();
  Graph graph;
  graph.model = std::move(*model);
  const Model& m = graph.model;
  if (m.opset != 0 && (m.opset < kOpsetMin || m.opset > kOpsetMax)) {
    return Error{Errc::unsupported, "operator set " + std::to_string(m.opset) + ", known are " +
                                        std::to_string(kOpsetMin) + " to " + std::to_string(kOpsetMax)};
  }
  if (m.opset_ml > kOpsetMlMax)
    return Error{Errc::unsupported, "operator set " + std::to_string(m.opset_ml) + " of ai.onnx.ml"};
  for (std::size_t i = 0; i < m.nodes.size(); ++i) {
    // The sets stand behind the graph: a file that was cut off there would mean something else.
    const bool classic = m.nodes[i].domain == "ai.onnx.ml", usual = m.nodes[i].domain.empty();
    if ((classic && m.opset_ml == 0) || (usual && m.opset == 0))
      return Error{Errc::corrupt, m.nodes[i].spell() + " is of an operator set that the file does not name"};
    for (const auto output : m.nodes[i].outputs) {
      if (!output.empty() && (!graph.producers.emplace(output, i).second || m.initializers.contains(output)))
        return Error{Errc::corrupt, "value '" + std::string(output) + "' is made twice"};
    }
  }
  if (m.inputs.empty()) return Error{Errc::unsupported, "a graph without inputs"};
  for (const Port& port : m.inputs) {
    InputSource source;
    source.port = &port;
    source.begin = graph.columns;
    source.element = normalised(port.element);
    source.dims = port.dims;
    const std::string what = "input '" + std::string(port.name) + "'";
    if (source.element == Element::f16 || source.element == Element::none || port.element > Element::u64)
      return Error{Errc::unsupported, what + " is of type " + name(port.element)};
    if (!port.has_dims) source.dims = {-1, -1};
    if (source.dims.empty() || source.dims.size() > kRankMax)
      return Error{Errc::unsupported, what + " is no array of rows"};
    if (source.dims[0] > 1) {
      return Error{Errc::unsupported, what + " takes exactly " + std::to_string(source.dims[0]) +
                                          " rows: export the model for any number of rows, or one"};
    }
    source.dims[0] = 1;
    if (source.dims.size() == 2 && source.dims[1] < 1) source.dims[1] = columns_wanted(m, port.name);
    std::size_t columns = 1;
    for (std::size_t i = 1; i < source.dims.size(); ++i) {
      if (source.dims[i] < 1) {
        return Error{Errc::unsupported, what + " does not say how large dimension " + std::to_string(i) +
                                            " is: export the model with a fixed one"};
      }
      const bool fits = source.dims[i] <= static_cast<std::int64_t>(kColumnsMax);
      if (fits) columns *= static_cast<std::size_t>(source.dims[i]);
      if (!fits || columns + graph.columns > kColumnsMax)
        return Error{Errc::exhausted, "more than " + with_thousands(kColumnsMax) + " columns"};
    }
    graph.columns += columns;
    graph.sources.push_back(std::move(source));
  }
  return graph;
}

// The value behind names that only pass it on.
std::string_view behind(const Graph& graph, std::string_view value) {
  for (std::size_t steps = 0; steps <= graph.model.nodes.size(); ++steps) {
    const auto found = graph.producers.find(value);
    if (found == graph.producers.end()) return value;
    const Node& node = graph.model.nodes[found->second];
    if ((node.op != "Identity" && node.op != "ZipMap") || node.inputs.empty()) return value;
    value = node.inputs[0];
  }
  return value;
}

struct Compiled {
  Value value;
  std::vector<std::vector<std::string>> vocabularies;  // of each column
};

// The value as a program of the row.
Result<Compiled> compile(Graph& graph, Builder& builder, std::string_view wanted) {
  Model& m = graph.model;
  // Which nodes it takes.
  std::vector<bool> needed(m.nodes.size(), false);
  std::set<std::string_view> read{wanted};
  std::vector<std::string_view> open{wanted};
  while (!open.empty()) {
    const auto found = graph.producers.find(open.back());
    open.pop_back();
    if (found == graph.producers.end() || needed[found->second]) continue;
    needed[found->second] = true;
    for (const auto input : m.nodes[found->second].inputs) {
      read.insert(input);
      open.push_back(input);
    }
  }
  Compiled out;
  out.vocabularies.resize(graph.columns);
  std::map<std::string_view, Value> values;
  for (const InputSource& source : graph.sources) {
    if (source.element != Element::text) {
      values.emplace(source.port->name, builder.row(source.begin, source.dims, source.element));
      continue;
    }
    Value texts;
    texts.element = Element::text;
    texts.dims = source.dims;
    for (std::size_t i = 0; i < texts.size(); ++i)
      texts.columns.push_back(static_cast<std::uint32_t>(source.begin + i));
    values.emplace(source.port->name, std::move(texts));
  }
  const auto find = [&](std::string_view name) -> const Value* {
    if (const auto found = values.find(name); found != values.end()) return &found->second;
    const auto tensor = m.initializers.find(name);
    if (tensor == m.initializers.end()) return nullptr;
    Value value;
    value.element = normalised(tensor->second.element);
    if (value.element == Element::f16) value.element = Element::f32;
    value.dims = tensor->second.dims;
    value.known = std::make_shared<const std::vector<double>>(std::move(tensor->second.values));
    return &values.emplace(name, std::move(value)).first->second;
  };
  for (std::size_t i = 0; i < m.nodes.size(); ++i) {
    if (!needed[i]) continue;
    const Node& node = m.nodes[i];
    Site site{node, builder, node.domain == "ai.onnx.ml" ? m.opset_ml : m.opset, {}, {}, out.vocabularies};
    for (const auto input : node.inputs) {
      if (input.empty()) {
        site.inputs.emplace_back();
        continue;
      }
      const Value* value = find(input);
      if (value == nullptr) return site.corrupt("value '" + std::string(input) + "' is not made before it");
      site.inputs.push_back(*value);
    }
    for (const auto output : node.outputs) site.wanted.push_back(!output.empty() && read.contains(output));
    auto made = translate(site);
    if (!made) return std::move(made).error();
    for (std::size_t k = 0; k < node.outputs.size() && k < made->size(); ++k) {
      if (!node.outputs[k].empty() && (*made)[k].element != Element::none)
        values.emplace(node.outputs[k], std::move((*made)[k]));
    }
  }
  const Value* value = find(wanted);
  if (value == nullptr) return Error{Errc::corrupt, "output '" + std::string(wanted) + "' is never made"};
  if (value->element == Element::text) return Error{Errc::unsupported, "an output of texts"};
  out.value = *value;
  return out;
}

// What the outputs are.
struct OutputsRead {
  std::string_view scores;      // the value that counts
  const Node* maker = nullptr;  // what made it, behind reshapes and the like; none for an input
  bool has_label = false;       // a label stands beside it: a classifier, or a detector of outliers
  std::vector<std::string> classes;
};

std::vector<std::string> labels_of(const Node& node, std::string_view texts, std::string_view numbers) {
  std::vector<std::string> out;
  if (const auto* found = node.find(texts); found != nullptr) {
    for (const auto text : found->strings) out.emplace_back(text);
  }
  if (!out.empty()) return out;
  for (const auto number : node.integers(numbers)) out.push_back(std::to_string(number));
  return out;
}

std::vector<std::string> labels_of(const Node& node) {
  if (node.op == "LinearClassifier" || node.op == "SVMClassifier")
    return labels_of(node, "classlabels_strings", "classlabels_ints");
  return labels_of(node, "classlabels_strings", "classlabels_int64s");
}

Result<OutputsRead> read_outputs(const Graph& graph) {
  const Model& m = graph.model;
  OutputsRead out;
  std::vector<const Port*> scores;
  const Port* named = nullptr;
  for (const Port& port : m.outputs) {
    const auto found = graph.producers.find(port.name);
    const bool is_map = found != graph.producers.end() && m.nodes[found->second].op == "ZipMap";
    if (!is_map && (is_whole(port.element) || port.element == Element::text) &&
        port.element != Element::none) {
      out.has_label = true;
      continue;
    }
    scores.push_back(&port);
    const std::string lower = to_lower(port.name);
    if (is_map) {
      out.has_label = true;
      out.classes = labels_of(m.nodes[found->second], "classlabels_strings", "classlabels_int64s");
    }
    if (is_map || lower.find("prob") != std::string::npos || lower == "scores") named = &port;
  }
  if (scores.empty()) return Error{Errc::unsupported, "no output gives scores, only labels"};
  out.scores = behind(graph, (named != nullptr ? named : scores.back())->name);
  // The labels, wherever in the graph they stand, where no map says them.
  for (const Node& node : m.nodes) {
    if (!out.classes.empty()) break;
    if (node.op == "TreeEnsembleClassifier" || node.op == "LinearClassifier" || node.op == "SVMClassifier")
      out.classes = labels_of(node);
  }
  std::string_view value = out.scores;
  for (std::size_t steps = 0; steps <= m.nodes.size(); ++steps) {
    const auto found = graph.producers.find(value);
    if (found == graph.producers.end()) break;
    out.maker = &m.nodes[found->second];
    static constexpr std::string_view kPassing[] = {"Reshape", "Flatten",  "Squeeze",  "Unsqueeze",
                                                    "Cast",    "Identity", "Transpose"};
    if (std::find(std::begin(kPassing), std::end(kPassing), out.maker->op) == std::end(kPassing) ||
        out.maker->inputs.empty()) {
      break;
    }
    value = out.maker->inputs[0];
  }
  return out;
}

// Names of the columns, where the file has them: inputs of one column each, or properties "column.N" as our
// own writer leaves them.
void name_columns(const Graph& graph, const std::vector<std::vector<std::string>>& vocabularies,
                  Artefact& out) {
  const Model& m = graph.model;
  bool has_texts = false;
  for (const InputSource& source : graph.sources) has_texts = has_texts || source.element == Element::text;
  std::vector<std::string> names(graph.columns);
  bool named = false;
  if (graph.sources.size() == graph.columns && graph.columns > 1) {
    for (std::size_t i = 0; i < graph.columns; ++i) names[i] = graph.sources[i].port->name;
    named = true;
  }
  for (const auto& [key, value] : m.metadata) {
    if (!key.starts_with("column.")) continue;
    const auto index = parse_integer(key.substr(7));
    if (!index || *index < 0 || *index >= static_cast<std::int64_t>(graph.columns)) continue;
    names[static_cast<std::size_t>(*index)] = value;
    named = true;
  }
  if (!named && !has_texts) return;
  out.columns.resize(graph.columns);
  for (std::size_t i = 0; i < graph.columns; ++i) out.columns[i].name = names[i];
  for (const InputSource& source : graph.sources) {
    if (source.element != Element::text) continue;
    for (std::size_t i = 0; i < volume(source.dims); ++i) {
      out.columns[source.begin + i].kind = model::Column::Kind::categorical;
      out.columns[source.begin + i].vocabulary = vocabularies[source.begin + i];
    }
  }
  for (const auto& [key, value] : m.metadata) {  // "category.N.M": text M of column N
    if (!key.starts_with("category.")) continue;
    const auto parts = split(key.substr(9), '.');
    const auto index = parts.size() == 2 ? parse_integer(parts[0]) : std::nullopt;
    if (!index || *index < 0 || *index >= static_cast<std::int64_t>(graph.columns)) continue;
    auto& column = out.columns[static_cast<std::size_t>(*index)];
    column.kind = model::Column::Kind::categorical;
    column.vocabulary.emplace_back(value);
  }
}

bool is_squash(std::string_view op) { return op == "Sigmoid" || op == "HardSigmoid"; }

// What the scores are on, by what they were made with.
model::Scale scale_of(const OutputsRead& reading, const Value& scores) {
  const Node* maker = reading.maker;
  if (maker == nullptr) return model::Scale::margin;
  const auto transform = maker->text("post_transform", "NONE");
  if (maker->op == "LinearClassifier")
    return transform == "NONE" ? model::Scale::margin : model::Scale::probability;
  if (maker->op == "TreeEnsembleClassifier") {
    if (transform == "LOGISTIC" || transform == "SOFTMAX") return model::Scale::probability;
    const auto weights = maker->numbers("class_weights");
    return std::all_of(weights.begin(), weights.end(), [](double weight) { return weight >= 0; })
               ? model::Scale::probability
               : model::Scale::margin;
  }
  (void)scores;
  return model::Scale::probability;
}

// What our own writer says of the scores, in the properties of the file.
struct Ours {
  std::optional<model::Scale> scale;
  std::optional<double> threshold;
  std::vector<std::string> classes;
};

Ours read_properties(const Model& m) {
  Ours out;
  if (m.producer != "nidus") return out;
  for (const auto& [key, value] : m.metadata) {
    if (key == "scale") {
      for (const model::Scale scale :
           {model::Scale::probability, model::Scale::anomaly, model::Scale::error, model::Scale::margin}) {
        if (value == name(scale)) out.scale = scale;
      }
    } else if (key == "threshold") {
      out.threshold = parse_number(value);
    } else if (key == "class." + std::to_string(out.classes.size())) {
      out.classes.emplace_back(value);
    }
  }
  return out;
}

struct Judgement {
  Artefact::Kind kind = Artefact::Kind::model;
  model::Scale scale = model::Scale::probability;
  std::optional<Value> value;
  std::optional<double> threshold;
  // How `value` comes from the scores, unless otherwise than by these two in this order.
  bool softmax = false, otherwise = false;
  std::optional<std::size_t> kept;
  std::string why;  // of other
  std::vector<std::string> notes;
};

Result<Judgement> judge(const Graph& graph, const OutputsRead& reading, const Ours& ours, Builder& b,
                        const Value& scores, bool has_activation) {
  Judgement out;
  const std::size_t size = scores.size();
  const std::string_view op = reading.maker == nullptr ? "" : reading.maker->op;
  if (size == 0) return Error{Errc::unsupported, "an output without numbers"};
  Value flat = Builder::reshape(scores, {static_cast<std::int64_t>(size)});
  const auto keep = [&](model::Scale scale, std::optional<std::size_t> index) -> Result<Judgement> {
    out.scale = scale;
    if (scale == model::Scale::margin) out.threshold = 0;
    out.kept = index;
    if (index) {
      auto picked = b.pick({flat}, {static_cast<std::uint32_t>(*index)}, {1});
      if (!picked) return std::move(picked).error();
      flat = std::move(*picked);
    }
    out.value = flat;
    return out;
  };
  if (ours.scale) {
    const bool pair = *ours.scale == model::Scale::probability && size == 2 && reading.has_label;
    auto kept = keep(*ours.scale, pair ? std::optional<std::size_t>(1) : std::nullopt);
    if (kept) kept->threshold = ours.threshold;
    return kept;
  }
  const bool outliers = reading.has_label && reading.classes.empty() && size == 1;
  if (outliers) {
    // The decision function of a detector of outliers: below 0 is one.
    auto turned = b.unary(Op::negate, flat);
    if (!turned) return std::move(turned).error();
    flat = std::move(*turned);
    out.otherwise = true;
    out.notes.emplace_back("scores are the decision function with its sign turned: above 0 is an outlier");
    return keep(model::Scale::margin, {});
  }
  if (reading.has_label) {
    const model::Scale scale = scale_of(reading, scores);
    if (size == 2) return keep(scale, 1);
    if (size == 1 || scale == model::Scale::probability) return keep(scale, {});
    out.notes.emplace_back("scores are how far a row is on the side of each class, no probabilities");
    return keep(scale, {});
  }
  if (size == 1 && is_squash(op)) return keep(model::Scale::probability, {});
  if (op == "Softmax" && size >= 2)
    return size == 2 ? keep(model::Scale::probability, 1) : keep(model::Scale::probability, {});
  if (op == "LogSoftmax" && size >= 2) {
    auto shares = b.unary(Op::exponential, flat);
    if (!shares) return std::move(shares).error();
    flat = std::move(*shares);
    out.otherwise = true;
    return size == 2 ? keep(model::Scale::probability, 1) : keep(model::Scale::probability, {});
  }
  if (size != graph.columns || size == 1) {
    const bool linear = op == "Gemm" || op == "Add" || op == "MatMul";
    if (size == 1 && linear && has_activation) {
      out.notes.emplace_back(
          "the network ends without a sigmoid: its output is taken for a logit, above 0 is an attack");
      return keep(model::Scale::margin, {});
    }
    if (size == 1) {
      out.kind = Artefact::Kind::other;
      out.why = "a regressor, which gives a number and judges nothing";
      return out;
    }
    if (linear && has_activation) {
      auto shares = b.along(Op::softmax, flat, 0);
      if (!shares) return std::move(shares).error();
      flat = std::move(*shares);
      out.softmax = true;
      out.notes.emplace_back("the network ends without a softmax, which is taken of its outputs here");
      return size == 2 ? keep(model::Scale::probability, 1) : keep(model::Scale::probability, {});
    }
  }
  // Scalers and encoders have no such functions.
  if (size == graph.columns && size > 2 && has_activation) {
    out.notes.emplace_back(
        "an autoencoder: as many numbers come out as go in; its score is the error of reconstruction, whose "
        "threshold is not in the file");
    out.scale = model::Scale::margin;
    out.value = flat;
    return out;
  }
  out.kind = Artefact::Kind::transform;
  out.value = flat;
  return out;
}

// The layers that lead to the scores, if the graph is no more than some, or to their second column where the
// first is what that leaves of 1.
struct FoundLayers {
  std::optional<LayerChain> chain;
  bool second_of_pair = false;
};

FoundLayers layers_of(const Graph& graph, const OutputsRead& reading) {
  FoundLayers out;
  const auto found = graph.producers.find(reading.scores);
  if (found == graph.producers.end()) return out;
  const Node& node = graph.model.nodes[found->second];
  out.second_of_pair = node.op == "Concat" && node.inputs.size() == 2 && node.integer("axis", 1) == 1;
  out.chain = find_layers(graph.model, out.second_of_pair ? node.inputs[1] : reading.scores);
  if (out.chain && out.chain->inputs != graph.columns) out.chain.reset();
  return out;
}

// The judgement from a Network of these layers; nothing if it was not made of their scores like that.
std::shared_ptr<const model::Model> as_network(FoundLayers found, const Judgement& judged) {
  namespace layer = model::layer;
  if (!found.chain || judged.otherwise) return nullptr;
  auto& [layers, inputs, outputs] = *found.chain;
  if (found.second_of_pair) {
    if (outputs != 1 || judged.kept != std::size_t{1} || judged.softmax) return nullptr;
  } else if (outputs != (judged.kept ? 2 : judged.value->size())) {
    return nullptr;
  }
  if (judged.softmax)
    layers.emplace_back(layer::Activate{model::Activation::of(model::Activation::Kind::softmax)});
  if (judged.kept && !found.second_of_pair) layers.emplace_back(layer::Slice{0, 1, *judged.kept, 1});
  model::Network::Parts parts;
  parts.input = {1, inputs};
  parts.layers = std::move(layers);
  parts.scale = judged.scale;
  auto network = model::Network::make(std::move(parts));
  if (!network) return nullptr;  // a program says it all the same
  return std::make_shared<const model::Network>(std::move(*network));
}

}  // namespace

bool looks_like_onnx(std::span<const std::byte> bytes) {
  internal::ProtoReader in(bytes);
  // The version of the format comes first, and nothing but the fields of a model comes at all.
  if (!in.next() || in.field() != 1 || in.wire() != internal::ProtoReader::Wire::varint || in.varint() > 1000)
    return false;
  bool has_graph = false;
  do {
    has_graph = has_graph || in.field() == 7;
    if (in.field() > 30) return false;
  } while (in.next());
  return in.ok() && has_graph;
}

Result<Artefact> read_onnx(std::span<const std::byte> bytes) {
  auto graph = prepare(bytes);
  if (!graph) return std::move(graph).error();
  const Model& m = graph->model;
  auto reading = read_outputs(*graph);
  if (!reading) return std::move(reading).error();
  Artefact out;
  out.origin = "ONNX";
  if (!m.producer.empty()) {
    out.origin += " by " + std::string(m.producer);
    if (!m.producer_version.empty()) out.origin += " " + std::string(m.producer_version);
  }
  if (reading->maker != nullptr) out.origin += ", " + std::string(reading->maker->op);
  const Ours ours = read_properties(m);
  out.classes = ours.classes.empty() ? reading->classes : ours.classes;

  if (auto native = read_native(m, reading->scores)) {
    if (!*native) return std::move(*native).error();
    out.kind = Artefact::Kind::model;
    out.model = std::move(**native);
    name_columns(*graph, {}, out);
    return out;
  }

  bool wide = false, has_activation = false;
  for (const InputSource& source : graph->sources) wide = wide || source.element != Element::f32;
  static const std::set<std::string_view> kActivations = {"Relu", "Sigmoid",  "Tanh",  "LeakyRelu",
                                                          "Elu",  "Selu",     "LSTM",  "GRU",
                                                          "Gelu", "Softplus", "PRelu", "HardSigmoid"};
  for (const Node& node : m.nodes) has_activation = has_activation || kActivations.count(node.op) != 0;
  FoundLayers layers = layers_of(*graph, *reading);  // compiling takes the weights away
  Builder builder(graph->columns);
  auto compiled = compile(*graph, builder, reading->scores);
  if (!compiled) return std::move(compiled).error();
  auto judged = judge(*graph, *reading, ours, builder, compiled->value, has_activation);
  if (!judged) return std::move(judged).error();
  out.kind = judged->kind;
  out.notes = std::move(judged->notes);
  out.threshold = judged->threshold;
  name_columns(*graph, compiled->vocabularies, out);
  if (out.kind == Artefact::Kind::other) {
    out.origin += ": " + judged->why;
    return out;
  }
  if (out.kind == Artefact::Kind::model) {
    if (auto network = as_network(std::move(layers), *judged)) {
      const std::size_t classes = network->outputs() == 1 ? 2 : network->outputs();
      if (out.classes.size() != classes) out.classes.clear();
      out.model = std::move(network);
      return out;
    }
  }
  auto program = builder.finish(*judged->value);
  if (!program) return std::move(program).error();
  if (out.kind == Artefact::Kind::transform) {
    out.transform = std::make_shared<const model::TensorTransform>(std::move(*program), wide);
  } else {
    const std::size_t classes = program->outputs() == 1 ? 2 : program->outputs();
    if (out.classes.size() != classes) out.classes.clear();
    out.model = std::make_shared<const model::TensorModel>(std::move(*program), judged->scale, wide);
  }
  return out;
}

}  // namespace nidus::interop
