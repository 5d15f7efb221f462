#pragma once

#include "http/server.h"
#include "serve/application.h"

namespace nidus::serve::internal {

// Answers a /predict whose body is a flat record, {"duration": 0, "protocol_type": "tcp", …}, by the detector
// whose columns it has.
void predict_record(Application& app, const http::Request& request, http::Responder responder);

}  // namespace nidus::serve::internal
