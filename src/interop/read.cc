#include "interop/read.h"

#include <malloc.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/file.h"
#include "base/text.h"
#include "interop/catboost.h"
#include "interop/internal/zip.h"
#include "interop/keras.h"
#include "interop/lightgbm.h"
#include "interop/onnx.h"
#include "interop/sklearn.h"
#include "interop/torch.h"
#include "interop/xgboost.h"

namespace nidus::interop {
namespace {

// What a gzip file begins with when unpacked: tables and captures are packed like that as well.
std::string unpacked_beginning(std::span<const std::byte> bytes) {
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 16) != Z_OK) return {};
  std::array<char, 64> out{};
  stream.next_in =
      reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));  // zlib does not write there
  stream.avail_in = static_cast<uInt>(std::min<std::size_t>(bytes.size(), 1u << 16));
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = out.size();
  inflate(&stream, Z_SYNC_FLUSH);
  const std::string made(out.data(), out.size() - stream.avail_out);
  inflateEnd(&stream);
  return made;
}

// Protocols 2 to 5 say so; 0 and 1 are text that begins with what makes the first object.
bool is_pickle(std::string_view bytes) {
  if (bytes.size() >= 2 && bytes[0] == '\x80') return bytes[1] >= 1 && bytes[1] <= 5;
  return bytes.starts_with("ccopy_reg\n") || bytes.starts_with("(dp") || bytes.starts_with("(lp") ||
         bytes.starts_with("]q\x01");
}

// JSON of a model begins with an object whose first names are known.
bool is_model_json(std::string_view bytes) {
  const auto first = bytes.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || bytes[first] != '{') return false;
  for (const std::string_view name : {"\"learner\"", "\"Config\"", "\"Model\"", "\"oblivious_trees\"",
                                      "\"model_info\"", "\"features_info\"", "\"ctr_data\""}) {
    if (bytes.substr(0, 512).find(name) != std::string_view::npos) return true;
  }
  return bytes.substr(first).starts_with("{\"version\":[");
}

// A ModelProto: field 1, the version of the format, as a small number, then one of its other fields.
bool is_onnx(std::string_view bytes) {
  if (bytes.size() < 4 || bytes[0] != '\x08' || bytes[1] < 1 || bytes[1] > 64) return false;
  constexpr std::string_view kFields = "\x12\x1a\x22\x28\x32\x3a\x42\x72\xa2";  // 2 to 8, 14, 20
  return kFields.find(bytes[2]) != std::string_view::npos;
}

// A length of little-endian 64 bits, and JSON of that length.
bool is_safetensors(std::string_view bytes) {
  if (bytes.size() < 10 || bytes[8] != '{' || bytes[9] != '"') return false;
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  return length >= 2 && length < (std::uint64_t{1} << 32);
}

}  // namespace

std::string_view name(Format format) {
  switch (format) {
    case Format::none:
      return "no model";
    case Format::pickle:
      return "pickle";
    case Format::json:
      return "JSON";
    case Format::ubjson:
      return "UBJSON";
    case Format::lightgbm:
      return "LightGBM text";
    case Format::hdf5:
      return "HDF5";
    case Format::zip:
      return "zip archive";
    case Format::torch:
      return "PyTorch before 1.6";
    case Format::safetensors:
      return "safetensors";
    case Format::onnx:
      return "ONNX";
    case Format::xgboost_binary:
      return "XGBoost's old binary format";
  }
  return "";
}

Format format_of(std::span<const std::byte> beginning) {
  const std::string_view bytes = as_text(beginning);
  if (bytes.starts_with("\x89HDF\r\n\x1a\n")) return Format::hdf5;
  if (bytes.starts_with("PK\x03\x04") || bytes.starts_with("PK\x05\x06")) return Format::zip;
  if (bytes.starts_with("binf") || bytes.starts_with("CONFIG-offset:")) return Format::xgboost_binary;
  if (bytes.starts_with(std::string_view("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 14)))
    return Format::torch;
  if (is_pickle(bytes)) return Format::pickle;
  if (bytes.starts_with("\x1f\x8b"))
    return is_pickle(unpacked_beginning(beginning)) ? Format::pickle : Format::none;
  for (const std::string_view packed :
       {std::string_view("\x78\x01"), std::string_view("\x78\x5e"), std::string_view("\x78\x9c"),
        std::string_view("\x78\xda"), std::string_view("BZh"), std::string_view("\xfd\x37zXZ\0", 6),
        std::string_view("\x5d\0\0", 3), std::string_view("\x04\x22\x4d\x18"), std::string_view("ZF0x")}) {
    if (bytes.starts_with(packed)) return Format::pickle;
  }
  if (is_safetensors(bytes)) return Format::safetensors;
  if (bytes.starts_with("tree\n") || bytes.starts_with("tree\r\n")) return Format::lightgbm;
  if (bytes.size() > 10 && bytes[0] == '{' &&
      std::string_view("LliIU").find(bytes[1]) != std::string_view::npos)
    return Format::ubjson;
  if (is_model_json(bytes)) return Format::json;
  if (is_onnx(bytes)) return Format::onnx;
  return Format::none;
}

namespace {

Result<Artefact> read_any(std::span<const std::byte> bytes, const ReadOptions& options) {
  switch (format_of(bytes)) {
    case Format::json:
      return looks_like_xgboost(bytes) ? read_xgboost(bytes, {}) : read_catboost(bytes);
    case Format::ubjson:
    case Format::xgboost_binary:
      return read_xgboost(bytes, {});
    case Format::lightgbm:
      return read_lightgbm(as_text(bytes));
    case Format::pickle:
      return read_pickle(bytes);
    case Format::hdf5:
      return read_keras(bytes);
    case Format::onnx:
      return read_onnx(bytes);
    case Format::zip:
      if (looks_like_keras(bytes)) return read_keras(bytes);
      if (looks_like_torch(bytes))
        return read_torch(bytes, {options.layers, options.option_prefix + "layers"});
      if (const auto zip = internal::Zip::open(bytes); !zip) return zip.error();
      break;
    case Format::torch:
      return read_torch(bytes, {options.layers, options.option_prefix + "layers"});
    case Format::safetensors:
      return read_safetensors(bytes, {options.layers, options.option_prefix + "layers"});
    default:
      break;
  }
  return Error{Errc::unsupported, "no model that nidus reads"};
}

}  // namespace

Result<Artefact> read_artefact(std::span<const std::byte> bytes, const ReadOptions& options) {
  auto artefact = read_any(bytes, options);
  // What reading a large file took for a moment, the allocator would keep for as long as the process lives.
  constexpr std::size_t kLarge = std::size_t{4} << 20;
  if (bytes.size() >= kLarge) ::malloc_trim(0);
  return artefact;
}

Result<Artefact> read_artefact(const std::filesystem::path& path, const ReadOptions& options) {
  const auto mapped = MappedFile::open(path);
  if (!mapped) return mapped.error();
  auto artefact = read_artefact(mapped->bytes(), options);
  if (!artefact) return std::move(artefact).error().within(path.string());
  return artefact;
}

Result<Artefact> inspect_artefact(const std::filesystem::path& path) {
  const auto mapped = MappedFile::open(path);
  if (!mapped) return mapped.error();
  if (format_of(mapped->bytes()) != Format::pickle) return read_artefact(path);
  auto artefact = read_pickle(mapped->bytes(), Reading::outline);
  if (!artefact) return std::move(artefact).error().within(path.string());
  return artefact;
}

}  // namespace nidus::interop
