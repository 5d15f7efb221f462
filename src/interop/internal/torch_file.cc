#include "interop/internal/torch_file.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <utility>

#include "base/text.h"
#include "interop/internal/half.h"
#include "model/network.h"

namespace nidus::interop::internal {
namespace {

// The pickle of 0x1950a86a20f9469cfc6c, which every file begins with that is no archive.
constexpr std::string_view kMagic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e", 15);
constexpr std::size_t kTorchRankMax = 8;
constexpr std::size_t kStorageMax = std::size_t{1} << 31;

// The last part of "torch.FloatStorage".
std::string_view last_word(std::string_view name) { return name.substr(name.rfind('.') + 1); }

TorchType type_named(std::string_view name) {
  static constexpr std::pair<std::string_view, TorchType> kNames[] = {
      {"DoubleStorage", TorchType::f64},    {"float64", TorchType::f64},
      {"FloatStorage", TorchType::f32},     {"float32", TorchType::f32},
      {"HalfStorage", TorchType::f16},      {"float16", TorchType::f16},
      {"BFloat16Storage", TorchType::bf16}, {"bfloat16", TorchType::bf16},
      {"LongStorage", TorchType::i64},      {"int64", TorchType::i64},
      {"IntStorage", TorchType::i32},       {"int32", TorchType::i32},
      {"ShortStorage", TorchType::i16},     {"int16", TorchType::i16},
      {"CharStorage", TorchType::i8},       {"int8", TorchType::i8},
      {"ByteStorage", TorchType::u8},       {"uint8", TorchType::u8},
      {"BoolStorage", TorchType::u8},       {"bool", TorchType::u8}};
  for (const auto& [known, type] : kNames) {
    if (known == last_word(name)) return type;
  }
  return TorchType::none;
}

// What a reference to a storage says.
struct Storage {
  TorchType type = TorchType::none;
  std::string_view kind, key;
  std::uint64_t count = 0;  // of elements, or of bytes of an UntypedStorage
};

Result<Storage> storage_of(const PickleValue& value) {
  const PickleValue args = value.args();
  Storage out;
  const auto word = args[0].text(), key = args[2].text();
  const auto count = args[4].integer();
  if (value.type() != PickleType::persistent || !word || *word != "storage" || !key || !count || *count < 0)
    return torch_corrupt(value.where() + ": no storage where a tensor should have one");
  if (args.size() > 5 && !args[5].is_none())
    return torch_unsupported(value.where() + ": a storage that is part of another one");
  out.kind = args[1].name();
  out.type = type_named(out.kind);
  out.key = *key;
  out.count = static_cast<std::uint64_t>(*count);
  return out;
}

// Every reference to a storage in the graph, by key.
Result<std::map<std::string, Storage, std::less<>>> all_storages(const PickleValue& root) {
  std::map<std::string, Storage, std::less<>> out;
  std::set<std::uint32_t> seen;
  std::vector<PickleValue> open = {root};
  while (!open.empty()) {
    const PickleValue value = open.back();
    open.pop_back();
    if (!value || !seen.insert(value.id()).second) continue;
    if (value.type() == PickleType::persistent) {
      if (value.args()[0].text() == "module") continue;  // a class, with its source
      const auto storage = storage_of(value);
      if (!storage) return storage.error();
      out.emplace(storage->key, *storage);
      continue;
    }
    open.push_back(value.args());
    open.push_back(value.state());
    for (std::size_t i = 0; i < value.size(); ++i) open.push_back(value[i]);
  }
  return out;
}

// A tuple of sizes, strides or the like.
std::optional<std::vector<std::size_t>> sizes_of(const PickleValue& value) {
  if (value.type() != PickleType::tuple && value.type() != PickleType::list) return {};
  if (value.size() > kTorchRankMax) return {};
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const auto size = value[i].integer();
    if (!size || *size < 0) return {};
    out.push_back(static_cast<std::size_t>(*size));
  }
  return out;
}

}  // namespace

std::size_t bytes_of(TorchType type) {
  switch (type) {
    case TorchType::f64:
    case TorchType::i64:
      return 8;
    case TorchType::f32:
    case TorchType::i32:
      return 4;
    case TorchType::f16:
    case TorchType::bf16:
    case TorchType::i16:
      return 2;
    case TorchType::i8:
    case TorchType::u8:
      return 1;
    case TorchType::none:
      break;
  }
  return 0;
}

double torch_value(TorchType type, bool is_big_endian, const std::byte* at) {
  const std::size_t size = bytes_of(type);
  std::uint64_t bits = 0;
  std::memcpy(&bits, at, size);
  if (is_big_endian && size > 0) bits = __builtin_bswap64(bits) >> (64 - 8 * size);
  switch (type) {
    case TorchType::f64:
      return std::bit_cast<double>(bits);
    case TorchType::f32:
      return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
    case TorchType::f16:
      return half_to_double(static_cast<std::uint16_t>(bits));
    case TorchType::bf16:
      return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits << 16)));
    case TorchType::i64:
      return static_cast<double>(static_cast<std::int64_t>(bits));
    case TorchType::i32:
      return static_cast<double>(static_cast<std::int32_t>(bits));
    case TorchType::i16:
      return static_cast<double>(static_cast<std::int16_t>(bits));
    case TorchType::i8:
      return static_cast<double>(static_cast<std::int8_t>(bits));
    case TorchType::u8:
      return static_cast<double>(bits);
    case TorchType::none:
      break;
  }
  return 0;
}

bool TorchFile::looks_like(std::span<const std::byte> bytes) {
  if (bytes.size() >= kMagic.size() && std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) == 0)
    return true;
  if (!Zip::looks_like(bytes)) return false;
  const auto zip = Zip::open(bytes);
  if (!zip) return false;
  return std::any_of(zip->members().begin(), zip->members().end(), [](const auto& member) {
    const auto slash = member.name.find('/');
    return slash != std::string::npos && member.name.substr(slash) == "/data.pkl";
  });
}

Result<TorchFile> TorchFile::open(std::span<const std::byte> bytes) {
  TorchFile out;
  auto good = Zip::looks_like(bytes) ? out.open_archive(bytes) : out.open_legacy(bytes);
  if (!good) return std::move(good).error();
  return out;
}

Result<void> TorchFile::open_archive(std::span<const std::byte> bytes) {
  const auto zip = Zip::open(bytes);
  if (!zip) return zip.error();
  std::string top;
  for (const auto& member : zip->members()) {
    const auto slash = member.name.find('/');
    if (slash == std::string::npos || member.name.substr(slash) != "/data.pkl") continue;
    if (!top.empty()) return torch_corrupt("an archive with two models");
    top = member.name.substr(0, slash + 1);
  }
  const auto* data = zip->find(top + "data.pkl");
  if (top.empty() || data == nullptr) return torch_unsupported("an archive that PyTorch did not write");
  auto contents = Zip::read(*data, std::size_t{1} << 28);
  if (!contents) return std::move(contents).error();
  data_ = std::make_shared<const Contents>(std::move(*contents));
  if (const auto* order = zip->find(top + "byteorder")) {
    const auto text = Zip::read(*order, 64);
    if (!text) return text.error();
    if (text->text() != "little" && text->text() != "big") return torch_corrupt("an unknown byte order");
    is_big_endian_ = text->text() == "big";
  }
  is_script_ = zip->find(top + "constants.pkl") != nullptr;
  PickleOptions options;
  options.persistent = true;
  auto pickle = Pickle::read(data_->bytes(), options);
  if (!pickle) return std::move(pickle).error().within("data.pkl");
  pickle_ = std::move(*pickle);
  const std::string folder = top + "data/";
  for (const auto& member : zip->members()) {
    if (!member.name.starts_with(folder)) continue;
    auto storage = Zip::read(member, kStorageMax);
    if (!storage) return std::move(storage).error();
    storages_.emplace(member.name.substr(folder.size()),
                      std::make_shared<const Contents>(std::move(*storage)));
  }
  return {};
}

Result<void> TorchFile::open_legacy(std::span<const std::byte> bytes) {
  if (!looks_like(bytes)) return torch_unsupported("a file that PyTorch did not write");
  PickleOptions options;
  options.begin = kMagic.size();
  std::optional<Pickle> keys;
  for (const char* what : {"protocol", "system", "object", "storages"}) {
    options.persistent = what == std::string_view("object");
    auto pickle = Pickle::read(bytes, options);
    if (!pickle) return std::move(pickle).error().within(what);
    options.begin = pickle->end();
    if (what == std::string_view("protocol") && pickle->root().integer() != 1001)
      return torch_unsupported("a file of an unknown protocol");
    if (what == std::string_view("system")) {
      const auto little = pickle->root().find("little_endian").boolean();
      is_big_endian_ = little && !*little;
    }
    if (options.persistent)
      pickle_ = std::move(*pickle);
    else
      keys = std::move(*pickle);
  }
  const auto known = all_storages(pickle_->root());
  if (!known) return known.error();
  std::size_t at = options.begin;
  const PickleValue list = keys->root();
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto key = list[i].text();
    const auto storage = key ? known->find(*key) : known->end();
    if (storage == known->end()) return torch_corrupt("a storage that no tensor refers to");
    const std::size_t each = bytes_of(storage->second.type);
    if (each == 0) return torch_unsupported("a storage of class " + std::string(storage->second.kind));
    std::uint64_t count = 0;
    if (bytes.size() - at < sizeof count) return torch_corrupt("the file ends among its storages");
    std::memcpy(&count, bytes.data() + at, sizeof count);
    at += sizeof count;
    if (is_big_endian_) count = __builtin_bswap64(count);
    if (count > (bytes.size() - at) / each) return torch_corrupt("a storage reaches beyond the file");
    storages_.emplace(std::string(*key), std::make_shared<const Contents>(bytes.subspan(at, count * each)));
    at += count * each;
  }
  return {};
}

bool TorchFile::is_tensor(const PickleValue& value) {
  if (value.type() == PickleType::array) return true;
  const std::string_view name = value.name();
  return value.type() == PickleType::object &&
         (name == "torch._utils._rebuild_tensor_v2" || name == "torch._utils._rebuild_tensor_v3" ||
          name == "torch._utils._rebuild_tensor" || name == "torch._utils._rebuild_parameter" ||
          name == "torch._utils._rebuild_parameter_with_state");
}

Result<TorchTensor> TorchFile::tensor(const PickleValue& value) const {
  TorchTensor out;
  if (value.type() == PickleType::array) {
    const auto array = value.array();
    const auto numbers = array->numbers();
    if (!numbers) return torch_unsupported(value.where() + ": an array of " + array->describe());
    if (array->size() > model::Network::kWeightsMax)
      return Error{Errc::exhausted, "torch: an array that is too large"};
    out.shape.assign(array->shape().begin(), array->shape().end());
    out.values = numbers->reals();
    return out;
  }
  PickleValue tensor = value;
  for (int i = 0; i < 2 && tensor.name().starts_with("torch._utils._rebuild_parameter"); ++i)
    tensor = tensor.args()[0];
  if (!is_tensor(tensor)) return torch_corrupt(value.where() + ": no tensor in a parameter");
  const PickleValue args = tensor.args();
  auto storage = storage_of(args[0]);
  if (!storage) return std::move(storage).error();
  const auto offset = args[1].integer();
  const auto shape = sizes_of(args[2]), strides = sizes_of(args[3]);
  if (!offset || *offset < 0 || !shape || !strides || shape->size() != strides->size())
    return torch_corrupt(value.where() + ": a tensor without a shape");
  if (tensor.name() == "torch._utils._rebuild_tensor_v3") storage->type = type_named(args[6].name());
  const std::size_t each = bytes_of(storage->type);
  if (each == 0)
    return torch_unsupported(value.where() + ": a tensor of " + std::string(storage->kind) +
                             "; save it as float");
  const auto found = storages_.find(storage->key);
  if (found == storages_.end())
    return torch_corrupt("no storage '" + std::string(storage->key) + "' in the file");
  const auto bytes = found->second->bytes();
  const std::uint64_t room = bytes.size() / each;
  // One step in each direction from the first element to the last, none of them beyond the storage.
  std::uint64_t count = 1, last = static_cast<std::uint64_t>(*offset);
  for (std::size_t d = 0; d < shape->size(); ++d) {
    const std::uint64_t size = (*shape)[d], stride = (*strides)[d];
    if (size == 0) count = 0;
    if (count == 0) continue;
    if (size > room || count > room / size)
      return torch_corrupt(value.where() + ": a tensor larger than its storage");
    count *= size;
    if (size > 1 && stride > room / (size - 1))
      return torch_corrupt(value.where() + ": a tensor reaches beyond its storage");
    last += (size - 1) * stride;
  }
  if (count > 0 && (last >= room || static_cast<std::uint64_t>(*offset) >= room))
    return torch_corrupt(value.where() + ": a tensor reaches beyond its storage");
  if (count > model::Network::kWeightsMax) return Error{Errc::exhausted, "torch: a tensor that is too large"};
  out.shape = *shape;
  out.values.reserve(count);
  std::vector<std::size_t> index(shape->size());
  for (std::uint64_t i = 0; i < count; ++i) {
    std::size_t place = static_cast<std::size_t>(*offset);
    for (std::size_t d = 0; d < index.size(); ++d) place += index[d] * (*strides)[d];
    out.values.push_back(torch_value(storage->type, is_big_endian_, bytes.data() + place * each));
    for (std::size_t d = index.size(); d-- > 0 && ++index[d] == (*shape)[d];) index[d] = 0;
  }
  return out;
}

}  // namespace nidus::interop::internal
