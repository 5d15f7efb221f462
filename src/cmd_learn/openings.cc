#include "cmd_learn/openings.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>
#include <utility>

#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/text.h"

namespace nidus::cmd {
namespace {

constexpr std::size_t kLogMax = 256u << 20;

std::string digest_of(const std::filesystem::path& path) {
  std::error_code none;
  if (!std::filesystem::is_regular_file(path, none)) return "";
  const auto file = MappedFile::open(path);
  return file ? sha256_hex(file->bytes()) : "";
}

// One cell of a line.
std::string cell(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  return text;
}

Error refused(const std::string& log) { return {Errc::io, fmt::format("{}: {}", log, std::strerror(errno))}; }

}  // namespace

std::string Opening::to_text() const {
  if (sha256.empty()) return fmt::format("{}: a stream, not counted", input);
  if (earlier == 0) return fmt::format("{}: not opened before", input);
  return fmt::format("{}: opened {} {} before, by {} other {}", input, with_thousands(earlier),
                     earlier == 1 ? "time" : "times", with_thousands(detectors),
                     detectors == 1 ? "detector" : "detectors");
}

Result<std::vector<Opening>> log_openings(const std::string& log, const std::string& detector_folder,
                                          const std::string& detector_name,
                                          const std::vector<std::string>& inputs) {
  // A model of another program is a file, or a folder without a manifest, which has no digest.
  std::filesystem::path manifest = std::filesystem::path(detector_folder) / "detector.json";
  std::error_code none;
  if (!std::filesystem::exists(manifest, none)) manifest = detector_folder;
  const std::string detector = digest_of(manifest);
  std::vector<Opening> out;
  for (const auto& input : inputs) out.push_back({input, digest_of(input), 0, 0});

  const int file = ::open(log.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0) return refused(log);
  // Two who measure at once see each other.
  if (::flock(file, LOCK_EX) != 0) {
    const Error error = refused(log);
    ::close(file);
    return error;
  }
  const auto before = read_file(log, kLogMax);
  if (!before) {
    ::close(file);
    return Error(before.error());
  }
  std::vector<std::set<std::string>> others(out.size());
  for (const auto line : split(*before, '\n')) {
    const auto cells = split(line, '\t');
    if (cells.size() != 5) continue;
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (out[i].sha256.empty() || cells[1] != out[i].sha256) continue;
      ++out[i].earlier;
      if (cells[2] != detector) others[i].emplace(cells[2]);
    }
  }
  const std::string time = iso8601(now_us());
  std::string lines;
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i].detectors = others[i].size();
    if (out[i].sha256.empty()) continue;
    lines += fmt::format("{}\t{}\t{}\t{}\t{}\n", time, out[i].sha256, detector, cell(detector_name),
                         cell(out[i].input));
  }
  const bool written = ::write(file, lines.data(), lines.size()) == static_cast<ssize_t>(lines.size());
  const Error error = refused(log);
  ::close(file);
  if (!written) return error;
  return out;
}

}  // namespace nidus::cmd
