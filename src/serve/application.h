#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "auth/guard.h"
#include "http/server.h"
#include "serve/detectors.h"
#include "serve/drift_reports.h"
#include "serve/internal/pool.h"
#include "serve/jobs.h"
#include "serve/judge.h"
#include "serve/log.h"
#include "serve/metrics.h"
#include "serve/scopes.h"
#include "serve/settings.h"
#include "serve/uploads.h"
#include "store/store.h"

namespace nidus::serve {

// What all routes of a service share. Members are made in this order and outlive every request.
//
// Thread-safe, as each of them is.
class Application {
 public:
  // The log must have been opened with these settings.
  Application(Settings settings, std::unique_ptr<Log> log);
  ~Application();  // stops the job that runs

  // As they are now: a reload publishes others.
  std::shared_ptr<const Settings> settings() const { return settings_.load(std::memory_order_acquire); }
  void set_settings(Settings settings);

  Log& log() { return *log_; }

  // Opens what is kept and who may do what; before the service listens. Errors are those of the store and the
  // guard, and Errc::invalid for settings that make no sense.
  Result<void> open_store();
  // Null if nothing is kept.
  store::Store* store() const { return store_.get(); }
  // Null before open_store().
  auth::Guard* guard() const { return guard_.get(); }

  // Whether the store would keep it: what it costs to describe a verdict can be saved.
  bool keeps(const store::Verdict& verdict) const { return store_ && store_->keeps(verdict); }

 private:
  const std::unique_ptr<Log> log_;

 public:
  Metrics metrics;
  Counter& prediction_errors;   // requests that could not be judged
  Counter &anomalies, &normal;  // rows of /score and /batch_score
  Detectors detectors;
  DriftReports drift{metrics};
  Judge judge;
  internal::Pool pool;  // work that would keep a connection's thread too long
  const std::chrono::system_clock::time_point started = std::chrono::system_clock::now();
  Uploads uploads;
  Jobs jobs{*this};
  std::atomic<bool> draining{false};

  // What must be so for the service to be ready, by name; added before it starts. An empty text: it is so,
  // else why not.
  std::vector<std::pair<std::string, std::function<std::string()>>> readiness;

 private:
  std::atomic<std::shared_ptr<const Settings>> settings_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<auth::Guard> guard_;  // reads keys from the store
};

// The routes of each area. The application must outlive them.
std::vector<http::Route> routes_of_service(Application& app);    // /, /health, /metrics, …
std::vector<http::Route> routes_of_ensemble(Application& app);   // /predict, /predict/batch, /model/info
std::vector<http::Route> routes_of_anomalies(Application& app);  // /score, /batch_score, /model_info
std::vector<http::Route> routes_of_records(Application& app);    // /batch_predict
std::vector<http::Route> routes_of_detectors(Application& app);  // /api/v1/detectors
std::vector<http::Route> routes_of_drift(Application& app);      // /api/v1/drift
std::vector<http::Route> routes_of_captures(Application& app);   // /detect/…, /api/v1/detect
std::vector<http::Route> routes_of_jobs(Application& app);       // /api/v1/jobs
std::vector<http::Route> routes_of_uploads(Application& app);    // POST /api/v1/detectors
std::vector<http::Route> routes_of_predict(Application& app);    // /api/v1/predict
std::vector<http::Route> routes_of_inference(Application& app);  // /v2
std::vector<http::Route> routes_of_alerts(Application& app);     // /api/v1/alerts, flows, statistics
std::vector<http::Route> routes_of_keys(Application& app);       // /api/v1/keys, audit

inline constexpr const char* kServiceName = "nidus";
inline constexpr const char* kServiceVersion = NIDUS_VERSION;

}  // namespace nidus::serve
