#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace nidus::interop::internal {

// The JSON files that services keep beside their models, put together.
struct ServiceFiles {
  static constexpr std::size_t kBytesMax = std::size_t{1} << 22;  // what is larger is a model

  std::string where;  // the metadata file, if there is one
  std::string version;
  std::string dataset;  // what it learnt from, as its makers call it
  std::vector<std::pair<std::string, double>>
      weights;                                 // deployment_config.ensemble_weights, by name of the model
  std::map<std::string, std::string> files;    // models.NAME.file
  std::map<std::string, std::string> figures;  // models.NAME, as JSON
  std::optional<double> threshold;
  std::string threshold_where;
  std::vector<std::string> features;
  std::string features_where;

  // Whether the file is one of these: metadata, known by `deployment_config` or `models`; threshold.json, by
  // its `threshold`; a list of texts whose file name has "feature" or "column" in it. Of any other file
  // nothing is taken. Errc::corrupt for values that make no sense.
  Result<bool> read(const std::string& name, std::span<const std::byte> bytes);
};

}  // namespace nidus::interop::internal
