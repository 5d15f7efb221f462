#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "interop/internal/pickle.h"
#include "interop/internal/zip.h"

// What PyTorch puts into files, as values and tensors, for torch.cc only.
namespace nidus::interop::internal {

inline Error torch_unsupported(const std::string& what) { return {Errc::unsupported, "torch: " + what}; }
inline Error torch_corrupt(const std::string& what) { return {Errc::corrupt, "torch: " + what}; }

// Numbers in row-major order, whatever the strides were.
struct TorchTensor {
  std::vector<std::size_t> shape;
  std::vector<double> values;
};

// A file of torch.save, as zip archive (PyTorch 1.6 and later) or as pickles one behind the other (before),
// or a TorchScript archive. The bytes must outlive it.
class TorchFile {
 public:
  static bool looks_like(std::span<const std::byte> bytes);
  static Result<TorchFile> open(std::span<const std::byte> bytes);

  PickleValue root() const { return pickle_->root(); }
  bool is_script() const { return is_script_; }

  // Whether a value is a tensor, a parameter, or an array of numpy.
  static bool is_tensor(const PickleValue& value);
  // Its numbers, wherever they were saved from; whole numbers and floats of 2, 4 and 8 bytes and bfloat16.
  // Errc::corrupt if it reaches beyond its storage, or repeats what is in it.
  Result<TorchTensor> tensor(const PickleValue& value) const;

 private:
  TorchFile() = default;
  Result<void> open_archive(std::span<const std::byte> bytes);
  Result<void> open_legacy(std::span<const std::byte> bytes);

  std::shared_ptr<const Contents> data_;  // of the pickle in an archive
  std::optional<Pickle> pickle_;
  std::map<std::string, std::shared_ptr<const Contents>, std::less<>> storages_;
  bool is_script_ = false, is_big_endian_ = false;
};

// Element types, as safetensors and torch name them. Bytes of one element; 0 for those that are not done.
enum class TorchType : std::uint8_t { f64, f32, f16, bf16, i64, i32, i16, i8, u8, none };
std::size_t bytes_of(TorchType type);
double torch_value(TorchType type, bool is_big_endian, const std::byte* at);

}  // namespace nidus::interop::internal
