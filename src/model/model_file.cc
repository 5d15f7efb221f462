#include "model/model_file.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <set>
#include <utility>

#include "base/text.h"
#include "model/internal/model_stream.h"

namespace nidus::model {
namespace {

// What must hold of a file on the way in and out. `file.model` is there.
Result<void> check(const ModelFile& file) {
  const std::size_t inputs = file.model->inputs(), outputs = file.model->outputs();
  if (file.schema.size() != inputs) {
    return Error{Errc::invalid, "a schema of " + std::to_string(file.schema.size()) +
                                    " columns for a model with " + std::to_string(inputs) + " inputs"};
  }
  if (file.classes.size() != (outputs == 1 ? 2 : outputs)) {
    return Error{Errc::invalid, std::to_string(file.classes.size()) + " classes for a model with " +
                                    std::to_string(outputs) + " outputs"};
  }
  std::set<std::string> names;
  for (const Column& column : file.schema) {
    if (!names.insert(to_lower(column.name)).second) {
      return Error{Errc::invalid, "column '" + column.name + "' stands twice in the schema"};
    }
    const std::set<std::string_view> vocabulary(column.vocabulary.begin(), column.vocabulary.end());
    if (vocabulary.size() != column.vocabulary.size()) {
      return Error{Errc::invalid, "column '" + column.name + "' has a category twice"};
    }
  }
  return {};
}

Result<ModelFile> read(internal::FileReader& in) {
  ModelFile file;
  file.schema.resize(in.count(9));
  for (Column& column : file.schema) {
    column.name = in.text();
    const auto kind = in.u8();
    if (kind > 1) return in.fail("a column of an unknown kind");
    column.kind = static_cast<Column::Kind>(kind);
    column.unit = in.text();
    if (column.kind == Column::Kind::categorical) {
      column.vocabulary.resize(in.count(4));
      for (auto& entry : column.vocabulary) entry = in.text();
    }
    if (!in.ok()) return in.error();
  }
  file.classes.resize(in.count(4));
  for (auto& name : file.classes) name = in.text();
  file.note = in.text();
  if (!in.ok()) return in.error();
  auto model = in.model();
  if (!model) return std::move(model).error();
  file.model = std::move(*model);
  if (!in.at_end()) return in.fail("more in the description than a model");
  if (auto good = check(file); !good) return in.fail(good.error().message);
  return file;
}

}  // namespace

Result<std::string> serialise(const ModelFile& file) {
  if (file.model == nullptr) return Error{Errc::invalid, "no model to write"};
  if (auto good = check(file); !good) return std::move(good).error();
  internal::FileWriter out;
  out.u32(static_cast<std::uint32_t>(file.schema.size()));
  for (const Column& column : file.schema) {
    out.text(column.name);
    out.u8(static_cast<std::uint8_t>(column.kind));
    out.text(column.unit);
    if (column.kind != Column::Kind::categorical) continue;
    out.u32(static_cast<std::uint32_t>(column.vocabulary.size()));
    for (const auto& entry : column.vocabulary) out.text(entry);
  }
  out.u32(static_cast<std::uint32_t>(file.classes.size()));
  for (const auto& name : file.classes) out.text(name);
  out.text(file.note);
  file.model->save(out);
  return out.finish();
}

Result<void> save_model(const std::filesystem::path& path, const ModelFile& file) {
  const auto bytes = serialise(file);
  if (!bytes) return Error(bytes.error()).within(path.string());
  return write_file(path, *bytes);
}

Result<ModelFile> load_model(const std::filesystem::path& path) {
  auto mapped = MappedFile::open(path);
  if (!mapped) return std::move(mapped).error();
  auto file = load_model(std::make_shared<const MappedFile>(std::move(*mapped)));
  if (!file) return std::move(file).error().within(path.string());
  return file;
}

Result<ModelFile> load_model(std::shared_ptr<const MappedFile> file) {
  const auto bytes = file->bytes();
  auto reader = internal::FileReader::open(std::move(file), bytes);
  if (!reader) return std::move(reader).error();
  return read(*reader);
}

Result<ModelFile> parse_model(std::span<const std::byte> bytes) {
  constexpr std::size_t kAlignment = 64;
  const std::size_t room = (bytes.size() / kAlignment + 1) * kAlignment;
  std::shared_ptr<void> owner(std::aligned_alloc(kAlignment, room), &std::free);
  if (owner == nullptr) return Error{Errc::exhausted, "no memory for the model"};
  auto* copy = static_cast<std::byte*>(owner.get());
  std::copy(bytes.begin(), bytes.end(), copy);
  auto reader = internal::FileReader::open(std::move(owner), {copy, bytes.size()});
  if (!reader) return std::move(reader).error();
  return read(*reader);
}

}  // namespace nidus::model
