#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// What a caller may do. A bit mask: http::Route::scopes says what is needed, http::Caller::scopes what the
// caller has. The numbers are kept in the store.
namespace nidus::auth {

enum Scope : std::uint32_t {
  kNoScope = 0,        // anybody: the front page, health, the API's description
  kPredict = 1u << 0,  // judging rows, and looking at detectors
  kUpload = 1u << 1,   // captures, tables and jobs
  kAlerts = 1u << 2,   // alerts, flows and statistics
  kAdmin = 1u << 3,    // detectors, keys, audit, settings
};
inline constexpr std::uint32_t kAllScopes = kPredict | kUpload | kAlerts | kAdmin;

inline constexpr std::array<std::pair<std::string_view, Scope>, 4> kScopeNames = {
    {{"predict", kPredict}, {"upload", kUpload}, {"alerts", kAlerts}, {"admin", kAdmin}}};

// The bit of "predict" or "nidus:predict", as identity providers that serve several programs call it.
inline std::optional<Scope> scope_named(std::string_view name) {
  if (name.starts_with("nidus:")) name.remove_prefix(6);
  for (const auto& [known, scope] : kScopeNames) {
    if (known == name) return scope;
  }
  return std::nullopt;
}

// "predict alerts".
inline std::string scopes_text(std::uint32_t scopes) {
  std::string text;
  for (const auto& [name, scope] : kScopeNames) {
    if ((scopes & scope) == 0) continue;
    if (!text.empty()) text += ' ';
    text += name;
  }
  return text;
}

}  // namespace nidus::auth
