#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "interop/import.h"
#include "interop/internal/service_files.h"

namespace nidus::interop::internal {

// A detector of what was read from its files: import_parts, with what the files of a service said besides.
Result<Imported> put_together(std::vector<std::pair<std::string, Artefact>> parts, ServiceFiles service,
                              const ImportOptions& options);

}  // namespace nidus::interop::internal
