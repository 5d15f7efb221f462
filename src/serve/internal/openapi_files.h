#pragma once

namespace nidus::serve::internal {

struct OpenapiFile {
  const char* name;
  const char* json;
};

// Written by the build out of share/openapi; ends with nulls.
extern const OpenapiFile kOpenapiFiles[];

}  // namespace nidus::serve::internal
