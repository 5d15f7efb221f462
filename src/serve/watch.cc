#include "serve/watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

namespace nidus::serve {
namespace {

constexpr int kQuietMs = 500;  // so long nothing may happen before it is told

}  // namespace

struct FileWatch::Impl {
  std::function<void()> changed;
  int events = -1, wake = -1;
  std::atomic<bool> stop{false};
  std::mutex mutex;  // guards watches
  std::set<int> watches;
  std::thread thread;

  void run() {
    bool pending = false;
    while (!stop) {
      pollfd files[2] = {{events, POLLIN, 0}, {wake, POLLIN, 0}};
      const int ready = ::poll(files, 2, pending ? kQuietMs : -1);
      if (stop) return;
      if (ready == 0 && pending) {
        pending = false;
        changed();
      }
      if (ready <= 0 || (files[0].revents & POLLIN) == 0) continue;
      alignas(inotify_event) char buffer[4096];
      if (::read(events, buffer, sizeof(buffer)) > 0) pending = true;
    }
  }
};

FileWatch::FileWatch(std::function<void()> changed) : impl_(std::make_unique<Impl>()) {
  impl_->changed = std::move(changed);
  impl_->events = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  impl_->wake = ::eventfd(0, EFD_CLOEXEC);
  if (impl_->events >= 0 && impl_->wake >= 0) impl_->thread = std::thread([this] { impl_->run(); });
}

void FileWatch::stop() {
  impl_->stop = true;
  if (impl_->thread.joinable()) {
    const std::uint64_t one = 1;
    (void)!::write(impl_->wake, &one, sizeof(one));
    impl_->thread.join();
  }
}

FileWatch::~FileWatch() {
  stop();
  if (impl_->events >= 0) ::close(impl_->events);
  if (impl_->wake >= 0) ::close(impl_->wake);
}

void FileWatch::watch(const std::vector<std::filesystem::path>& paths) {
  if (impl_->events < 0) return;
  std::set<int> fresh;
  const std::lock_guard lock(impl_->mutex);
  for (const auto& path : paths) {
    std::error_code ec;
    const auto folder = std::filesystem::is_directory(path, ec) ? path : path.parent_path();
    const int watch = ::inotify_add_watch(
        impl_->events, folder.empty() ? "." : folder.c_str(),
        IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE | IN_ONLYDIR);
    if (watch >= 0) fresh.insert(watch);
    // A folder that is put in another's place is seen from above.
    const auto whole = std::filesystem::absolute(folder, ec).parent_path();
    const int above =
        ::inotify_add_watch(impl_->events, whole.c_str(), IN_MOVED_TO | IN_ONLYDIR | IN_MASK_ADD);
    if (above >= 0) fresh.insert(above);
  }
  for (const int old : impl_->watches) {
    if (fresh.count(old) == 0) ::inotify_rm_watch(impl_->events, old);
  }
  impl_->watches = std::move(fresh);
}

}  // namespace nidus::serve
