#pragma once

#include <cstdint>
#include <string_view>

// What a caller may do. A bit mask: http::Route::scopes says what is needed, http::Caller::scopes what the
// caller has.
namespace nidus::serve {

enum Scope : std::uint32_t {
  kNoScope = 0,        // anybody: the front page, health, the API's description
  kPredict = 1u << 0,  // judging rows, and looking at detectors
  kUpload = 1u << 1,   // captures, tables and jobs
  kAlerts = 1u << 2,   // alerts, flows and statistics
  kAdmin = 1u << 3,    // detectors, keys, audit, settings
};
inline constexpr std::uint32_t kAllScopes = kPredict | kUpload | kAlerts | kAdmin;

}  // namespace nidus::serve
