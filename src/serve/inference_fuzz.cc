// Bodies of /v2/models/M/infer; the first two bytes say how long the JSON part is. Whatever the bytes: no
// crash, and what is accepted has all its rows, all finite or of an unknown category.
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "serve/internal/inference_request.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nidus;
  static const serve::FeatureNames names(
      {{"a", model::Column::Kind::numeric, {}, ""}, {"b", model::Column::Kind::categorical, {"x", "y"}, ""}});
  if (size < 2) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::size_t length = std::min<std::size_t>(data[0] | data[1] << 8, text.size());
  serve::internal::InferenceRequest request;
  serve::RowFault fault;
  if (!serve::internal::read_inference(text.substr(0, length), text.substr(length), names, 100, request,
                                       fault)) {
    if (fault.detail.empty()) std::abort();
    return 0;
  }
  if (request.count == 0 || request.count > 100 || request.rows.size() != 2 * request.count) std::abort();
  for (const double value : request.rows) {
    if (std::isinf(value)) std::abort();
  }
  return 0;
}
