#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>
#include <string_view>

#include "learn/boost_trainer.h"
#include "learn/forest_trainer.h"
#include "learn/isolation_trainer.h"

// Trains on a matrix of raw floats, without any file format or table in between, so that the time is that of
// training alone: what bench/training_peers.py puts beside scikit-learn and the xgboost package.
//
//   train_matrix forest|extra|boost|isolation TREES THREADS COLUMNS TRAIN.f32 TRAIN.u8 TEST.f32 SCORES.f64
//   [SEED]
//
// TRAIN.f32 and TEST.f32: rows × COLUMNS little-endian floats. TRAIN.u8: a label a row, 0 or 1. SCORES.f64:
// the score of each test row. Prints one line of JSON: seconds of processor time, and memory in megabytes
// before and at most.

namespace {

using namespace nidus;

template <class T>
std::vector<T> read(const char* path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", path);
    std::exit(1);
  }
  std::vector<T> out(static_cast<std::size_t>(file.tellg()) / sizeof(T));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size() * sizeof(T)));
  return out;
}

// The most memory since the program began. getrusage would count the process it was started from.
double peak_mb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::strtod(line.c_str() + 6, nullptr) / 1024;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 9 && argc != 10) {
    std::fprintf(
        stderr,
        "usage: train_matrix forest|extra|boost|isolation TREES THREADS COLUMNS TRAIN.f32 TRAIN.u8 TEST.f32 "
        "SCORES.f64 [SEED]\n");
    return 2;
  }
  const std::string_view kind = argv[1];
  const auto trees = std::strtoull(argv[2], nullptr, 10), threads = std::strtoull(argv[3], nullptr, 10),
             columns = std::strtoull(argv[4], nullptr, 10),
             seed = argc == 10 ? std::strtoull(argv[9], nullptr, 10) : 1;
  learn::Dataset training;
  training.schema.resize(columns);
  for (std::size_t i = 0; i < columns; ++i) training.schema[i].name = std::to_string(i);
  training.classes = {"benign", "attack"};
  training.values = read<float>(argv[5]);
  {
    const auto labels = read<std::uint8_t>(argv[6]);
    training.labels.assign(labels.begin(), labels.end());
  }
  const double before = peak_mb();
  const std::clock_t start = std::clock();
  std::shared_ptr<const model::Model> model;
  if (kind == "boost") {
    learn::BoostOptions options;
    options.rounds = trees;
    options.threads = threads;
    options.seed = seed;
    auto fitted = learn::fit_boost(training, nullptr, options);
    if (!fitted) return std::fprintf(stderr, "%s\n", fitted.error().message.c_str()), 1;
    model = std::make_shared<model::Boost>(std::move(fitted->model));
  } else if (kind == "isolation") {
    learn::IsolationOptions options;
    options.trees = trees;
    options.threads = threads;
    options.seed = seed;
    auto fitted = learn::fit_isolation_forest(training, options);
    if (!fitted) return std::fprintf(stderr, "%s\n", fitted.error().message.c_str()), 1;
    model = std::make_shared<model::AdditiveTrees>(std::move(*fitted));
  } else {
    learn::ForestOptions options;
    options.trees = trees;
    options.threads = threads;
    options.seed = seed;
    options.extra_trees = kind == "extra";
    options.bootstrap = !options.extra_trees;
    auto fitted = learn::fit_forest(training, options);
    if (!fitted) return std::fprintf(stderr, "%s\n", fitted.error().message.c_str()), 1;
    model = std::make_shared<model::Forest>(std::move(fitted->forest));
  }
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  const double after = peak_mb();
  const auto test = read<float>(argv[7]);
  const std::clock_t began = std::clock();
  const auto scores = model::attack_scores(*model, test, test.size() / columns);
  const double scoring = static_cast<double>(std::clock() - began) / CLOCKS_PER_SEC;
  std::ofstream(argv[8], std::ios::binary)
      .write(reinterpret_cast<const char*>(scores.data()),
             static_cast<std::streamsize>(scores.size() * sizeof(double)));
  std::printf(
      "{\"seconds\": %.4f, \"scoring\": %.4f, \"data_mb\": %.0f, \"peak_mb\": %.0f, \"model\": \"%s\"}\n",
      seconds, scoring, before, after, model->describe().c_str());
}
