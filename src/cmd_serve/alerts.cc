#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json_writer.h"
#include "base/number.h"
#include "base/text.h"
#include "cmd/arguments.h"
#include "cmd/exit_status.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"
#include "cmd_serve/service_store.h"
#include "serve/alert_text.h"

namespace nidus::cmd {
namespace {

constexpr std::size_t kAlertsPage = 1000;

struct AlertsWanted {
  std::vector<std::string> words;
  std::string store, format = "eve", output, comment, author, state;
  std::vector<std::pair<std::string, std::string>> asked;  // name and text of a question
  std::uint64_t limit = 50;
  bool as_json = false;
};

int print_alerts(std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? kFine : kFailed;
}

Result<store::AlertQuery> query_of(const AlertsWanted& wanted) {
  return serve::alert_query([&](std::string_view name) -> std::optional<std::string> {
    for (const auto& [known, text] : wanted.asked) {
      if (known == name && !text.empty()) return text;
    }
    return std::nullopt;
  });
}

std::string end_text(const std::optional<store::Address>& address, std::uint16_t port) {
  const auto text = serve::address_text(address);
  if (port == 0 || !address) return text;
  return text.find(':') == std::string::npos ? fmt::format("{}:{}", text, port)
                                             : fmt::format("[{}]:{}", text, port);
}

int list(const store::Store& store, const AlertsWanted& wanted) {
  const auto query = query_of(wanted);
  if (!query) return complain_usage("alerts", query.error().message);
  const auto alerts = store.alerts(*query, {}, wanted.limit);
  if (!alerts) return complain(alerts.error());
  std::string text;
  if (wanted.as_json) {
    JsonWriter json(text);
    json.begin_array();
    for (const auto& alert : *alerts) serve::append_alert(json, alert);
    json.end_array();
    text += '\n';
    return print_alerts(text);
  }
  if (alerts->empty()) {
    say("no alerts");
    return kFine;
  }
  text = fmt::format("{:>6} {:<14} {:<20} {:<21} {:<21} {:>8} {:>6}  {}\n", "id", "state", "last (UTC)",
                     "source", "target", "count", "score", "label");
  for (const auto& alert : *alerts) {
    text += fmt::format("{:>6} {:<14} {:<20} {:<21} {:<21} {:>8} {:>6.3f}  {}\n", alert.id,
                        serve::name_of(alert.state), iso8601(alert.last_us).substr(0, 19),
                        serve::address_text(alert.source), end_text(alert.target, alert.target_port),
                        alert.count, alert.score_max, alert.label);
  }
  return print_alerts(text);
}

int show(const store::Store& store, const AlertsWanted& wanted) {
  const auto id = parse_integer(wanted.words[1]);
  if (!id) return complain_usage("alerts", "an alert is called by its number");
  const auto alert = store.alert(*id);
  if (!alert) return complain(alert.error());
  const auto steps = store.triage_of(*id);
  if (!steps) return complain(steps.error());
  std::string text;
  if (wanted.as_json) {
    JsonWriter json(text);
    json.begin_object();
    json.key("alert");
    serve::append_alert(json, *alert);
    json.key("triage");
    json.begin_array();
    for (const auto& step : *steps) {
      json.begin_object();
      json.field("time", iso8601(step.time_us));
      json.field("author", step.author);
      json.field("state", serve::name_of(step.state));
      json.field("comment", step.comment);
      json.end_object();
    }
    json.end_array();
    json.end_object();
    text += '\n';
    return print_alerts(text);
  }
  text = fmt::format(
      "alert {}: {} ({})\n  {} to {}\n  {} flows from {} to {}\n  highest score {:.4g} by {}, asked as {}\n",
      alert->id, alert->label, serve::name_of(alert->state), end_text(alert->source, alert->source_port),
      end_text(alert->target, alert->target_port), with_thousands(alert->count), iso8601(alert->first_us),
      iso8601(alert->last_us), alert->score_max, alert->detector, alert->origin);
  for (const auto& step : *steps) {
    text += fmt::format("  {}  {}  {}{}{}\n", iso8601(step.time_us).substr(0, 19), step.author,
                        serve::name_of(step.state), step.comment.empty() ? "" : ": ", step.comment);
  }
  return print_alerts(text);
}

int triage(store::Store& store, const AlertsWanted& wanted) {
  store::Triage triage;
  for (std::size_t i = 1; i < wanted.words.size(); ++i) {
    const auto id = parse_integer(wanted.words[i]);
    if (!id)
      return complain_usage("alerts", fmt::format("'{}' is not the number of an alert", wanted.words[i]));
    triage.which.ids.push_back(*id);
  }
  if (!wanted.state.empty()) {
    const auto state = serve::state_named(wanted.state);
    if (!state) return complain_usage("alerts", state.error().message);
    triage.state = *state;
  }
  if (!triage.state && wanted.comment.empty())
    return complain_usage("alerts", "what is to be done? --state or --comment");
  triage.comment = wanted.comment;
  triage.author = "local:" + local_user();
  triage.time_us = now_us();
  store::AuditEntry entry;
  entry.time_us = triage.time_us;
  entry.who = triage.author;
  entry.action = "alert.triage " + (wanted.state.empty() ? std::string("comment") : wanted.state);
  entry.object = fmt::format("alert {}", fmt::join(triage.which.ids, " "));
  entry.outcome = "ok";
  const auto meant = triage.which.ids.size();
  const auto done = store.write({std::move(triage), std::move(entry)});
  if (!done) return complain(done.error());
  if (wanted.as_json) {
    if (print_alerts(fmt::format("{{\"changed\":{}}}\n", done->at(0))) != kFine) return kFailed;
  } else {
    say(fmt::format("{} of {} alerts changed", done->at(0), meant));
  }
  return done->at(0) == static_cast<std::int64_t>(meant) ? kFine : kBadInput;
}

int write_all(const store::Store& store, const AlertsWanted& wanted) {
  const auto query = query_of(wanted);
  if (!query) return complain_usage("alerts", query.error().message);
  auto output = Output::open(wanted.output);
  if (!output) return complain(output.error());
  if (wanted.format == "csv") output->write(serve::kAlertCsvHeader);
  store::AlertCursor after;
  for (;;) {
    const auto page = store.alerts(*query, after, kAlertsPage);
    if (!page) return complain(page.error());
    std::string text;
    for (const auto& alert : *page) {
      if (wanted.format == "csv") {
        serve::append_alert_csv(text, alert);
      } else if (wanted.format == "eve") {
        serve::append_alert_eve(text, alert);
      } else {
        JsonWriter json(text);
        serve::append_alert(json, alert);
        text += '\n';
      }
    }
    if (!output->write(text)) break;
    if (page->size() < kAlertsPage) break;
    after = {page->back().last_us, page->back().id};
  }
  if (auto done = output->finish(); !done) return complain(done.error());
  return kFine;
}

}  // namespace

int run_alerts(std::span<const std::string> words) {
  AlertsWanted wanted;
  // Filled by the arguments, so they stay where they are.
  for (const char* name : {"state", "label", "detector", "source", "target", "address", "from", "to"}) {
    wanted.asked.emplace_back(name, "");
  }
  Arguments arguments("alerts", "Lists, shows, triages and exports the alerts that `nidus serve` keeps.");
  arguments.inputs(wanted.words, "action", "list, show ID, triage ID…, export", 1, 0);
  constexpr const char* kHelp[] = {
      "Only in this state: new, acknowledged, escalated, false_positive, resolved; with triage: the new "
      "state",
      "Only with this label",
      "Only of this detector",
      "Only from this address or network",
      "Only against this address or network",
      "Only with this address or network at either end",
      "Only after this time: 2026-11-21T11:41:29Z, or seconds since 1970",
      "Only before this time"};
  for (std::size_t i = 0; i < wanted.asked.size(); ++i) {
    arguments.option("--" + wanted.asked[i].first, wanted.asked[i].second, kHelp[i]);
  }
  arguments.option("--limit", wanted.limit, "How many are listed (50)", 1'000'000);
  arguments.option("--comment", wanted.comment, "What was found out (triage)");
  arguments.option("--format", wanted.format, "Of an export", {"eve", "csv", "ndjson"});
  arguments.option("-o,--output", wanted.output, "Where an export goes; else standard output");
  arguments.option("--store", wanted.store,
                   "The service's store; else where its settings or NIDUS_STORE_FILE say");
  arguments.flag("--json", wanted.as_json, "JSON on stdout");
  if (const auto status = arguments.read(words)) return *status;
  const std::string action = wanted.words[0];
  const std::vector<std::string> actions = {"list", "show", "triage", "export"};
  if (std::find(actions.begin(), actions.end(), action) == actions.end()) {
    return complain_usage("alerts", fmt::format("no action '{}'{}", action, did_you_mean(action, actions)));
  }
  const bool takes_ids = action == "show" || action == "triage";
  if (takes_ids ? wanted.words.size() < 2 : wanted.words.size() > 1) {
    return complain_usage("alerts", takes_ids ? action + ": which alert?" : action + " takes nothing more");
  }
  if (action == "show" && wanted.words.size() > 2) return complain_usage("alerts", "show takes one alert");
  if (action == "triage") wanted.state = wanted.asked[0].second;
  auto store = open_service_store(wanted.store, action != "triage");
  if (!store) return complain(store.error());
  if (action == "list") return list(*store, wanted);
  if (action == "show") return show(*store, wanted);
  if (action == "triage") return triage(*store, wanted);
  return write_all(*store, wanted);
}

}  // namespace nidus::cmd
