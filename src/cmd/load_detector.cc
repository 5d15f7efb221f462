#include "cmd/load_detector.h"

#include <filesystem>
#include <span>

#include "cmd/inputs.h"
#include "cmd/terminal.h"
#include "interop/import.h"

namespace nidus::cmd {

Result<detect::Detector> load_detector(const std::string& path) {
  const auto kind = kind_of(path);
  // What is no detector at all is told so by its own reader.
  if (!kind || *kind != InputKind::foreign) return detect::Detector::load(path);
  const std::filesystem::path file = path;
  auto imported = interop::import_detector(std::span(&file, 1), {});
  if (!imported) return std::move(imported).error();
  for (const auto& note : imported->notes) say(note);
  return std::move(imported->detector);
}

}  // namespace nidus::cmd
