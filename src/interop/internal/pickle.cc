#include "interop/internal/pickle.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <utility>

#include "base/number.h"
#include "base/text.h"
#include "base/utf8.h"
#include "interop/internal/pickle_machine.h"

namespace nidus::interop::internal {
namespace {

constexpr int kNestingMax = 4;  // of joblib's pickles in pickles; genuine ones have one
constexpr std::size_t kNameMax = 512;

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

}  // namespace

// --- names

bool PickleMachine::push_name(std::string_view module, std::string_view name) {
  const auto good = [](std::string_view text, bool dots) {
    return !text.empty() && text.size() <= kNameMax && std::all_of(text.begin(), text.end(), [&](char c) {
      return is_name_character(c) || (dots && c == '.');
    });
  };
  if (!good(module, true) || !good(name, false)) {
    std::string shown;
    for (const char c : std::string(module.substr(0, 80)) + "." + std::string(name.substr(0, 80))) {
      shown += c > 32 && c < 127 ? c : '?';
    }
    return unsupported(shown + " is no name of a class in a module, and no part of a model");
  }
  std::string full = std::string(module) + "." + std::string(name);
  if (options_.accepts != nullptr && !options_.accepts(full)) {
    return unsupported(full + " is no part of a model");
  }
  const auto known = graph_->name_numbers.find(full);
  std::string_view text;
  if (known == graph_->name_numbers.end()) {
    text = keep(std::move(full));
    graph_->name_numbers.emplace(text, graph_->names.size());
    graph_->names.emplace_back(text, opcode_at_);
  } else {
    text = known->first;
  }
  std::uint32_t id = 0;
  return add_view(PickleType::name, text, id) && push(id);
}

bool PickleMachine::push_stack_name() {
  std::uint32_t name = 0, module = 0;
  if (!pop(name) || !pop(module)) return false;
  if (node(name).type != PickleType::text || node(module).type != PickleType::text) {
    return corrupt("a name that is made of " + value(module).describe() + " and " + value(name).describe());
  }
  return push_name(node(module).view, node(name).view);
}

// --- texts and numbers written in letters

// Latin-1 as it stands in UTF-8: what protocols 0 to 2 write for bytes.
bool PickleMachine::latin1(std::string_view text, std::string_view& out) {
  if (!charge(text.size())) return false;
  if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; })) {
    out = text;
    return true;
  }
  std::string bytes;
  bytes.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x80) {
      bytes += text[i];
      continue;
    }
    if ((c != 0xc2 && c != 0xc3) || i + 1 >= text.size())
      return corrupt("bytes as a text that is not latin-1");
    const auto next = static_cast<unsigned char>(text[++i]);
    bytes += static_cast<char>((c << 6 & 0xc0) | (next & 0x3f));
  }
  out = keep(std::move(bytes));
  return true;
}

// Of V: UTF-16 escapes, all else Latin-1.
bool PickleMachine::push_escaped_unicode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::size_t digits = i + 1 < text.size() && text[i] == '\\' ? (text[i + 1] == 'u'   ? 4
                                                                         : text[i + 1] == 'U' ? 8
                                                                                              : 0)
                                                                      : 0;
    std::uint32_t character = static_cast<unsigned char>(text[i]);
    if (digits != 0) {
      const auto hex = text.substr(i + 2, digits);
      const auto [end, bad] = std::from_chars(hex.data(), hex.data() + hex.size(), character, 16);
      if (hex.size() != digits || bad != std::errc() || end != hex.data() + hex.size()) {
        return corrupt("a text with a broken escape");
      }
      i += 1 + digits;
    }
    append_utf8(out, character);
  }
  std::uint32_t id = 0;
  return add_view(PickleType::text, keep(std::move(out)), id) && push(id);
}

// Of S: Python 2's repr of a str.
bool PickleMachine::push_quoted(std::string_view text) {
  text = trim(text);
  if (text.size() < 2 || text.front() != text.back() || (text.front() != '\'' && text.front() != '"')) {
    return corrupt("a text without quotes");
  }
  text = text.substr(1, text.size() - 2);
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    if (++i >= text.size()) return corrupt("a text with a broken escape");
    constexpr std::string_view kLetters = "\\'\"abfnrtv", kMeant = "\\'\"\a\b\f\n\r\t\v";
    if (const auto which = kLetters.find(text[i]); which != std::string_view::npos) {
      out += kMeant[which];
      continue;
    }
    const bool hex = text[i] == 'x';
    const auto digits = text.substr(i + (hex ? 1 : 0), hex ? 2 : 3);
    std::uint8_t byte = 0;
    const auto [end, bad] = std::from_chars(digits.data(), digits.data() + digits.size(), byte, hex ? 16 : 8);
    if (bad != std::errc() || (hex && end != digits.data() + 2))
      return corrupt("a text with a broken escape");
    out += static_cast<char>(byte);
    i += static_cast<std::size_t>(end - digits.data()) - (hex ? 0 : 1);
  }
  return push_python2_text(keep(std::move(out)));
}

bool PickleMachine::push_python2_text(std::string_view text) {
  std::uint32_t id = 0;
  if (!add_view(PickleType::text, text, id)) return false;
  node(id).raw = true;
  return push(id);
}

bool PickleMachine::push_integer_line(std::string_view text, bool is_long) {
  if (!is_long && text == "00") return push(PickleGraph::kFalse);
  if (!is_long && text == "01") return push(PickleGraph::kTrue);
  if (!text.empty() && text.back() == 'L') text.remove_suffix(1);
  std::uint32_t id = 0;
  if (const auto number = parse_integer(text)) return add_integer(*number, id) && push(id);
  const auto digits = text.substr(!text.empty() && text.front() == '-' ? 1 : 0);
  if (digits.empty() ||
      !std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return corrupt("a whole number that is none");
  }
  return add_view(PickleType::big_integer, text, id) && push(id);
}

bool PickleMachine::push_long(std::string_view bytes) {
  std::uint32_t id = 0;
  if (bytes.size() > 8) return add_view(PickleType::big_integer, bytes, id) && push(id);
  std::uint64_t bits = !bytes.empty() && (bytes.back() & 0x80) != 0 ? ~std::uint64_t{0} : 0;
  for (std::size_t i = bytes.size(); i-- > 0;) bits = bits << 8 | static_cast<unsigned char>(bytes[i]);
  return add_integer(static_cast<std::int64_t>(bits), id) && push(id);
}

bool PickleMachine::push_real(double number) {
  std::uint32_t id = 0;
  if (!add(PickleType::real, id)) return false;
  node(id).real = number;
  return push(id);
}

// --- containers

bool PickleMachine::push_tuple(std::size_t size) {
  std::vector<std::uint32_t> parts(size);
  for (std::size_t i = size; i-- > 0;) {
    if (!pop(parts[i])) return false;
  }
  std::uint32_t id = 0;
  return add_sequence(PickleType::tuple, std::move(parts), id) && push(id);
}

bool PickleMachine::push_marked(PickleType type) {
  std::vector<std::uint32_t> parts;
  if (!pop_to_mark(parts)) return false;
  if (type == PickleType::dict && parts.size() % 2 != 0) return corrupt("a key without a value");
  std::uint32_t id = 0;
  return add_sequence(type, std::move(parts), id) && push(id);
}

// Lists and what may be one besides.
bool PickleMachine::append(std::uint32_t to, std::span<const std::uint32_t> more, PickleType type) {
  const bool object = node(to).type == PickleType::object && type == PickleType::list;
  if ((node(to).type != type && !object) || node(to).pairs) {
    return corrupt("items are added to " + value(to).describe());
  }
  if (node(to).items == 0) own_items(to);
  items(to).insert(items(to).end(), more.begin(), more.end());
  return true;
}

bool PickleMachine::set_items(std::uint32_t to, std::span<const std::uint32_t> more) {
  const bool dict = node(to).type == PickleType::dict, object = node(to).type == PickleType::object;
  if ((!dict && !object) || (object && node(to).items != 0 && !node(to).pairs)) {
    return corrupt("keys are set in " + value(to).describe());
  }
  if (more.size() % 2 != 0) return corrupt("a key without a value");
  if (node(to).items == 0) own_items(to);
  node(to).pairs = true;
  items(to).insert(items(to).end(), more.begin(), more.end());
  return true;
}

void PickleMachine::own_items(std::uint32_t id) {
  node(id).items = static_cast<std::uint32_t>(graph_->sequences.size());
  graph_->sequences.emplace_back();
}

// --- the loop

// One pickle, from where we are to its STOP.
bool PickleMachine::run(int nesting, std::uint32_t& result) {
  opcode_at_ = at_;
  if (nesting > kNestingMax) return fail(Errc::exhausted, "pickles in pickles in pickles");
  Frame frame;
  Frame* const outer = std::exchange(frame_, &frame);
  const int outer_nesting = std::exchange(nesting_, nesting);
  bool stopped = false, good = true;
  while (good && !stopped) good = step(stopped);
  if (good) {
    good = pop(result);
    if (good && (!frame.stack.empty() || !frame.marks.empty())) {
      good = corrupt("values are left over at the end of the pickle");
    }
  }
  frame_ = outer;
  nesting_ = outer_nesting;
  return good;
}

bool PickleMachine::step(bool& stopped) {
  opcode_at_ = at_;
  if (at_ == bytes_.size()) return corrupt("the file ends in the middle of the pickle");
  std::string_view raw;
  if (!take(1, raw)) return false;
  const auto opcode = static_cast<unsigned char>(raw[0]);
  std::uint32_t id = 0;
  std::string_view text;
  switch (opcode) {
    case 0x80: {  // PROTO
      std::uint8_t protocol = 0;
      if (!little(protocol)) return false;
      if (protocol > 5)
        return unsupported("pickle protocol " + std::to_string(protocol) + "; 0 to 5 are known");
      if (nesting_ == 0) graph_->protocol = protocol;
      return true;
    }
    case 0x95: {  // FRAME: a hint how much to read ahead
      std::uint64_t ignored = 0;
      return little(ignored);
    }
    case '.':  // STOP
      stopped = true;
      return true;

    case 'N':
      return push(PickleGraph::kNone);
    case 0x88:
      return push(PickleGraph::kTrue);
    case 0x89:
      return push(PickleGraph::kFalse);
    case 'J': {
      std::int32_t number = 0;
      return little(number) && add_integer(number, id) && push(id);
    }
    case 'K': {
      std::uint8_t number = 0;
      return little(number) && add_integer(number, id) && push(id);
    }
    case 'M': {
      std::uint16_t number = 0;
      return little(number) && add_integer(number, id) && push(id);
    }
    case 0x8a:
      return counted<std::uint8_t>(text) && push_long(text);
    case 0x8b:
      return counted<std::uint32_t>(text) && push_long(text);
    case 'I':
    case 'L':
      return line(text) && push_integer_line(text, opcode == 'L');
    case 'F': {
      if (!line(text)) return false;
      const auto number = parse_number(text);
      return number ? push_real(*number) : corrupt("a number that is none");
    }
    case 'G': {
      std::uint64_t bits = 0;
      return little(bits) && push_real(std::bit_cast<double>(__builtin_bswap64(bits)));
    }

    case 'X':
      return counted<std::uint32_t>(text) && add_view(PickleType::text, text, id) && push(id);
    case 0x8c:
      return counted<std::uint8_t>(text) && add_view(PickleType::text, text, id) && push(id);
    case 0x8d:
      return counted<std::uint64_t>(text) && add_view(PickleType::text, text, id) && push(id);
    case 'V':
      return line(text) && push_escaped_unicode(text);
    case 'S':
      return line(text) && push_quoted(text);
    case 'T':
      return counted<std::uint32_t>(text) && push_python2_text(text);
    case 'U':
      return counted<std::uint8_t>(text) && push_python2_text(text);
    case 'C':
      return counted<std::uint8_t>(text) && add_view(PickleType::bytes, text, id) && push(id);
    case 'B':
      return counted<std::uint32_t>(text) && add_view(PickleType::bytes, text, id) && push(id);
    case 0x8e:
    case 0x96:
      return counted<std::uint64_t>(text) && add_view(PickleType::bytes, text, id) && push(id);

    case ')':
      return push_tuple(0);
    case 0x85:
      return push_tuple(1);
    case 0x86:
      return push_tuple(2);
    case 0x87:
      return push_tuple(3);
    case ']':
      return add_sequence(PickleType::list, {}, id) && push(id);
    case '}':
      return add_sequence(PickleType::dict, {}, id) && push(id);
    case 0x8f:
      return add_sequence(PickleType::set, {}, id) && push(id);
    case '(':
      if (frame_->marks.size() >= options_.marks_max) return fail(Errc::exhausted, "marks too deep");
      frame_->marks.push_back(frame_->stack.size());
      return true;
    case 't':
      return push_marked(PickleType::tuple);
    case 'l':
      return push_marked(PickleType::list);
    case 'd':
      return push_marked(PickleType::dict);
    case 0x91:
      return push_marked(PickleType::set);
    case 'a': {
      std::uint32_t item = 0;
      return pop(item) && top(id) && append(id, {&item, 1}, PickleType::list);
    }
    case 'e':
    case 0x90: {
      std::vector<std::uint32_t> more;
      return pop_to_mark(more) && top(id) &&
             append(id, more, opcode == 'e' ? PickleType::list : PickleType::set);
    }
    case 's': {
      std::uint32_t both[2];
      return pop(both[1]) && pop(both[0]) && top(id) && set_items(id, both);
    }
    case 'u': {
      std::vector<std::uint32_t> more;
      return pop_to_mark(more) && top(id) && set_items(id, more);
    }
    case '0':
      // In old pickles it may also be the mark that goes.
      if (!frame_->marks.empty() && frame_->marks.back() == frame_->stack.size()) {
        frame_->marks.pop_back();
        return true;
      }
      return pop(id);
    case '1': {
      std::vector<std::uint32_t> ignored;
      return pop_to_mark(ignored);
    }
    case '2':
      return top(id) && push(id);

    case 'q': {
      std::uint8_t index = 0;
      return little(index) && put(index);
    }
    case 'r': {
      std::uint32_t index = 0;
      return little(index) && put(index);
    }
    case 0x94:  // MEMOIZE: as many entries as there are is the number of the next
      return put(frame_->memo.size());
    case 'h': {
      std::uint8_t index = 0;
      return little(index) && get(index);
    }
    case 'j': {
      std::uint32_t index = 0;
      return little(index) && get(index);
    }
    case 'p':
    case 'g': {
      if (!line(text)) return false;
      const auto index = parse_integer(text);
      if (!index || *index < 0) return corrupt("a memo entry that is no number");
      return opcode == 'p' ? put(static_cast<std::size_t>(*index)) : get(static_cast<std::size_t>(*index));
    }

    case 'c': {
      std::string_view name;
      return line(text) && line(name) && push_name(text, name);
    }
    case 0x93:
      return push_stack_name();
    case 'R':
      return call();
    case 0x81:
      return new_object(false);
    case 0x92:
      return new_object(true);
    case 'b':
      return build();
    case 'Q': {
      if (!options_.persistent) return unsupported("a reference to something outside of the file");
      std::uint32_t which = 0;
      if (!pop(which) || !add(PickleType::persistent, id)) return false;
      node(id).args = which;
      return push(id);
    }
    case 'i':
    case 'o':
      return unsupported(
          "an object of a class of Python 2 (opcode INST or OBJ), which is no part of a model");
    case 'P':
      return unsupported("a reference to something outside of the file");
    case 0x82:
    case 0x83:
    case 0x84:
      return unsupported("a name by a number of Python's extension registry, which is no part of a model");
    case 0x97:
    case 0x98:
      return unsupported("a buffer outside of the file");
    default:
      return corrupt("the byte " + std::to_string(opcode) + " is no opcode of a pickle");
  }
}

Result<Pickle> Pickle::read(std::span<const std::byte> bytes, const PickleOptions& options) {
  PickleMachine machine(bytes, options);
  if (auto error = machine.run_all()) return std::move(*error);
  return Pickle(machine.take_graph());
}

}  // namespace nidus::interop::internal
