#include "serve/settings.h"

#include <fmt/format.h>

#include <cmath>
#include <variant>

#define TOML_EXCEPTIONS 0
// toml++ 3.3 asserts that a key begins like one, and where it does not goes on to refuse it: in a build with
// assertions it would stop instead.
#define TOML_ASSERT(...) static_cast<void>(0)
#include <toml++/toml.h>

#include "base/file.h"
#include "base/number.h"
#include "base/text.h"

extern char** environ;

namespace nidus::serve {
namespace {

namespace fs = std::filesystem;

// Where a setting is kept, and what it may be.
struct Place {
  std::variant<bool*, std::uint64_t*, double*, std::string*> to;
  double least = 0, most = 0;             // of numbers
  std::vector<std::string> choices = {};  // of texts; empty: any
  bool is_path = false;
};

struct Entry {
  const char* key;
  Place (*place)(Settings&);
  const char* help;
  bool live = false;
  const char* also = "";  // another environment variable that sets it, as other services call it
};

#define NIDUS_AT(member, ...) [](Settings& s) { return Place{&s.member, __VA_ARGS__}; }

// One line a setting: the file, the environment, --set and docs/configuration.md all follow it.
const Entry kEntries[] = {
    {"server.address", NIDUS_AT(server.address, 0, 0),
     "Address to listen at. Others than loopback need keys, client certificates or `insecure`"},
    {"server.port", NIDUS_AT(server.port, 0, 65535), "Port; 0 takes any that is free and says which"},
    {"server.threads", NIDUS_AT(server.threads, 0, 1024),
     "Threads that serve connections; 0: one for each processor"},
    {"server.insecure", NIDUS_AT(server.insecure, 0, 0),
     "Listen to everybody without keys or client certificates"},
    {"server.certificate", NIDUS_AT(server.certificate, 0, 0, {}, true),
     "Certificate with its chain, PEM; with `key` it switches TLS on", true},
    {"server.key", NIDUS_AT(server.key, 0, 0, {}, true), "Private key of the certificate, PEM", true},
    {"server.client_authorities", NIDUS_AT(server.client_authorities, 0, 0, {}, true),
     "Clients must show a certificate signed by one of these, PEM", true},
    {"server.connections_max", NIDUS_AT(server.connections_max, 1, 1e6), "Open connections"},
    {"server.connections_per_address_max", NIDUS_AT(server.connections_per_address_max, 1, 1e6),
     "Open connections of one address"},
    {"server.stream_threads", NIDUS_AT(server.stream_threads, 1, 1024),
     "Streamed bodies at once; one more is answered 503"},
    {"server.header_s", NIDUS_AT(server.header_s, 0.1, 3600),
     "A request's header must be there after so many seconds"},
    {"server.idle_s", NIDUS_AT(server.idle_s, 0.1, 86400),
     "A connection without a request is closed after so many seconds"},
    {"server.handler_s", NIDUS_AT(server.handler_s, 0.1, 86400),
     "A request is answered 503 after so many seconds"},
    {"server.drain_s", NIDUS_AT(server.drain_s, 0, 3600),
     "SIGTERM waits so many seconds for what is under way"},
    {"server.status_word", NIDUS_AT(server.status_word, 0, 0, {"healthy", "ok"}),
     "`status` of GET /health: `healthy`, or `ok` for clients of the anomaly service"},
    {"limits.upload_mb", NIDUS_AT(limits.upload_mb, 1, 1e6), "Largest capture, table or model file, in MB",
     false, "MAX_UPLOAD_SIZE"},
    {"limits.body_mb", NIDUS_AT(limits.body_mb, 1, 4096),
     "Largest body of a batch that is not streamed, in MB"},
    {"limits.rows_max", NIDUS_AT(limits.rows_max, 1, 1e7), "Rows of a batch that is not streamed"},
    {"limits.waiting_max", NIDUS_AT(limits.waiting_max, 1, 1e5),
     "Batches that wait for a thread; one more is answered 503"},
    {"detectors.predict", NIDUS_AT(detectors.predict, 0, 0),
     "Detector that answers /predict; else the first that is not for anomalies", true},
    {"detectors.score", NIDUS_AT(detectors.score, 0, 0),
     "Detector that answers /score; else the first for anomalies", true},
    {"detectors.records", NIDUS_AT(detectors.records, 0, 0),
     "Detector that answers flat records and /batch_predict; else the first whose columns fit", true},
    {"detectors.ml", NIDUS_AT(detectors.ml, 0, 0),
     "Detector that answers /detect/ml; else the first for flows that tells attacks apart", true},
    {"detectors.dl", NIDUS_AT(detectors.dl, 0, 0),
     "Detector that answers /detect/dl; else the first for flows and anomalies", true},
    {"detectors.configuration", NIDUS_AT(detectors.configuration, 0, 0),
     "Configuration of weights that ensembles use; else their own weights", true},
    {"detectors.watch", NIDUS_AT(detectors.watch, 0, 0), "Load a detector again when its files change"},
    {"detectors.versions_max", NIDUS_AT(detectors.versions_max, 2, 64),
     "Versions of one detector that are kept loaded", true},
    {"uploads.folder", NIDUS_AT(uploads.folder, 0, 0, {}, true),
     "Folder for uploaded detectors and for answers too long for memory; else `uploads-PORT` beside the "
     "store. One service each"},
    {"uploads.threads", NIDUS_AT(uploads.threads, 0, 1024),
     "Threads that work on one capture; 0: one for each processor, at most 8"},
    {"uploads.packets_max", NIDUS_AT(uploads.packets_max, 1, 1e12), "Packets of one capture"},
    {"uploads.flows_max", NIDUS_AT(uploads.flows_max, 1, 1e10), "Flows of one capture"},
    {"uploads.inflated_mb", NIDUS_AT(uploads.inflated_mb, 1, 1e9),
     "What a packed upload may unpack to, in MB"},
    {"uploads.inflated_ratio", NIDUS_AT(uploads.inflated_ratio, 0, 1e6),
     "Bytes that may come out of each packed byte, after the first MB; 0: any number"},
    {"uploads.memory_mb", NIDUS_AT(uploads.memory_mb, 64, 1e6),
     "Address space of the process that reads an upload, in MB"},
    {"uploads.warm", NIDUS_AT(uploads.warm, 0, 64), "Such processes that wait for an upload"},
    {"uploads.jobs_mb", NIDUS_AT(uploads.jobs_mb, 1, 1e9),
     "Captures that wait as jobs and answers of jobs, together, in MB"},
    {"uploads.cpu_s", NIDUS_AT(uploads.cpu_s, 1, 1e6), "Processor time for one upload, in seconds"},
    {"uploads.time_s", NIDUS_AT(uploads.time_s, 1, 1e6), "Time for one upload, in seconds"},
    {"uploads.patience_s", NIDUS_AT(uploads.patience_s, 0.1, 1e5),
     "An upload that makes no progress for so many seconds is given up"},
    {"uploads.unfiltered", NIDUS_AT(uploads.unfiltered, 0, 0),
     "Read uploads also where the system cannot filter system calls; see docs/security.md"},
    {"store.file", NIDUS_AT(store.file, 0, 0, {}, true),
     "Database of verdicts, alerts, keys and audit; else `nidus.db` in systemd's `STATE_DIRECTORY` or in "
     "`~/.local/state/nidus`"},
    {"store.off", NIDUS_AT(store.off, 0, 0), "Keep nothing"},
    {"store.keep", NIDUS_AT(store.keep, 0, 0, {"none", "attacks", "all"}),
     "Verdicts on flows of captures that are kept"},
    {"store.keep_without_addresses", NIDUS_AT(store.keep_without_addresses, 0, 0),
     "Keep those on rows too, which name no flow: answers to /predict and its kind then wait for the disk"},
    {"store.age_days", NIDUS_AT(store.age_days, 0, 36500),
     "Verdicts, alerts and ended jobs are deleted after so many days; 0: never"},
    {"store.size_mb", NIDUS_AT(store.size_mb, 16, 1e7),
     "Largest size of the database; before it is reached, the oldest is deleted"},
    {"store.free_mb", NIDUS_AT(store.free_mb, 0, 1e7),
     "With less free on its disk, no verdicts and jobs are taken"},
    {"store.alert_window_s", NIDUS_AT(store.alert_window_s, 1, 31622400),
     "An attack no further than this from those before it is counted in their alert"},
    {"auth.required", NIDUS_AT(auth.required, 0, 0, {"auto", "always", "never"}),
     "Whether callers must show a key, token or certificate; `auto`: as soon as a key was ever made, or "
     "tokens "
     "or client certificates are set up"},
    {"auth.token_keys", NIDUS_AT(auth.token_keys, 0, 0, {}, true),
     "Public keys of who signs tokens: PEM, or a JWK set"},
    {"auth.token_keys_url", NIDUS_AT(auth.token_keys_url, 0, 0),
     "Address of such a JWK set, in the place of a file: `https://…`, or `http://` on this machine"},
    {"auth.token_keys_authorities", NIDUS_AT(auth.token_keys_authorities, 0, 0, {}, true),
     "Who may vouch for that address, PEM; else whom the system trusts"},
    {"auth.token_keys_refresh_s", NIDUS_AT(auth.token_keys_refresh_s, 60, 1e7),
     "Keys are fetched again after so many seconds, and when a token names one that is not known"},
    {"auth.token_issuer", NIDUS_AT(auth.token_issuer, 0, 0), "What `iss` of a token must say"},
    {"auth.token_audience", NIDUS_AT(auth.token_audience, 0, 0), "What `aud` of a token must say"},
    {"auth.certificate_scopes", NIDUS_AT(auth.certificate_scopes, 0, 0),
     "What callers with a client certificate may do: predict, upload, alerts, admin"},
    {"auth.rate_per_s", NIDUS_AT(auth.rate_per_s, -1, 1e9),
     "Cost units a second of one key, token or certificate; 0: no limit; -1: 20,000 where others than "
     "loopback can reach the service, else none. A request costs its route's units "
     "and "
     "one for each KiB of its body"},
    {"auth.rate_burst", NIDUS_AT(auth.rate_burst, 0, 1e9),
     "How many may be saved up; 0: two seconds' worth, ten of the rates of -1"},
    {"auth.address_rate_per_s", NIDUS_AT(auth.address_rate_per_s, -1, 1e9),
     "The same of one address (IPv6: one /64) without a key; -1: 1,000, or none"},
    {"auth.address_rate_burst", NIDUS_AT(auth.address_rate_burst, 0, 1e9),
     "How many may be saved up; 0: two seconds' worth, ten of the rates of -1"},
    {"log.level", NIDUS_AT(log.level, 0, 0, {"debug", "info", "warning", "error"}),
     "Least level that is logged", true, "LOG_LEVEL"},
    {"log.file", NIDUS_AT(log.file, 0, 0, {}, true), "File of the log; else standard error"},
    {"log.rotate_mb", NIDUS_AT(log.rotate_mb, 1, 1e5), "A log file larger than this is set aside, in MB"},
    {"log.keep", NIDUS_AT(log.keep, 0, 1000), "Log files set aside that are kept"},
    {"log.requests", NIDUS_AT(log.requests, 0, 0), "Log every request, not failed ones only", true},
};
#undef NIDUS_AT

std::string environment_name(std::string_view key) {
  std::string name = "NIDUS_";
  for (const char c : key) name += c == '.' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  return name;
}

std::vector<std::string> all_keys() {
  std::vector<std::string> keys;
  for (const auto& entry : kEntries) keys.emplace_back(entry.key);
  return keys;
}

Error invalid(std::string message) { return {Errc::invalid, std::move(message)}; }

Result<void> set_number(double value, bool whole, const Place& place, double* real, std::uint64_t* count) {
  if (!(value >= place.least && value <= place.most) || (whole && value != std::floor(value))) {
    return invalid(fmt::format("{} is not {} from {} to {}", value, whole ? "a whole number" : "a number",
                               place.least, place.most));
  }
  if (real != nullptr) *real = value;
  if (count != nullptr) *count = static_cast<std::uint64_t>(value);
  return {};
}

Result<void> set_text(std::string text, const Place& place, std::string* to, const fs::path& folder) {
  if (!place.choices.empty()) {
    for (const auto& choice : place.choices) {
      if (!equal_ignoring_case(choice, text)) continue;
      *to = choice;
      return {};
    }
    return invalid(fmt::format("'{}' is none of {}{}", text, fmt::join(place.choices, ", "),
                               did_you_mean(text, place.choices)));
  }
  if (place.is_path && !text.empty() && fs::path(text).is_relative() && !folder.empty())
    text = (folder / text).lexically_normal().string();
  *to = std::move(text);
  return {};
}

// From text, as environment and flags have it.
Result<void> set_from_text(const Entry& entry, Settings& settings, const std::string& text) {
  const Place place = entry.place(settings);
  if (const auto* to = std::get_if<std::string*>(&place.to)) return set_text(text, place, *to, {});
  if (const auto* to = std::get_if<bool*>(&place.to)) {
    for (const char* yes : {"true", "1", "yes", "on"}) {
      if (equal_ignoring_case(trim(text), yes)) return **to = true, Result<void>();
    }
    for (const char* no : {"false", "0", "no", "off"}) {
      if (equal_ignoring_case(trim(text), no)) return **to = false, Result<void>();
    }
    return invalid(fmt::format("'{}' is neither true nor false", text));
  }
  const auto number = parse_number(text);
  if (!number) return invalid(fmt::format("'{}' is not a number", text));
  if (const auto* to = std::get_if<double*>(&place.to))
    return set_number(*number, false, place, *to, nullptr);
  return set_number(*number, true, place, nullptr, std::get<std::uint64_t*>(place.to));
}

Result<void> set_by_key(Settings& settings, const std::string& key, const std::string& text) {
  for (const auto& entry : kEntries) {
    if (key != entry.key) continue;
    auto done = set_from_text(entry, settings, text);
    if (!done) return std::move(done).error().within(key);
    return {};
  }
  return invalid(fmt::format("no setting '{}'{}", key, did_you_mean(key, all_keys())));
}

// Reads a TOML document key by key; whatever no line of kEntries takes is an error.
class FileReader {
 public:
  FileReader(std::string name, fs::path folder, Settings& settings)
      : name_(std::move(name)), folder_(std::move(folder)), settings_(settings) {}

  Result<void> read(const toml::table& root) {
    for (const auto& [key, node] : root) {
      const std::string word(key.str());
      if (word == "detector") {
        if (auto done = read_detectors(node); !done) return done;
      } else if (word == "configurations") {
        if (auto done = read_configurations(node); !done) return done;
      } else if (const auto* section = node.as_table(); section != nullptr && is_section(word)) {
        for (const auto& [inner, value] : *section) {
          if (auto done = read_value(word + "." + std::string(inner.str()), value); !done) return done;
        }
      } else {
        auto known = all_keys();
        for (const char* more : {"detector", "configurations"}) known.emplace_back(more);
        for (const auto& entry : kEntries)
          known.emplace_back(std::string_view(entry.key).substr(0, std::string_view(entry.key).find('.')));
        return wrong(node, fmt::format("no setting '{}'{}", word, did_you_mean(word, known)));
      }
    }
    return {};
  }

 private:
  Error wrong(const toml::node& node, const std::string& what) const {
    return invalid(fmt::format("{}: line {}: {}", name_, node.source().begin.line, what));
  }

  static bool is_section(const std::string& word) {
    for (const auto& entry : kEntries) {
      if (std::string_view(entry.key).starts_with(word + ".")) return true;
    }
    return false;
  }

  Result<void> read_value(const std::string& key, const toml::node& node) {
    for (const auto& entry : kEntries) {
      if (key != entry.key) continue;
      const Place place = entry.place(settings_);
      Result<void> done;
      if (const auto* text = std::get_if<std::string*>(&place.to)) {
        if (!node.is_string()) return wrong(node, key + ": expected a text in quotes");
        done = set_text(**node.as_string(), place, *text, folder_);
      } else if (const auto* truth = std::get_if<bool*>(&place.to)) {
        if (!node.is_boolean()) return wrong(node, key + ": expected true or false");
        **truth = **node.as_boolean();
      } else if (!node.is_number()) {
        return wrong(node, key + ": expected a number");
      } else if (const auto* real = std::get_if<double*>(&place.to)) {
        done = set_number(*node.value<double>(), false, place, *real, nullptr);
      } else {
        done = set_number(*node.value<double>(), true, place, nullptr, std::get<std::uint64_t*>(place.to));
      }
      if (!done) return wrong(node, key + ": " + done.error().message);
      return {};
    }
    return wrong(node, fmt::format("no setting '{}'{}", key, did_you_mean(key, all_keys())));
  }

  Result<std::vector<std::string>> texts(const toml::node& node, const std::string& key) const {
    std::vector<std::string> out;
    const auto* list = node.as_array();
    if (list == nullptr) return wrong(node, key + ": expected a list of texts");
    for (const auto& entry : *list) {
      if (!entry.is_string()) return wrong(node, key + ": expected a list of texts");
      out.push_back(**entry.as_string());
    }
    return out;
  }

  Result<void> read_detectors(const toml::node& node) {
    const auto* list = node.as_array();
    if (list == nullptr) return wrong(node, "detector: write [[detector]] with two brackets");
    for (const auto& entry : *list) {
      const auto* table = entry.as_table();
      if (table == nullptr) return wrong(node, "detector: write [[detector]] with two brackets");
      DetectorSettings detector;
      for (const auto& [key, value] : *table) {
        const std::string word(key.str());
        if (word == "name" || word == "path" || word == "benign" || word == "layers" || word == "profile") {
          if (!value.is_string()) return wrong(value, "detector." + word + ": expected a text in quotes");
          const std::string text = **value.as_string();
          if (word == "name") detector.name = text;
          if (word == "benign") detector.benign = text;
          if (word == "layers") detector.layers = text;
          if (word == "profile") {
            detector.profile = flow::profile_from_name(text);
            if (!detector.profile)
              return wrong(value, fmt::format("detector.profile: no profile '{}'", text));
          }
          if (word == "path") {
            detector.path = text;
            if (detector.path.is_relative() && !folder_.empty())
              detector.path = (folder_ / detector.path).lexically_normal();
          }
        } else if (word == "features" || word == "classes") {
          auto read = texts(value, "detector." + word);
          if (!read) return std::move(read).error();
          (word == "features" ? detector.features : detector.classes) = std::move(*read);
        } else if (word == "threshold") {
          const auto number = value.is_number() ? value.value<double>() : std::nullopt;
          if (!number || !std::isfinite(*number))
            return wrong(value, "detector.threshold: expected a number");
          detector.threshold = *number;
        } else {
          const std::vector<std::string> known = {"name",   "path",   "features", "classes",
                                                  "benign", "layers", "profile",  "threshold"};
          return wrong(value, fmt::format("no setting 'detector.{}'{}", word, did_you_mean(word, known)));
        }
      }
      if (detector.path.empty()) return wrong(entry, "detector: which? It needs a path");
      settings_.detector_list.push_back(std::move(detector));
    }
    return {};
  }

  Result<void> read_configurations(const toml::node& node) {
    const auto* all = node.as_table();
    if (all == nullptr) return wrong(node, "configurations: write [configurations.NAME]");
    for (const auto& [name, entry] : *all) {
      const auto* members = entry.as_table();
      if (members == nullptr) return wrong(entry, "configurations: write [configurations.NAME]");
      std::map<std::string, double> weights;
      for (const auto& [member, value] : *members) {
        const auto weight = value.is_number() ? value.value<double>() : std::nullopt;
        if (!weight || !std::isfinite(*weight) || *weight < 0) {
          return wrong(value, fmt::format("configurations.{}.{}: expected a weight, 0 or more",
                                          std::string(name.str()), std::string(member.str())));
        }
        weights.emplace(std::string(member.str()), *weight);
      }
      settings_.configurations[std::string(name.str())] = std::move(weights);
    }
    return {};
  }

  std::string name_;
  fs::path folder_;
  Settings& settings_;
};

// "NAME=PATH" or "PATH". A path may have an equals sign in it if it also has a slash before it.
DetectorSettings detector_of(const std::string& text) {
  DetectorSettings detector;
  const auto equals = text.find('=');
  if (equals != std::string::npos && text.find('/') > equals) {
    detector.name = text.substr(0, equals);
    detector.path = text.substr(equals + 1);
  } else {
    detector.path = text;
  }
  return detector;
}

std::string text_of(const Place& place) {
  if (const auto* to = std::get_if<std::string*>(&place.to)) return **to;
  if (const auto* to = std::get_if<bool*>(&place.to)) return **to ? "true" : "false";
  if (const auto* to = std::get_if<double*>(&place.to)) return fmt::format("{}", **to);
  return fmt::format("{}", *std::get<std::uint64_t*>(place.to));
}

constexpr std::size_t kBytesMax = std::size_t{4} << 20;

}  // namespace

Result<Settings> parse_settings(std::string_view toml, const std::string& name, const fs::path& folder) {
  if (toml.size() > kBytesMax) return Error{Errc::exhausted, name + ": larger than 4 MiB"};
  const toml::parse_result parsed = toml::parse(toml);
  if (!parsed) {
    const auto& error = parsed.error();
    return invalid(fmt::format("{}: line {}, column {}: {}", name, error.source().begin.line,
                               error.source().begin.column, error.description()));
  }
  Settings settings;
  if (auto done = FileReader(name, folder, settings).read(parsed.table()); !done)
    return std::move(done).error();
  return settings;
}

Result<Settings> load_settings(const SettingsSources& sources) {
  Settings settings;
  if (sources.file) {
    const auto text = read_file(*sources.file, kBytesMax);
    if (!text) return text.error();
    std::error_code ec;
    const auto whole = fs::absolute(*sources.file, ec);
    auto parsed = parse_settings(*text, sources.file->string(), whole.parent_path());
    if (!parsed) return std::move(parsed).error();
    settings = std::move(*parsed);
    settings.file = *sources.file;
  }
  // The names of other services first, so that ours win over them.
  for (const bool ours : {false, true}) {
    for (const auto& entry : kEntries) {
      const std::string variable = ours ? environment_name(entry.key) : entry.also;
      const auto found = sources.environment.find(variable);
      if (variable.empty() || found == sources.environment.end() || found->second.empty()) continue;
      std::string value = found->second;
      // WARN and CRITICAL are what Python's logging calls them.
      if (!ours && variable == "LOG_LEVEL" && equal_ignoring_case(value, "warn")) value = "warning";
      if (!ours && variable == "LOG_LEVEL" && equal_ignoring_case(value, "critical")) value = "error";
      if (auto done = set_from_text(entry, settings, value); !done)
        return std::move(done).error().within(variable);
    }
  }
  for (const auto& [name, value] : sources.environment) {
    if (!name.starts_with("NIDUS_") || name == "NIDUS_CONFIG") continue;
    std::vector<std::string> known;
    bool is_known = false;
    for (const auto& entry : kEntries) {
      known.push_back(environment_name(entry.key));
      is_known = is_known || known.back() == name;
    }
    // Not an error: Kubernetes sets NIDUS_SERVICE_HOST and more where a service is called nidus.
    if (!is_known)
      settings.notes.push_back(
          fmt::format("environment: {} is no setting{}", name, did_you_mean(name, known)));
  }
  for (const auto& [key, value] : sources.flags) {
    if (auto done = set_by_key(settings, key, value); !done) return std::move(done).error();
  }
  std::vector<DetectorSettings> first;
  for (const auto& text : sources.detectors) first.push_back(detector_of(text));
  if (const auto path = sources.environment.find("MODEL_PATH");
      first.empty() && path != sources.environment.end() && !path->second.empty())
    first.push_back(detector_of(path->second));
  settings.detector_list.insert(settings.detector_list.begin(), first.begin(), first.end());
  return settings;
}

std::vector<SettingDescription> describe_settings() {
  std::vector<SettingDescription> out;
  Settings settings;
  for (const auto& entry : kEntries) {
    std::string variables = environment_name(entry.key);
    if (*entry.also != '\0') variables += std::string(", ") + entry.also;
    out.push_back({entry.key, variables, text_of(entry.place(settings)), entry.help, entry.live});
  }
  return out;
}

std::vector<std::string> changed_beyond_reload(const Settings& before, const Settings& after) {
  std::vector<std::string> changed;
  Settings a = before, b = after;
  for (const auto& entry : kEntries) {
    if (!entry.live && text_of(entry.place(a)) != text_of(entry.place(b))) changed.emplace_back(entry.key);
  }
  return changed;
}

std::map<std::string, std::string> process_environment() {
  std::map<std::string, std::string> out;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const auto equals = text.find('=');
    if (equals != std::string_view::npos) out.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return out;
}

}  // namespace nidus::serve
