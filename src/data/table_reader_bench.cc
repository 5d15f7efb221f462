#include <benchmark/benchmark.h>

#include <string>

#include "base/number.h"
#include "base/random.h"
#include "data/csv_writer.h"
#include "data/table_reader.h"

namespace {

// Rows as a flow meter writes them: 78 numbers, half of them zero or small, and a label.
std::string flow_table(std::size_t rows) {
  nidus::Random random(1);
  std::string out;
  for (int i = 0; i < 78; ++i) out += "Feature " + std::to_string(i) + ",";
  out += "Label\n";
  for (std::size_t row = 0; row < rows; ++row) {
    for (int i = 0; i < 78; ++i) {
      const auto kind = random.below(8);
      if (kind < 3) {
        out += '0';
      } else if (kind < 6) {
        nidus::append_number(out, static_cast<std::uint64_t>(random.below(100000)));
      } else {
        nidus::append_number(out, random.unit() * 1e5);
      }
      out += ',';
    }
    out += random.below(4) == 0 ? "DoS Hulk\n" : "BENIGN\n";
  }
  return out;
}

void read_table(benchmark::State& state) {
  const std::string text = flow_table(20000);
  for (auto _ : state) {
    auto table = nidus::data::parse_table(text);
    if (!table) state.SkipWithError("does not parse");
    benchmark::DoNotOptimize(table);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * text.size()));
}
BENCHMARK(read_table)->Unit(benchmark::kMillisecond);

void write_table(benchmark::State& state) {
  const auto table = nidus::data::parse_table(flow_table(5000));
  std::size_t bytes = 0;
  for (auto _ : state) {
    nidus::data::CsvWriter csv;
    nidus::data::write_csv(*table, csv);
    bytes += csv.buffer().size();
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
}
BENCHMARK(write_table)->Unit(benchmark::kMillisecond);

}  // namespace
