#include "serve/application.h"

#include <utility>

#include "base/parallel.h"
#include "serve/checks.h"

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
      uploads(settings, metrics, *log_),
      settings_(std::make_shared<const Settings>(std::move(settings))) {}

// Its job writes into the store, which goes first.
Application::~Application() { jobs.stop(); }

void Application::set_settings(Settings settings) {
  log().set_level(log_level_of(settings.log.level));
  settings_.store(std::make_shared<const Settings>(std::move(settings)), std::memory_order_release);
}

Result<void> Application::open_store() {
  const auto now = settings();
  const auto& s = now->store;
  if (!s.file.empty()) {
    store::StoreOptions options;
    options.keep = s.keep == "none"  ? store::KeepPolicy::none
                   : s.keep == "all" ? store::KeepPolicy::all
                                     : store::KeepPolicy::attacks;
    options.keep_without_addresses = s.keep_without_addresses;
    options.alert_window_us = static_cast<std::int64_t>(s.alert_window_s * 1e6);
    options.age_max_us = static_cast<std::int64_t>(s.age_days * 86'400e6);
    options.bytes_max = s.size_mb * 1'000'000;
    options.free_bytes_min = s.free_mb * 1'000'000;
    auto opened = store::Store::open(s.file, options);
    if (!opened) return std::move(opened).error();
    store_ = std::make_unique<store::Store>(std::move(*opened));
    readiness.emplace_back("store", [this] {
      const auto counts = store_->counts();
      return counts.state == store::StoreState::ok ? std::string()
                                                   : "the store is " + std::string(name(counts.state));
    });
    const auto sampled = [this](const char* metric, const char* help, bool counter, auto member) {
      metrics.sampled(metric, help, counter,
                      [this, member] { return static_cast<double>(store_->counts().*member); });
    };
    using Counts = store::StoreCounts;
    sampled("nidus_store_bytes", "Size of the store's database", false, &Counts::bytes);
    sampled("nidus_store_waiting", "Writes that are not on disk yet", false, &Counts::waiting);
    sampled("nidus_store_commits_total", "Transactions", true, &Counts::commits);
    sampled("nidus_store_writes_total", "Writes that were acknowledged", true, &Counts::writes);
    sampled("nidus_store_verdicts_total", "Verdicts that were kept", true, &Counts::verdicts);
    sampled("nidus_store_refused_full_total", "Writes refused for want of room", true, &Counts::refused_full);
    sampled("nidus_store_refused_behind_total", "Writes refused because too many waited", true,
            &Counts::refused_behind);
    sampled("nidus_store_failed_total", "Writes that the disk refused", true, &Counts::failed);
    sampled("nidus_store_expired_total", "Rows deleted for age or size", true, &Counts::expired);
    metrics.sampled("nidus_store_ok", "Whether the store takes everything", false,
                    [this] { return store_->counts().state == store::StoreState::ok ? 1.0 : 0.0; });
  }

  auto options = guard_options(*now);
  if (!options) return std::move(options).error();
  // The first look that works is news, and so is one that does after others did not.
  options->token_keys_report = [this, was_good = false](const Error* error) mutable {
    if (error != nullptr) {
      log().error("token_keys_not_fetched", {{"error", error->message}});
    } else if (!std::exchange(was_good, true)) {
      log().info("token_keys_fetched", {});
    }
    was_good = error == nullptr;
  };
  auto guard = auth::Guard::start(*options, store_.get());
  if (!guard) return std::move(guard).error();
  guard_ = std::move(*guard);
  const auto sampled = [this](const char* reason, auto member) {
    metrics.sampled("nidus_auth_refused_total", "Requests refused, by why", true,
                    [this, member] { return static_cast<double>(guard_->counts().*member); },
                    {{"reason", reason}});
  };
  sampled("unauthenticated", &auth::GuardCounts::unauthenticated);
  sampled("forbidden", &auth::GuardCounts::forbidden);
  sampled("limited", &auth::GuardCounts::limited);
  if (options->token_feed) {
    const auto fed = [this](const char* metric, const char* help, bool counter, auto member) {
      metrics.sampled(metric, help, counter,
                      [this, member] { return static_cast<double>((*guard_->token_feed()).*member); });
    };
    fed("nidus_token_keys_fetches_total", "Looks for the keys of tokens at their address", true,
        &auth::KeyFeed::Counts::looks);
    fed("nidus_token_keys_failures_total", "Looks for the keys of tokens that failed", true,
        &auth::KeyFeed::Counts::failures);
    fed("nidus_token_keys_age_seconds", "Since the keys of tokens were last fetched; -1: never", false,
        &auth::KeyFeed::Counts::good_age_s);
    readiness.emplace_back("token_keys", [this] {
      return guard_->token_feed()->good_age_s < 0 ? std::string("the keys of tokens were never fetched")
                                                  : std::string();
    });
  }
  return {};
}

}  // namespace nidus::serve
