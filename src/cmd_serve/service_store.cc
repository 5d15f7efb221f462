#include "cmd_serve/service_store.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace nidus::cmd {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

}  // namespace

std::string service_store_path(const std::string& file) {
  if (!file.empty()) return file;
  if (auto named = variable("NIDUS_STORE_FILE"); !named.empty()) return named;
  // systemd gives several with colons between; the first is ours.
  if (auto folder = variable("STATE_DIRECTORY"); !folder.empty()) {
    return folder.substr(0, folder.find(':')) + "/nidus.db";
  }
  std::string state = variable("XDG_STATE_HOME");
  if (state.empty()) state = variable("HOME") + "/.local/state";
  return state + "/nidus/nidus.db";
}

Result<store::Store> open_service_store(const std::string& file, bool read_only) {
  const std::filesystem::path path = service_store_path(file);
  std::error_code failed;
  if (!read_only && path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), failed);
  store::StoreOptions options;
  options.read_only = read_only;
  // What a person does beside the service: deleting what is old is the service's.
  options.age_max_us = 0;
  return store::Store::open(path, options);
}

std::string local_user() {
  const auto id = ::getuid();
  passwd entry{};
  passwd* found = nullptr;
  char buffer[4096];
  if (::getpwuid_r(id, &entry, buffer, sizeof buffer, &found) == 0 && found != nullptr) return found->pw_name;
  return std::to_string(id);
}

}  // namespace nidus::cmd
