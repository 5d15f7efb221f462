#include "cmd/terminal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/text.h"
#include "cmd/exit_status.h"

namespace nidus::cmd {
namespace {

std::atomic<bool> interrupt_seen = false;
bool bar_is_drawn = false;

void on_interrupt(int) { interrupt_seen.store(true, std::memory_order_relaxed); }

void wipe_bar() {
  if (!bar_is_drawn) return;
  std::fputs("\r\x1b[K", stderr);
  bar_is_drawn = false;
}

}  // namespace

void talk(std::string_view text) {
  wipe_bar();
  std::fwrite(text.data(), 1, text.size(), stderr);
}

void say(std::string_view text) { talk(fmt::format("nidus: {}\n", text)); }

int complain(const Error& error) {
  say(fmt::format("error: {}", error.message));
  return exit_status(error.code);
}

int complain_usage(std::string_view verb, std::string_view text) {
  say(fmt::format("error: {}", text));
  talk(verb.empty() ? std::string("Try 'nidus help'.\n") : fmt::format("Try 'nidus {} --help'.\n", verb));
  return kUsage;
}

bool is_terminal(std::FILE* stream) { return isatty(fileno(stream)) == 1; }

bool has_colours(std::FILE* stream) {
  const char* const no_colour = std::getenv("NO_COLOR");
  const char* const term = std::getenv("TERM");
  if (no_colour != nullptr && *no_colour != 0) return false;
  if (term != nullptr && std::string_view(term) == "dumb") return false;
  return is_terminal(stream);
}

const std::atomic<bool>& interrupted() { return interrupt_seen; }

void catch_interrupts() {
  struct sigaction action = {};
  action.sa_handler = on_interrupt;
  // No SA_RESTART: a read that waits for a pipe must return. The second signal finds the default action.
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

Result<Output> Output::open(const std::string& path) {
  if (path.empty() || path == "-") return Output(stdout, "standard output");
  std::FILE* const file = std::fopen(path.c_str(), "wbe");
  if (file == nullptr)
    return Error{Errc::io, fmt::format("{}: cannot write: {}", path, std::strerror(errno))};
  return Output(file, path);
}

Output::Output(Output&& other) noexcept
    : file_(std::exchange(other.file_, nullptr)),
      name_(std::move(other.name_)),
      reader_gone_(other.reader_gone_),
      failure_(other.failure_) {}

Output::~Output() {
  if (file_ != nullptr && file_ != stdout) std::fclose(file_);
}

bool Output::write(std::string_view bytes) {
  if (reader_gone_ || failure_ != 0) return false;
  errno = 0;
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_) == bytes.size()) return true;
  if (errno == EPIPE) {
    reader_gone_ = true;
  } else {
    failure_ = errno == 0 ? EIO : errno;
  }
  return false;
}

Result<void> Output::finish() {
  if (!reader_gone_ && failure_ == 0) {
    errno = 0;
    if (std::fflush(file_) != 0) {
      if (errno == EPIPE) {
        reader_gone_ = true;
      } else {
        failure_ = errno;
      }
    }
  }
  if (file_ != stdout) {
    if (std::fclose(file_) != 0 && failure_ == 0) failure_ = errno;
    file_ = stdout;
  }
  if (failure_ != 0) return Error{Errc::io, fmt::format("{}: {}", name_, std::strerror(failure_))};
  return {};
}

bool is_same_file(const std::string& a, const std::string& b) {
  struct stat left = {}, right = {};
  if (stat(a.c_str(), &left) != 0 || stat(b.c_str(), &right) != 0) return false;
  return S_ISREG(left.st_mode) && left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}

ProgressBar::ProgressBar(std::string title) : title_(std::move(title)), on_(is_terminal(stderr)) {}

ProgressBar::~ProgressBar() {
  if (on_) wipe_bar();
}

bool ProgressBar::is_due() {
  if (!on_) return false;
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
                       std::chrono::steady_clock::now().time_since_epoch())
                       .count();
  if (now < next_ms_) return false;
  next_ms_ = now + 100;
  return true;
}

void ProgressBar::draw(const std::string& line) {
  std::fprintf(stderr, "\r\x1b[K%s", line.c_str());
  std::fflush(stderr);
  bar_is_drawn = true;
}

void ProgressBar::show(double fraction) {
  if (!is_due()) return;
  constexpr int kWidth = 30;
  const double shown = std::clamp(fraction, 0.0, 1.0);
  const int filled = static_cast<int>(shown * kWidth);
  draw(fmt::format("{} [{:=<{}}{: <{}}] {:3.0f} %", title_, "", filled, "", kWidth - filled, shown * 100));
}

void ProgressBar::show_bytes(std::uint64_t bytes) {
  if (is_due()) draw(fmt::format("{} {}", title_, bytes_text(bytes)));
}

void ProgressBar::show(std::uint64_t done, std::optional<std::uint64_t> whole) {
  if (whole && *whole > 0) {
    show(static_cast<double>(done) / static_cast<double>(*whole));
  } else {
    show_bytes(done);
  }
}

std::string bytes_text(std::uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  // Rounding first, so that 999,999 is 1.0 MB and not 1000 kB.
  while (value >= 999.5 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  return value < 9.95 ? fmt::format("{:.1f} {}", value, kUnits[unit])
                      : fmt::format("{:.0f} {}", value, kUnits[unit]);
}

std::string duration_text(double seconds) {
  if (seconds < 0.0005) return fmt::format("{:.0f} us", seconds * 1e6);
  if (seconds < 0.9995) return fmt::format("{:.0f} ms", seconds * 1e3);
  if (seconds < 59.95) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::uint64_t>(std::llround(seconds));
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  if (whole < 86400) return fmt::format("{} h {} min", whole / 3600, whole / 60 % 60);
  return fmt::format("{} d {} h", whole / 86400, whole / 3600 % 24);
}

std::string rate_text(double per_second, std::string_view what) {
  if (!std::isfinite(per_second)) return fmt::format("- {}/s", what);
  if (per_second >= 1e6) return fmt::format("{:.2f} million {}/s", per_second / 1e6, what);
  return fmt::format("{} {}/s", with_thousands(static_cast<std::uint64_t>(per_second)), what);
}

}  // namespace nidus::cmd
