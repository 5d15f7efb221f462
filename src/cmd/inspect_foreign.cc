#include "cmd/inspect_foreign.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <span>

#include "base/file.h"
#include "base/number.h"
#include "base/text.h"
#include "cmd/exit_status.h"
#include "cmd/terminal.h"
#include "interop/import.h"

namespace nidus::cmd {
namespace {

namespace fs = std::filesystem;
using interop::Artefact;
using FactList = std::vector<std::pair<std::string, std::string>>;

constexpr std::size_t kMembersShown = 64;

std::string_view name(Artefact::Kind kind) {
  switch (kind) {
    case Artefact::Kind::model:
      return "model";
    case Artefact::Kind::transform:
      return "preprocessing";
    case Artefact::Kind::texts:
      return "names";
    case Artefact::Kind::numbers:
      return "numbers";
    case Artefact::Kind::bundle:
      return "bundle";
    case Artefact::Kind::other:
      return "no part of a detector";
  }
  return "";
}

std::string listed(std::span<const std::string> words) {
  std::vector<std::string> trimmed;
  for (const auto& word : words) trimmed.emplace_back(trim(word));
  return fmt::format("{}", fmt::join(trimmed, ", "));
}

// On one line: "scikit-learn 1.6.1 StandardScaler: scaling of 69 columns".
std::string in_short(const Artefact& artefact) {
  std::string out = artefact.origin.empty() ? std::string(name(artefact.kind)) : artefact.origin;
  if (artefact.model != nullptr) out += ": " + artefact.model->describe();
  if (artefact.transform != nullptr) out += ": " + artefact.transform->describe();
  if (artefact.kind == Artefact::Kind::texts) out += fmt::format(": {} names", artefact.texts.size());
  if (artefact.kind == Artefact::Kind::numbers) {
    out += artefact.numbers.size() == 1 ? fmt::format(": {}", artefact.numbers.front())
                                        : fmt::format(": {} numbers", artefact.numbers.size());
  }
  return out;
}

void describe(const Artefact& artefact, const std::string& prefix, FactList& facts) {
  const auto add = [&](const std::string& key, std::string value) {
    facts.emplace_back(prefix + key, std::move(value));
  };
  add("is", std::string(name(artefact.kind)));
  if (!artefact.origin.empty()) add("origin", artefact.origin);
  if (artefact.model != nullptr) {
    add("model", artefact.model->describe());
    add("inputs", with_thousands(artefact.model->inputs()));
    add("outputs", fmt::format("{}, {}", artefact.model->outputs(), model::name(artefact.model->scale())));
  }
  if (artefact.transform != nullptr) {
    add("preprocessing", artefact.transform->describe());
    add("inputs", with_thousands(artefact.transform->inputs()));
    add("gives", with_thousands(artefact.transform->outputs()));
  }
  if (!artefact.classes.empty()) add("classes", listed(artefact.classes));
  if (artefact.threshold) add("threshold", fmt::format("{}", *artefact.threshold));
  std::vector<std::string> columns;
  for (const auto& column : artefact.columns) columns.push_back(column.name);
  if (!columns.empty())
    add("columns",
        std::any_of(columns.begin(), columns.end(), [](const auto& column) { return !column.empty(); })
            ? listed(columns)
            : fmt::format("{}, without names", columns.size()));
  if (artefact.kind == Artefact::Kind::texts) add("names", listed(artefact.texts));
  if (artefact.kind == Artefact::Kind::numbers) {
    const auto& numbers = artefact.numbers;
    if (numbers.size() == 1) add("number", fmt::format("{}", numbers.front()));
    if (numbers.size() > 1) {
      const auto [low, high] = std::minmax_element(numbers.begin(), numbers.end());
      add("numbers", fmt::format("{}, from {} to {}", with_thousands(numbers.size()), *low, *high));
    }
  }
  for (std::size_t i = 0; i < artefact.members.size(); ++i) {
    if (i == kMembersShown) {
      add("more", with_thousands(artefact.members.size() - i));
      break;
    }
    const auto& [key, member] = artefact.members[i];
    if (member.kind == Artefact::Kind::model || member.kind == Artefact::Kind::transform) {
      describe(member, prefix + key + ".", facts);
    } else {
      add(key, in_short(member));
    }
  }
  for (const auto& note : artefact.notes) add("note", note);
}

// What files together would become.
void describe_detector(const std::string& path, FactList& facts) {
  const fs::path file = path;
  const auto imported = interop::import_detector(std::span(&file, 1), {});
  if (!imported) {
    facts.emplace_back("makes", "no detector as it is: " + imported.error().message);
    return;
  }
  const detect::Manifest& m = imported->detector.manifest();
  facts.emplace_back("makes", fmt::format("a detector, {}, of {} columns: {}", detect::name(m.kind),
                                          m.schema.size(), fmt::join(m.labels, ", ")));
  facts.emplace_back("metered_as", m.meter ? m.meter_description : "tables only");
  for (const auto& [where, what] : imported->parts) facts.emplace_back("uses", where + ", " + what);
  for (const auto& note : imported->notes) facts.emplace_back("note", note);
}

}  // namespace

int inspect_foreign(const std::string& path, FactList& facts) {
  std::error_code ec;
  int status = kFine;
  if (fs::is_directory(path, ec)) {
    facts.emplace_back("kind", "model files of another program");
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(path, ec)) {
      if (entry.is_regular_file(ec)) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    for (const auto& file : files) {
      const auto bytes = MappedFile::open(file);
      if (!bytes || interop::format_of(bytes->bytes()) == interop::Format::none) continue;
      const auto artefact = interop::inspect_artefact(file);
      if (!artefact) status = kBadInput;
      facts.emplace_back(file.filename().string(),
                         artefact ? in_short(*artefact) : "cannot be used: " + artefact.error().message);
    }
    describe_detector(path, facts);
    return status;
  }
  const auto bytes = MappedFile::open(path);
  if (!bytes) return complain(bytes.error());
  facts.emplace_back("kind", "model file of another program");
  facts.emplace_back("format", std::string(interop::name(interop::format_of(bytes->bytes()))));
  facts.emplace_back("bytes", with_thousands(bytes->bytes().size()));
  const auto artefact = interop::inspect_artefact(path);
  if (!artefact) return complain(artefact.error());
  describe(*artefact, "", facts);
  return status;
}

}  // namespace nidus::cmd
