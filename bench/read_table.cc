// Reads a table and says how fast: what bench/table_peers.py holds other readers against.
//
//   read_table FILE [THREADS [ROUNDS]]
//
// Processor time is that of all threads, from the path to the finished table.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "data/table_reader.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "read_table FILE [THREADS [ROUNDS]]\n");
    return 2;
  }
  nidus::data::TableOptions options;
  options.threads = argc > 2 ? static_cast<std::size_t>(std::atoi(argv[2])) : 1;
  const int rounds = argc > 3 ? std::atoi(argv[3]) : 1;
  for (int round = 0; round < rounds; ++round) {
    nidus::data::TableReport report;
    const auto start = std::chrono::steady_clock::now();
    const std::clock_t start_processor = std::clock();
    const auto table = nidus::data::read_table(argv[1], options, &report);
    const double processor = static_cast<double>(std::clock() - start_processor) / CLOCKS_PER_SEC;
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (!table) {
      std::fprintf(stderr, "%s\n", table.error().message.c_str());
      return 1;
    }
    std::printf("%zu rows, %zu columns, %.4f s, %.4f s of processor time, %.1f MB/s of text\n", table->rows(),
                table->columns(), seconds.count(), processor,
                static_cast<double>(report.bytes) / 1e6 / seconds.count());
  }
  return 0;
}
