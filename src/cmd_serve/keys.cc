#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "auth/api_key.h"
#include "auth/scopes.h"
#include "base/clock.h"
#include "base/json_writer.h"
#include "base/text.h"
#include "cmd/arguments.h"
#include "cmd/exit_status.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"
#include "cmd_serve/service_store.h"

namespace nidus::cmd {
namespace {

constexpr std::int64_t kDayUs = 86'400LL * 1'000'000;

void write_key_fields(JsonWriter& json, const store::ApiKey& key) {
  json.field("id", key.id);
  json.field("name", key.name);
  json.field("scopes", auth::scopes_text(key.scopes));
  json.field("live", auth::is_live(key, now_us()));
  json.field("created", iso8601(key.created_us));
  if (key.expires_us) json.field("expires", iso8601(*key.expires_us));
  if (key.revoked_us) json.field("revoked", iso8601(*key.revoked_us));
  if (key.used_us) json.field("used", iso8601(*key.used_us));
  if (!key.rotates.empty()) json.field("rotates", key.rotates);
}

int print_key_line(std::string text) {
  text += '\n';
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? kFine : kFailed;
}

store::AuditEntry audited(std::string action, const std::string& id) {
  store::AuditEntry entry;
  entry.time_us = now_us();
  entry.who = "local:" + local_user();
  entry.action = std::move(action);
  entry.object = "key " + id;
  entry.outcome = "ok";
  return entry;
}

int list(const store::Store& store, bool as_json) {
  const auto keys = store.keys();
  if (!keys) return complain(keys.error());
  std::string text;
  if (as_json) {
    JsonWriter json(text);
    json.begin_array();
    for (const auto& key : *keys) {
      json.begin_object();
      write_key_fields(json, key);
      json.end_object();
    }
    json.end_array();
    return print_key_line(std::move(text));
  }
  if (keys->empty()) {
    say("there are no keys: nidus keys create NAME --scopes predict");
    return kFine;
  }
  const auto day = [](const std::optional<std::int64_t>& time) {
    return time ? iso8601(*time).substr(0, 10) : std::string("-");
  };
  text = fmt::format("{:<8} {:<8} {:<28} {:<10} {:<10} {:<10} {}\n", "id", "state", "scopes", "created",
                     "expires", "used", "name");
  for (const auto& key : *keys) {
    const char* state = key.revoked_us ? "revoked" : auth::is_live(key, now_us()) ? "live" : "expired";
    text += fmt::format("{:<8} {:<8} {:<28} {:<10} {:<10} {:<10} {}\n", key.id, state,
                        auth::scopes_text(key.scopes), day(key.created_us), day(key.expires_us),
                        day(key.used_us), key.name);
  }
  text.pop_back();
  return print_key_line(std::move(text));
}

int keep(store::Store& store, const auth::IssuedKey& issued, const char* action, bool as_json) {
  const auto done = store.write({store::NewKey{issued.record}, audited(action, issued.record.id)});
  if (!done) return complain(done.error());
  if (!as_json) {
    say(fmt::format("key {} may {}; it is shown this once:", issued.record.id,
                    auth::scopes_text(issued.record.scopes)));
    return print_key_line(issued.text);
  }
  std::string text;
  JsonWriter json(text);
  json.begin_object();
  json.field("key", issued.text);
  write_key_fields(json, issued.record);
  json.end_object();
  return print_key_line(std::move(text));
}

std::optional<store::ApiKey> find(const std::vector<store::ApiKey>& keys, const std::string& id) {
  for (const auto& key : keys) {
    if (key.id == id) return key;
  }
  return std::nullopt;
}

}  // namespace

int run_keys(std::span<const std::string> words) {
  std::vector<std::string> inputs, scopes;
  std::string file;
  std::optional<double> days;
  bool as_json = false;
  Arguments arguments("keys", "Makes, lists and revokes the keys that clients of `nidus serve` show.");
  arguments.inputs(inputs, "action", "create NAME, list, revoke ID, rotate ID", 1, 2);
  arguments.option("--scopes", scopes, "What the key may do: predict, upload, alerts, admin (create)");
  arguments.option("--days", days, "The key expires after so many days (create)", 0.0, 36'500.0);
  arguments.option("--store", file, "The service's store; else where its settings or NIDUS_STORE_FILE say");
  arguments.flag("--json", as_json, "JSON on stdout");
  arguments.footer(
      "A key is shown once: the store keeps only what recognises it. A running service knows of changes "
      "within two "
      "seconds.\nrotate makes another key with the same rights; revoke the old one when all clients have the "
      "new.");
  if (const auto status = arguments.read(words)) return *status;
  const std::string& action = inputs[0];
  const std::vector<std::string> actions = {"create", "list", "revoke", "rotate"};
  if (std::find(actions.begin(), actions.end(), action) == actions.end()) {
    return complain_usage("keys", fmt::format("no action '{}'{}", action, did_you_mean(action, actions)));
  }
  if ((action == "list") != (inputs.size() == 1)) {
    return complain_usage("keys", action == "list" ? "list takes nothing more" : action + ": which key?");
  }
  std::uint32_t wanted = 0;
  for (const auto& name : scopes) {
    const auto scope = auth::scope_named(name);
    if (!scope) {
      return complain_usage("keys",
                            fmt::format("'{}' is none of the scopes predict, upload, alerts, admin", name));
    }
    wanted |= *scope;
  }
  if (action == "create" && wanted == 0) {
    return complain_usage("keys", "--scopes is missing: predict, upload, alerts, admin");
  }

  auto store = open_service_store(file, action != "create" && action != "rotate" && action != "revoke");
  if (!store) return complain(store.error());
  if (action == "list") return list(*store, as_json);
  if (action == "create") {
    std::optional<std::int64_t> expires_us;
    if (days) expires_us = now_us() + static_cast<std::int64_t>(*days * static_cast<double>(kDayUs));
    const auto issued = auth::issue_key(inputs[1], wanted, now_us(), expires_us);
    if (!issued) return complain(issued.error());
    return keep(*store, *issued, "key.create", as_json);
  }
  const auto keys = store->keys();
  if (!keys) return complain(keys.error());
  const auto key = find(*keys, inputs[1]);
  if (!key) return complain({Errc::not_found, fmt::format("there is no key {}", inputs[1])});
  if (action == "rotate") {
    if (!auth::is_live(*key, now_us())) return complain({Errc::invalid, "that key is not live any more"});
    const auto issued = auth::rotate_key(*key, now_us());
    if (!issued) return complain(issued.error());
    return keep(*store, *issued, "key.rotate", as_json);
  }
  if (key->revoked_us) return complain({Errc::invalid, fmt::format("key {} was revoked before", key->id)});
  const auto done = store->write({store::RevokeKey{key->id, now_us()}, audited("key.revoke", key->id)});
  if (!done) return complain(done.error());
  if (as_json) return print_key_line(fmt::format("{{\"id\":\"{}\",\"revoked\":true}}", key->id));
  say(fmt::format("key {} is revoked", key->id));
  return kFine;
}

}  // namespace nidus::cmd
