#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text.h"
#include "interop/internal/pickle_graph.h"

// The machine. Opcodes are those of CPython's Lib/pickletools.py. Every value that an opcode makes is a new
// node; what an opcode changes (APPEND, SETITEM, BUILD) it changes in the node, so that all who hold its
// number see it, as with Python's references. What arrays are made of (their dtype, their shape, the extent
// of their bytes) is checked once and never changes afterwards: a dtype that is built twice is another dtype.
namespace nidus::interop::internal {

class PickleMachine {
 public:
  PickleMachine(std::span<const std::byte> bytes, const PickleOptions& options)
      : bytes_(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
        options_(options),
        work_left_(bytes.size() * 8 + (std::size_t{1} << 20)),
        graph_(std::make_unique<PickleGraph>()) {
    graph_->nodes.resize(PickleGraph::kFirst);
    graph_->nodes[PickleGraph::kNone].type = PickleType::none;
    graph_->nodes[PickleGraph::kFalse].type = PickleType::boolean;
    graph_->nodes[PickleGraph::kTrue].type = PickleType::boolean;
    graph_->sequences.resize(1);  // what is empty and stays so
  }

  std::optional<Error> run_all() {
    at_ = std::min(options_.begin, bytes_.size());
    if (!run(0, graph_->root)) return std::move(error_);
    graph_->end = at_;
    return std::nullopt;
  }

  std::unique_ptr<PickleGraph> take_graph() { return std::move(graph_); }

 private:
  // What calling a name does.
  enum class Native : std::uint8_t {
    nothing,  // an object that remembers the call
    array,
    array_of_buffer,
    dtype,
    scalar,
    encode,
    bytes,
    dict,
    set,
    reconstructor,
  };

  // What a pickle inside a pickle has for itself.
  struct Frame {
    std::vector<std::uint32_t> stack, memo;
    std::vector<std::size_t> marks;
  };

  // --- faults: each returns false, for the way up

  bool fail(Errc code, const std::string& what) {
    if (!error_) error_ = Error{code, Pickle::where(opcode_at_) + ": " + what};
    return false;
  }
  bool corrupt(const std::string& what) { return fail(Errc::corrupt, what); }
  bool unsupported(const std::string& what) { return fail(Errc::unsupported, what); }

  // Work beyond one step an opcode: copying and decoding. Honest files do each of their bytes once.
  bool charge(std::size_t work) {
    if (work > work_left_) return fail(Errc::exhausted, "the same things again and again");
    work_left_ -= work;
    return true;
  }

  // --- the bytes

  bool take(std::size_t size, std::string_view& out) {
    if (size > bytes_.size() - at_) {
      return corrupt(with_thousands(size) + " bytes are announced and " +
                     with_thousands(bytes_.size() - at_) + " are left: the file is cut off or damaged");
    }
    out = bytes_.substr(at_, size);
    at_ += size;
    return true;
  }

  template <class T>
  bool little(T& out) {
    std::string_view raw;
    if (!take(sizeof(T), raw)) return false;
    std::memcpy(&out, raw.data(), sizeof(T));
    return true;
  }

  bool line(std::string_view& out) {
    const auto end = bytes_.substr(at_).find('\n');
    if (end == std::string_view::npos) return corrupt("a line that does not end");
    out = bytes_.substr(at_, end);
    at_ += end + 1;
    if (!out.empty() && out.back() == '\r') out.remove_suffix(1);
    return true;
  }

  template <class Length>
  bool counted(std::string_view& out) {
    Length size = 0;
    return little(size) && take(static_cast<std::size_t>(size), out);
  }

  // --- nodes

  PickleNode& node(std::uint32_t id) { return graph_->nodes[id]; }

  bool add(PickleType type, std::uint32_t& id) {
    if (graph_->nodes.size() >= options_.values_max) {
      return fail(Errc::exhausted, "more than " + with_thousands(options_.values_max) + " values");
    }
    id = static_cast<std::uint32_t>(graph_->nodes.size());
    graph_->nodes.emplace_back();
    graph_->nodes.back().type = type;
    graph_->nodes.back().offset = opcode_at_;
    return true;
  }

  bool add_view(PickleType type, std::string_view view, std::uint32_t& id) {
    if (!add(type, id)) return false;
    node(id).view = view;
    return true;
  }

  bool add_integer(std::int64_t value, std::uint32_t& id) {
    if (!add(PickleType::integer, id)) return false;
    node(id).integer = value;
    return true;
  }

  bool add_sequence(PickleType type, std::vector<std::uint32_t> items, std::uint32_t& id) {
    if (!add(type, id)) return false;
    if (items.empty() && type == PickleType::tuple) return true;  // the empty one
    node(id).items = static_cast<std::uint32_t>(graph_->sequences.size());
    node(id).pairs = type == PickleType::dict;
    graph_->sequences.push_back(std::move(items));
    return true;
  }

  std::vector<std::uint32_t>& items(std::uint32_t id) { return graph_->sequences[node(id).items]; }

  std::string_view keep(std::string text) { return graph_->texts.emplace_back(std::move(text)); }

  PickleValue value(std::uint32_t id) const { return graph_->value(id); }

  // --- the stack

  bool push(std::uint32_t id) {
    // Beyond it, only what is fetched again and again from the memo piles up.
    if (frame_->stack.size() >= 2 * options_.values_max) return fail(Errc::exhausted, "a stack too high");
    frame_->stack.push_back(id);
    return true;
  }

  bool pop(std::uint32_t& id) {
    const std::size_t floor = frame_->marks.empty() ? 0 : frame_->marks.back();
    if (frame_->stack.size() <= floor) return corrupt("an opcode that wants more values than there are");
    id = frame_->stack.back();
    frame_->stack.pop_back();
    return true;
  }

  bool top(std::uint32_t& id) {
    if (!pop(id)) return false;
    frame_->stack.push_back(id);
    return true;
  }

  // All above the last mark, and the mark.
  bool pop_to_mark(std::vector<std::uint32_t>& out) {
    if (frame_->marks.empty()) return corrupt("an opcode that wants a mark where none is");
    const std::size_t mark = frame_->marks.back();
    frame_->marks.pop_back();
    out.assign(frame_->stack.begin() + static_cast<std::ptrdiff_t>(mark), frame_->stack.end());
    frame_->stack.resize(mark);
    return true;
  }

  bool put(std::size_t index) {
    std::uint32_t id = 0;
    if (!top(id)) return false;
    // Picklers count the entries up; one far beyond the last would only make room for nothing.
    if (index >= options_.memo_max || index > frame_->memo.size() + 65536)
      return fail(Errc::exhausted, "memo entry " + with_thousands(index));
    if (index >= frame_->memo.size()) frame_->memo.resize(index + 1, PickleGraph::kAbsent);
    frame_->memo[index] = id;
    return true;
  }

  bool get(std::size_t index) {
    if (index >= frame_->memo.size() || frame_->memo[index] == PickleGraph::kAbsent) {
      return corrupt("memo entry " + with_thousands(index) + " is fetched and was never put");
    }
    return push(frame_->memo[index]);
  }

  // --- names, in pickle.cc

  bool push_name(std::string_view module, std::string_view name);
  bool push_stack_name();

  // --- texts and numbers written in letters

  bool latin1(std::string_view text, std::string_view& out);
  bool push_escaped_unicode(std::string_view text);
  bool push_quoted(std::string_view text);
  bool push_python2_text(std::string_view text);
  bool push_integer_line(std::string_view text, bool is_long);
  bool push_long(std::string_view bytes);
  bool push_real(double number);

  // --- containers

  bool push_tuple(std::size_t size);
  bool push_marked(PickleType type);
  bool append(std::uint32_t to, std::span<const std::uint32_t> more, PickleType type);
  bool set_items(std::uint32_t to, std::span<const std::uint32_t> more);
  void own_items(std::uint32_t id);

  // --- the loop

  bool run(int nesting, std::uint32_t& result);
  bool step(bool& stopped);

  // --- calls, in pickle_calls.cc

  static Native native(std::string_view name);
  bool make_object(std::uint32_t name, std::uint32_t args, std::uint32_t& id);
  bool call();
  bool new_object(bool with_keywords);
  bool call_bytes(Native what, std::uint32_t args, std::uint32_t& id);
  bool call_dict(std::uint32_t name, std::uint32_t args, std::uint32_t& id);
  bool call_set(std::uint32_t args, std::uint32_t& id);

  // --- numpy

  bool data_of(std::uint32_t id, std::string_view& out);
  bool call_dtype(std::uint32_t args, std::uint32_t& id);
  bool add_dtype(PickleDtype dtype, std::uint32_t& id);
  bool build_dtype(std::uint32_t id, std::uint32_t state);
  bool fields_of(std::uint32_t names, std::uint32_t fields, PickleDtype& dtype);
  bool shape_of(std::uint32_t id, const PickleDtype& dtype, PickleArrayData& array, std::size_t& bytes);
  bool set_array(std::uint32_t id, PickleArrayData array);
  bool set_array(std::uint32_t id, std::uint32_t dtype, std::uint32_t shape, bool column_order,
                 std::uint32_t data);
  bool call_array(std::uint32_t args, std::uint32_t& id);
  bool call_array_of_buffer(std::uint32_t args, std::uint32_t& id);
  bool build_array(std::uint32_t id, std::uint32_t state);
  bool call_scalar(std::uint32_t args, std::uint32_t& id);

  // --- BUILD, and joblib

  bool build();
  bool read_joblib_array(std::uint32_t id);

  static constexpr std::uint32_t kNoDtype = 0xffffffffu;

  std::string_view bytes_;
  PickleOptions options_;
  std::size_t work_left_;
  std::unique_ptr<PickleGraph> graph_;
  std::size_t at_ = 0, opcode_at_ = 0;
  int nesting_ = 0;
  std::uint32_t no_dtype_ = kNoDtype;
  Frame* frame_ = nullptr;
  std::optional<Error> error_;
};

}  // namespace nidus::interop::internal
