#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

// Reads Python's pickles, protocols 0 to 5, and the raw arrays that joblib writes between their opcodes,
// without running them.
//
// A pickle is a program for a small stack machine, whose dangerous instructions import a name and call it.
// On this machine a name is a text. Calling one of a short list of names builds the value it stands for
// (numpy arrays, dtypes and scalars, bytes, ordered dictionaries, sets); calling any other makes an `object`
// that holds the name and the arguments, and nothing more happens. Whoever walks the graph afterwards takes
// the objects it knows and refuses the others by name and offset. So there is no list of bad names that could
// be incomplete.
//
// Arrays, texts and bytes are views of the given bytes where they lie there as they are.
namespace nidus::interop::internal {

struct PickleGraph;
class PickleArray;

enum class PickleType : std::uint8_t {
  absent,  // what a lookup answers that finds nothing
  none,
  boolean,
  integer,      // also numpy's
  big_integer,  // beyond 64 bits
  real,
  text,  // also Python 2's str, whose bytes may be anything
  bytes,
  tuple,
  list,
  dict,  // also OrderedDict and defaultdict, which have a name()
  set,
  name,        // of a class or function
  object,      // what came of calling a name, or of making an object of a class, with what was set in it
  persistent,  // a reference to something outside (PyTorch's storages): args() says which
  dtype,
  array,
};

// One value of a pickle: a place in its graph, good while the Pickle lives. Values may contain themselves;
// who walks them counts how deep.
class PickleValue {
 public:
  PickleValue() = default;

  PickleType type() const;
  explicit operator bool() const { return type() != PickleType::absent; }
  bool operator==(const PickleValue&) const = default;  // the same place in the graph
  std::uint32_t id() const { return id_; }

  // Where in the file it was made. Constants such as None lie everywhere: 0.
  std::size_t offset() const;
  // "byte 1,204".
  std::string where() const;
  // For messages: "a list of 3", "sklearn.pipeline.Pipeline", "the text 'auto'".
  std::string describe() const;

  bool is_none() const { return type() == PickleType::none; }
  std::optional<bool> boolean() const;
  std::optional<std::int64_t> integer() const;  // of an integer or boolean, or an array of one without shape
  std::optional<double> number() const;         // of these or a real
  std::optional<std::string_view> text() const;
  std::optional<std::span<const std::byte>> bytes() const;

  // "sklearn.pipeline.Pipeline": of a name itself, of an object what was called, of a dict its class if it is
  // no plain one; else empty. Letters, digits, underscores and dots.
  std::string_view name() const;
  // Of an object: the tuple it was called with. Of a persistent reference: what it refers to.
  PickleValue args() const;
  // What was set in an object or dict by BUILD: in general a dict, or a tuple of two.
  PickleValue state() const;

  // Of tuples, lists, sets and dicts, and of objects that are a list or dict besides.
  std::size_t size() const;
  // Element i; of dicts the value of entry i, and key(i) its key. Absent beyond size().
  PickleValue operator[](std::size_t i) const;
  PickleValue key(std::size_t i) const;
  // The value of a dict under this text, or the member of an object with this name. Absent if there is none.
  PickleValue find(std::string_view key) const;

  std::optional<PickleArray> array() const;

 private:
  friend struct PickleGraph;
  friend class Pickle;
  friend class PickleArray;
  PickleValue(const PickleGraph* graph, std::uint32_t id) : graph_(graph), id_(id) {}

  const PickleGraph* graph_ = nullptr;
  std::uint32_t id_ = 0;
};

// What the elements of an array are.
struct PickleDtype {
  enum class Kind : std::uint8_t {
    boolean,
    integer,
    unsigned_integer,
    real,
    text,    // U: four bytes a character, zeros behind the last
    bytes,   // S: zeros behind the last
    object,  // any value
    record,  // fields
    other,   // complex numbers, dates, arrays in arrays: not looked into
  };
  struct Field {
    std::string_view name;
    Kind kind = Kind::other;
    bool swapped = false;
    std::uint32_t bytes = 0, offset = 0;
  };

  Kind kind = Kind::other;
  bool swapped = false;       // in the other byte order
  std::uint32_t bytes = 0;    // of one element
  std::vector<Field> fields;  // of a record; each within the element
};

// Numbers that lie at even distances, at any alignment and in either byte order. A view.
class PickleNumbers {
 public:
  PickleNumbers() = default;

  std::size_t size() const { return count_; }
  bool is_real() const { return kind_ == PickleDtype::Kind::real; }
  // i below size(). Reals as integers are cut off towards zero, and 2^63 - 1 or -2^63 if they are beyond;
  // what is no number is -2^63.
  double real(std::size_t i) const;
  std::int64_t integer(std::size_t i) const;
  std::vector<double> reals() const;

  // Where the numbers lie, if they are doubles (or 64-bit integers) in this machine's byte order; else null.
  // Not aligned; the next is stride() bytes on.
  const std::byte* doubles() const;
  const std::byte* integers() const;
  std::size_t stride() const { return stride_; }

 private:
  friend class PickleArray;
  const std::byte* at(std::size_t i) const;

  const std::byte* first_ = nullptr;
  std::size_t count_ = 0, stride_ = 0;
  std::size_t rows_ = 0, columns_ = 0;  // of a matrix in column order, else 0
  PickleDtype::Kind kind_ = PickleDtype::Kind::real;
  std::uint32_t bytes_ = 8;
  bool swapped_ = false;
};

// A view of an array. Its bytes are as many as shape and dtype say.
class PickleArray {
 public:
  std::size_t offset() const;
  std::string where() const;
  std::span<const std::size_t> shape() const;
  std::size_t size() const;  // the product of the shape
  const PickleDtype& dtype() const;
  // "float64 (100, 3)", "objects (12)".
  std::string describe() const;

  // In row-major order, whatever the order in the file: booleans, integers and reals of any width. Nothing
  // for other elements, or for arrays in column order of more than two dimensions.
  std::optional<PickleNumbers> numbers() const;
  // One field of the records.
  std::optional<PickleNumbers> field(std::string_view name) const;
  // Element i, of objects; absent for other arrays.
  PickleValue item(std::size_t i) const;
  // Element i in UTF-8, of arrays of texts, bytes, or objects that are texts.
  std::optional<std::string> text(std::size_t i) const;
  // As they lie in the file, and in which order.
  std::span<const std::byte> raw() const;
  bool is_column_order() const;

 private:
  friend class PickleValue;
  PickleArray(const PickleGraph* graph, std::uint32_t id, std::uint32_t array)
      : graph_(graph), id_(id), array_(array) {}
  std::optional<std::size_t> place(std::size_t i) const;

  const PickleGraph* graph_ = nullptr;
  std::uint32_t id_ = 0, array_ = 0;
};

struct PickleOptions {
  std::size_t begin = 0;  // where the pickle begins; offsets count from the beginning of the bytes
  // Whether PyTorch's references to storages (BINPERSID) are values; else they are refused.
  bool persistent = false;
  // Asked for each name when it comes up, whether anything is done with it or not: a name that is not
  // accepted ends the reading. Without it all names may be in a pickle, as nothing is done with them.
  bool (*accepts)(std::string_view name) = nullptr;

  // The limits; what is beyond is Errc::exhausted.
  std::size_t values_max = std::size_t{1} << 21;  // about 100 bytes each
  std::size_t memo_max = std::size_t{1} << 22;
  std::size_t marks_max = 10000;
};

// The values of one pickle. The bytes must outlive it.
class Pickle {
 public:
  // Errc::corrupt for what no pickler writes, Errc::unsupported for opcodes and names that have no place in a
  // model, each with the byte; Errc::exhausted beyond the limits. Work and memory are bounded by the size of
  // the bytes and by the limits, whatever they say.
  static Result<Pickle> read(std::span<const std::byte> bytes, const PickleOptions& options = {});

  Pickle(Pickle&& other) noexcept;
  Pickle& operator=(Pickle&& other) noexcept;
  ~Pickle();

  PickleValue root() const;
  // Behind the last byte that was read.
  std::size_t end() const;
  int protocol() const;

  // All names in the order of their first coming up, each with the offset of that.
  std::vector<std::pair<std::string_view, std::size_t>> names() const;
  // Where an offset lies in a file: "byte 1,204".
  static std::string where(std::size_t offset);

 private:
  explicit Pickle(std::unique_ptr<PickleGraph> graph);
  std::unique_ptr<PickleGraph> graph_;
};

}  // namespace nidus::interop::internal
