#include "serve/application.h"

#include "base/parallel.h"

namespace nidus::serve {

Application::Application(Settings settings, std::unique_ptr<Log> log)
    : log_(std::move(log)),
      prediction_errors(metrics.counter("prediction_errors_total", "Requests that could not be judged")),
      anomalies(
          metrics.counter("anomalies_detected_total", "Rows that /score and /batch_score called anomalous")),
      normal(metrics.counter("normal_samples_total", "Rows that /score and /batch_score called normal")),
      detectors(metrics, *log_),
      judge(metrics),
      pool(default_threads(), settings.limits.waiting_max),
      settings_(std::make_shared<const Settings>(std::move(settings))) {}

void Application::set_settings(Settings settings) {
  log().set_level(log_level_of(settings.log.level));
  settings_.store(std::make_shared<const Settings>(std::move(settings)), std::memory_order_release);
}

}  // namespace nidus::serve
