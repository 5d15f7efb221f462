#include "interop/internal/keras_graph.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

namespace nidus::interop::internal {
namespace {

using KerasJoin = model::layer::Branches::Join;
constexpr std::size_t kLinksMax = model::Network::kLayersMax;

Error graph_unsupported(const std::string& what) { return {Errc::unsupported, "keras: " + what}; }
Error graph_corrupt(const std::string& what) { return {Errc::corrupt, "keras: " + what}; }

// "MaxPooling1D" becomes "max_pooling1d", by the two regular expressions of Keras:
// (.)([A-Z][a-z]+) and ([a-z])([A-Z]), each with '_' between its parts.
std::string keras_snake_case(const std::string& name) {
  const auto upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  const auto lower = [](char c) { return c >= 'a' && c <= 'z'; };
  std::string once, twice;
  for (std::size_t i = 0; i < name.size();) {
    once += name[i];
    if (i + 2 < name.size() && upper(name[i + 1]) && lower(name[i + 2])) {
      once += '_';
      once += name[++i];
      while (i + 1 < name.size() && lower(name[i + 1])) once += name[++i];
    }
    ++i;
  }
  for (std::size_t i = 0; i < once.size(); ++i) {
    twice += once[i];
    if (i + 1 < once.size() && lower(once[i]) && upper(once[i + 1])) {
      twice += '_';
      twice += once[++i];
    }
  }
  for (char& c : twice) {
    if (upper(c)) c = static_cast<char>(c - 'A' + 'a');
  }
  return twice;
}

// The names of layers whose results are among the arguments.
void find_keras_tensors(const Json& node, std::vector<std::string>& out, int depth) {
  if (depth > 8 || out.size() > kLinksMax) return;
  if (node.is_object() && text_of(node, "class_name") == "__keras_tensor__") {
    const Json* config = member(node, "config");
    const Json* history = config == nullptr ? nullptr : member(*config, "keras_history");
    if (history != nullptr && history->is_array() && !history->empty() && history->front().is_string())
      out.push_back(history->front().get<std::string>());
    return;
  }
  if (node.is_object() || node.is_array()) {
    for (const Json& inner : node) find_keras_tensors(inner, out, depth + 1);
  }
}

// The names of the layers that a layer hears; none for an input.
Result<std::vector<std::string>> keras_heard(const Json& given, const std::string& name) {
  const Json* nodes = member(given, "inbound_nodes");
  if (nodes == nullptr || !nodes->is_array())
    return graph_corrupt("layer '" + name + "' without inbound_nodes");
  std::vector<std::string> names;
  if (nodes->empty()) return names;
  if (nodes->size() > 1) return graph_unsupported("layer '" + name + "' is used more than once");
  const Json& node = nodes->front();
  if (node.is_array()) {  // Keras 2: a list of [name, node, tensor, options]
    for (const Json& from : node) {
      if (from.is_array() && !from.empty() && from.front().is_string())
        names.push_back(from.front().get<std::string>());
    }
  } else {
    find_keras_tensors(node, names, 0);
  }
  if (names.empty()) return graph_corrupt("layer '" + name + "' hears nothing");
  return names;
}

// Names out of [["name", 0, 0], …] or ["name", 0, 0].
Result<std::vector<std::string>> keras_names_of(const Json& config, const char* what) {
  const Json* value = member(config, what);
  std::vector<std::string> out;
  const auto take = [&](const Json& one) {
    if (one.is_array() && !one.empty() && one.front().is_string())
      out.push_back(one.front().get<std::string>());
  };
  if (value != nullptr) take(*value);
  if (value != nullptr && value->is_array() && out.empty()) {
    for (const Json& one : *value) take(one);
    if (out.size() != value->size()) out.clear();
  }
  if (out.empty()) return graph_corrupt(std::string("a model whose ") + what + " are not a list of names");
  return out;
}

// A functional model, from its result back to its inputs.
class KerasWalker {
 public:
  explicit KerasWalker(const std::vector<KerasLink>& layers) : layers_(layers) {}

  Result<KerasGraph> walk(const std::vector<std::string>& inputs, const std::string& output) && {
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      if (!by_name_.emplace(keras_name(*layers_[i].layer), i).second)
        return graph_corrupt("two layers of the name '" + keras_name(*layers_[i].layer) + "'");
    }
    nodes_.resize(layers_.size());
    const auto last = find(output);
    if (!last) return last.error();
    for (const auto& name : inputs) {
      const auto input = find(name);
      if (!input) return input.error();
      nodes_[*input].is_input = true;
      out_.inputs.push_back(layers_[*input].layer);
    }
    if (auto good = order(*last); !good) return std::move(good).error();
    auto links = path(*last, kSource, 0);
    if (!links) return std::move(links).error();
    out_.links = std::move(*links);
    return std::move(out_);
  }

 private:
  static constexpr std::size_t kSource = ~std::size_t{0};  // before all inputs

  struct Node {
    std::vector<std::size_t> hears;
    std::size_t above = kSource;  // the last that everything on its way to this one passes
    std::size_t level = 0;        // how many of those there are
    bool is_input = false, is_open = false, is_done = false;
  };

  Result<std::size_t> find(const std::string& name) const {
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) return graph_corrupt("no layer of the name '" + name + "'");
    return found->second;
  }

  // Whatever comes before a node before that node.
  Result<void> order(std::size_t last) {
    std::vector<std::size_t> open = {last};
    while (!open.empty()) {
      const std::size_t at = open.back();
      Node& node = nodes_[at];
      if (node.is_done) {
        open.pop_back();
        continue;
      }
      if (!node.is_open) {
        node.is_open = true;
        const std::string name = keras_name(*layers_[at].layer);
        if (node.is_input) continue;
        const auto names = keras_heard(*layers_[at].layer, name);
        if (!names) return names.error();
        if (names->empty()) return graph_corrupt("layer '" + name + "' hears nothing");
        for (const auto& one : *names) {
          const auto from = find(one);
          if (!from) return from.error();
          if (nodes_[*from].is_open && !nodes_[*from].is_done) return graph_corrupt("layers in a circle");
          node.hears.push_back(*from);
          if (!nodes_[*from].is_done) open.push_back(*from);
        }
        continue;
      }
      node.is_done = true;
      node.above = node.hears.empty() ? kSource : common(node.hears);
      node.level = node.above == kSource ? 1 : nodes_[node.above].level + 1;
      open.pop_back();
    }
    return {};
  }

  // The last node that the ways to all of these pass; one of them may be it.
  std::size_t common(const std::vector<std::size_t>& ends) const {
    std::size_t out = ends.front();
    for (std::size_t other : ends) {
      while (out != other) {
        if (out == kSource || other == kSource) return kSource;
        auto& further = nodes_[out].level >= nodes_[other].level ? out : other;
        further = nodes_[further].above;
      }
    }
    return out;
  }

  // The links behind `begin` up to `end`.
  Result<std::vector<KerasLink>> path(std::size_t end, std::size_t begin, std::size_t nesting) {
    if (nesting > model::Network::kNestingMax) return graph_unsupported("branches that are nested too deep");
    std::vector<KerasLink> out;
    while (end != begin) {
      if (end == kSource) return graph_corrupt("a way that misses where its branches begin");
      if (++links_ > kLinksMax) return Error{Errc::exhausted, "keras: more than 1,024 layers"};
      KerasLink& link = out.emplace_back(layers_[end]);
      const auto& hears = nodes_[end].hears;
      if (hears.size() < 2) {
        end = hears.empty() ? kSource : hears.front();
        continue;
      }
      if (hears.size() > model::Network::kBranchesMax)
        return graph_unsupported("layer '" + keras_name(*link.layer) + "' joins too many others");
      out_.is_forked = true;
      const std::size_t fork = common(hears);
      for (const std::size_t from : hears) {
        auto branch = path(from, fork, nesting + 1);
        if (!branch) return branch;
        out.back().branches.push_back(std::move(*branch));
      }
      end = fork;
    }
    std::reverse(out.begin(), out.end());
    return out;
  }

  const std::vector<KerasLink>& layers_;
  std::map<std::string, std::size_t> by_name_;
  std::vector<Node> nodes_;
  std::size_t links_ = 0;
  KerasGraph out_;
};

}  // namespace

bool is_keras_model(const Json& layer) {
  const std::string kind = text_of(layer, "class_name");
  return kind == "Sequential" || kind == "Functional" || kind == "Model";
}

std::string keras_name(const Json& layer) {
  const std::string outer = text_of(layer, "name");
  if (!outer.empty()) return outer;
  const Json* config = member(layer, "config");
  return config == nullptr ? "" : text_of(*config, "name");
}

Result<std::vector<KerasLink>> keras_layers_of(const Json& model, const std::string& path) {
  const Json* config = member(model, "config");
  const Json* layers = config == nullptr ? nullptr : config->is_array() ? config : member(*config, "layers");
  if (layers == nullptr || !layers->is_array()) return graph_corrupt("a model without layers");
  if (layers->size() > kLinksMax) return Error{Errc::exhausted, "keras: more than 1,024 layers"};
  std::vector<KerasLink> out;
  std::map<std::string, std::size_t> seen;
  for (const Json& one : *layers) {
    const std::string snake = keras_snake_case(text_of(one, "class_name"));
    const std::size_t before = seen[snake]++;
    out.push_back({&one, path + "/layers/" + snake + (before == 0 ? "" : "_" + std::to_string(before)), {}});
  }
  return out;
}

Result<KerasGraph> read_keras_graph(const Json& model, const std::string& path) {
  auto layers = keras_layers_of(model, path);
  if (!layers) return std::move(layers).error();
  if (text_of(model, "class_name") == "Sequential") {
    KerasGraph out;
    out.links = std::move(*layers);
    return out;
  }
  const Json& config = *member(model, "config");
  const auto inputs = keras_names_of(config, "input_layers"),
             outputs = keras_names_of(config, "output_layers");
  if (!inputs) return inputs.error();
  if (!outputs) return outputs.error();
  if (outputs->size() > 1) return graph_unsupported("a model with several output_layers");
  return KerasWalker(*layers).walk(*inputs, outputs->front());
}

Result<KerasJoin> keras_join(const Json& layer, bool is_sequence) {
  const std::string kind = text_of(layer, "class_name");
  static const std::pair<const char*, KerasJoin> kJoins[] = {
      {"Add", KerasJoin::add},         {"Multiply", KerasJoin::multiply},
      {"Average", KerasJoin::average}, {"Maximum", KerasJoin::maximum},
      {"Minimum", KerasJoin::minimum}, {"Concatenate", KerasJoin::concatenate}};
  const auto* const found = std::find_if(std::begin(kJoins), std::end(kJoins),
                                         [&](const auto& join) { return kind == join.first; });
  if (found == std::end(kJoins))
    return graph_unsupported("a layer of class " + kind + " that hears several others");
  const Json* config = member(layer, "config");
  const Json* axis = config == nullptr ? nullptr : member(*config, "axis");
  if (found->second == KerasJoin::concatenate && axis != nullptr && *axis != -1 &&
      *axis != (is_sequence ? 2 : 1))
    return graph_unsupported("Concatenate along an axis that is not the last");
  return found->second;
}

}  // namespace nidus::interop::internal
