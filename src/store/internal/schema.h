#pragma once

#include <cstdint>
#include <filesystem>

#include "base/result.h"
#include "store/internal/database.h"

namespace nidus::store {

// "nids", in the header of the file.
inline constexpr std::int64_t kApplication = 0x6e696473;
inline constexpr std::int64_t kSchemaVersion = 2;

// Makes an empty database of the present version, so that it is there whole or not at all. Fine if another
// process was faster.
Result<void> create_database(const std::filesystem::path& path);

// Errc::corrupt if the file is damaged or of another program, Errc::unsupported if it is newer than we are.
// Returns its version. Reads the header alone of a large file, all of a file up to 64 MiB.
Result<std::int64_t> check_database(const Connection& connection, const std::filesystem::path& path);

// Brings an older version up to date, in one transaction.
Result<void> migrate(const Connection& connection);

}  // namespace nidus::store
