#pragma once

#include <string>

#include "auth/guard.h"
#include "base/result.h"
#include "serve/settings.h"

namespace nidus::serve {

// Whether only this machine can reach an address.
bool is_loopback_address(const std::string& address);

// Who may do what, as the settings say, with defaults that depend on who can reach the service. Errc::invalid
// for settings that contradict each other.
Result<auth::GuardOptions> guard_options(const Settings& settings);

// What can be said against settings without starting anything or asking anybody: contradictions, and keys
// and authorities that cannot be read.
Result<void> check_settings(const Settings& settings);

}  // namespace nidus::serve
