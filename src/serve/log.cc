#include "serve/log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "base/json_writer.h"
#include "base/text.h"

namespace nidus::serve {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kNames[] = {"debug", "info", "warning", "error"};

int open_log(const fs::path& file) {
  return ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
}

}  // namespace

LogLevel log_level_of(std::string_view name) {
  for (std::size_t i = 0; i < std::size(kNames); ++i) {
    if (equal_ignoring_case(name, kNames[i])) return static_cast<LogLevel>(i);
  }
  return LogLevel::info;
}

struct Log::Impl {
  Options options;
  std::atomic<LogLevel> level;
  std::atomic<std::uint64_t> lost{0};

  std::mutex mutex;  // guards what follows
  std::condition_variable wake, written;
  std::string waiting;
  std::uint64_t lost_unsaid = 0;
  bool busy = false, reopen = false, stop = false;

  int file = STDERR_FILENO;  // of the writing thread alone
  std::uint64_t size = 0;
  std::thread thread;

  explicit Impl(Options given) : options(std::move(given)), level(options.level) {}

  void run() {
    std::string bytes;
    std::unique_lock lock(mutex);
    for (;;) {
      wake.wait(lock, [&] { return stop || reopen || !waiting.empty(); });
      if (waiting.empty() && stop) return;
      bytes.swap(waiting);
      const bool again = reopen;
      reopen = false;
      busy = true;
      lock.unlock();
      if (again) open_again();
      put(bytes);
      bytes.clear();
      lock.lock();
      busy = false;
      written.notify_all();
    }
  }

  void open_again() {
    if (options.file.empty()) return;
    const int fresh = open_log(options.file);
    if (fresh < 0) return;  // goes on with the old one
    ::close(file);
    file = fresh;
    const auto end = ::lseek(file, 0, SEEK_END);
    size = end < 0 ? 0 : static_cast<std::uint64_t>(end);
  }

  void rotate() {
    std::error_code ignored;
    const auto name = [&](std::size_t i) {
      return fs::path(options.file.string() + "." + std::to_string(i));
    };
    for (std::size_t i = options.keep; i-- > 1;) fs::rename(name(i), name(i + 1), ignored);
    if (options.keep != 0) {
      fs::rename(options.file, name(1), ignored);
    } else {
      fs::remove(options.file, ignored);
    }
    open_again();
  }

  void put(std::string_view bytes) {
    if (!options.file.empty() && size != 0 && size + bytes.size() > options.rotate_bytes) rotate();
    size += bytes.size();
    while (!bytes.empty()) {
      const ssize_t n = ::write(file, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {  // a full disk must not stop the service
        for (const char c : bytes) lost += c == '\n' ? 1 : 0;
        return;
      }
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }
};

Log::Log(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<Log>> Log::open(Options options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  if (!impl->options.file.empty()) {
    impl->file = open_log(impl->options.file);
    if (impl->file < 0)
      return Error{Errc::io, fmt::format("{}: {}", impl->options.file.string(), std::strerror(errno))};
    const auto end = ::lseek(impl->file, 0, SEEK_END);
    impl->size = end < 0 ? 0 : static_cast<std::uint64_t>(end);
  }
  impl->thread = std::thread([raw = impl.get()] { raw->run(); });
  return std::unique_ptr<Log>(new Log(std::move(impl)));
}

Log::~Log() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stop = true;
  }
  impl_->wake.notify_one();
  impl_->thread.join();
  if (impl_->file != STDERR_FILENO) ::close(impl_->file);
}

bool Log::wants(LogLevel level) const { return level >= impl_->level.load(std::memory_order_relaxed); }
void Log::set_level(LogLevel level) { impl_->level = level; }
std::uint64_t Log::lost() const { return impl_->lost.load(); }

void Log::write(LogLevel level, std::string_view event, Fields fields) {
  if (!wants(level)) return;
  std::string line;
  line.reserve(256);
  JsonWriter json(line);
  json.begin_object();
  json.field("time", iso8601(now_us()));
  json.field("level", kNames[static_cast<std::size_t>(level)]);
  json.field("event", event);
  for (const auto& [key, value] : fields) {
    json.key(key);
    std::visit([&](auto content) { json.value(content); }, value);
  }
  json.end_object();
  line += '\n';

  const std::lock_guard lock(impl_->mutex);
  if (impl_->waiting.size() + line.size() > impl_->options.waiting_bytes_max) {
    ++impl_->lost;
    ++impl_->lost_unsaid;
    return;
  }
  if (impl_->waiting.empty()) impl_->wake.notify_one();
  if (impl_->lost_unsaid != 0) {
    impl_->waiting += fmt::format("{{\"level\":\"warning\",\"event\":\"log_lines_lost\",\"lines\":{}}}\n",
                                  std::exchange(impl_->lost_unsaid, 0));
  }
  impl_->waiting += line;
}

void Log::reopen() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->reopen = true;
  }
  impl_->wake.notify_one();
}

void Log::flush() {
  std::unique_lock lock(impl_->mutex);
  impl_->written.wait(lock, [&] { return impl_->waiting.empty() && !impl_->busy && !impl_->reopen; });
}

}  // namespace nidus::serve
