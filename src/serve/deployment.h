#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nidus::serve {

// Which versions of which detectors serve, as far as people decided it over the API and no settings file says
// so: what a restart must not forget. A value.
struct Deployment {
  struct Version {
    std::string version;
    std::filesystem::path path;  // where its files are
    bool operator==(const Version&) const = default;
  };
  struct Detector {
    std::string name;
    std::string on_disk;            // the version that the settings' files held; empty: it was uploaded
    std::vector<Version> versions;  // that were uploaded, the oldest first
    std::string active, previous;   // versions; the second may be empty
    std::string canary, shadow;     // may be empty
    double canary_percent = 0;
    bool operator==(const Detector&) const = default;
  };
  std::vector<Detector> detectors;

  bool operator==(const Deployment&) const = default;
};

// One JSON document, the same bytes for the same deployment.
std::string to_json(const Deployment& deployment);

// Errc::corrupt says what is wrong, Errc::unsupported that a later nidus wrote it.
Result<Deployment> parse_deployment(std::string_view json);

}  // namespace nidus::serve
