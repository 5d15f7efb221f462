#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "detect/detector.h"
#include "flow/profile.h"
#include "interop/artefact.h"
#include "interop/read.h"

// Files of other programs as a detector of ours, in memory. docs/importing.md says how their parts are put
// together.
namespace nidus::interop {

struct ImportOptions {
  ReadOptions read;
  std::string name;                      // of the detector; empty: after the file or folder
  std::vector<std::string> features;     // names of the inputs, in order, for models that do not know them
  std::vector<std::string> classes;      // names of the classes, in order, for models that do not know them
  std::string benign;                    // which class is benign, where its name does not tell
  std::optional<double> threshold;       // a row is an attack when its score is greater
  std::optional<flow::Profile> profile;  // how captures are metered; else told from the names of the features
};

struct Imported {
  detect::Detector detector;  // its members' files are named for the models: "random_forest.nidus"
  std::vector<std::shared_ptr<const model::Model>> members;  // of the detector, for Detector::save
  // Models that the metadata name without a weight, ready to be members: they take the same rows.
  std::vector<std::pair<std::string, std::shared_ptr<const model::Model>>> spares;
  // What was found where and what became of it: "scaler.pkl", "scikit-learn 1.6.1 StandardScaler: before each
  // model".
  std::vector<std::pair<std::string, std::string>> parts;
  std::vector<std::string> notes;  // what a person should know before trusting the verdicts
};

// A folder of a service, one file, or the files of one detector. Errc::not_found when there is no model among
// them; Errc::corrupt or Errc::unsupported, naming the file, when one that should be a part cannot be read,
// or parts do not fit each other ("72 names for 69 columns"); Errc::invalid when something must be said that
// the files do not: names of features, which class is benign, a threshold.
Result<Imported> import_detector(std::span<const std::filesystem::path> paths, const ImportOptions& options);

// The same of files in memory, by their names; `of_folder` as if a folder held them: what is no part of a
// detector is then left aside with a note, and else refused. The bytes must outlive the call only. Without
// options.name the detector is called "imported".
struct FileInMemory {
  std::string name;
  std::span<const std::byte> bytes;
};
Result<Imported> import_files(std::span<const FileInMemory> files, bool of_folder,
                              const ImportOptions& options);

// What a JSON file says that services keep beside their models: metadata, a threshold, names of features. By
// name and value; nothing if it is none of these. Errc::corrupt for values that make no sense.
Result<std::vector<std::pair<std::string, std::string>>> describe_service_file(
    const std::filesystem::path& path);

// The same of parts that were read already, by the names of their files.
Result<Imported> import_parts(std::vector<std::pair<std::string, Artefact>> parts,
                              const ImportOptions& options);

}  // namespace nidus::interop
