#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "interop/internal/pickle.h"

// What pickle.cc makes and pickle_value.cc shows. Values are numbers of nodes, and nodes lie in one vector,
// so that a list that is a million deep is thrown away without recursion.
namespace nidus::interop::internal {

struct PickleNode {
  PickleType type = PickleType::absent;
  bool raw = false;         // of a text: Python 2's, whose bytes may be anything
  bool pairs = false;       // the items are keys and values in turn
  bool built = false;       // BUILD was here
  std::uint32_t items = 0;  // the number of a sequence, array or dtype
  std::uint32_t name = 0, args = 0, state = 0;
  std::size_t offset = 0;
  union {
    std::int64_t integer = 0;
    double real;
  };
  std::string_view view;
};

struct PickleArrayData {
  std::uint32_t dtype = 0;
  bool column_order = false;
  std::size_t size = 0;
  std::vector<std::size_t> shape;
  std::span<const std::byte> bytes;
  std::vector<std::uint32_t> items;  // of objects, size of them
};

struct PickleGraph {
  // Of the values that are the same everywhere.
  static constexpr std::uint32_t kAbsent = 0, kNone = 1, kFalse = 2, kTrue = 3, kFirst = 4;

  std::vector<PickleNode> nodes;
  std::vector<std::vector<std::uint32_t>> sequences;
  std::deque<PickleDtype> dtypes;
  std::deque<PickleArrayData> arrays;
  std::deque<std::string> texts;  // what the file has in another form
  std::unordered_map<std::string_view, std::size_t> name_numbers;
  std::vector<std::pair<std::string_view, std::size_t>> names;
  std::uint32_t root = kAbsent;
  std::size_t end = 0;
  int protocol = 0;

  const PickleNode& node(std::uint32_t id) const { return nodes[id]; }
  PickleValue value(std::uint32_t id) const { return {this, id}; }
  std::span<const std::uint32_t> items(std::uint32_t id) const { return sequences[nodes[id].items]; }
};

// The number that a numpy scalar's bytes are, or the text. Nothing for other elements.
std::optional<double> real_of(PickleDtype::Kind kind, bool swapped, std::span<const std::byte> bytes);
std::optional<std::int64_t> integer_of(PickleDtype::Kind kind, bool swapped,
                                       std::span<const std::byte> bytes);
std::string text_of(PickleDtype::Kind kind, bool swapped, std::span<const std::byte> bytes);

}  // namespace nidus::interop::internal
