#include <fmt/format.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <poll.h>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>

#include "cmd/arguments.h"
#include "cmd/exit_status.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"
#include "cmd_serve/service_store.h"
#include "serve/checks.h"
#include "serve/notify.h"
#include "serve/service.h"

namespace nidus::cmd {
namespace {

// Signals as bytes of a file, so that they are met in one place and not in the middle of anything. Made
// before any thread, since threads inherit what is blocked.
class Signals {
 public:
  Signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    file_ = ::signalfd(-1, &set, SFD_CLOEXEC);
    ::signal(SIGPIPE, SIG_IGN);
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  ~Signals() { ::close(file_); }

  // The next signal, or 0 if none came in time.
  int wait(std::optional<std::chrono::microseconds> patience) const {
    pollfd file{file_, POLLIN, 0};
    const int ms =
        patience ? static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(*patience).count())
                 : -1;
    if (::poll(&file, 1, ms) <= 0) return 0;
    signalfd_siginfo info{};
    return ::read(file_, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))
               ? static_cast<int>(info.ssi_signo)
               : 0;
  }

 private:
  int file_ = -1;
};

struct Words {
  std::string config;
  std::vector<std::string> detectors;
  std::string address, port, log_level, log_file;
  std::vector<std::string> set;
  bool insecure = false, check = false, print = false;
};

Result<serve::SettingsSources> sources_of(const Words& words) {
  serve::SettingsSources sources;
  sources.environment = serve::process_environment();
  if (!words.config.empty()) {
    sources.file = words.config;
  } else if (const auto named = sources.environment.find("NIDUS_CONFIG");
             named != sources.environment.end()) {
    sources.file = named->second;
  }
  const auto flag = [&](const char* key, const std::string& value) {
    if (!value.empty()) sources.flags.emplace_back(key, value);
  };
  for (const auto& text : words.set) {
    const auto equals = text.find('=');
    if (equals == std::string::npos)
      return Error{Errc::invalid, fmt::format("--set {}: write KEY=VALUE, as in server.port=9000", text)};
    sources.flags.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  flag("server.address", words.address);
  flag("server.port", words.port);
  flag("log.level", words.log_level);
  flag("log.file", words.log_file);
  if (words.insecure) flag("server.insecure", "true");
  sources.detectors = words.detectors;
  return sources;
}

// What is kept, and where, if nothing is said: the store that `nidus keys` and `nidus alerts` use, and
// uploaded detectors beside it, those of each port by themselves. A store that is not there and cannot be
// made, as in a container that is read-only, is done without; one that is there must open, as it may hold the
// keys.
Result<serve::Settings> load_with_store(const serve::SettingsSources& sources) {
  auto settings = serve::load_settings(sources);
  if (!settings) return settings;
  auto& store = settings->store;
  if (store.off) {
    store.file.clear();
    return settings;
  }
  if (store.file.empty()) {
    const std::filesystem::path usual = service_store_path("");
    std::error_code failed;
    std::filesystem::create_directories(usual.parent_path(), failed);
    const bool can_be =
        std::filesystem::exists(usual, failed) || ::access(usual.parent_path().c_str(), W_OK) == 0;
    if (can_be) {
      store.file = usual;
    } else {
      settings->notes.push_back(
          fmt::format("nothing is kept: {} cannot be made; store.file names another place", usual.string()));
    }
  }
  if (!store.file.empty() && settings->uploads.folder.empty() && settings->server.port != 0) {
    settings->uploads.folder =
        std::filesystem::path(store.file).parent_path() / fmt::format("uploads-{}", settings->server.port);
  }
  return settings;
}

int run_until_stopped(const Words& words, const serve::Settings& settings, const Signals& signals) {
  auto service = serve::Service::start(settings);
  if (!service) return complain(service.error());
  say(fmt::format("listening on {}", (*service)->url()));
  serve::notify_manager("READY=1\nSTATUS=listening on " + (*service)->url());
  const auto watchdog = serve::watchdog_interval();
  for (;;) {
    switch (signals.wait(watchdog)) {
      case 0:
        serve::notify_manager("WATCHDOG=1");
        continue;
      case SIGHUP: {
        serve::notify_manager("RELOADING=1");
        const auto sources = sources_of(words);
        auto fresh = sources ? load_with_store(*sources) : Result<serve::Settings>(sources.error());
        const auto done = fresh ? (*service)->reload(std::move(*fresh)) : Result<void>(fresh.error());
        // What was so stays so: a service does not die of a typing mistake.
        say(done ? "reloaded" : "not all was reloaded: " + done.error().message);
        serve::notify_manager("READY=1");
        continue;
      }
      default: {
        serve::notify_manager("STOPPING=1");
        say("stopping; a second signal does not wait for what is under way");
        // Whoever is impatient gets what a program without a handler would do.
        sigset_t set;
        sigemptyset(&set);
        for (const int signal : {SIGTERM, SIGINT}) {
          ::signal(signal, SIG_DFL);
          sigaddset(&set, signal);
        }
        pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
        const auto patience =
            std::chrono::milliseconds(static_cast<std::int64_t>(settings.server.drain_s * 1000));
        if (!(*service)->stop(patience)) say("some requests were cut off");
        return kFine;
      }
    }
  }
}

void print_settings() {
  std::string out, section;
  for (const auto& setting : serve::describe_settings()) {
    const auto dot = setting.key.find('.');
    if (setting.key.substr(0, dot) != section) {
      section = setting.key.substr(0, dot);
      out += fmt::format("{}[{}]\n", out.empty() ? "" : "\n", section);
    }
    out += fmt::format("# {}{}\n# {} = {}\n", setting.help, setting.live ? "" : " (a change needs a restart)",
                       setting.key.substr(dot + 1), setting.fallback);
  }
  std::fwrite(out.data(), 1, out.size(), stdout);
}

}  // namespace

int run_serve(std::span<const std::string> words) {
  Words given;
  std::vector<std::string> more;
  Arguments arguments("serve", "Judges flows for others, over HTTP.");
  arguments.inputs(
      given.detectors, "detector",
      "Detectors to serve: folders of ours, or folders and files of other programs; NAME=PATH gives one "
      "a name",
      0);
  arguments.option("--detector,-d", more, "The same");
  arguments.option("--config,-c", given.config, "Settings: nidus.toml (docs/configuration.md)");
  arguments.option("--address", given.address, "Address to listen at; 127.0.0.1 if nothing is said");
  arguments.option("--port,-p", given.port, "Port; 8080 if nothing is said, 0 for any that is free");
  arguments.option("--log-level", given.log_level, "Least level that is logged",
                   {"debug", "info", "warning", "error"});
  arguments.option("--log-file", given.log_file, "File of the log; else standard error");
  arguments.option("--set", given.set, "Any setting: KEY=VALUE, as in limits.rows_max=500");
  arguments.flag("--insecure", given.insecure,
                 "Listen to everybody, without keys or client certificates, where --address is not loopback");
  arguments.flag("--check-config", given.check, "Only say whether the settings are right");
  arguments.flag("--print-settings", given.print,
                 "Only print all settings with what they are for and their defaults");
  if (const auto status = arguments.read(words)) return *status;
  if (given.print) {
    print_settings();
    return kFine;
  }
  given.detectors.insert(given.detectors.end(), more.begin(), more.end());
  const auto sources = sources_of(given);
  if (!sources) return complain_usage("serve", sources.error().message);
  const auto settings = load_with_store(*sources);
  if (!settings) return complain(settings.error());
  if (given.check) {
    if (const auto good = serve::check_settings(*settings); !good) return complain(good.error());
    for (const auto& note : settings->notes) say(note);
    say("the settings are right");
    return kFine;
  }
  const Signals signals;
  return run_until_stopped(given, *settings, signals);
}

}  // namespace nidus::cmd
