// score_model MODEL ROWS [SCORES]: loads a model file and scores raw float32 rows with it, one thread, and
// prints what that took as JSON: nanoseconds a row in one batch and microseconds for one row alone, the best
// of several. SCORES takes the scores as raw float64. Part of bench/scoring_peers.py.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
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

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: score_model MODEL ROWS [SCORES]\n", stderr);
    return 2;
  }
  const double load = best_seconds(5, [&] {
    if (const auto file = nidus::model::load_model(argv[1]); !file) {
      std::fprintf(stderr, "%s\n", file.error().message.c_str());
      std::exit(1);
    }
  });
  const auto file = nidus::model::load_model(argv[1]);
  const auto bytes = nidus::read_file(argv[2]);
  if (!file || !bytes) return 1;
  std::vector<float> rows(bytes->size() / sizeof(float));
  std::memcpy(rows.data(), bytes->data(), rows.size() * sizeof(float));
  const auto& model = *file->model;
  const std::size_t count = rows.size() / model.inputs();
  std::vector<double> scores(count * model.outputs());
  const double batch = best_seconds(7, [&] { model.score(rows, count, scores); });
  if (argc > 3) {
    std::ofstream out(argv[3], std::ios::binary);
    out.write(reinterpret_cast<const char*>(scores.data()),
              static_cast<std::streamsize>(scores.size() * sizeof(double)));
  }
  // One row after the other, each for itself: the mean of a pass, the best pass.
  const std::size_t alone = std::min<std::size_t>(count, 1000);
  const double one = best_seconds(7, [&] {
    for (std::size_t row = 0; row < alone; ++row) {
      model.score(std::span(rows).subspan(row * model.inputs(), model.inputs()), 1,
                  std::span(scores).subspan(row * model.outputs(), model.outputs()));
    }
  });
  std::printf("{\"load_ms\": %.3f, \"batch_ns_row\": %.2f, \"one_us\": %.3f}\n", load * 1e3,
              batch * 1e9 / static_cast<double>(count), one * 1e6 / static_cast<double>(alone));
  return 0;
}
