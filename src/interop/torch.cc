#include "interop/torch.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/number.h"
#include "base/text.h"
#include "interop/internal/torch_modules.h"

namespace nidus::interop {
namespace {

using namespace internal;  // NOLINT: the words of the containers
using model::Activation;
using model::Network;
namespace layer = model::layer;
using State = std::vector<std::pair<std::string, TorchTensor>>;

constexpr std::size_t kHeaderMax = 16 << 20;  // bytes of the JSON of a safetensors file

Error invalid(const std::string& what) { return {Errc::invalid, "architecture: " + what}; }

std::string spoken(const TorchLayer& l) {
  return torch_architecture({l}) + (l.path.empty() ? "" : " (" + l.path + ")");
}

// Gives the weights of the file to the words that ask for some, one after the other.
Result<std::vector<TorchLayer>> described(std::vector<TorchLayer> words, std::vector<TorchLayer> layers) {
  auto next = layers.begin();
  const auto weighs = [](const TorchLayer& l) { return !l.weights.empty(); };
  for (TorchLayer& word : words) {
    if (!has_torch_weights(word.kind)) continue;
    next = std::find_if(next, layers.end(), weighs);
    if (next == layers.end()) return invalid("'" + spoken(word) + "' finds no more weights in the file");
    bool fits = next->kind == word.kind;
    for (std::size_t i = 0; fits && i < word.sizes.size() && i < next->sizes.size(); ++i) {
      // The weights of grouped convolutions are of one group.
      const double groups = word.kind == "conv1d" && i == 0 ? word.option("groups", 1) : 1;
      fits = word.sizes[i] == next->sizes[i] * groups;
    }
    for (const char* option : {"layers", "bidirectional"}) {
      const double otherwise = std::string_view(option) == "layers" ? 1 : 0;
      fits = fits && (word.kind == "rnn" || word.kind == "lstm" || word.kind == "gru"
                          ? word.option(option, otherwise) == next->option(option, otherwise)
                          : true);
    }
    if (!fits) return invalid("'" + spoken(word) + "' where the file has " + spoken(*next));
    for (const auto& [name, value] : next->options) word.options.emplace(name, value);
    word.path = next->path;
    word.weights = std::move(next->weights);
    ++next;
  }
  if (std::find_if(next, layers.end(), weighs) != layers.end())
    return invalid("the file has more layers, the next being " +
                   spoken(*std::find_if(next, layers.end(), weighs)));
  return words;
}

Result<Artefact> finish(TorchModules modules, std::string origin, const TorchOptions& options) {
  Artefact out;
  out.kind = Artefact::Kind::model;
  out.origin = std::move(origin);
  auto words = parse_torch_architecture(options.architecture);
  if (!words) return std::move(words).error();
  const bool only_input = words->size() == 1 && words->front().kind == "input";
  if (words->empty() || only_input) {
    guess_functions(modules);
    if (!modules.unsure.empty()) {
      return internal::torch_unsupported(modules.unsure + ". Say or confirm it with an architecture (" +
                                         options.option + "): " + torch_architecture(modules.layers));
    }
    if (only_input) modules.layers.insert(modules.layers.begin(), words->front());
    out.notes = std::move(modules.notes);
  } else {
    auto all = described(std::move(*words), std::move(modules.layers));
    if (!all) return std::move(all).error();
    modules.layers = std::move(*all);
  }
  auto parts = torch_network(modules.layers);
  if (!parts) {
    if (options.architecture.empty())
      parts.error().message += ". The layers of the file: " + torch_architecture(modules.layers);
    return std::move(parts).error();
  }
  model::Shape shape = parts->input;
  for (const auto& given : parts->layers) {
    const auto after = model::shape_after(given, shape);
    if (!after) return after.error();
    shape = *after;
  }
  const auto* last = std::get_if<layer::Activate>(&parts->layers.back());
  const auto kind = last == nullptr ? Activation::Kind::linear : last->function.kind;
  const std::size_t outputs = shape.size();
  if (kind != Activation::Kind::softmax && outputs > 1 && outputs == parts->input.size()) {
    out.notes.push_back(
        "an autoencoder: as many numbers come out as go in; its score is the error of "
        "reconstruction, whose threshold is not in the file");
  } else if (shape.steps != 1) {
    return internal::torch_unsupported("a model that says " + std::to_string(shape.steps) + " × " +
                                       std::to_string(shape.channels) +
                                       " numbers; 'last' in an architecture takes the last step");
  } else {
    const bool ends = kind == (outputs == 1 ? Activation::Kind::sigmoid : Activation::Kind::softmax);
    if (!ends && kind == Activation::Kind::sigmoid) {
      out.notes.push_back("a sigmoid for each of " + std::to_string(outputs) +
                          " outputs: they are no probabilities of one class each");
    } else {
      if (!ends) {
        parts->layers.push_back(layer::Activate{
            Activation::of(outputs == 1 ? Activation::Kind::sigmoid : Activation::Kind::softmax)});
        out.notes.push_back(outputs == 1 ? "its output is taken as a logit, through a sigmoid"
                                         : "its outputs are taken as logits, through a softmax");
      }
      parts->scale = model::Scale::probability;
      if (outputs == 2) parts->layers.push_back(layer::Slice{0, 1, 1, 1});
    }
    for (std::size_t i = 0; i < std::max<std::size_t>(outputs, 2); ++i)
      out.classes.push_back(std::to_string(i));
  }
  auto network = Network::make(std::move(*parts));
  if (!network) return std::move(network).error().within("torch");
  out.model = std::make_shared<const Network>(std::move(*network));
  return out;
}

// What wrappers put in front of every name: DataParallel, torch.compile, Lightning.
void strip_prefixes(State& state) {
  for (bool again = true; again && !state.empty();) {
    again = false;
    for (const char* prefix : {"module.", "_orig_mod.", "model.", "net.", "network."}) {
      const auto has = [&](const auto& entry) { return entry.first.starts_with(prefix); };
      if (!std::all_of(state.begin(), state.end(), has)) continue;
      for (auto& entry : state) entry.first.erase(0, std::strlen(prefix));
      again = true;
    }
  }
}

bool is_state(const PickleValue& value) {
  if (value.type() != PickleType::dict || value.size() == 0) return false;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (!value.key(i).text() || !TorchFile::is_tensor(value[i])) return false;
  }
  return true;
}

Result<State> state_of(const TorchFile& file, const PickleValue& value) {
  State out;
  std::size_t total = 0;
  for (std::size_t i = 0; i < value.size(); ++i) {
    auto tensor = file.tensor(value[i]);
    const std::string name(*value.key(i).text());
    if (!tensor) return std::move(tensor).error().within(name);
    total += tensor->values.size();
    if (total > Network::kWeightsMax)
      return Error{Errc::exhausted, "torch: more weights than a network may have"};
    out.emplace_back(name, std::move(*tensor));
  }
  strip_prefixes(out);
  return out;
}

// What a checkpoint says besides, where it is plain what is meant.
void add_extras(const PickleValue& checkpoint, Artefact& artefact) {
  for (const char* name : {"threshold", "anomaly_threshold"}) {
    if (const auto number = checkpoint.find(name).number()) {
      artefact.threshold = *number;
      artefact.notes.push_back("the checkpoint has a threshold of " + std::to_string(*number));
      break;
    }
  }
  for (const char* name : {"feature_names", "features", "feature_columns", "columns"}) {
    const PickleValue names = checkpoint.find(name);
    if ((names.type() != PickleType::list && names.type() != PickleType::tuple) ||
        names.size() != artefact.model->inputs())
      continue;
    model::Schema columns(names.size());
    bool texts = true;
    for (std::size_t i = 0; i < names.size() && texts; ++i) {
      const auto text = names[i].text();
      texts = text.has_value();
      if (texts) columns[i].name = *text;
    }
    if (texts) artefact.columns = std::move(columns);
    break;
  }
}

// The state_dict or module in a checkpoint: under a usual name, or the only one there is.
PickleValue inside(const PickleValue& root) {
  for (const char* name : {"model_state_dict", "state_dict", "model_state", "model", "net", "network",
                           "autoencoder", "model_weights", "weights", "module"}) {
    const PickleValue value = root.find(name);
    if (is_state(value) || value.find("_modules")) return value;
  }
  PickleValue only;
  for (std::size_t i = 0; i < root.size(); ++i) {
    if (!is_state(root[i]) && !root[i].find("_modules")) continue;
    if (only) return {};
    only = root[i];
  }
  return only;
}

std::string contents(const PickleValue& root) {
  if (root.type() != PickleType::dict) return root.describe();
  std::string out = "a dict of";
  for (std::size_t i = 0; i < root.size() && i < 8; ++i)
    out += (i == 0 ? " " : ", ") + root.key(i).describe() + ": " + root[i].describe();
  return out + (root.size() > 8 ? " ..." : "");
}

// Names of safetensors come in no order that means anything: parts that encode before those that decode,
// numbers by their size.
bool comes_before(const std::string& a, const std::string& b) {
  const auto parts_a = split(a, '.'), parts_b = split(b, '.');
  const auto rank = [](std::string_view part) { return part.starts_with("dec") ? 1 : 0; };
  for (std::size_t i = 0; i < std::min(parts_a.size(), parts_b.size()); ++i) {
    const auto one = parts_a[i], other = parts_b[i];
    if (one == other) continue;
    if (one.starts_with("enc") != other.starts_with("enc") && rank(one) != rank(other))
      return rank(one) < rank(other);
    // Digits at the end count as a number: fc2 before fc10.
    const auto cut = [](std::string_view part) {
      std::size_t at = part.size();
      while (at > 0 && part[at - 1] >= '0' && part[at - 1] <= '9') --at;
      return at;
    };
    const auto head_a = one.substr(0, cut(one)), head_b = other.substr(0, cut(other));
    if (head_a != head_b) return head_a < head_b;
    const auto number_a = parse_integer(one.substr(cut(one))),
               number_b = parse_integer(other.substr(cut(other)));
    if (number_a && number_b && *number_a != *number_b) return *number_a < *number_b;
    return one < other;
  }
  return parts_a.size() < parts_b.size();
}

}  // namespace

bool looks_like_torch(std::span<const std::byte> bytes) { return TorchFile::looks_like(bytes); }

Result<Artefact> read_torch(std::span<const std::byte> bytes, const TorchOptions& options) {
  const auto file = TorchFile::open(bytes);
  if (!file) return file.error();
  const PickleValue root = file->root();
  PickleValue model = root;
  if (root.type() == PickleType::dict && !is_state(root)) model = inside(root);
  if (is_state(model)) {
    auto state = state_of(*file, model);
    if (!state) return std::move(state).error();
    auto modules = torch_modules(std::move(*state));
    if (!modules) return std::move(modules).error();
    auto out =
        finish(std::move(*modules), model == root ? "PyTorch state_dict" : "PyTorch checkpoint", options);
    if (out && model != root) add_extras(root, *out);
    return out;
  }
  if (model.type() == PickleType::object && !TorchFile::is_tensor(model)) {
    auto modules = torch_modules(*file, model);
    if (!modules) return std::move(modules).error();
    auto out =
        finish(std::move(*modules), file->is_script() ? "TorchScript module" : "PyTorch module", options);
    if (out && model != root) add_extras(root, *out);
    return out;
  }
  return internal::torch_unsupported("a file of PyTorch that holds no model: " + contents(root) +
                                     "; it may be a placeholder");
}

bool looks_like_safetensors(std::span<const std::byte> bytes) {
  std::uint64_t size = 0;
  if (bytes.size() < 10) return false;
  std::memcpy(&size, bytes.data(), sizeof size);
  return size >= 2 && size <= bytes.size() - 8 && bytes[8] == std::byte{'{'};
}

Result<Artefact> read_safetensors(std::span<const std::byte> bytes, const TorchOptions& options) {
  const auto bad = [](const std::string& what) { return Error{Errc::corrupt, "safetensors: " + what}; };
  if (!looks_like_safetensors(bytes)) return bad("no header at the beginning");
  std::uint64_t size = 0;
  std::memcpy(&size, bytes.data(), sizeof size);
  if (size > kHeaderMax) return Error{Errc::exhausted, "safetensors: a header of more than 16 MiB"};
  const auto* text = reinterpret_cast<const char*>(bytes.data()) + 8;
  const auto header = nlohmann::json::parse(text, text + size, nullptr, false);
  if (!header.is_object()) return bad("a header that is no JSON");
  const auto data = bytes.subspan(8 + size);
  static constexpr std::pair<const char*, TorchType> kTypes[] = {
      {"F64", TorchType::f64}, {"F32", TorchType::f32}, {"F16", TorchType::f16}, {"BF16", TorchType::bf16},
      {"I64", TorchType::i64}, {"I32", TorchType::i32}, {"I16", TorchType::i16}, {"I8", TorchType::i8},
      {"U8", TorchType::u8},   {"BOOL", TorchType::u8}};
  State state;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> taken;
  std::uint64_t total = 0;  // bytes of tensors so far, of which there are no more than in the file
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") continue;
    const auto get = [&tensor_of = value](const char* key) {
      return tensor_of.is_object() ? tensor_of.value(key, nlohmann::json()) : nlohmann::json();
    };
    const auto dtype = get("dtype"), shape = get("shape"), offsets = get("data_offsets");
    const auto is_size = [](const nlohmann::json& number) { return number.is_number_unsigned(); };
    if (!dtype.is_string() || !shape.is_array() || shape.size() > 8 || !offsets.is_array() ||
        offsets.size() != 2 || !std::all_of(shape.begin(), shape.end(), is_size) ||
        !std::all_of(offsets.begin(), offsets.end(), is_size))
      return bad("'" + name + "' is no tensor");
    TorchType type = TorchType::none;
    for (const auto& [known, its] : kTypes) {
      if (dtype == known) type = its;
    }
    if (type == TorchType::none)
      return Error{Errc::unsupported, "safetensors: '" + name + "' holds " + dtype.get<std::string>()};
    const auto begin = offsets[0].get<std::uint64_t>(), end = offsets[1].get<std::uint64_t>();
    if (begin > end || end > data.size()) return bad("'" + name + "' lies beyond the file");
    if (end - begin > data.size() - total) return bad("tensors that overlap");
    total += end - begin;
    TorchTensor tensor;
    std::uint64_t count = 1;
    for (const auto& axis : shape) {
      const auto length = axis.get<std::uint64_t>();
      tensor.shape.push_back(length);
      if (length != 0 && count > data.size() / length) return bad("'" + name + "' is larger than the file");
      count *= length;
    }
    if (count * bytes_of(type) != end - begin)
      return bad("'" + name + "' has other bytes than its shape says");
    if (count > 0) taken.emplace_back(begin, end);
    tensor.values.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i)
      tensor.values.push_back(torch_value(type, false, data.data() + begin + i * bytes_of(type)));
    state.emplace_back(name, std::move(tensor));
  }
  std::sort(taken.begin(), taken.end());
  for (std::size_t i = 1; i < taken.size(); ++i) {
    if (taken[i].first < taken[i - 1].second) return bad("tensors that overlap");
  }
  if (state.empty()) return Error{Errc::unsupported, "safetensors: no tensors in the file"};
  std::stable_sort(state.begin(), state.end(),
                   [](const auto& a, const auto& b) { return comes_before(a.first, b.first); });
  strip_prefixes(state);
  auto modules = torch_modules(std::move(state));
  if (!modules) return std::move(modules).error();
  return finish(std::move(*modules), "safetensors", options);
}

}  // namespace nidus::interop
