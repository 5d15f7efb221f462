#include "serve/internal/openapi.h"

#include <nlohmann/json.hpp>
#include <string>

#include "base/check.h"
#include "serve/application.h"
#include "serve/internal/openapi_files.h"

namespace nidus::serve::internal {
namespace {

using Json = nlohmann::ordered_json;

// The files one behind the other: members of an object are put together, whatever is in two of them is a
// mistake of ours.
void merge(Json& into, const Json& from) {
  for (const auto& [key, value] : from.items()) {
    auto found = into.find(key);
    if (found == into.end()) {
      into[key] = value;
    } else if (found->is_array() && value.is_array()) {
      found->insert(found->end(), value.begin(), value.end());
    } else {
      CHECK(found->is_object() && value.is_object());
      merge(*found, value);
    }
  }
}

std::string joined() {
  Json whole;
  for (const auto* file = kOpenapiFiles; file->name != nullptr; ++file) {
    const Json part = Json::parse(file->json, nullptr, false);
    CHECK(part.is_object());
    merge(whole, part);
  }
  whole["info"]["version"] = kServiceVersion;
  return whole.dump(1);
}

}  // namespace

std::string_view openapi_document() {
  static const std::string document = joined();
  return document;
}

}  // namespace nidus::serve::internal
