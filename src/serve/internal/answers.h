#pragma once

#include <functional>
#include <string>
#include <utility>

#include "base/result.h"
#include "http/message.h"
#include "serve/application.h"
#include "serve/row_reader.h"

// What routes have in common: how they say yes and no.
namespace nidus::serve::internal {

// Seconds since 1970, as Python's time.time().
double epoch_seconds();

inline http::Response json_response(std::string body) {
  http::Response response;
  response.body = std::move(body);
  return response;
}

// One place maps what went wrong to a status: invalid and corrupt 400, not found 404, unsupported 422, io
// 500, exhausted 413. The message of `io` stays in the log.
int status_of(Errc code);
http::Response failure(Application& app, const Error& error, const http::Request& request);

// 400 with the names that are missing, if any.
http::Response row_failure(Application& app, const RowFault& fault, const http::Request& request,
                           int status = 400);
// 503: no detector for this route.
http::Response no_detector(const http::Request& request);
// 503 with Retry-After.
http::Response too_busy(const http::Request& request);

// A GET that is answered at once.
http::Route get_route(std::string pattern, std::function<http::Response(const http::Request&)> answer);

}  // namespace nidus::serve::internal
