// From a capture to all features of every flow, in memory, written nowhere: what metering alone costs.
//
//   rows_in_memory CAPTURE [THREADS]     1 thread if not given
//
// Prints packets, flows, evictions, time, rate and what the meter held in memory at the end of the last
// block.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "base/text.h"
#include "detect/pipeline.h"
#include "flow/features.h"

int main(int argc, char** argv) {
  using namespace nidus;
  if (argc < 2 || argc > 3) {
    fmt::print(stderr, "rows_in_memory CAPTURE [THREADS]\n");
    return 2;
  }
  detect::PipelineOptions options;
  options.threads = argc > 2 ? static_cast<std::size_t>(std::strtoul(argv[2], nullptr, 10)) : 1;
  detect::Pipeline pipeline(options);
  auto capture = net::Capture::open(argv[1]);
  if (!capture) {
    fmt::print(stderr, "{}\n", capture.error().message);
    return 3;
  }
  flow::FeatureRow row;
  double sum = 0;  // printed, so that nothing is optimised away
  const auto statistics = pipeline.run(*capture, [&](std::span<const flow::FlowRecord* const> records) {
    for (const auto* record : records) {
      flow::compute_features(options.meter.profile, *record, row);
      sum += row[static_cast<std::size_t>(flow::Feature::flow_duration)];
    }
    return true;
  });
  fmt::print(
      "{} packets, {} flows, {} evicted, {} bytes of meter; {:.3f} s, {:.3f} million packets/s (sum {})\n",
      with_thousands(statistics.frames), with_thousands(statistics.meter.flows),
      with_thousands(statistics.meter.flows_evicted), with_thousands(statistics.meter.bytes_in_use),
      statistics.seconds, static_cast<double>(statistics.frames) / statistics.seconds * 1e-6, sum);
  return 0;
}
