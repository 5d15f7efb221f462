#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "http/server.h"
#include "serve/detectors.h"
#include "serve/internal/pool.h"
#include "serve/judge.h"
#include "serve/log.h"
#include "serve/metrics.h"
#include "serve/scopes.h"
#include "serve/settings.h"

namespace nidus::serve {

// What all routes of a service share. Members are made in this order and outlive every request.
//
// Thread-safe, as each of them is.
class Application {
 public:
  // The log must have been opened with these settings.
  Application(Settings settings, std::unique_ptr<Log> log);

  // As they are now: a reload publishes others.
  std::shared_ptr<const Settings> settings() const { return settings_.load(std::memory_order_acquire); }
  void set_settings(Settings settings);

  Log& log() { return *log_; }

 private:
  const std::unique_ptr<Log> log_;

 public:
  Metrics metrics;
  Counter& prediction_errors;   // requests that could not be judged
  Counter &anomalies, &normal;  // rows of /score and /batch_score
  Detectors detectors;
  Judge judge;
  internal::Pool pool;  // work that would keep a connection's thread too long
  const std::chrono::system_clock::time_point started = std::chrono::system_clock::now();
  std::atomic<bool> draining{false};

  // What must be so for the service to be ready, by name; added before it starts. An empty text: it is so,
  // else why not.
  std::vector<std::pair<std::string, std::function<std::string()>>> readiness;

 private:
  std::atomic<std::shared_ptr<const Settings>> settings_;
};

// The routes of each area. The application must outlive them.
std::vector<http::Route> routes_of_service(Application& app);    // /, /health, /metrics, …
std::vector<http::Route> routes_of_ensemble(Application& app);   // /predict, /predict/batch, /model/info
std::vector<http::Route> routes_of_anomalies(Application& app);  // /score, /batch_score, /model_info
std::vector<http::Route> routes_of_records(Application& app);    // /batch_predict
std::vector<http::Route> routes_of_detectors(Application& app);  // /api/v1/detectors
std::vector<http::Route> routes_of_predict(Application& app);    // /api/v1/predict
std::vector<http::Route> routes_of_inference(Application& app);  // /v2

inline constexpr const char* kServiceName = "nidus";
inline constexpr const char* kServiceVersion = NIDUS_VERSION;

}  // namespace nidus::serve
