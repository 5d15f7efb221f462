#pragma once

#include <string>

#include "base/result.h"
#include "store/store.h"

namespace nidus::cmd {

// The store that verbs and the service share: `file` if it is not empty, else NIDUS_STORE_FILE, else
// "nidus.db" in systemd's STATE_DIRECTORY, else in ~/.local/state/nidus (XDG_STATE_HOME).
std::string service_store_path(const std::string& file);

// Opened to be read, or to be written, which makes it (and its folder) if there is none.
Result<store::Store> open_service_store(const std::string& file, bool read_only);

// Who runs the program, for the audit: the name of the user, else the number.
std::string local_user();

}  // namespace nidus::cmd
