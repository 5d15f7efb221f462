#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/text.h"
#include "base/utf8.h"
#include "interop/internal/pickle.h"
#include "interop/internal/pickle_graph.h"

namespace nidus::interop::internal {
namespace {

template <class T>
T load(const std::byte* from, bool swapped) {
  std::array<std::byte, sizeof(T)> bytes;
  std::memcpy(bytes.data(), from, sizeof(T));
  if (swapped) std::reverse(bytes.begin(), bytes.end());
  return std::bit_cast<T>(bytes);
}

double half(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  double value = 0;
  if (exponent == 31) {
    value =
        fraction == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  } else if (exponent == 0) {
    value = std::ldexp(fraction, -24);
  } else {
    value = std::ldexp(fraction + 1024, exponent - 25);
  }
  return bits >> 15 != 0 ? -value : value;
}

std::int64_t cut_off(double value) {
  if (!(value >= -0x1p63)) return std::numeric_limits<std::int64_t>::min();
  if (value >= 0x1p63) return std::numeric_limits<std::int64_t>::max();
  return static_cast<std::int64_t>(value);
}

bool is_number(PickleDtype::Kind kind, std::uint32_t bytes) {
  switch (kind) {
    case PickleDtype::Kind::boolean:
      return bytes == 1;
    case PickleDtype::Kind::integer:
    case PickleDtype::Kind::unsigned_integer:
      return bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8;
    case PickleDtype::Kind::real:
      return bytes == 2 || bytes == 4 || bytes == 8;
    case PickleDtype::Kind::text:
    case PickleDtype::Kind::bytes:
    case PickleDtype::Kind::object:
    case PickleDtype::Kind::record:
    case PickleDtype::Kind::other:
      return false;
  }
  return false;
}

// Of elements that are numbers.
double real_at(PickleDtype::Kind kind, std::uint32_t bytes, bool swapped, const std::byte* from) {
  if (kind == PickleDtype::Kind::real) {
    if (bytes == 8) return load<double>(from, swapped);
    if (bytes == 4) return load<float>(from, swapped);
    return half(load<std::uint16_t>(from, swapped));
  }
  if (kind == PickleDtype::Kind::integer) {
    if (bytes == 8) return static_cast<double>(load<std::int64_t>(from, swapped));
    if (bytes == 4) return load<std::int32_t>(from, swapped);
    if (bytes == 2) return load<std::int16_t>(from, swapped);
    return load<std::int8_t>(from, false);
  }
  if (bytes == 8) return static_cast<double>(load<std::uint64_t>(from, swapped));
  if (bytes == 4) return load<std::uint32_t>(from, swapped);
  if (bytes == 2) return load<std::uint16_t>(from, swapped);
  return load<std::uint8_t>(from, false);
}

std::int64_t integer_at(PickleDtype::Kind kind, std::uint32_t bytes, bool swapped, const std::byte* from) {
  if (kind != PickleDtype::Kind::real && bytes == 8) {
    const auto value = load<std::uint64_t>(from, swapped);
    if (kind == PickleDtype::Kind::unsigned_integer && value >> 63 != 0) {
      return std::numeric_limits<std::int64_t>::max();
    }
    return static_cast<std::int64_t>(value);
  }
  return cut_off(real_at(kind, bytes, swapped, from));
}

}  // namespace

std::optional<double> real_of(PickleDtype::Kind kind, bool swapped, std::span<const std::byte> bytes) {
  const auto size = static_cast<std::uint32_t>(bytes.size());
  if (!is_number(kind, size)) return std::nullopt;
  return real_at(kind, size, swapped, bytes.data());
}

std::optional<std::int64_t> integer_of(PickleDtype::Kind kind, bool swapped,
                                       std::span<const std::byte> bytes) {
  const auto size = static_cast<std::uint32_t>(bytes.size());
  if (!is_number(kind, size) || kind == PickleDtype::Kind::real) return std::nullopt;
  return integer_at(kind, size, swapped, bytes.data());
}

std::string text_of(PickleDtype::Kind kind, bool swapped, std::span<const std::byte> bytes) {
  std::string out;
  if (kind == PickleDtype::Kind::bytes) {
    out.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    out.resize(out.find_last_not_of('\0') + 1);
    return out;
  }
  std::size_t size = bytes.size() / 4;
  while (size > 0 && load<std::uint32_t>(bytes.data() + (size - 1) * 4, false) == 0) --size;
  for (std::size_t i = 0; i < size; ++i) {
    append_utf8(out, load<std::uint32_t>(bytes.data() + i * 4, swapped));
  }
  return out;
}

// --- values

PickleType PickleValue::type() const {
  return graph_ == nullptr ? PickleType::absent : graph_->node(id_).type;
}

std::size_t PickleValue::offset() const { return graph_ == nullptr ? 0 : graph_->node(id_).offset; }

std::string PickleValue::where() const { return Pickle::where(offset()); }

std::string PickleValue::describe() const {
  const auto counted = [&](const char* what) { return what + (" of " + with_thousands(size())); };
  switch (type()) {
    case PickleType::absent:
      return "nothing";
    case PickleType::none:
      return "None";
    case PickleType::boolean:
      return *boolean() ? "True" : "False";
    case PickleType::integer:
      return "the number " + std::to_string(*integer());
    case PickleType::big_integer:
      return "a number beyond 64 bits";
    case PickleType::real:
      return "the number " + std::to_string(*number());
    case PickleType::text: {
      std::string shown;
      for (const char c : text()->substr(0, 40)) shown += c >= 32 && c < 127 ? c : '?';
      return "the text '" + shown + (text()->size() > 40 ? "…'" : "'");
    }
    case PickleType::bytes:
      return with_thousands(bytes()->size()) + " bytes";
    case PickleType::tuple:
      return counted("a tuple");
    case PickleType::list:
      return counted("a list");
    case PickleType::dict:
      return counted("a dict");
    case PickleType::set:
      return counted("a set");
    case PickleType::name:
    case PickleType::object:
      return name().empty() ? "a value of numpy" : std::string(name());
    case PickleType::persistent:
      return "a reference to outside of the pickle";
    case PickleType::dtype:
      return "a dtype";
    case PickleType::array:
      return "an array of " + array()->describe();
  }
  return {};
}

std::optional<bool> PickleValue::boolean() const {
  if (type() != PickleType::boolean) return std::nullopt;
  return id_ == PickleGraph::kTrue;
}

std::optional<std::int64_t> PickleValue::integer() const {
  if (const auto value = boolean()) return *value ? 1 : 0;
  if (type() == PickleType::integer) return graph_->node(id_).integer;
  if (type() != PickleType::array) return std::nullopt;
  const auto& array = graph_->arrays[graph_->node(id_).items];
  const auto& dtype = graph_->dtypes[array.dtype];
  if (!array.shape.empty()) return std::nullopt;
  return integer_of(dtype.kind, dtype.swapped, array.bytes);
}

std::optional<double> PickleValue::number() const {
  if (type() == PickleType::real) return graph_->node(id_).real;
  if (type() == PickleType::array) {
    const auto& array = graph_->arrays[graph_->node(id_).items];
    const auto& dtype = graph_->dtypes[array.dtype];
    if (!array.shape.empty()) return std::nullopt;
    return real_of(dtype.kind, dtype.swapped, array.bytes);
  }
  if (const auto value = integer()) return static_cast<double>(*value);
  return std::nullopt;
}

std::optional<std::string_view> PickleValue::text() const {
  if (type() != PickleType::text) return std::nullopt;
  return graph_->node(id_).view;
}

std::optional<std::span<const std::byte>> PickleValue::bytes() const {
  const bool is_raw = type() == PickleType::text && graph_->node(id_).raw;
  if (type() != PickleType::bytes && !is_raw) return std::nullopt;
  return std::as_bytes(std::span(graph_->node(id_).view));
}

std::string_view PickleValue::name() const {
  if (type() == PickleType::name) return graph_->node(id_).view;
  if (type() != PickleType::object && type() != PickleType::dict) return {};
  const auto& name = graph_->node(graph_->node(id_).name);
  return name.type == PickleType::name ? name.view : std::string_view();
}

PickleValue PickleValue::args() const {
  if (type() != PickleType::object && type() != PickleType::persistent) return {};
  return {graph_, graph_->node(id_).args};
}

PickleValue PickleValue::state() const {
  if (type() != PickleType::object && type() != PickleType::dict) return {};
  return {graph_, graph_->node(id_).state};
}

std::size_t PickleValue::size() const {
  switch (type()) {
    case PickleType::tuple:
    case PickleType::list:
    case PickleType::set:
    case PickleType::dict:
    case PickleType::object:
      return graph_->items(id_).size() / (graph_->node(id_).pairs ? 2 : 1);
    case PickleType::absent:
    case PickleType::none:
    case PickleType::boolean:
    case PickleType::integer:
    case PickleType::big_integer:
    case PickleType::real:
    case PickleType::text:
    case PickleType::bytes:
    case PickleType::name:
    case PickleType::persistent:
    case PickleType::dtype:
    case PickleType::array:
      return 0;
  }
  return 0;
}

PickleValue PickleValue::operator[](std::size_t i) const {
  if (i >= size()) return {};
  return {graph_, graph_->items(id_)[graph_->node(id_).pairs ? 2 * i + 1 : i]};
}

PickleValue PickleValue::key(std::size_t i) const {
  if (i >= size() || !graph_->node(id_).pairs) return {};
  return {graph_, graph_->items(id_)[2 * i]};
}

PickleValue PickleValue::find(std::string_view wanted) const {
  if (type() == PickleType::object) {
    // Classes with __slots__ have a second dict; what is not there may be in the first.
    const PickleValue set = state();
    if (set.type() == PickleType::dict) return set.find(wanted);
    if (set.type() != PickleType::tuple || set.size() != 2) return {};
    const PickleValue slots = set[1].type() == PickleType::dict ? set[1].find(wanted) : PickleValue();
    return slots || set[0].type() != PickleType::dict ? slots : set[0].find(wanted);
  }
  if (type() != PickleType::dict) return {};
  const auto items = graph_->items(id_);
  // What is set twice has its last value.
  for (std::size_t i = items.size(); i >= 2; i -= 2) {
    const PickleNode& node = graph_->node(items[i - 2]);
    if (node.type == PickleType::text && node.view == wanted) return {graph_, items[i - 1]};
  }
  return {};
}

std::optional<PickleArray> PickleValue::array() const {
  if (type() != PickleType::array) return std::nullopt;
  return PickleArray(graph_, id_, graph_->node(id_).items);
}

// --- arrays

std::size_t PickleArray::offset() const { return graph_->node(id_).offset; }
std::string PickleArray::where() const { return Pickle::where(offset()); }
std::span<const std::size_t> PickleArray::shape() const { return graph_->arrays[array_].shape; }
std::size_t PickleArray::size() const { return graph_->arrays[array_].size; }
std::span<const std::byte> PickleArray::raw() const { return graph_->arrays[array_].bytes; }
bool PickleArray::is_column_order() const { return graph_->arrays[array_].column_order; }
const PickleDtype& PickleArray::dtype() const { return graph_->dtypes[graph_->arrays[array_].dtype]; }

std::string PickleArray::describe() const {
  std::string out;
  const auto wide = [&](const char* what) { return what + std::to_string(dtype().bytes * 8); };
  switch (dtype().kind) {
    case PickleDtype::Kind::boolean:
      out = "bool";
      break;
    case PickleDtype::Kind::integer:
      out = wide("int");
      break;
    case PickleDtype::Kind::unsigned_integer:
      out = wide("uint");
      break;
    case PickleDtype::Kind::real:
      out = wide("float");
      break;
    case PickleDtype::Kind::text:
      out = "texts";
      break;
    case PickleDtype::Kind::bytes:
      out = "bytes";
      break;
    case PickleDtype::Kind::object:
      out = "objects";
      break;
    case PickleDtype::Kind::record:
      out = "records";
      break;
    case PickleDtype::Kind::other:
      out = "elements of another kind";
      break;
  }
  out += " (";
  for (std::size_t i = 0; i < shape().size(); ++i) {
    out += (i == 0 ? "" : ", ") + std::to_string(shape()[i]);
  }
  return out + ")";
}

// Where element i of the row-major order lies, in elements.
std::optional<std::size_t> PickleArray::place(std::size_t i) const {
  if (i >= size()) return std::nullopt;
  if (!is_column_order() || shape().size() < 2) return i;
  if (shape().size() > 2) return std::nullopt;
  return i % shape()[1] * shape()[0] + i / shape()[1];
}

std::optional<PickleNumbers> PickleArray::numbers() const {
  if (!is_number(dtype().kind, dtype().bytes)) return std::nullopt;
  if (is_column_order() && shape().size() > 2) return std::nullopt;
  PickleNumbers out;
  out.first_ = raw().data();
  out.count_ = size();
  out.stride_ = out.bytes_ = dtype().bytes;
  out.kind_ = dtype().kind;
  out.swapped_ = dtype().swapped;
  if (is_column_order() && shape().size() == 2) {
    out.rows_ = shape()[0];
    out.columns_ = shape()[1];
  }
  return out;
}

std::optional<PickleNumbers> PickleArray::field(std::string_view name) const {
  if (dtype().kind != PickleDtype::Kind::record || (is_column_order() && shape().size() > 1)) {
    return std::nullopt;
  }
  for (const auto& field : dtype().fields) {
    if (field.name != name) continue;
    if (!is_number(field.kind, field.bytes)) return std::nullopt;
    PickleNumbers out;
    out.first_ = raw().data() + (size() == 0 ? 0 : field.offset);
    out.count_ = size();
    out.stride_ = dtype().bytes;
    out.bytes_ = field.bytes;
    out.kind_ = field.kind;
    out.swapped_ = field.swapped;
    return out;
  }
  return std::nullopt;
}

// numpy lists objects in row-major order, whatever the order of the array.
PickleValue PickleArray::item(std::size_t i) const {
  if (i >= size() || dtype().kind != PickleDtype::Kind::object) return {};
  return {graph_, graph_->arrays[array_].items[i]};
}

std::optional<std::string> PickleArray::text(std::size_t i) const {
  if (dtype().kind == PickleDtype::Kind::object) {
    const auto text = item(i).text();
    if (!text) return std::nullopt;
    return std::string(*text);
  }
  if (dtype().kind != PickleDtype::Kind::text && dtype().kind != PickleDtype::Kind::bytes)
    return std::nullopt;
  const auto at = place(i);
  if (!at) return std::nullopt;
  return text_of(dtype().kind, dtype().swapped, raw().subspan(*at * dtype().bytes, dtype().bytes));
}

// --- numbers

const std::byte* PickleNumbers::at(std::size_t i) const {
  if (columns_ != 0) i = i % columns_ * rows_ + i / columns_;
  return first_ + i * stride_;
}

double PickleNumbers::real(std::size_t i) const { return real_at(kind_, bytes_, swapped_, at(i)); }

std::int64_t PickleNumbers::integer(std::size_t i) const {
  return integer_at(kind_, bytes_, swapped_, at(i));
}

std::vector<double> PickleNumbers::reals() const {
  std::vector<double> out(count_);
  if (doubles() != nullptr && stride_ == 8) {
    if (count_ != 0) std::memcpy(out.data(), first_, count_ * 8);
    return out;
  }
  for (std::size_t i = 0; i < count_; ++i) out[i] = real(i);
  return out;
}

const std::byte* PickleNumbers::doubles() const {
  const bool are = kind_ == PickleDtype::Kind::real && bytes_ == 8 && !swapped_ && columns_ == 0;
  return are ? first_ : nullptr;
}

const std::byte* PickleNumbers::integers() const {
  const bool are = kind_ == PickleDtype::Kind::integer && bytes_ == 8 && !swapped_ && columns_ == 0;
  return are ? first_ : nullptr;
}

// --- the pickle

Pickle::Pickle(std::unique_ptr<PickleGraph> graph) : graph_(std::move(graph)) {}
Pickle::Pickle(Pickle&& other) noexcept = default;
Pickle& Pickle::operator=(Pickle&& other) noexcept = default;
Pickle::~Pickle() = default;

PickleValue Pickle::root() const { return {graph_.get(), graph_->root}; }
std::size_t Pickle::end() const { return graph_->end; }
int Pickle::protocol() const { return graph_->protocol; }

std::vector<std::pair<std::string_view, std::size_t>> Pickle::names() const { return graph_->names; }

std::string Pickle::where(std::size_t offset) { return "byte " + with_thousands(offset); }

}  // namespace nidus::interop::internal
