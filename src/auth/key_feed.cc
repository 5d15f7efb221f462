#include "auth/key_feed.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "auth/internal/fetch.h"

namespace nidus::auth {
namespace {

using FeedClock = std::chrono::steady_clock;

}  // namespace

struct KeyFeed::Impl {
  KeyFeedOptions options;
  internal::Url url;
  Take take;
  Report report;
  const int stopped = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

  mutable std::mutex mutex;  // guards what follows
  std::condition_variable wake, looked;
  bool stop = false, asked = false, wanted = false;  // by a token; by refresh()
  std::uint64_t begun = 0, ended = 0, failures = 0, failures_in_a_row = 0;
  std::optional<Error> error;  // of the last look
  std::optional<FeedClock::time_point> last, good;
  // Read without the mutex, so that ask() costs next to nothing when a flood of bad tokens comes.
  std::atomic<bool> is_asked{false};
  std::thread thread;

  ~Impl() {
    if (stopped >= 0) ::close(stopped);
  }

  std::chrono::milliseconds pause() const {
    auto pause = options.at_least;
    for (std::uint64_t i = 1; i < failures_in_a_row && pause < options.every; ++i) pause *= 2;
    return std::min(pause, std::max(options.every, options.at_least));
  }
  FeedClock::time_point due() const {
    if (wanted || !last) return FeedClock::time_point::min();
    return *last + (asked || failures_in_a_row > 0 ? pause() : options.every);
  }

  void run() {
    // OpenSSL writes without a way to say that a connection that is gone is no reason to end us.
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    std::unique_lock lock(mutex);
    while (!stop) {
      if (const auto at = due(); at > FeedClock::now()) {
        wake.wait_until(lock, at);
        continue;
      }
      wanted = asked = false;
      is_asked = false;
      ++begun;
      lock.unlock();
      auto done = look();
      lock.lock();
      last = FeedClock::now();
      ++ended;
      if (done) {
        good = last;
        failures_in_a_row = 0;
        error.reset();
      } else {
        ++failures;
        ++failures_in_a_row;
        error = std::move(done).error();
      }
      const auto said = error;
      const bool is_told = !stop;
      looked.notify_all();
      lock.unlock();
      if (is_told) report(said ? &*said : nullptr);
      lock.lock();
    }
    looked.notify_all();
  }

  Result<void> look() const {
    internal::FetchLimits limits;
    limits.time = options.time;
    limits.authorities = options.authorities;
    limits.stop = stopped;
    auto document = internal::fetch(url, limits);
    if (!document) return std::move(document).error().within(options.url);
    if (auto taken = take(*document); !taken) return std::move(taken).error().within(options.url);
    return {};
  }

  // Waits for a look that begins after the call.
  Result<void> look_and_wait() {
    std::unique_lock lock(mutex);
    const std::uint64_t number = begun + 1;
    wanted = true;
    wake.notify_one();
    return wait_for(number, lock);
  }
  Result<void> wait_for(std::uint64_t number, std::unique_lock<std::mutex>& lock) {
    looked.wait(lock, [&] { return stop || ended >= number; });
    if (error) return *error;
    return {};
  }
};

KeyFeed::KeyFeed(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

KeyFeed::~KeyFeed() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stop = true;
  }
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto put = ::write(impl_->stopped, &one, sizeof one);
  impl_->wake.notify_one();
  if (impl_->thread.joinable()) impl_->thread.join();
}

Result<void> KeyFeed::check(const KeyFeedOptions& options) {
  const auto url = internal::parse_url(options.url);
  if (!url) return Error(url.error()).within(options.url);
  if (!url->is_secure) return {};
  return internal::check_authorities(options.authorities);
}

Result<std::unique_ptr<KeyFeed>> KeyFeed::start(const KeyFeedOptions& options, Take take, Report report) {
  if (auto good = check(options); !good) return std::move(good).error();
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  impl->url = *internal::parse_url(options.url);
  impl->take = std::move(take);
  impl->report = std::move(report);
  if (impl->stopped < 0) return Error{Errc::io, "no file for an event can be had"};
  std::unique_ptr<KeyFeed> feed(new KeyFeed(std::move(impl)));
  feed->impl_->thread = std::thread([raw = feed->impl_.get()] { raw->run(); });
  std::unique_lock lock(feed->impl_->mutex);
  (void)feed->impl_->wait_for(1, lock);  // an error is reported, and it is tried again
  lock.unlock();
  return feed;
}

void KeyFeed::ask() {
  if (impl_->is_asked.exchange(true)) return;
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->asked = true;
  }
  impl_->wake.notify_one();
}

Result<void> KeyFeed::refresh() { return impl_->look_and_wait(); }

KeyFeed::Counts KeyFeed::counts() const {
  const std::lock_guard lock(impl_->mutex);
  Counts counts{impl_->ended, impl_->failures, -1};
  if (impl_->good) counts.good_age_s = std::chrono::duration<double>(FeedClock::now() - *impl_->good).count();
  return counts;
}

}  // namespace nidus::auth
