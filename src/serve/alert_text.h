#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/json_writer.h"
#include "base/result.h"
#include "net/address.h"
#include "store/records.h"

// Alerts and kept verdicts as text, and questions about them out of text: the same for the API and the
// command line. docs/api.md describes the fields.
namespace nidus::serve {

// As the store holds it.
store::Address stored_address(const net::Address& address, net::IpVersion version);

// "10.0.0.1", "2001:db8::1"; "-" if not known.
std::string address_text(const std::optional<store::Address>& address);
// An address or a network: "10.0.0.0/8". Nothing if it is neither.
std::optional<store::AddressRange> address_range(std::string_view text);

std::string_view name_of(store::AlertState state);  // "new", "acknowledged", …
Result<store::AlertState> state_named(std::string_view name);
Result<store::GroupBy> group_named(std::string_view name);

// "2026-11-21T11:41:29Z" or seconds since 1970, as microseconds.
Result<std::int64_t> time_of(std::string_view text);

// What was asked under a name; nothing if it was not.
using Ask = std::function<std::optional<std::string>(std::string_view name)>;
// `state` (several with commas), `label`, `detector`, `source`, `target`, `address` (either end), `from`,
// `to`, `score_min`, `count_min`. Errc::invalid names what is wrong.
Result<store::AlertQuery> alert_query(const Ask& ask);
// `alert`, `attack`, `label`, `detector`, `source`, `target`, `address`, `from`, `to`.
Result<store::VerdictQuery> verdict_query(const Ask& ask);
// Refuses a name that alert_query or verdict_query does not know, with a suggestion.
Result<void> known_question(std::string_view name, bool of_alerts);

// The text of a cursor, for `after`; and back.
std::string cursor_text(const store::AlertCursor& cursor);
Result<store::AlertCursor> cursor_of(std::string_view text);

// One object.
void append_alert(JsonWriter& json, const store::Alert& alert);
void append_verdict(JsonWriter& json, const store::Verdict& verdict);
// With a line end. EVE as docs/formats/verdicts.md describes it, for the verdict with the highest score.
void append_alert_eve(std::string& out, const store::Alert& alert);
void append_alert_csv(std::string& out, const store::Alert& alert);
extern const std::string_view kAlertCsvHeader;

}  // namespace nidus::serve
