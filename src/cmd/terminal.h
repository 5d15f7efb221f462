#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

// stdout is data, stderr is talk.
namespace nidus::cmd {

// A line on stderr: "nidus: " and the text. A progress bar that stands there is wiped first.
void say(std::string_view text);

// "nidus: error: …", and what the program then exits with.
int complain(const Error& error);
int complain_usage(std::string_view verb, std::string_view text);

// Text without a prefix on stderr, for summaries.
void talk(std::string_view text);

bool is_terminal(std::FILE* stream);
// A terminal, and neither NO_COLOR nor TERM=dumb asks for plain text.
bool has_colours(std::FILE* stream);

// Becomes true at the first Ctrl-C or SIGTERM after catch_interrupts(); the second one ends the program at
// once.
const std::atomic<bool>& interrupted();
void catch_interrupts();

// Where a verb writes its data: standard output or a file.
class Output {
 public:
  // "" and "-" are standard output. An existing file is overwritten; not one of a verb's inputs, see
  // is_same_file.
  static Result<Output> open(const std::string& path);

  Output(Output&& other) noexcept;
  Output& operator=(Output&&) = delete;
  ~Output();

  // Hands the bytes to the system at once, so they should be many. False if nothing more can be written: the
  // reader of a pipe has gone, or the system refused.
  bool write(std::string_view bytes);

  // Whoever read our standard output has closed it. Not an error: `nidus flows … | head`.
  bool reader_gone() const { return reader_gone_; }

  // Errc::io if the system refused a write or the closing.
  Result<void> finish();

  std::FILE* stream() const { return file_; }
  bool is_stdout() const { return file_ == stdout; }

 private:
  Output(std::FILE* file, std::string name) : file_(file), name_(std::move(name)) {}

  std::FILE* file_;
  std::string name_;
  bool reader_gone_ = false;
  int failure_ = 0;
};

// Whether both exist and are one file: writing one would destroy the other.
bool is_same_file(const std::string& a, const std::string& b);

// A bar on stderr while something long runs; nothing unless stderr is a terminal. Drawn at most ten times a
// second.
class ProgressBar {
 public:
  explicit ProgressBar(std::string title);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void show(double fraction);
  // Of something whose size is not known: how many bytes so far.
  void show_bytes(std::uint64_t bytes);
  void show(std::uint64_t done, std::optional<std::uint64_t> whole);

 private:
  bool is_due();
  void draw(const std::string& line);

  std::string title_;
  bool on_;
  std::int64_t next_ms_ = 0;
};

// "1.2 GB", "97 MB", "512 B": powers of 1000.
std::string bytes_text(std::uint64_t bytes);
// "4.2 s", "350 ms", "2 min 5 s", "3 h 20 min".
std::string duration_text(double seconds);
// "4.31 million/s", "12,345/s" (`what` comes before the slash: "packets" gives "4.31 million packets/s").
std::string rate_text(double per_second, std::string_view what);

}  // namespace nidus::cmd
