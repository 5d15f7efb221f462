// score_model MODEL ROWS [SCORES]: loads a model file, of ours or of another program, and scores raw float32
// rows with it, one thread, and prints what that took as JSON: nanoseconds a row in one batch and
// microseconds for one row alone, the best of several; what the process grew by loading it, and the most it
// was. A model that computes in double gets doubles. SCORES takes the scores as raw float64. Part of
// bench/scoring_peers.py and bench/foreign_peers.py.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "interop/read.h"
#include "model/model_file.h"

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

template <class Work>
double best_seconds(int rounds, const Work& work) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < rounds; ++i) {
    const auto start = std::chrono::steady_clock::now();
    work();
    best = std::min(best, seconds_since(start));
  }
  return best;
}

using Shared = std::shared_ptr<const nidus::model::Model>;

nidus::Result<Shared> load(const char* path) {
  {
    const auto mapped = nidus::MappedFile::open(path);
    if (!mapped) return mapped.error();
    if (nidus::interop::format_of(mapped->bytes()) != nidus::interop::Format::none) {
      auto artefact = nidus::interop::read_artefact(mapped->bytes());
      if (!artefact) return artefact.error();
      if (artefact->model == nullptr) return nidus::Error{nidus::Errc::unsupported, "no model"};
      return artefact->model;
    }
  }
  auto file = nidus::model::load_model(path);
  if (!file) return file.error();
  return file->model;
}

template <class Number>
void score(const nidus::model::Model& model, std::span<const Number> rows, std::size_t count,
           std::span<double> scores) {
  if constexpr (sizeof(Number) == sizeof(float)) model.score(rows, count, scores);
  if constexpr (sizeof(Number) == sizeof(double)) model.score_wide(rows, count, scores);
}

// A line of /proc/self/status, "VmRSS" or "VmHWM", in MB. "RssAnon" is what is no part of a file.
double status_mb(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name + ":"))
      return std::strtod(line.c_str() + name.size() + 1, nullptr) * 1024 / 1e6;
  }
  return 0;
}

struct Times {
  double batch = 0, one = 0;  // seconds for all rows; for the first `alone` one after the other
  std::size_t alone = 0;
};

template <class Number>
Times measure(const nidus::model::Model& model, std::span<const Number> rows, std::span<double> scores) {
  const std::size_t width = model.inputs(), count = rows.size() / width;
  Times out;
  out.batch = best_seconds(7, [&] { score(model, rows, count, scores); });
  // One row after the other, each for itself: the mean of a pass, the best pass.
  out.alone = std::min<std::size_t>(count, 1000);
  std::vector<double> each(model.outputs());
  out.one = best_seconds(7, [&] {
    for (std::size_t row = 0; row < out.alone; ++row)
      score(model, rows.subspan(row * width, width), 1, std::span(each));
  });
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: score_model MODEL ROWS [SCORES]\n", stderr);
    return 2;
  }
  // The first load tells what a model takes: how much larger the process is with it, and was at most.
  const double before = status_mb("VmRSS"), own_before = status_mb("RssAnon");
  const auto loaded = load(argv[1]);
  if (!loaded) {
    std::fprintf(stderr, "%s\n", loaded.error().message.c_str());
    return 1;
  }
  const double after = status_mb("VmRSS"), own_after = status_mb("RssAnon"), most = status_mb("VmHWM");
  const double seconds = best_seconds(5, [&] {
    if (!load(argv[1])) std::exit(1);
  });
  const auto bytes = nidus::read_file(argv[2]);
  if (!bytes) return 1;
  const auto& model = **loaded;
  std::vector<float> rows(bytes->size() / sizeof(float));
  std::memcpy(rows.data(), bytes->data(), rows.size() * sizeof(float));
  const std::size_t count = rows.size() / model.inputs();
  std::vector<double> scores(count * model.outputs());
  const std::vector<double> wide(rows.begin(), rows.end());
  const Times times =
      model.is_wide() ? measure<double>(model, wide, scores) : measure<float>(model, rows, scores);
  if (argc > 3) {
    std::ofstream out(argv[3], std::ios::binary);
    out.write(reinterpret_cast<const char*>(scores.data()),
              static_cast<std::streamsize>(scores.size() * sizeof(double)));
  }
  std::printf(
      "{\"load_ms\": %.3f, \"batch_ns_row\": %.2f, \"one_us\": %.3f, \"model_mb\": %.1f, \"own_mb\": %.1f, "
      "\"most_mb\": "
      "%.1f}\n",
      seconds * 1e3, times.batch * 1e9 / static_cast<double>(count),
      times.one * 1e6 / static_cast<double>(times.alone), after - before, own_after - own_before, most);
  return 0;
}
