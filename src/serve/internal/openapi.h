#pragma once

#include <string_view>

namespace nidus::serve::internal {

// The description of the API, OpenAPI 3.1, as JSON: the files of share/openapi/ put together by the build.
std::string_view openapi_document();

}  // namespace nidus::serve::internal
