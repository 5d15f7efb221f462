#pragma once

#include "auth/scopes.h"

// The scopes of routes, under the names that the routes of this module use.
namespace nidus::serve {

using auth::kAdmin;
using auth::kAlerts;
using auth::kAllScopes;
using auth::kNoScope;
using auth::kPredict;
using auth::kUpload;
using auth::Scope;

}  // namespace nidus::serve
