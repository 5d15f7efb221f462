#include "interop/keras.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "interop/internal/hdf5.h"
#include "interop/internal/keras_graph.h"
#include "interop/internal/keras_layers.h"
#include "interop/internal/zip.h"

namespace nidus::interop {
namespace {

using namespace internal;  // NOLINT: the words of the containers
using model::Activation;
using model::Network;
namespace layer = model::layer;

constexpr std::size_t kConfigMax = 16 << 20;  // bytes of JSON
constexpr int kNestingMax = 4;                // models within models

Error unsupported(const std::string& what) { return {Errc::unsupported, "keras: " + what}; }
Error corrupt(const std::string& what) { return {Errc::corrupt, "keras: " + what}; }

// Where the weights are, in either kind of file.
class Source {
 public:
  virtual ~Source() = default;
  // Of a layer; `path` is where it stands among the files' groups. A model within a model has weights of its
  // own only where they lie there for all of it.
  virtual Result<std::vector<Hdf5::Numbers>> weights(const std::string& path, const std::string& name,
                                                     const std::string& kind) const = 0;
  virtual bool keeps_models_together() const = 0;
};

// .h5: a group for each layer of the outermost model, with a list of the weights in it.
class LegacyWeights final : public Source {
 public:
  LegacyWeights(const Hdf5& file, std::string root) : file_(file), root_(std::move(root)) {}
  bool keeps_models_together() const override { return true; }
  Result<std::vector<Hdf5::Numbers>> weights(const std::string&, const std::string& name,
                                             const std::string&) const override {
    const std::string group = root_ + "/" + name;
    std::vector<std::string> names;
    auto all = file_.texts(group, "weight_names");
    if (!all) return std::move(all).error();
    if (*all) {
      names = std::move(**all);
    } else {  // too long for one attribute
      for (std::size_t i = 0; i < 4096; ++i) {
        auto some = file_.texts(group, "weight_names" + std::to_string(i));
        if (!some) return std::move(some).error();
        if (!*some) break;
        names.insert(names.end(), (*some)->begin(), (*some)->end());
      }
    }
    std::vector<Hdf5::Numbers> out;
    for (const auto& weight : names) {
      auto numbers = file_.numbers(group + "/" + weight);
      if (!numbers) return std::move(numbers).error();
      out.push_back(std::move(*numbers));
    }
    return out;
  }

 private:
  const Hdf5& file_;
  std::string root_;
};

// .keras: groups named for the class of a layer, and in them its weights by number.
class NumberedWeights final : public Source {
 public:
  explicit NumberedWeights(const Hdf5& file) : file_(file) {}
  bool keeps_models_together() const override { return false; }
  Result<std::vector<Hdf5::Numbers>> weights(const std::string& path, const std::string&,
                                             const std::string& kind) const override {
    std::vector<std::string> places = {path};
    if (kind == "LSTM" || kind == "GRU" || kind == "SimpleRNN") places = {path + "/cell"};
    if (kind == "Bidirectional") places = {path + "/forward_layer/cell", path + "/backward_layer/cell"};
    if (kind == "TimeDistributed") places = {path + "/layer"};
    std::vector<Hdf5::Numbers> out;
    for (const auto& place : places) {
      const auto links = file_.links(place + "/vars");
      if (!links && links.error().code == Errc::not_found) continue;
      if (!links) return links.error();
      for (std::size_t i = 0; i < links->size(); ++i) {
        auto numbers = file_.numbers(place + "/vars/" + std::to_string(i));
        if (!numbers) return std::move(numbers).error();
        out.push_back(std::move(*numbers));
      }
    }
    return out;
  }

 private:
  const Hdf5& file_;
};

// The numbers of a row as the model was told when it was built: [null, 72] or [null, 10, 72].
Result<bool> read_shape(const Json* value, KerasStack& stack) {
  if (value == nullptr || !value->is_array() || value->size() < 2) return false;
  if (value->size() > 3) return unsupported("inputs with more than two axes beside the batch");
  std::vector<std::size_t> sizes;
  for (std::size_t i = 1; i < value->size(); ++i) {
    const Json& size = (*value)[i];
    if (size.is_null()) return unsupported("sequences of any length; give the model a fixed number of steps");
    if (!size.is_number_unsigned() || size.get<std::uint64_t>() == 0 ||
        size.get<std::uint64_t>() > Network::kShapeMax)
      return corrupt("an impossible input shape");
    sizes.push_back(size.get<std::size_t>());
  }
  stack.is_sequence = sizes.size() == 2;
  stack.shape = stack.is_sequence ? model::Shape{sizes[0], sizes[1]} : model::Shape{1, sizes[0]};
  return true;
}

// Looks where the versions of Keras have written it.
Result<bool> find_shape(const Json& given, KerasStack& stack, int depth) {
  const Json* config = member(given, "config");
  const Json* build = member(given, "build_config");
  for (const Json* value : {config == nullptr ? nullptr : member(*config, "batch_input_shape"),
                            config == nullptr ? nullptr : member(*config, "batch_shape"),
                            config == nullptr ? nullptr : member(*config, "build_input_shape"),
                            build == nullptr ? nullptr : member(*build, "input_shape")}) {
    auto found = read_shape(value, stack);
    if (!found || *found) return found;
  }
  if (depth == 0 || !is_keras_model(given)) return false;
  const auto graph = read_keras_graph(given, "");
  if (!graph) return graph.error();
  if (graph->inputs.empty()) {
    for (const KerasLink& link : graph->links) {
      auto found = find_shape(*link.layer, stack, depth - 1);
      if (!found || *found) return found;
    }
    return false;
  }
  // Several inputs lie one behind the other in a row.
  std::size_t size = 0;
  bool found = true;
  for (const Json* const input : graph->inputs) {
    auto one = find_shape(*input, stack, depth - 1);
    if (!one) return one;
    found = found && *one;
    size += stack.shape.size();
  }
  if (graph->inputs.size() == 1) return found;
  if (!found) return unsupported("several inputs whose shapes are not told");
  stack.shape = {1, size};
  stack.is_sequence = false;
  return true;
}

KerasCounts counts_within(const Json& given, int depth) {
  const std::string kind = text_of(given, "class_name");
  const Json* config = member(given, "config");
  if (config == nullptr) return {};
  if (!is_keras_model(given)) return keras_counts(kind, *config);
  KerasCounts out;
  const auto links = keras_layers_of(given, "");
  if (!links || depth == 0) return out;
  for (const KerasLink& link : *links) {
    const auto inner = counts_within(*link.layer, depth - 1);
    out.trained += inner.trained;
    out.frozen += inner.frozen;
  }
  return out;
}

// Adds what a model does to a stack, layer after layer.
class Assembler {
 public:
  // `shared`: where the weights come from if they lie together with those of the model around it.
  Assembler(const Source& source, KerasWeights* shared, int depth)
      : source_(source), shared_(shared), depth_(depth) {}

  Result<void> add_model(const Json& given, const std::string& path, KerasStack& stack) {
    if (depth_ == 0) return unsupported("models within models within models");
    const auto graph = read_keras_graph(given, path);
    if (!graph) return graph.error();
    if (shared_ != nullptr && graph->is_forked)
      return unsupported("branches in a model within a model, saved as .h5; save it as .keras");
    inputs_ = graph->inputs;
    return add(graph->links, stack);
  }

 private:
  Result<void> add(const std::vector<KerasLink>& links, KerasStack& stack) {
    for (const KerasLink& link : links) {
      auto good = link.branches.empty() ? add_layer(link, stack) : add_branches(link, stack);
      if (good) continue;
      auto error = std::move(good).error();
      const std::string head = "keras: ";
      if (error.message.starts_with(head)) error.message.erase(0, head.size());
      error.message = head + "layer '" + keras_name(*link.layer) + "': " + error.message;
      return error;
    }
    return {};
  }

  Result<void> add_branches(const KerasLink& link, KerasStack& stack) {
    layer::Branches out;
    KerasStack end = stack;
    for (const auto& links : link.branches) {
      KerasStack branch = stack;
      branch.layers.clear();
      if (auto good = add(links, branch); !good) return good;
      out.branches.push_back({std::move(branch.layers)});
      end.is_sequence = branch.is_sequence;
    }
    const auto join = keras_join(*link.layer, end.is_sequence);
    if (!join) return join.error();
    out.join = *join;
    stack.is_sequence = end.is_sequence;
    return stack.add(std::move(out));
  }

  // Of several inputs, each takes its part of the row.
  Result<void> add_input(const Json& input, KerasStack& stack) {
    std::size_t begin = 0;
    for (const Json* const one : inputs_) {
      KerasStack part = stack;
      auto found = find_shape(*one, part, 1);
      if (!found) return std::move(found).error();
      if (one != &input) {
        begin += part.shape.size();
        continue;
      }
      stack.is_sequence = part.is_sequence;
      if (auto good = stack.add(layer::Slice{0, 1, begin, part.shape.size()}); !good) return good;
      return stack.add(layer::Reshape{part.shape});
    }
    return corrupt("an input that is none of the model's");
  }

  Result<void> add_layer(const KerasLink& link, KerasStack& stack) {
    const std::string kind = text_of(*link.layer, "class_name"), name = keras_name(*link.layer);
    const Json* config = member(*link.layer, "config");
    if (config == nullptr) return corrupt("no config");
    if (inputs_.size() > 1 && kind == "InputLayer") return add_input(*link.layer, stack);
    if (is_keras_model(*link.layer)) {
      if (shared_ != nullptr || !source_.keeps_models_together())
        return Assembler(source_, shared_, depth_ - 1).add_model(*link.layer, link.path, stack);
      auto values = source_.weights(link.path, name, kind);
      if (!values) return std::move(values).error();
      KerasWeights together(std::move(*values), counts_within(*link.layer, depth_).frozen);
      auto good = Assembler(source_, &together, depth_ - 1).add_model(*link.layer, link.path, stack);
      if (good && !together.all_taken()) return corrupt("weights that none of its layers wants");
      return good;
    }
    if (stack.shape.channels == 0) {  // whoever comes first without a shape is as wide as its weights
      if (kind != "InputLayer" && kind != "Dense")
        return unsupported("a model that does not say what its inputs are");
    }
    KerasWeights own;
    const auto counts = keras_counts(kind, *config);
    if (shared_ == nullptr && counts.trained + counts.frozen > 0) {
      auto values = source_.weights(link.path, name, kind);
      if (!values) return std::move(values).error();
      own = KerasWeights(std::move(*values));
      if (stack.shape.channels == 0) {
        const auto kernel = own.next_shape(false);
        if (kernel.size() != 2 || kernel[0] == 0) return corrupt("a kernel that is no matrix");
        stack.shape = {1, kernel[0]};
      }
    }
    KerasWeights& weights = shared_ == nullptr ? own : *shared_;
    if (auto good = add_keras_layer(kind, *config, weights, stack); !good) return good;
    if (shared_ == nullptr && !own.all_taken())
      return corrupt("more weights than a layer of class " + kind + " has");
    return {};
  }

  const Source& source_;
  KerasWeights* shared_;
  int depth_;
  std::vector<const Json*> inputs_;
};

// Whether what it was trained with took logits.
bool takes_logits(const Json& node, int depth) {
  if (depth == 0) return false;
  if (flag_of(node, "from_logits", false)) return true;
  if (!node.is_object() && !node.is_array()) return false;
  return std::any_of(node.begin(), node.end(),
                     [&](const Json& inner) { return takes_logits(inner, depth - 1); });
}

Result<Artefact> finish(const Json& given, const Json& training, const std::string& version,
                        const Source& source, const std::string& root) {
  const std::string kind = text_of(given, "class_name");
  if (!is_keras_model(given)) return unsupported("a model of class " + (kind.empty() ? "?" : kind));
  KerasStack stack;
  stack.major = version.empty() ? 2 : version[0] - '0';
  if (auto found = find_shape(given, stack, kNestingMax); !found) return std::move(found).error();
  const auto shape_given = stack.shape;
  if (auto good = Assembler(source, nullptr, kNestingMax).add_model(given, root, stack); !good)
    return std::move(good).error();
  Artefact out;
  out.kind = Artefact::Kind::model;
  out.origin = "Keras " + (version.empty() ? "of unknown version" : version) + " " +
               (kind == "Model" ? "Functional" : kind);
  Network::Parts parts;
  parts.input = shape_given;
  if (parts.input.channels == 0 && !stack.layers.empty()) {
    if (const auto* dense = std::get_if<layer::Dense>(&stack.layers.front()))
      parts.input = {1, dense->inputs};
  }
  const auto last = [&] {
    const auto* activate =
        stack.layers.empty() ? nullptr : std::get_if<layer::Activate>(&stack.layers.back());
    return activate == nullptr ? Activation::Kind::linear : activate->function.kind;
  };
  const std::size_t outputs = stack.shape.size();
  const bool repeats = outputs > 1 && outputs == parts.input.size() && last() != Activation::Kind::softmax;
  if (!repeats && last() == Activation::Kind::linear && takes_logits(training, 16)) {
    stack.layers.push_back(layer::Activate{
        Activation::of(outputs == 1 ? Activation::Kind::sigmoid : Activation::Kind::softmax)});
  }
  if (last() == Activation::Kind::softmax && stack.shape.steps == 1 && outputs > 1) {
    parts.scale = model::Scale::probability;
    if (outputs == 2) stack.layers.push_back(layer::Slice{0, 1, 1, 1});
  } else if (last() == Activation::Kind::sigmoid && outputs == 1) {
    parts.scale = model::Scale::probability;
  } else if (repeats) {
    out.notes.push_back(
        "an autoencoder: as many numbers come out as go in; its score is the error of "
        "reconstruction, whose threshold is not in the file");
  } else {
    out.notes.push_back(
        "it does not end in one sigmoid or a softmax; its scores are no probabilities, and the file "
        "has no threshold");
  }
  parts.layers = std::move(stack.layers);
  if (parts.layers.empty()) parts.layers.push_back(layer::Activate{});
  auto network = Network::make(std::move(parts));
  if (!network) return std::move(network).error().within("keras");
  if (outputs == 1 || outputs == 2) out.classes = {"0", "1"};
  if (!repeats && outputs > 2) {
    for (std::size_t i = 0; i < outputs; ++i) out.classes.push_back(std::to_string(i));
  }
  out.model = std::make_shared<const Network>(std::move(*network));
  return out;
}

Result<Json> parse(std::string_view text, const char* what) {
  if (text.size() > kConfigMax)
    return Error{Errc::exhausted, "keras: " + std::string(what) + " of more than 16 MiB"};
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return corrupt(std::string(what) + " is no JSON");
  return json;
}

// The first text of an attribute of the root, "" if there is none.
Result<std::string> root_text(const Hdf5& file, const char* name) {
  auto texts = file.texts("", name);
  if (!texts) return std::move(texts).error();
  return *texts && !(*texts)->empty() ? (*texts)->front() : std::string();
}

Result<Artefact> read_legacy(std::span<const std::byte> bytes) {
  const auto file = Hdf5::open(bytes);
  if (!file) return file.error();
  const auto config = root_text(*file, "model_config"), version = root_text(*file, "keras_version"),
             training = root_text(*file, "training_config");
  for (const auto* text : {&config, &version, &training}) {
    if (!*text) return text->error();
  }
  if (config->empty()) {
    const auto names = file->texts("", "layer_names");
    if (names && *names)
      return unsupported("a file of weights alone; save the whole model, which says what they are of");
    return unsupported("an HDF5 file that holds no Keras model");
  }
  const auto given = parse(*config, "model_config");
  if (!given) return given.error();
  const auto trained = parse(training->empty() ? "null" : *training, "training_config");
  if (!trained) return trained.error();
  return finish(*given, *trained, *version, LegacyWeights(*file, "model_weights"), "");
}

Result<Artefact> read_archive(std::span<const std::byte> bytes) {
  const auto zip = Zip::open(bytes);
  if (!zip) return zip.error();
  const auto* config = zip->find("config.json");
  const auto* weights = zip->find("model.weights.h5");
  const auto* metadata = zip->find("metadata.json");
  if (config == nullptr) return unsupported("an archive that holds no Keras model");
  if (weights == nullptr) {
    return zip->find("model.weights.npz") != nullptr
               ? unsupported(
                     "weights in model.weights.npz, as early previews wrote them; save the model again")
               : corrupt("no model.weights.h5 in the archive");
  }
  const auto config_bytes = Zip::read(*config, kConfigMax), weights_bytes = Zip::read(*weights);
  if (!config_bytes) return config_bytes.error();
  if (!weights_bytes) return weights_bytes.error();
  const auto given = parse(config_bytes->text(), "config.json");
  if (!given) return given.error();
  std::string version;
  if (metadata != nullptr) {
    const auto text = Zip::read(*metadata, kConfigMax);
    if (!text) return text.error();
    const auto json = parse(text->text(), "metadata.json");
    if (!json) return json.error();
    version = text_of(*json, "keras_version");
  }
  const auto file = Hdf5::open(weights_bytes->bytes());
  if (!file) return file.error();
  // TensorFlow 2.12 and 2.13 had another word for the layers of a model.
  const auto found = file->find("layers");
  if (!found && file->find("_layer_checkpoint_dependencies"))
    return unsupported("weights as TensorFlow 2.12 and 2.13 wrote them; save the model again, or as .h5");
  const Json* training = member(*given, "compile_config");
  return finish(*given, training == nullptr ? Json() : *training, version, NumberedWeights(*file), "");
}

}  // namespace

bool looks_like_keras(std::span<const std::byte> bytes) {
  if (Hdf5::looks_like(bytes)) return true;
  if (!Zip::looks_like(bytes)) return false;
  const auto zip = Zip::open(bytes);
  return zip && zip->find("config.json") != nullptr &&
         (zip->find("model.weights.h5") != nullptr || zip->find("model.weights.npz") != nullptr);
}

Result<Artefact> read_keras(std::span<const std::byte> bytes) {
  return Hdf5::looks_like(bytes) ? read_legacy(bytes) : read_archive(bytes);
}

}  // namespace nidus::interop
