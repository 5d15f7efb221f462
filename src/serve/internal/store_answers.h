#pragma once

#include <functional>

#include "http/message.h"
#include "serve/application.h"
#include "store/records.h"

// What routes over the store have in common.
namespace nidus::serve::internal {

// Runs `answer` where it may wait for the disk, and sends what it returns. 503 where nothing is kept.
void answer_from_store(Application& app, const http::Request& request, http::Responder responder,
                       std::function<http::Response(const store::Store&)> answer);

// Makes the changes with an entry in the audit beside them, all or none, and sends `answer` of their numbers
// once they are on disk.
void change_store(Application& app, const http::Request& request, http::Responder responder,
                  std::vector<store::Change> changes, std::string action, std::string object,
                  std::function<http::Response(const store::Store::Numbers&)> answer);

// Who asked for what, for the audit.
store::AuditEntry audit_entry(const http::Request& request, std::string action, std::string object);

// What went wrong in the store, without its own words, which name files of this machine.
http::Response store_failure(Application& app, const Error& error, const http::Request& request);
// The same for what was only to be written.
http::Response not_kept(Application& app, const Error& error, std::string_view request_id);

// `limit` of a question: 100, at most 1,000.
Result<std::size_t> limit_of(const http::Request& request);

}  // namespace nidus::serve::internal
