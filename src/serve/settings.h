#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "flow/profile.h"

namespace nidus::serve {

// A detector to be served.
struct DetectorSettings {
  std::string name;            // how clients call it; empty: as it calls itself, or after its file
  std::filesystem::path path;  // a folder of ours, or a folder or file of another program
  // For files that do not say so themselves: see interop::ImportOptions.
  std::vector<std::string> features{}, classes{};
  std::string benign{};
  std::optional<double> threshold{};
  std::string layers{};
  std::optional<flow::Profile> profile{};
  bool operator==(const DetectorSettings&) const = default;
};

// Everything that can be set about the service, with its default. A value. docs/configuration.md describes
// each; settings.cc has the list from keys to members.
struct Settings {
  std::filesystem::path file;      // it was read from; empty if from none
  std::vector<std::string> notes;  // what a person should know, but that is no error

  struct Server {
    std::string address = "127.0.0.1";
    std::uint64_t port = 8080;
    std::uint64_t threads = 0;
    bool insecure = false;  // may be reached from elsewhere without keys or client certificates
    std::string certificate, key, client_authorities;
    std::uint64_t connections_max = 20000;
    std::uint64_t connections_per_address_max = 10000;
    std::uint64_t stream_threads = 16;
    double header_s = 10, idle_s = 60, handler_s = 60, drain_s = 30;
    std::string status_word = "healthy";  // of GET /health: "ok" for clients of the anomaly service
  } server;

  struct Limits {
    std::uint64_t upload_mb = 200;    // captures, tables and model files
    std::uint64_t body_mb = 64;       // of a batch
    std::uint64_t rows_max = 10000;   // of a batch that is not streamed
    std::uint64_t waiting_max = 256;  // batches that wait for a thread; one more is answered 503
  } limits;

  struct Detectors {
    std::string predict, score, records;  // who answers where no detector is named; empty: the one that fits
    std::string ml, dl;                   // of captures
    std::string configuration;            // of the ensembles; empty: their own weights
    bool watch = true;                    // files that change are loaded again
    std::uint64_t versions_max = 8;       // of one detector, kept loaded
  } detectors;
  std::vector<DetectorSettings> detector_list;
  // Weights of an ensemble's members, by name of the configuration and of the member.
  std::map<std::string, std::map<std::string, double>> configurations = {
      {"pair", {{"random_forest", 0.5}, {"xgboost", 0.5}}},
      {"trio", {{"random_forest", 0.35}, {"xgboost", 0.35}, {"deep_mlp", 0.3}}}};

  struct Uploads {
    std::string folder;         // uploaded detectors and long answers; empty: the former are refused
    std::uint64_t threads = 0;  // of each capture
    std::uint64_t packets_max = 100'000'000, flows_max = 10'000'000;  // of each capture
    std::uint64_t inflated_mb = 20'000, inflated_ratio = 200;
    std::uint64_t memory_mb = 2048, warm = 2;  // of the processes that read them
    std::uint64_t jobs_mb = 10'000;            // captures that wait and answers of jobs, together
    double cpu_s = 600, time_s = 3600, patience_s = 30;
    bool unfiltered = false;  // read them also where system calls cannot be filtered
    std::string program;      // that becomes such a process; empty: this one, if it can
  } uploads;

  struct Store {
    std::string file;  // empty: nothing is kept; `nidus serve` puts its usual one there
    bool off = false;  // leave it empty
    std::string keep = "attacks";
    bool keep_without_addresses = false;
    double age_days = 90;
    std::uint64_t size_mb = 4096, free_mb = 64;
    double alert_window_s = 600;
  } store;

  struct Auth {
    std::string required = "auto";
    std::string token_keys, token_keys_url, token_keys_authorities, token_issuer, token_audience;
    double token_keys_refresh_s = 3600;
    std::string certificate_scopes = "predict upload alerts";
    // Negative: as checks.cc says.
    double rate_per_s = -1, rate_burst = 0;                  // of a key, token or certificate
    double address_rate_per_s = -1, address_rate_burst = 0;  // of an address without one
  } auth;

  struct Log {
    std::string level = "info";
    std::string file;  // empty: standard error
    std::uint64_t rotate_mb = 100, keep = 5;
    bool requests = false;  // one line for each request, not for failed ones only
  } log;
};

// Where settings come from. What comes later wins: default, file, environment, flags.
struct SettingsSources {
  std::optional<std::filesystem::path> file;
  std::map<std::string, std::string> environment;  // NIDUS_SERVER_PORT and the like; others are ignored
  std::vector<std::pair<std::string, std::string>> flags;  // "server.port", "9000"
  std::vector<std::string> detectors;                      // NAME=PATH or PATH; put before those of the file
};

// Errc::invalid names file, line and key, and what may have been meant; Errc::not_found without the file.
Result<Settings> load_settings(const SettingsSources& sources);

// The text of a settings file; `name` is for messages. Relative paths are taken from `folder`.
Result<Settings> parse_settings(std::string_view toml, const std::string& name = "nidus.toml",
                                const std::filesystem::path& folder = {});

// One line of docs/configuration.md, and of a file with all defaults.
struct SettingDescription {
  std::string key, environment, fallback, help;
  bool live = false;  // a reload takes it over; others need a restart
};
std::vector<SettingDescription> describe_settings();

// The keys in which two settings differ that a reload cannot change.
std::vector<std::string> changed_beyond_reload(const Settings& before, const Settings& after);

// The environment of this process, for load_settings.
std::map<std::string, std::string> process_environment();

}  // namespace nidus::serve
