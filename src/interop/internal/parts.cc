#include "interop/internal/parts.h"

#include <fmt/format.h>

#include <cstddef>
#include <filesystem>

namespace nidus::interop::internal {
namespace {

constexpr int kBundlesWithin = 8;

}  // namespace

Result<void> Parts::add(const std::string& where, const Artefact& artefact, int within) {
  if (within > kBundlesWithin) return Error{Errc::unsupported, where + ": parts within parts within parts"};
  if (models.size() + transforms.size() + texts.size() + numbers.size() > kPartsMax)
    return Error{Errc::exhausted, fmt::format("{}: more than {} parts", where, kPartsMax)};
  switch (artefact.kind) {
    case Artefact::Kind::model:
      models.push_back({where, &artefact});
      break;
    case Artefact::Kind::transform:
      transforms.push_back({where, &artefact});
      break;
    case Artefact::Kind::texts:
      texts.push_back({where, &artefact});
      break;
    case Artefact::Kind::numbers:
      numbers.push_back({where, &artefact});
      break;
    case Artefact::Kind::other:
      others.push_back({where, &artefact});
      break;
    case Artefact::Kind::bundle:
      for (const auto& [key, member] : artefact.members) {
        if (auto done = add(where + ": " + key, member, within + 1); !done) return done;
      }
      break;
  }
  return {};
}

std::string file_of(const std::string& where) { return where.substr(0, where.find(": ")); }

std::string stem_of(const std::string& where) {
  return std::filesystem::path(file_of(where)).stem().string();
}

std::string file_for(const std::string& name) {
  std::string file;
  for (const char c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || (c == '-' && !file.empty());
    file += plain ? c : '_';
  }
  constexpr std::size_t kLengthMax = 64;
  return (file.empty() ? "model" : file.substr(0, kLengthMax)) + ".nidus";
}

}  // namespace nidus::interop::internal
