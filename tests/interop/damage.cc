// interop_damage [--every N] [--below BYTES] [--most SECONDS] PATH…: what becomes of model files that are
// damaged. Of every file under the paths that nidus takes for a model, one that ends at each byte, and one
// for each byte with that byte changed in one bit and one with all its bits changed, is read; a model that is
// read is asked for the scores of two rows. Prints how many were refused, how many said the same as the whole
// file and how many something else, and the slowest read; each crash with its file and place. Exit status: 0;
// 1 when something crashed, took longer than ten seconds, or said something else although the file was cut
// short.
//
// --every N: only every Nth place, which a build with sanitizers needs. --below BYTES: only smaller files.
// --most SECONDS: stops in time, and says so.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "base/file.h"
#include "interop/read.h"
#include "model/model.h"

namespace {

using nidus::interop::Artefact;

enum Damage : int { kCut, kBit, kByte, kDamages };
constexpr const char* kNames[kDamages] = {"ended before byte", "one bit changed of byte", "changed in byte"};

// Shared between the process that reads and the one that waits for it.
struct Progress {
  std::size_t place = 0, tried = 0, refused = 0, same = 0, other = 0;
  int damage = 0;
  double slowest = 0;
  std::size_t other_when_cut = 0, slow = 0;
};

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// All the scores that a file gives, of what it holds that judges rows.
void gather(const Artefact& artefact, std::vector<double>& out) {
  if (artefact.model != nullptr) {
    const std::size_t inputs = artefact.model->inputs();
    out.push_back(static_cast<double>(inputs));
    if (inputs <= 4096) {
      std::vector<double> rows(2 * inputs);
      for (std::size_t i = 0; i < rows.size(); ++i)
        rows[i] = i % 5 == 0 ? std::numeric_limits<double>::quiet_NaN() : static_cast<double>(i % 11) - 4;
      const auto scores = nidus::model::all_scores(*artefact.model, std::span<const double>(rows), 2);
      out.insert(out.end(), scores.begin(), scores.end());
    }
  }
  if (artefact.transform != nullptr && artefact.transform->inputs() <= 4096) {
    const std::vector<double> row(artefact.transform->inputs(), 0.5);
    std::vector<double> made(artefact.transform->outputs());
    artefact.transform->apply(row, 1, made);
    out.insert(out.end(), made.begin(), made.end());
  }
  out.insert(out.end(), artefact.numbers.begin(), artefact.numbers.end());
  for (const auto& member : artefact.members) gather(member.artefact, out);
}

// Nothing when the file is refused.
bool answer_of(const std::string& bytes, std::vector<double>& out) {
  out.clear();
  const auto artefact = nidus::interop::read_artefact(std::as_bytes(std::span(bytes)));
  if (!artefact) {
    if (artefact.error().message.empty()) std::abort();
    return false;
  }
  gather(*artefact, out);
  return true;
}

bool equal(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
}

// From the damage and place in `progress` on.
void damage(const std::string& bytes, std::size_t every, double until, Progress& progress) {
  std::vector<double> whole, got;
  if (!answer_of(bytes, whole)) whole.clear();
  for (; progress.damage < kDamages; ++progress.damage, progress.place = 0) {
    for (; progress.place < bytes.size(); progress.place += every) {
      if (now() > until) return;
      std::string broken = progress.damage == kCut ? bytes.substr(0, progress.place) : bytes;
      if (progress.damage == kBit) broken[progress.place] ^= static_cast<char>(1 << (progress.place % 8));
      if (progress.damage == kByte) broken[progress.place] ^= static_cast<char>(0xff);
      const double start = now();
      const bool read = answer_of(broken, got);
      const double took = now() - start;
      progress.slowest = std::max(progress.slowest, took);
      if (took > 10) ++progress.slow;
      ++progress.tried;
      if (!read) {
        ++progress.refused;
      } else if (equal(got, whole)) {
        ++progress.same;
      } else {
        ++progress.other;
        if (progress.damage == kCut && ++progress.other_when_cut == 1)
          std::fprintf(stderr, "  ended before byte %zu it is read as something else\n", progress.place);
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::filesystem::path> files;
  std::size_t every = 1, below = std::numeric_limits<std::size_t>::max();
  double until = std::numeric_limits<double>::infinity();
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--every" && i + 1 < argc) {
      every = std::max<std::size_t>(1, std::strtoul(argv[++i], nullptr, 10));
    } else if (argument == "--below" && i + 1 < argc) {
      below = std::strtoul(argv[++i], nullptr, 10);
    } else if (argument == "--most" && i + 1 < argc) {
      until = now() + std::strtod(argv[++i], nullptr);
    } else if (std::filesystem::is_directory(argument)) {
      for (const auto& entry : std::filesystem::recursive_directory_iterator(argument)) {
        if (entry.is_regular_file()) files.push_back(entry.path());
      }
    } else {
      files.emplace_back(argument);
    }
  }
  std::sort(files.begin(), files.end());
  void* const room =
      ::mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (room == MAP_FAILED) return 1;
  auto& progress = *new (room) Progress;
  Progress all;
  std::size_t done = 0, crashes = 0, left = 0;
  for (const auto& file : files) {
    const auto bytes = nidus::read_file(file);
    if (!bytes) {
      std::fprintf(stderr, "%s\n", bytes.error().message.c_str());
      return 1;
    }
    const auto format = nidus::interop::format_of(std::as_bytes(std::span(*bytes)));
    if (format == nidus::interop::Format::none || bytes->size() >= below) continue;
    if (now() > until) {
      ++left;
      continue;
    }
    progress = {};
    for (;;) {
      std::fflush(nullptr);
      const pid_t child = ::fork();
      if (child == 0) {
        damage(*bytes, every, until, progress);
        std::fflush(nullptr);
        ::_exit(0);
      }
      int status = 0;
      if (child < 0 || ::waitpid(child, &status, 0) != child) return 1;
      if (WIFEXITED(status) && WEXITSTATUS(status) == 0) break;
      ++crashes;
      std::printf("CRASH %s, %s %zu, status %d\n", file.c_str(), kNames[progress.damage % kDamages],
                  progress.place, status);
      progress.place += every;
    }
    const bool cut_off = progress.damage < kDamages;
    std::printf("%s: %zu refused, %zu the same, %zu other, slowest %.1f ms%s%s%s\n", file.c_str(),
                progress.refused, progress.same, progress.other, progress.slowest * 1e3,
                progress.other_when_cut != 0 ? ", CUT AND READ" : "", progress.slow != 0 ? ", SLOW" : "",
                cut_off ? ", not to its end" : "");
    ++done;
    left += cut_off ? 1 : 0;
    all.tried += progress.tried;
    all.refused += progress.refused;
    all.same += progress.same;
    all.other += progress.other;
    all.other_when_cut += progress.other_when_cut;
    all.slow += progress.slow;
    all.slowest = std::max(all.slowest, progress.slowest);
  }
  std::printf(
      "%zu files, %zu damaged ones read: %zu refused, %zu said the same, %zu something else (%zu of them cut "
      "short), "
      "%zu crashed, the slowest took %.1f ms\n",
      done, all.tried, all.refused, all.same, all.other, all.other_when_cut, crashes, all.slowest * 1e3);
  if (left != 0) std::printf("%zu files were not done, or not to their end\n", left);
  return crashes + all.slow + all.other_when_cut != 0 || done == 0 ? 1 : 0;
}
