#include "interop/internal/torch_modules.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/number.h"
#include "base/text.h"

namespace nidus::interop::internal {
namespace {

using Weights = std::map<std::string, TorchTensor, std::less<>>;

std::string parent_of(const std::string& path) {
  const auto dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

// The number at the end of "encoder.4"; -1 if that is no number.
std::int64_t number_of(const std::string& path) {
  const auto number = parse_integer(path.substr(path.rfind('.') + 1));
  return number && *number >= 0 && *number < 100000 ? *number : -1;
}

bool is_norm(const TorchLayer& l) {
  return l.kind == "batchnorm" || l.kind == "layernorm" || l.kind == "prelu";
}

// What a module's class name ends in, without TorchScript's mangling.
std::string class_of(std::string_view name) {
  std::string out;
  for (const auto part : split(name, '.')) {
    if (part == "__torch__" || part.starts_with("___torch_mangle_")) continue;
    out += (out.empty() ? "" : ".") + std::string(part);
  }
  return out;
}

// A number, or a tuple of one number, or of several equal ones.
std::optional<double> scalar(const PickleValue& value) {
  if (const auto number = value.number()) return number;
  if ((value.type() == PickleType::tuple || value.type() == PickleType::list) && value.size() == 1)
    return value[0].number();
  return {};
}

constexpr std::string_view kTorch = "torch.nn.modules.";

// A tree of modules, turned into layers in the order of declaration.
class Walk {
 public:
  Walk(const TorchFile& file, TorchModules& out) : file_(file), out_(out) {}

  Result<void> module(const PickleValue& given, const std::string& path, int depth) {
    if (depth == 0) return torch_unsupported("modules nested too deeply");
    const std::string name = class_of(given.name());
    if (!name.starts_with(kTorch)) return own(given, path, depth);
    const std::string kind = name.substr(name.rfind('.') + 1);
    if (kind == "Sequential" || kind == "ModuleList") {
      for (const auto& [child, value] : children(given)) {
        if (auto good = module(value, path.empty() ? child : path + "." + child, depth - 1); !good)
          return good;
      }
      return {};
    }
    return leaf(given, kind, path);
  }

 private:
  using Named = std::vector<std::pair<std::string, PickleValue>>;

  static Named entries(const PickleValue& dict) {
    Named out;
    for (std::size_t i = 0; i < dict.size(); ++i) {
      if (const auto key = dict.key(i).text()) out.emplace_back(*key, dict[i]);
    }
    return out;
  }
  static bool is_module(const PickleValue& value) {
    return value.type() == PickleType::object && !TorchFile::is_tensor(value) &&
           (value.find("_modules") || value.find("training"));
  }
  Named children(const PickleValue& given) const {
    Named out;
    for (auto& [name, value] : entries(file_.is_script() ? given.state() : given.find("_modules"))) {
      if (is_module(value)) out.emplace_back(std::move(name), value);
    }
    return out;
  }
  Result<Weights> weights(const PickleValue& given) const {
    Weights out;
    Named all = file_.is_script() ? entries(given.state()) : entries(given.find("_parameters"));
    if (!file_.is_script()) {
      for (auto& entry : entries(given.find("_buffers"))) all.push_back(std::move(entry));
    }
    for (const auto& [name, value] : all) {
      if (!TorchFile::is_tensor(value)) continue;  // a bias that is None
      auto tensor = file_.tensor(value);
      if (!tensor) return std::move(tensor).error();
      out.emplace(name, std::move(*tensor));
    }
    return out;
  }

  // A class of the author's: its parts in the order in which it declares them, if that is likely to be the
  // order in which a row goes through.
  Result<void> own(const PickleValue& given, const std::string& path, int depth) {
    if (!is_module(given))
      return torch_unsupported(given.where() + ": " + given.describe() + " is no module");
    const auto parts = children(given);
    bool has_weights = false, has_functions = false, has_stacks = false;
    for (const auto& [name, value] : parts) {
      const std::string kind = class_of(value.name());
      const std::string word = kind.substr(kind.rfind('.') + 1);
      const bool is_stack = !kind.starts_with(kTorch) || word == "Sequential" || word == "ModuleList";
      const bool weighs = word == "Linear" || word.starts_with("Conv") || word.starts_with("BatchNorm") ||
                          word == "LayerNorm" || word == "LSTM" || word == "GRU" || word == "RNN";
      (is_stack ? has_stacks
       : weighs ? has_weights
                : has_functions) |= is_stack || weighs || !word.starts_with("Dropout");
    }
    if (has_functions && has_weights) {
      out_.unsure = "class " + class_of(given.name()) +
                    " keeps its layers and functions side by side, and only its "
                    "program says in which order they come";
    }
    out_.notes.push_back("the parts of class " + class_of(given.name()) +
                         " are taken in the order in which it declares them");
    if (has_weights && !has_functions) {
      // fc1, fc2: what is between them is in the program as well, and guessed as for a state_dict.
      out_.is_named = true;
    }
    for (const auto& [name, value] : parts) {
      if (auto good = module(value, path.empty() ? name : path + "." + name, depth - 1); !good) return good;
    }
    return {};
  }

  Result<void> leaf(const PickleValue& given, const std::string& kind, const std::string& path) {
    TorchLayer l;
    l.path = path;
    const auto number = [&](const char* name) { return scalar(given.find(name)); };
    const auto option = [&](const char* name, const char* as) {
      if (const auto value = number(name)) l.options[as] = *value;
    };
    const auto refuse = [&](const std::string& what) {
      return torch_unsupported(path + " (" + kind + "): " + what);
    };
    static constexpr std::pair<std::string_view, std::string_view> kPlain[] = {
        {"ReLU", "relu"},
        {"ReLU6", "relu6"},
        {"SELU", "selu"},
        {"SiLU", "silu"},
        {"Mish", "mish"},
        {"Softsign", "softsign"},
        {"Tanh", "tanh"},
        {"Sigmoid", "sigmoid"},
        {"Hardsigmoid", "hardsigmoid"},
        {"Identity", "identity"},
        {"Dropout", "dropout"},
        {"Dropout1d", "dropout"},
        {"AlphaDropout", "dropout"},
        {"Softplus", "softplus"},
        {"LeakyReLU", "leaky_relu"},
        {"ELU", "elu"},
        {"GELU", "gelu"},
        {"Hardtanh", "hardtanh"},
        {"Softmax", "softmax"},
        {"LogSoftmax", "softmax"},
        {"Flatten", "flatten"},
        {"MaxPool1d", "maxpool"},
        {"AvgPool1d", "avgpool"},
        {"AdaptiveAvgPool1d", "globalavgpool"},
        {"AdaptiveMaxPool1d", "globalmaxpool"}};
    for (const auto& [known, word] : kPlain) {
      if (known == kind) l.kind = word;
    }
    if (kind == "Softplus" && number("beta").value_or(1) != 1) return refuse("a beta that is not 1");
    if (kind == "LeakyReLU") l.sizes = {number("negative_slope").value_or(0.01)};
    if (kind == "ELU") l.sizes = {number("alpha").value_or(1)};
    if (kind == "Hardtanh") l.sizes = {number("min_val").value_or(-1), number("max_val").value_or(1)};
    if (kind == "GELU" && given.find("approximate").text() == "tanh") l.options["tanh_form"] = 1;
    if (kind == "LogSoftmax") out_.notes.push_back(path + " is a LogSoftmax, taken as a softmax");
    if (kind == "Flatten" && number("start_dim").value_or(1) != 1)
      return refuse("from an axis that is not 1");
    if (kind.starts_with("Adaptive") && number("output_size") != 1.0)
      return refuse("an output that is not of size 1");
    if (kind == "MaxPool1d" || kind == "AvgPool1d") {
      const auto size = number("kernel_size");
      if (!size) return refuse("a size that is not in the file");
      l.sizes = {*size};
      option("stride", "stride");
      option("padding", "padding");
      if (given.find("ceil_mode").boolean().value_or(false)) return refuse("ceil_mode");
      if (number("dilation").value_or(1) != 1) return refuse("dilation");
      if (kind == "AvgPool1d" && !given.find("count_include_pad").boolean().value_or(true))
        l.options["uncounted"] = 1;
    }
    if (!l.kind.empty()) {
      out_.layers.push_back(std::move(l));
      return {};
    }
    static constexpr std::string_view kWeighty[] = {
        "Linear", "Conv1d", "BatchNorm1d", "SyncBatchNorm", "LayerNorm", "LSTM", "GRU", "RNN", "PReLU"};
    if (std::find(std::begin(kWeighty), std::end(kWeighty), kind) == std::end(kWeighty))
      return torch_unsupported("a module of class " + kind + " (" + path + ")");
    auto all = weights(given);
    if (!all) return std::move(all).error();
    if (kind == "LayerNorm" && all->empty()) {
      l.kind = "layernorm";
    } else {
      auto known = recognise_torch_layer(path, std::move(*all));
      if (!known) return std::move(known).error();
      l = std::move(*known);
    }
    if (kind == "Conv1d") {
      if (file_.is_script()) return refuse("TorchScript keeps strides and paddings in its program");
      if (const auto mode = given.find("padding_mode").text(); mode && *mode != "zeros")
        return refuse("the padding_mode '" + std::string(*mode) + "'");
      for (const char* name : {"stride", "dilation", "groups"}) option(name, name);
      option("padding", "padding");
      if (const auto how = given.find("padding").text()) {  // 'same' or 'valid'
        const double total = *how == "same" ? l.option("dilation", 1) * (l.sizes[2] - 1) : 0;
        l.options["padding_before"] = std::floor(total / 2);
        l.options["padding"] = total - std::floor(total / 2);
      }
    }
    option("eps", "epsilon");
    if (l.kind != "batchnorm" && l.kind != "layernorm") l.options.erase("epsilon");
    if (l.kind == "rnn" && given.find("nonlinearity").text() == "relu") l.options["relu"] = 1;
    if (number("proj_size").value_or(0) != 0) return refuse("projections");
    out_.layers.push_back(std::move(l));
    return {};
  }

  const TorchFile& file_;
  TorchModules& out_;
};

}  // namespace

Result<TorchModules> torch_modules(const TorchFile& file, const PickleValue& root) {
  TorchModules out;
  Walk walk(file, out);
  if (auto good = walk.module(root, "", 32); !good) return std::move(good).error();
  return out;
}

Result<TorchModules> torch_modules(std::vector<std::pair<std::string, TorchTensor>> state) {
  TorchModules out;
  out.is_named = true;
  std::vector<std::pair<std::string, Weights>> groups;
  std::map<std::string, std::size_t> at;
  for (auto& [name, tensor] : state) {
    const auto dot = name.rfind('.');
    const std::string path = dot == std::string::npos ? "" : name.substr(0, dot);
    const auto [found, is_new] = at.emplace(path, groups.size());
    if (is_new) groups.push_back({path, {}});
    groups[found->second].second.emplace(name.substr(dot == std::string::npos ? 0 : dot + 1),
                                         std::move(tensor));
  }
  for (auto& [path, weights] : groups) {
    for (const char* word : {"logvar", "log_var", "attn", "attention", "embed"}) {
      if (to_lower(path).find(word) != std::string::npos)
        return torch_unsupported("'" + path + "' is no part of a plain stack of layers");
    }
    auto known = recognise_torch_layer(path, std::move(weights));
    if (!known) return std::move(known).error();
    out.layers.push_back(std::move(*known));
  }
  return out;
}

namespace {

// Whether a part of the path is called encoder or decoder: autoencoders are what their authors call so, and a
// Sequential inside of one leaves out functions, which nearly always are ReLU.
bool in_coder(std::string_view path) {
  for (const std::string_view part : split(path, '.')) {
    if (part == "encoder" || part == "decoder" || part == "enc" || part == "dec") return true;
  }
  return false;
}

}  // namespace

void guess_functions(TorchModules& modules) {
  if (!modules.is_named) return;
  std::vector<TorchLayer> out;
  std::vector<std::string> places;
  bool all_in_coders = true;
  for (TorchLayer& l : modules.layers) {
    if (out.empty() || !has_torch_weights(l.kind)) {
      out.push_back(std::move(l));
      continue;
    }
    // Copied, as more layers may come between.
    const std::string before_kind = out.back().kind, before_path = out.back().path;
    const bool before_is_norm = is_norm(out.back());
    const bool same = parent_of(before_path) == parent_of(l.path) && !before_path.empty();
    const std::int64_t from = number_of(before_path), to = number_of(l.path);
    bool function = false;
    if (same && from >= 0 && to >= 0) {
      function = to > from + 1;
    } else if (same && from < 0 && to < 0 && has_torch_weights(before_kind)) {
      if (is_norm(l) && (before_is_norm || l.kind == "prelu") && l.kind != "prelu") {
        modules.unsure = "'" + l.path + "' stands behind '" + before_path +
                         "', and only the program says where it belongs";
      }
      function = !is_norm(l);
    }
    // After a recurrence nearly all take the last step, which no name says either; an architecture has to.
    if (before_kind == "lstm" || before_kind == "gru" || before_kind == "rnn") {
      if (l.kind == "linear") {
        TorchLayer last;
        last.kind = "last";
        modules.notes.push_back("the last step of " + before_path + " is taken to go on to " + l.path);
        out.push_back(std::move(last));
      }
      function = false;
    }
    if (function) {
      places.push_back(before_path + " and " + l.path);
      all_in_coders = all_in_coders && in_coder(l.path);
      TorchLayer relu;
      relu.kind = "relu";
      out.push_back(std::move(relu));
    }
    out.push_back(std::move(l));
  }
  modules.layers = std::move(out);
  if (places.empty()) return;
  const std::string what =
      "the file does not say which function stands between " + places.front() +
      (places.size() == 1 ? "" : " and in " + std::to_string(places.size() - 1) + " more places");
  if (all_in_coders) {
    modules.notes.push_back(what +
                            "; ReLU was taken, as in nearly all encoders and decoders. An architecture says "
                            "otherwise: " +
                            torch_architecture(modules.layers));
  } else if (modules.unsure.empty()) {
    modules.unsure = what + ", often ReLU";
  }
}

}  // namespace nidus::interop::internal
