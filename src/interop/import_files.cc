#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "base/text.h"
#include "interop/import.h"
#include "interop/internal/importer.h"
#include "interop/internal/parts.h"

namespace nidus::interop {
namespace {

namespace fs = std::filesystem;
using internal::Parts;
using internal::ServiceFiles;

bool may_be_json(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()),
                              std::min<std::size_t>(bytes.size(), 64));
  const auto first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && (text[first] == '{' || text[first] == '[');
}

// The files of a detector, read one after the other.
class FileSet {
 public:
  FileSet(bool of_folder, const ImportOptions& options) : of_folder_(of_folder), read_(options.read) {}

  // Errors do not name the file.
  Result<void> read(const std::string& name, std::span<const std::byte> bytes) {
    if (may_be_json(bytes) && bytes.size() <= ServiceFiles::kBytesMax) {
      const auto taken = service_.read(name, bytes);
      if (!taken) return taken.error();
      if (*taken) return {};
    }
    if (format_of(bytes) == Format::none && of_folder_) {
      skipped_.push_back(name);
      return {};
    }
    auto artefact = read_artefact(bytes, read_);
    if (!artefact) return std::move(artefact).error();
    parts_.emplace_back(name, std::move(*artefact));
    return {};
  }

  Result<Imported> finish(const ImportOptions& options) && {
    auto imported = internal::put_together(std::move(parts_), std::move(service_), options);
    if (!imported) return imported;
    for (const auto& name : skipped_) imported->notes.push_back(name + ": no part of a detector");
    return imported;
  }

 private:
  bool of_folder_;
  ReadOptions read_;
  std::vector<std::pair<std::string, Artefact>> parts_;
  ServiceFiles service_;
  std::vector<std::string> skipped_;
};

}  // namespace

Result<Imported> import_detector(std::span<const fs::path> paths, const ImportOptions& options) {
  if (paths.empty()) return Error{Errc::invalid, "no file to import"};
  std::vector<fs::path> files;
  std::error_code ec;
  for (const auto& path : paths) {
    if (!fs::is_directory(path, ec)) {
      files.push_back(path);
      continue;
    }
    std::vector<fs::path> inside;
    for (const auto& entry : fs::directory_iterator(path, ec)) {
      if (entry.path().filename().string().front() != '.' && entry.is_regular_file(ec))
        inside.push_back(entry.path());
    }
    if (ec) return Error{Errc::io, path.string() + ": " + ec.message()};
    if (inside.size() > Parts::kPartsMax)
      return Error{Errc::exhausted, fmt::format("{}: {} files, a detector has at most {}", path.string(),
                                                inside.size(), Parts::kPartsMax)};
    std::sort(inside.begin(), inside.end());
    files.insert(files.end(), inside.begin(), inside.end());
  }
  const bool folder = fs::is_directory(paths.front(), ec);
  FileSet set(folder, options);
  for (const auto& file : files) {
    const auto mapped = MappedFile::open(file);
    if (!mapped) return mapped.error();
    auto read = set.read(file.filename().string(), mapped->bytes());
    if (!read) return std::move(read).error().within(file.string());
  }
  ImportOptions named = options;
  if (named.name.empty()) {
    auto path = paths.front().lexically_normal();
    if (!path.has_filename()) path = path.parent_path();
    named.name = folder ? path.filename().string() : path.stem().string();
  }
  auto imported = std::move(set).finish(named);
  if (!imported) return std::move(imported).error().within(paths.front().string());
  return imported;
}

Result<Imported> import_files(std::span<const FileInMemory> files, bool of_folder,
                              const ImportOptions& options) {
  if (files.empty()) return Error{Errc::invalid, "no file to import"};
  if (files.size() > Parts::kPartsMax)
    return Error{Errc::exhausted,
                 fmt::format("{} files, a detector has at most {}", files.size(), Parts::kPartsMax)};
  FileSet set(of_folder, options);
  for (const auto& file : files) {
    auto read = set.read(file.name, file.bytes);
    if (!read) return std::move(read).error().within(file.name);
  }
  ImportOptions named = options;
  if (named.name.empty()) named.name = "imported";
  return std::move(set).finish(named);
}

Result<std::vector<std::pair<std::string, std::string>>> describe_service_file(const fs::path& path) {
  std::vector<std::pair<std::string, std::string>> out;
  const auto mapped = MappedFile::open(path);
  if (!mapped) return mapped.error();
  if (mapped->bytes().size() > ServiceFiles::kBytesMax) return out;
  ServiceFiles service;
  const auto taken = service.read(path.filename().string(), mapped->bytes());
  if (!taken) return Error(taken.error()).within(path.string());
  if (!*taken) return out;
  const auto listed = [](const auto& words) {
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : ", ") + std::string(trim(word));
    return text;
  };
  out.emplace_back("kind", "settings of a service's models");
  if (!service.version.empty()) out.emplace_back("version", service.version);
  if (!service.dataset.empty()) out.emplace_back("dataset", service.dataset);
  if (service.threshold) out.emplace_back("threshold", fmt::format("{}", *service.threshold));
  for (const auto& [model, weight] : service.weights)
    out.emplace_back(model + ".weight", fmt::format("{}", weight));
  for (const auto& [model, file] : service.files) out.emplace_back(model + ".file", file);
  if (!service.features.empty()) {
    out.emplace_back("features", std::to_string(service.features.size()));
    out.emplace_back("names", listed(service.features));
  }
  return out;
}

}  // namespace nidus::interop
