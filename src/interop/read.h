#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "interop/artefact.h"

namespace nidus::interop {

struct ReadOptions {
  // The layers of a PyTorch state_dict whose names do not tell them; see docs/importing.md.
  std::string layers;
  // How whoever reads the messages gives an option, written before its name where a message asks for one. Not
  // every program that reads such files has options for them, import always does.
  std::string option_prefix = "nidus import … --";
};

// What kind of file this is, by its content: never by its name.
enum class Format : std::uint8_t {
  none,      // nothing that a reader of ours takes
  pickle,    // also joblib, compressed or not
  json,      // XGBoost, CatBoost, thresholds, metadata: told apart when read
  ubjson,    // XGBoost
  lightgbm,  // its text
  hdf5,      // Keras
  zip,       // Keras 3, PyTorch
  torch,     // PyTorch before 1.6
  safetensors,
  onnx,
  xgboost_binary,  // of a Booster's pickle; others are refused with a hint
};
std::string_view name(Format format);

// From the beginning of a file; 512 bytes are enough.
Format format_of(std::span<const std::byte> beginning);

// Reads one file. The error begins with the path.
Result<Artefact> read_artefact(const std::filesystem::path& path, const ReadOptions& options = {});
Result<Artefact> read_artefact(std::span<const std::byte> bytes, const ReadOptions& options = {});

// What is in the file, as far as that can be told without making models of it: an artefact of the kind model
// may have none. Of a large file much faster.
Result<Artefact> inspect_artefact(const std::filesystem::path& path);

}  // namespace nidus::interop
