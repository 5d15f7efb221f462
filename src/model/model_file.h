#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "model/model.h"
#include "model/schema.h"

// The model file `.nidus`: one model with all it needs to be used, exactly described in
// docs/formats/model-file.md. Its arrays are used in place, so loading maps the file, verifies checksums and
// checks every index once; scoring then checks nothing.
namespace nidus::model {

struct ModelFile {
  Schema schema;                     // as many columns as the model has inputs
  std::vector<std::string> classes;  // two of a model with one output, else one for each output
  std::shared_ptr<const Model> model;
  std::string note;  // anything the writer wants to keep with it, for instance JSON about its training
};

// The bytes of the file: the same bytes for the same content. Errc::invalid if schema, classes and model do
// not fit each other or are beyond the limits of the format.
Result<std::string> serialise(const ModelFile& file);
Result<void> save_model(const std::filesystem::path& path, const ModelFile& file);

// Errc::corrupt names what is wrong and at which offset; Errc::unsupported a version that is not ours. The
// model keeps the file mapped while it lives. The file must not be truncated meanwhile; replacing it by
// renaming another over it, as save_model does, is safe.
Result<ModelFile> load_model(const std::filesystem::path& path);

// The same of a file that is mapped already; errors do not name it.
Result<ModelFile> load_model(std::shared_ptr<const MappedFile> file);

// From bytes in memory, which are copied once.
Result<ModelFile> parse_model(std::span<const std::byte> bytes);

}  // namespace nidus::model
