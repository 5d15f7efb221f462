#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nidus::interop::internal {

// What Keras keeps in HDF5 files (HDF5 File Format Specification 3.0): groups, arrays of numbers, and
// attributes of texts.
//
// Read: superblocks 0 to 3; object headers 1 and 2; groups as symbol tables or as links in the header; whole
// numbers of 1 to 8 bytes and IEEE floats of 2, 4 and 8 (and bfloat16) in either byte order; texts of fixed
// and variable length; arrays that are compact, contiguous, or in chunks under a version 1 B-tree, as one
// chunk or implicit; the filters deflate, shuffle and fletcher32. The rest is Errc::unsupported and named:
// links or attributes in fractal heaps (more than eight in a group of a file of the latest format), other
// indices, compounds, references, external files.
//
// Every offset, count and size is checked before it is used, and each call may look at so many structures of
// the file and no more; so circles end. All the arrays together may become unpacked_bytes_max of the file,
// and no more: asking for the same again and again ends as well. For one thread at a time.
class Hdf5 {
 public:
  // Row-major.
  struct Numbers {
    std::vector<std::size_t> shape;
    std::vector<double> values;
  };

  static bool looks_like(std::span<const std::byte> bytes);
  // `bytes` must outlive the object.
  static Result<Hdf5> open(std::span<const std::byte> bytes);

  // Paths are names of links with '/' between them; the root is "". Errc::not_found for one that leads
  // nowhere.

  // The names of the links of a group, in their order in the file.
  Result<std::vector<std::string>> links(std::string_view path) const;
  // Errc::not_found unless there is such a link; other errors as they come.
  Result<void> find(std::string_view path) const;
  // Nothing if the object has no such attribute. One text if it is no array; texts in place of numbers are an
  // error, but an empty array of whatever is no texts.
  Result<std::optional<std::vector<std::string>>> texts(std::string_view path,
                                                        std::string_view attribute) const;
  // The numbers of a dataset. Errc::exhausted beyond kNumbersMax, or when arrays became too much already.
  Result<Numbers> numbers(std::string_view path) const;

  static constexpr std::size_t kNumbersMax = std::size_t{1} << 28;

 private:
  explicit Hdf5(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
  std::uint64_t root_ = 0;
  mutable std::uint64_t room_ = 0;  // bytes that arrays may yet become
};

}  // namespace nidus::interop::internal
