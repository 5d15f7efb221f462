#include "serve/service.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "net/address.h"
#include "serve/application.h"
#include "serve/checks.h"
#include "serve/watch.h"

namespace nidus::serve {
namespace {

http::ServerOptions server_options(const Settings& settings) {
  const auto milliseconds = [](double seconds) {
    return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
  };
  const auto& s = settings.server;
  http::ServerOptions options;
  options.address = s.address;
  options.port = static_cast<std::uint16_t>(s.port);
  options.threads = s.threads;
  options.stream_threads = s.stream_threads;
  options.connections_max = s.connections_max;
  options.connections_per_address_max = s.connections_per_address_max;
  options.header_time = milliseconds(s.header_s);
  options.idle_time = milliseconds(s.idle_s);
  options.handler_time = milliseconds(s.handler_s);
  if (!s.certificate.empty()) options.tls = http::TlsOptions{s.certificate, s.key, s.client_authorities};
  return options;
}

}  // namespace

struct Service::Impl {
  explicit Impl(Settings settings, std::unique_ptr<Log> log) : app(std::move(settings), std::move(log)) {}

  Application app;
  std::mutex reloading;
  std::optional<http::Server> server;
  std::unique_ptr<FileWatch> watch;
  std::atomic<bool> stopped{false};

  // One answered request: counted, and logged if it failed or all are to be.
  void observe(const http::Request& request, const http::Exchange& exchange);
  void follow_files(const Settings& settings);

  struct Endpoint {
    Counter* requests;
    Counter* failures;
    Histogram* seconds;
  };
  // By route, filled before the server starts.
  std::map<std::string, Endpoint, std::less<>> endpoints;
  Endpoint nowhere{};
  std::array<Counter*, 6> by_status{};

  Endpoint endpoint(const std::string& pattern) {
    return {&app.metrics.counter("http_requests_total", "Requests", {{"endpoint", pattern}}),
            &app.metrics.counter("nidus_http_failures_total",
                                 "Requests answered with a status of 400 or more", {{"endpoint", pattern}}),
            &app.metrics.histogram("inference_latency_seconds",
                                   "From a request's first byte to its answer's last", latency_bounds(),
                                   {{"endpoint", pattern}})};
  }
};

void Service::Impl::observe(const http::Request& request, const http::Exchange& exchange) {
  const auto found =
      exchange.route == nullptr ? endpoints.end() : endpoints.find(std::string_view(exchange.route->pattern));
  const Endpoint& at = found == endpoints.end() ? nowhere : found->second;
  const double seconds = std::chrono::duration<double>(exchange.time).count();
  at.requests->add();
  at.seconds->observe(seconds);
  if (exchange.status >= 400) at.failures->add();
  by_status[static_cast<std::size_t>(std::clamp(exchange.status / 100, 0, 5))]->add();
  if (exchange.status < 400 && !app.settings()->log.requests) return;
  const LogLevel level = exchange.status >= 500 ? LogLevel::error : LogLevel::info;
  if (!app.log().wants(level)) return;
  app.log().write(level, "request",
                  {{"id", request.id},
                   {"method", http::name_of(request.method)},
                   {"path", request.path},
                   {"status", static_cast<std::int64_t>(exchange.status)},
                   {"address", request.peer.address_text()},
                   {"caller", std::string_view(request.caller.name)},
                   {"bytes_in", exchange.bytes_in},
                   {"bytes_out", exchange.bytes_out},
                   {"seconds", seconds}});
}

void Service::Impl::follow_files(const Settings& settings) {
  if (!watch) return;
  std::vector<std::filesystem::path> paths;
  for (const auto& detector : settings.detector_list) paths.push_back(detector.path);
  watch->watch(paths);
}

Service::Service(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Service::~Service() { stop(std::chrono::milliseconds(0)); }

Result<std::unique_ptr<Service>> Service::start(Settings settings) {
  const auto& s = settings.server;
  if (auto good = check_settings(settings); !good) return std::move(good).error();
  Log::Options log_options;
  log_options.level = log_level_of(settings.log.level);
  log_options.file = settings.log.file;
  log_options.rotate_bytes = settings.log.rotate_mb * 1'000'000;
  log_options.keep = settings.log.keep;
  auto log = Log::open(log_options);
  if (!log) return std::move(log).error();

  auto impl = std::make_unique<Impl>(settings, std::move(*log));
  Application& app = impl->app;
  for (const auto& note : settings.notes) app.log().warning("settings_note", {{"note", note}});
  if (auto done = app.open_store(); !done) return std::move(done).error();
  if (!is_loopback_address(s.address) && !s.insecure && !app.guard()->is_required()) {
    return Error{
        Errc::invalid,
        fmt::format("{} can be reached from elsewhere, and anybody could ask: make a key with `nidus keys "
                    "create`, set auth.token_keys, auth.token_keys_url or server.client_authorities, or say "
                    "--insecure",
                    s.address)};
  }
  if (auto done = app.detectors.reload(settings); !done) return std::move(done).error();
  if (const auto& folder = app.uploads.folder(); !folder.empty()) {
    if (auto done = app.detectors.keep_in(folder / "deployment.json"); !done) return std::move(done).error();
  }

  if (auto done = app.jobs.restore(); !done) return std::move(done).error();

  std::vector<http::Route> routes;
  for (auto* area :
       {routes_of_service, routes_of_ensemble, routes_of_anomalies, routes_of_records, routes_of_detectors,
        routes_of_drift, routes_of_captures, routes_of_jobs, routes_of_uploads, routes_of_predict,
        routes_of_inference, routes_of_alerts, routes_of_keys}) {
    auto some = area(app);
    std::move(some.begin(), some.end(), std::back_inserter(routes));
  }
  for (const auto& route : routes) impl->endpoints.emplace(route.pattern, impl->endpoint(route.pattern));
  impl->nowhere = impl->endpoint("none");
  for (std::size_t i = 0; i < impl->by_status.size(); ++i) {
    impl->by_status[i] =
        &app.metrics.counter("nidus_http_answers_total", "Answers by the class of their status",
                             {{"status", i == 0 ? "none" : fmt::format("{}xx", i)}});
  }

  auto server = http::Server::start(
      server_options(settings), std::move(routes),
      [guard = app.guard()](http::Request& request, const http::Route& route) {
        return (*guard)(request, route);
      },
      [raw = impl.get()](const http::Request& request, const http::Exchange& exchange) {
        raw->observe(request, exchange);
      });
  if (!server) return std::move(server).error();
  impl->server.emplace(std::move(*server));
  const auto sampled = [&](const char* name, const char* help, bool counter,
                           std::uint64_t http::ServerCounts::*member) {
    app.metrics.sampled(name, help, counter, [raw = impl.get(), member] {
      return raw->server ? static_cast<double>(raw->server->counts().*member) : 0;
    });
  };
  sampled("nidus_http_connections", "Open connections", false, &http::ServerCounts::connections);
  sampled("nidus_http_connections_accepted_total", "Connections ever", true, &http::ServerCounts::accepted);
  sampled("nidus_http_connections_refused_total", "Connections beyond a limit", true,
          &http::ServerCounts::refused);
  sampled("nidus_http_timeouts_total", "Connections cut for being slow", true,
          &http::ServerCounts::timed_out);
  sampled("nidus_http_malformed_total", "Requests that were no HTTP", true, &http::ServerCounts::malformed);
  sampled("nidus_http_requests_in_flight", "Requests without an answer yet", false,
          &http::ServerCounts::requests_in_flight);
  app.metrics.sampled("nidus_pool_waiting", "Batches that wait for a thread", false,
                      [raw = impl.get()] { return static_cast<double>(raw->app.pool.waiting()); });
  app.metrics.sampled("nidus_log_lines_lost_total", "Log lines that could not be written in time", true,
                      [raw = impl.get()] { return static_cast<double>(raw->app.log().lost()); });
  app.metrics.gauge("nidus_build_info", "Always 1", {{"version", kServiceVersion}}).set(1);
  app.metrics.gauge("process_start_time_seconds", "Since 1970")
      .set(std::chrono::duration<double>(app.started.time_since_epoch()).count());

  if (settings.detectors.watch) {
    impl->watch = std::make_unique<FileWatch>([raw = impl.get()] {
      const std::lock_guard lock(raw->reloading);
      (void)raw->app.detectors.reload(*raw->app.settings());  // what goes wrong is in the log
      raw->follow_files(*raw->app.settings());
    });
    impl->follow_files(settings);
  }
  app.log().info("started", {{"version", kServiceVersion},
                             {"address", std::string_view(settings.server.address)},
                             {"port", static_cast<std::int64_t>(impl->server->port())}});
  return std::unique_ptr<Service>(new Service(std::move(impl)));
}

std::uint16_t Service::port() const { return impl_->server->port(); }

std::string Service::url() const {
  const auto settings = impl_->app.settings();
  const auto& s = settings->server;
  const bool v6 = s.address.find(':') != std::string::npos;
  return fmt::format("{}://{}{}{}:{}", s.certificate.empty() ? "http" : "https", v6 ? "[" : "", s.address,
                     v6 ? "]" : "", port());
}

Result<void> Service::reload(Settings settings) {
  const std::lock_guard lock(impl_->reloading);
  Application& app = impl_->app;
  app.log().reopen();
  for (const auto& key : changed_beyond_reload(*app.settings(), settings))
    app.log().warning("setting_needs_restart", {{"setting", key}});
  auto done = app.detectors.reload(settings);
  if (auto guard = app.guard()->reload(); !guard) {
    app.log().error("guard_not_loaded", {{"error", guard.error().message}});
    if (done) done = std::move(guard);
  }
  if (!settings.server.certificate.empty()) {
    auto certificates = impl_->server->reload_certificates();
    if (!certificates) {
      app.log().error("certificates_not_loaded", {{"error", certificates.error().message}});
      if (done) done = std::move(certificates);
    }
  }
  impl_->follow_files(settings);
  app.set_settings(std::move(settings));
  app.log().info("reloaded", {{"complete", done.has_value()}});
  return done;
}

bool Service::stop(std::chrono::milliseconds patience) {
  if (!impl_ || impl_->stopped.exchange(true)) return true;
  impl_->app.draining = true;
  if (impl_->watch) impl_->watch->stop();
  const bool whole = impl_->server->stop(patience);
  impl_->app.log().info("stopped", {{"complete", whole}});
  impl_->app.log().flush();
  return whole;
}

}  // namespace nidus::serve
