#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

#include "base/number.h"
#include "base/text.h"
#include "interop/internal/pickle_machine.h"

// The names that calling has an effect for, and what BUILD does: numpy's arrays, dtypes and scalars, joblib's
// arrays between the opcodes, bytes, dicts, sets.
namespace nidus::interop::internal {

namespace {

constexpr std::size_t kDimensionsMax = 32;
constexpr std::size_t kFieldsMax = 256;
constexpr std::size_t kElementMax = std::size_t{1} << 20;

bool is_joblib_array(std::string_view name) {
  return name == "joblib.numpy_pickle.NumpyArrayWrapper" ||
         name == "sklearn.externals.joblib.numpy_pickle.NumpyArrayWrapper";
}

bool is_array_class(std::string_view name) {
  return name == "numpy.ndarray" || name == "numpy.matrix" || name == "numpy.memmap" ||
         name == "numpy.core.memmap.memmap";
}

}  // namespace

// --- calls

PickleMachine::Native PickleMachine::native(std::string_view name) {
  struct NativeName {
    std::string_view name;
    Native native;
  };

  static constexpr NativeName kNatives[] = {
      {"numpy.core.multiarray._reconstruct", Native::array},
      {"numpy._core.multiarray._reconstruct", Native::array},
      {"numpy.core._multiarray_umath._reconstruct", Native::array},
      {"numpy._core._multiarray_umath._reconstruct", Native::array},
      {"numpy.core.numeric._frombuffer", Native::array_of_buffer},
      {"numpy._core.numeric._frombuffer", Native::array_of_buffer},
      {"numpy.dtype", Native::dtype},
      {"numpy.core.multiarray.scalar", Native::scalar},
      {"numpy._core.multiarray.scalar", Native::scalar},
      {"numpy.core._multiarray_umath.scalar", Native::scalar},
      {"numpy._core._multiarray_umath.scalar", Native::scalar},
      {"_codecs.encode", Native::encode},
      {"builtins.bytes", Native::bytes},
      {"builtins.bytearray", Native::bytes},
      {"__builtin__.bytes", Native::bytes},
      {"__builtin__.bytearray", Native::bytes},
      {"collections.OrderedDict", Native::dict},
      {"collections.defaultdict", Native::dict},
      {"builtins.dict", Native::dict},
      {"__builtin__.dict", Native::dict},
      {"builtins.set", Native::set},
      {"builtins.frozenset", Native::set},
      {"__builtin__.set", Native::set},
      {"__builtin__.frozenset", Native::set},
      {"copyreg._reconstructor", Native::reconstructor},
      {"copy_reg._reconstructor", Native::reconstructor},
  };
  const auto* known = std::find_if(std::begin(kNatives), std::end(kNatives),
                                   [&](const NativeName& one) { return one.name == name; });
  return known == std::end(kNatives) ? Native::nothing : known->native;
}

bool PickleMachine::make_object(std::uint32_t name, std::uint32_t args, std::uint32_t& id) {
  if (!add(PickleType::object, id)) return false;
  node(id).name = name;
  node(id).args = args;
  return true;
}

bool PickleMachine::call() {
  std::uint32_t args = 0, name = 0, id = 0;
  if (!pop(args) || !pop(name)) return false;
  if (node(args).type != PickleType::tuple) return corrupt("a call with " + value(args).describe());
  if (node(name).type != PickleType::name) {
    return unsupported(value(name).describe() + " is called, which is no part of a model");
  }
  const std::string_view text = node(name).view;
  const Native what = native(text);
  bool done = false;
  switch (what) {
    case Native::nothing:
      done = make_object(name, args, id);
      break;
    case Native::array:
      done = call_array(args, id);
      break;
    case Native::array_of_buffer:
      done = call_array_of_buffer(args, id);
      break;
    case Native::dtype:
      done = call_dtype(args, id);
      break;
    case Native::scalar:
      done = call_scalar(args, id);
      break;
    case Native::encode:
    case Native::bytes:
      done = call_bytes(what, args, id);
      break;
    case Native::dict:
      done = call_dict(name, args, id);
      break;
    case Native::set:
      done = call_set(args, id);
      break;
    case Native::reconstructor: {
      const auto parts = graph_->items(args);
      if (parts.size() != 3 || node(parts[0]).type != PickleType::name) {
        return corrupt(std::string(text) + " without a class");
      }
      done = make_object(parts[0], PickleGraph::kAbsent, id);
      break;
    }
  }
  return done && push(id);
}

bool PickleMachine::new_object(bool with_keywords) {
  std::uint32_t keywords = 0, args = 0, name = 0, id = 0;
  if ((with_keywords && !pop(keywords)) || !pop(args) || !pop(name)) return false;
  if (node(args).type != PickleType::tuple) return corrupt("an object of " + value(args).describe());
  if (node(name).type == PickleType::persistent) {
    // Before 1.6, PyTorch saved the source of a class beside its name: ("module", class, file, source).
    const PickleValue given = value(name).args();
    if (given[0].text() == "module" && given[1].type() == PickleType::name) name = given[1].id();
  }
  if (node(name).type != PickleType::name) {
    return unsupported("an object of " + value(name).describe() + ", which is no class");
  }
  return make_object(name, args, id) && push(id);
}

bool PickleMachine::call_bytes(Native what, std::uint32_t args, std::uint32_t& id) {
  const auto parts = graph_->items(args);
  std::string_view bytes;
  if (parts.empty() && what == Native::bytes) return add_view(PickleType::bytes, bytes, id);
  if (parts.empty() || parts.size() > 2)
    return corrupt("bytes of " + std::to_string(parts.size()) + " parts");
  const PickleNode& from = node(parts[0]);
  const auto encoding = parts.size() == 2 ? value(parts[1]).text() : std::nullopt;
  if (from.type == PickleType::bytes && what == Native::bytes) {
    bytes = from.view;
  } else if (from.type == PickleType::text && from.raw) {
    bytes = from.view;
  } else if (from.type == PickleType::text && (encoding == "latin1" || encoding == "latin-1")) {
    if (!latin1(from.view, bytes)) return false;
  } else {
    return unsupported("bytes made of " + value(parts[0]).describe());
  }
  return add_view(PickleType::bytes, bytes, id);
}

bool PickleMachine::call_dict(std::uint32_t name, std::uint32_t args, std::uint32_t& id) {
  const auto parts = graph_->items(args);
  std::vector<std::uint32_t> entries;
  if (!parts.empty() && node(parts[0]).type == PickleType::list) {
    // Python 2 writes an OrderedDict as a list of pairs.
    const auto pairs = graph_->items(parts[0]);
    if (!charge(pairs.size() * 8)) return false;
    for (const std::uint32_t pair : pairs) {
      const bool sequence = node(pair).type == PickleType::list || node(pair).type == PickleType::tuple;
      if (!sequence || graph_->items(pair).size() != 2) return corrupt("a dict of what are no pairs");
      const auto both = graph_->items(pair);
      entries.insert(entries.end(), both.begin(), both.end());
    }
  }
  if (!add_sequence(PickleType::dict, std::move(entries), id)) return false;
  node(id).name = name;
  return true;
}

bool PickleMachine::call_set(std::uint32_t args, std::uint32_t& id) {
  const auto parts = graph_->items(args);
  std::vector<std::uint32_t> members;
  if (!parts.empty()) {
    const PickleType type = node(parts[0]).type;
    if (type != PickleType::list && type != PickleType::tuple) {
      return unsupported("a set of " + value(parts[0]).describe());
    }
    const auto from = graph_->items(parts[0]);
    if (!charge(from.size() * 4)) return false;
    members.assign(from.begin(), from.end());
  }
  return add_sequence(PickleType::set, std::move(members), id);
}

// --- numpy

// What numpy writes data as: bytes, or in Python 2's pickles a str, once read and written again a text.
bool PickleMachine::data_of(std::uint32_t id, std::string_view& out) {
  const PickleNode& from = node(id);
  if (from.type == PickleType::bytes || (from.type == PickleType::text && from.raw)) {
    out = from.view;
    return true;
  }
  if (from.type == PickleType::text) return latin1(from.view, out);
  return corrupt("an array whose data is " + value(id).describe());
}

bool PickleMachine::call_dtype(std::uint32_t args, std::uint32_t& id) {
  const auto parts = graph_->items(args);
  const auto code = parts.empty() ? std::nullopt : value(parts[0]).text();
  if (!code) return unsupported("a dtype that is not told by a text");
  PickleDtype dtype;
  std::string_view text = *code;
  if (!text.empty() && std::string_view("<>|=").find(text.front()) != std::string_view::npos) {
    dtype.swapped = text.front() == '>';
    text.remove_prefix(1);
  }
  const char letter = text.empty() ? '\0' : text.front();
  const auto size = text.size() > 1 ? parse_integer(text.substr(1)).value_or(-1) : letter == '?' ? 1 : 0;
  if (size < 0 || static_cast<std::size_t>(size) > kElementMax) {
    return unsupported("elements of the dtype '" + std::string(text.substr(0, 20)) + "'");
  }
  dtype.bytes = static_cast<std::uint32_t>(size);
  switch (letter) {
    case '?':
    case 'b':
      dtype.kind = PickleDtype::Kind::boolean;
      break;
    case 'i':
      dtype.kind = PickleDtype::Kind::integer;
      break;
    case 'u':
      dtype.kind = PickleDtype::Kind::unsigned_integer;
      break;
    case 'f':
      dtype.kind = PickleDtype::Kind::real;
      break;
    case 'U':
      dtype.kind = PickleDtype::Kind::text;
      dtype.bytes *= 4;
      break;
    case 'S':
      dtype.kind = PickleDtype::Kind::bytes;
      break;
    case 'O':
      dtype.kind = PickleDtype::Kind::object;
      break;
    default:
      dtype.kind = PickleDtype::Kind::other;  // V too, until its fields are told
      break;
  }
  return add_dtype(std::move(dtype), id);
}

bool PickleMachine::add_dtype(PickleDtype dtype, std::uint32_t& id) {
  if (!add(PickleType::dtype, id)) return false;
  node(id).items = static_cast<std::uint32_t>(graph_->dtypes.size());
  graph_->dtypes.push_back(std::move(dtype));
  return true;
}

// (version, byte order, subdtype, names, fields, element size, alignment, flags, …)
bool PickleMachine::build_dtype(std::uint32_t id, std::uint32_t state) {
  const auto parts =
      node(state).type == PickleType::tuple ? graph_->items(state) : std::span<const std::uint32_t>();
  const auto order = parts.size() < 6 ? std::nullopt : value(parts[1]).text();
  if (!order) return corrupt("a dtype whose state is " + value(state).describe());
  PickleDtype dtype = graph_->dtypes[node(id).items];
  dtype.swapped = *order == ">";
  const std::int64_t size = value(parts[5]).integer().value_or(-1);
  if (size > static_cast<std::int64_t>(kElementMax))
    return unsupported("elements of " + std::to_string(size) + " bytes");
  const bool sized = dtype.kind == PickleDtype::Kind::other || dtype.kind == PickleDtype::Kind::text ||
                     dtype.kind == PickleDtype::Kind::bytes;
  if (size >= 0 && sized) dtype.bytes = static_cast<std::uint32_t>(size);
  if (dtype.kind == PickleDtype::Kind::text && dtype.bytes % 4 != 0)
    return corrupt("texts of broken characters");
  if (node(parts[2]).type != PickleType::none) {
    dtype.kind = PickleDtype::Kind::other;
  } else if (node(parts[3]).type == PickleType::tuple) {
    if (!fields_of(parts[3], parts[4], dtype)) return false;
    dtype.kind = PickleDtype::Kind::record;
  }
  node(id).items = static_cast<std::uint32_t>(graph_->dtypes.size());
  graph_->dtypes.push_back(std::move(dtype));
  return true;
}

bool PickleMachine::fields_of(std::uint32_t names, std::uint32_t fields, PickleDtype& dtype) {
  const PickleValue all = value(names), by_name = value(fields);
  if (all.size() > kFieldsMax || by_name.size() > 2 * kFieldsMax) {
    return fail(Errc::exhausted, "records of more than " + std::to_string(kFieldsMax) + " fields");
  }
  if (!charge(all.size() * (by_name.size() + 8))) return false;
  dtype.fields.clear();
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto name = all[i].text();
    const PickleValue field = name ? by_name.find(*name) : PickleValue();
    const auto offset = field[1].integer();
    if (field.type() != PickleType::tuple || field[0].type() != PickleType::dtype || !offset) {
      return corrupt("records with a field that is " + field.describe());
    }
    const PickleDtype& inner = graph_->dtypes[node(field[0].id()).items];
    if (*offset < 0 || inner.bytes > dtype.bytes || *offset > dtype.bytes - inner.bytes) {
      return corrupt("the field '" + std::string(name->substr(0, 40)) + "' lies outside of its record of " +
                     std::to_string(dtype.bytes) + " bytes");
    }
    dtype.fields.push_back(
        {*name, inner.kind, inner.swapped, inner.bytes, static_cast<std::uint32_t>(*offset)});
  }
  return true;
}

bool PickleMachine::shape_of(std::uint32_t id, const PickleDtype& dtype, PickleArrayData& array,
                             std::size_t& bytes) {
  const PickleValue shape = value(id);
  const bool scalar = shape.integer().has_value();
  if (!scalar && shape.type() != PickleType::tuple && shape.type() != PickleType::list) {
    return corrupt("an array whose shape is " + shape.describe());
  }
  const std::size_t dimensions = scalar ? 1 : shape.size();
  if (dimensions > kDimensionsMax)
    return corrupt("an array of " + std::to_string(dimensions) + " dimensions");
  array.size = 1;
  array.shape.clear();
  bool empty = false, beyond = false;
  for (std::size_t i = 0; i < dimensions; ++i) {
    const auto extent = (scalar ? shape : shape[i]).integer();
    if (!extent || *extent < 0)
      return corrupt("an array whose extent is " + (scalar ? shape : shape[i]).describe());
    const auto size = static_cast<std::size_t>(*extent);
    array.shape.push_back(size);
    empty |= size == 0;
    if (!empty && __builtin_mul_overflow(array.size, size, &array.size)) beyond = true;
  }
  if (empty) array.size = 0;
  // No array has more elements than the file has bytes: there are none of no bytes.
  if ((!empty && beyond) || array.size > bytes_.size() ||
      __builtin_mul_overflow(array.size, dtype.bytes, &bytes)) {
    return corrupt("an array of more elements than the file has bytes");
  }
  return true;
}

bool PickleMachine::set_array(std::uint32_t id, PickleArrayData array) {
  PickleNode& out = node(id);
  out.type = PickleType::array;
  out.built = true;
  out.items = static_cast<std::uint32_t>(graph_->arrays.size());
  graph_->arrays.push_back(std::move(array));
  return true;
}

bool PickleMachine::set_array(std::uint32_t id, std::uint32_t dtype, std::uint32_t shape, bool column_order,
                              std::uint32_t data) {
  if (node(dtype).type != PickleType::dtype) return corrupt("an array of " + value(dtype).describe());
  PickleArrayData array;
  array.dtype = node(dtype).items;
  array.column_order = column_order;
  const PickleDtype& what = graph_->dtypes[array.dtype];
  std::size_t size = 0;
  if (!shape_of(shape, what, array, size)) return false;
  if (what.kind == PickleDtype::Kind::object) {
    if (node(data).type != PickleType::list)
      return corrupt("an array of objects whose data is " + value(data).describe());
    const auto from = graph_->items(data);
    if (from.size() != array.size) {
      return corrupt("an array of " + with_thousands(array.size) + " objects with " +
                     with_thousands(from.size()));
    }
    if (!charge(from.size() * 4)) return false;
    array.items.assign(from.begin(), from.end());
    return set_array(id, std::move(array));
  }
  std::string_view bytes;
  if (!data_of(data, bytes)) return false;
  if (bytes.size() != size) {
    return corrupt("an array of " + with_thousands(size) + " bytes with " + with_thousands(bytes.size()));
  }
  array.bytes = std::as_bytes(std::span(bytes));
  return set_array(id, std::move(array));
}

// An empty one that awaits its state.
bool PickleMachine::call_array(std::uint32_t args, std::uint32_t& id) {
  const auto parts = graph_->items(args);
  if (parts.empty() || node(parts[0]).type != PickleType::name) return corrupt("an array without a class");
  if (!is_array_class(node(parts[0]).view)) {
    return unsupported("an array of the class " + std::string(node(parts[0]).view));
  }
  if (no_dtype_ == kNoDtype) {
    no_dtype_ = static_cast<std::uint32_t>(graph_->dtypes.size());
    graph_->dtypes.emplace_back();
  }
  if (!add(PickleType::array, id)) return false;
  PickleArrayData array;
  array.dtype = no_dtype_;
  array.shape = {0};
  if (!set_array(id, std::move(array))) return false;
  node(id).built = false;
  return true;
}

bool PickleMachine::call_array_of_buffer(std::uint32_t args, std::uint32_t& id) {
  const auto parts = graph_->items(args);
  const auto order = parts.size() < 4 ? std::nullopt : value(parts[3]).text();
  if (order != "C" && order != "F") return unsupported("an array whose order is neither C nor F");
  return add(PickleType::array, id) && set_array(id, parts[1], parts[2], order == "F", parts[0]);
}

bool PickleMachine::build_array(std::uint32_t id, std::uint32_t state) {
  const auto parts =
      node(state).type == PickleType::tuple ? graph_->items(state) : std::span<const std::uint32_t>();
  // Before version 1 there was no version.
  if (parts.size() != 4 && parts.size() != 5)
    return corrupt("an array whose state is " + value(state).describe());
  const auto last = parts.last(4);
  const auto column_order = value(last[2]).integer();
  if (!column_order) return corrupt("an array whose order is " + value(last[2]).describe());
  return set_array(id, last[1], last[0], *column_order != 0, last[3]);
}

bool PickleMachine::call_scalar(std::uint32_t args, std::uint32_t& id) {
  const auto parts = graph_->items(args);
  if (parts.size() != 2 || node(parts[0]).type != PickleType::dtype)
    return corrupt("a number without a dtype");
  const PickleDtype dtype = graph_->dtypes[node(parts[0]).items];
  if (dtype.kind == PickleDtype::Kind::object) {
    switch (node(parts[1]).type) {
      case PickleType::none:
      case PickleType::boolean:
      case PickleType::integer:
      case PickleType::real:
      case PickleType::text:
        id = parts[1];
        return true;
      default:
        return unsupported("a number that is " + value(parts[1]).describe());
    }
  }
  std::string_view bytes;
  if (!data_of(parts[1], bytes)) return false;
  if (bytes.size() != dtype.bytes) return corrupt("a number of " + with_thousands(bytes.size()) + " bytes");
  const auto data = std::as_bytes(std::span(bytes));
  if (const auto whole = integer_of(dtype.kind, dtype.swapped, data)) {
    if (dtype.kind != PickleDtype::Kind::boolean) return add_integer(*whole, id);
    id = *whole != 0 ? PickleGraph::kTrue : PickleGraph::kFalse;
    return true;
  }
  if (const auto real = real_of(dtype.kind, dtype.swapped, data)) {
    if (!add(PickleType::real, id)) return false;
    node(id).real = *real;
    return true;
  }
  if (dtype.kind == PickleDtype::Kind::text || dtype.kind == PickleDtype::Kind::bytes) {
    if (!charge(bytes.size())) return false;
    const auto type = dtype.kind == PickleDtype::Kind::text ? PickleType::text : PickleType::bytes;
    return add_view(type, keep(text_of(dtype.kind, dtype.swapped, data)), id);
  }
  // A date, a complex number: some value that nobody looks into.
  return make_object(PickleGraph::kAbsent, args, id);
}

// --- BUILD, and joblib

bool PickleMachine::build() {
  std::uint32_t state = 0, id = 0;
  if (!pop(state) || !top(id)) return false;
  if (node(id).built) return corrupt("the state of " + value(id).describe() + " is set twice");
  switch (node(id).type) {
    case PickleType::array:
      return build_array(id, state);
    case PickleType::dtype:
      node(id).built = true;
      return build_dtype(id, state);
    case PickleType::object:
    case PickleType::dict:
      break;
    default:
      return corrupt("a state is set in " + value(id).describe());
  }
  node(id).built = true;
  node(id).state = state;
  if (node(id).type == PickleType::object && is_joblib_array(value(id).name())) return read_joblib_array(id);
  return true;
}

// What joblib puts behind the state of its wrapper: for objects a pickle, else the bytes of the array. The
// wrapper becomes the array.
bool PickleMachine::read_joblib_array(std::uint32_t id) {
  const PickleValue wrapper = value(id);
  const PickleValue dtype = wrapper.find("dtype"), shape = wrapper.find("shape");
  const auto order = wrapper.find("order").text();
  if (dtype.type() != PickleType::dtype || !shape || (order != "C" && order != "F")) {
    return corrupt("an array of joblib without dtype, shape or order");
  }
  const PickleValue subclass = wrapper.find("subclass");
  if (!is_array_class(subclass.name())) return unsupported("an array of " + subclass.describe());
  const PickleDtype& what = graph_->dtypes[node(dtype.id()).items];
  if (what.kind == PickleDtype::Kind::object) {
    std::uint32_t inner = 0;
    const std::size_t began = at_;
    if (!run(nesting_ + 1, inner)) return false;
    if (node(inner).type != PickleType::array) {
      opcode_at_ = began;
      return corrupt("instead of an array of objects " + value(inner).describe());
    }
    const std::size_t offset = node(id).offset;
    node(id) = PickleNode(node(inner));
    node(id).offset = offset;
    return true;
  }
  const PickleValue alignment = wrapper.find("numpy_array_alignment_bytes");
  if (alignment && !alignment.is_none()) {
    std::uint8_t padding = 0;
    std::string_view ignored;
    if (!little(padding) || !take(padding, ignored)) return false;
  }
  PickleArrayData array;
  array.dtype = node(dtype.id()).items;
  array.column_order = order == "F";
  std::size_t size = 0;
  std::string_view bytes;
  if (!shape_of(shape.id(), what, array, size) || !take(size, bytes)) return false;
  array.bytes = std::as_bytes(std::span(bytes));
  return set_array(id, std::move(array));
}

}  // namespace nidus::interop::internal
