#include <cstring>
#include <utility>

#include "learn/internal/tree_grower.h"

// A tree in a checkpoint: the number of nodes in eight bytes, the nodes, their covers, the shares. A round:
// for each tree the length of its bytes, in eight bytes, the bytes, and a byte for each node that says where
// it sends what is missing. In the byte order of the machine, as a checkpoint does not travel.
namespace nidus::learn::internal {

std::string to_bytes(const GrownTree& tree) {
  std::string out;
  const std::uint64_t nodes = tree.nodes.size();
  out.append(reinterpret_cast<const char*>(&nodes), sizeof nodes);
  out.append(reinterpret_cast<const char*>(tree.nodes.data()), nodes * sizeof(model::Node));
  out.append(reinterpret_cast<const char*>(tree.covers.data()), nodes * sizeof(float));
  out.append(reinterpret_cast<const char*>(tree.shares.data()), tree.shares.size() * sizeof(float));
  return out;
}

std::optional<GrownTree> tree_from_bytes(std::string_view bytes, std::size_t width) {
  constexpr std::size_t kNode = sizeof(model::Node) + sizeof(float);
  std::uint64_t nodes = 0;
  if (bytes.size() < sizeof nodes) return std::nullopt;
  std::memcpy(&nodes, bytes.data(), sizeof nodes);
  bytes.remove_prefix(sizeof nodes);
  if (nodes == 0 || nodes > model::Node::kNodesMax || bytes.size() < nodes * kNode) return std::nullopt;
  const std::size_t rest = bytes.size() - nodes * kNode;
  if (rest % (width * sizeof(float)) != 0) return std::nullopt;
  GrownTree tree;
  tree.nodes.resize(nodes);
  tree.covers.resize(nodes);
  tree.shares.resize(rest / sizeof(float));
  std::memcpy(tree.nodes.data(), bytes.data(), nodes * sizeof(model::Node));
  std::memcpy(tree.covers.data(), bytes.data() + nodes * sizeof(model::Node), nodes * sizeof(float));
  if (rest > 0) std::memcpy(tree.shares.data(), bytes.data() + nodes * kNode, rest);
  const std::size_t leaves = tree.shares.size() / width;
  for (std::size_t i = 0; i < nodes; ++i) {
    const model::Node& node = tree.nodes[i];
    const bool good =
        node.is_leaf() ? node.leaf_number() < leaves : node.left() > i && node.left() + 1 < nodes;
    if (!good) return std::nullopt;
  }
  return tree;
}

std::string round_to_bytes(std::span<const GrownTree> round) {
  std::string out;
  for (const GrownTree& tree : round) {
    const std::string bytes = to_bytes(tree);
    const std::uint64_t size = bytes.size();
    out.append(reinterpret_cast<const char*>(&size), sizeof size);
    out += bytes;
    out.append(tree.missing_right.begin(), tree.missing_right.end());
  }
  return out;
}

std::optional<std::vector<GrownTree>> round_from_bytes(std::string_view bytes, std::size_t trees) {
  std::vector<GrownTree> out;
  while (!bytes.empty()) {
    std::uint64_t size = 0;
    if (bytes.size() < sizeof size || out.size() == trees) return std::nullopt;
    std::memcpy(&size, bytes.data(), sizeof size);
    bytes.remove_prefix(sizeof size);
    if (size > bytes.size()) return std::nullopt;
    auto tree = tree_from_bytes(bytes.substr(0, size), 1);
    if (!tree || bytes.size() - size < tree->nodes.size()) return std::nullopt;
    const auto sides = bytes.substr(size, tree->nodes.size());
    if (sides.find_first_not_of(std::string_view("\0\1", 2)) != sides.npos) return std::nullopt;
    tree->missing_right.assign(sides.begin(), sides.end());
    bytes.remove_prefix(size + sides.size());
    out.push_back(std::move(*tree));
  }
  if (out.size() != trees) return std::nullopt;
  return out;
}

}  // namespace nidus::learn::internal
