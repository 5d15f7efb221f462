#pragma once

// Small detectors for tests. Not part of the program.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "detect/detector.h"
#include "detect/subject.h"
#include "model/forest.h"
#include "net/address.h"

namespace nidus::detect {

// One tree over two columns: column 0 <= 4 goes to the first leaf, all else to the second.
inline std::shared_ptr<const model::Model> classes_model(std::vector<float> low,
                                                         const std::vector<float>& high) {
  model::TreeSet::Parts parts;
  parts.inputs = 2;
  parts.width = low.size();
  parts.nodes =
      std::vector<model::Node>{model::Node::inner(4, 0, 1), model::Node::leaf(1, 0), model::Node::leaf(2, 1)};
  parts.roots = std::vector<std::uint32_t>{0, 3};
  low.insert(low.end(), high.begin(), high.end());
  parts.leaves = std::move(low);
  auto trees = model::TreeSet::make(std::move(parts));
  return std::make_shared<model::Forest>(std::move(*model::Forest::make(std::move(*trees))));
}

inline std::shared_ptr<const model::Model> split_model(float low, float high) {
  return classes_model({low}, {high});
}

inline Manifest binary_manifest() {
  Manifest manifest;
  manifest.name = "small";
  manifest.meter.emplace().active_timeout = std::chrono::seconds(60);
  manifest.meter_description = "native active=60s";
  manifest.schema = {{"dst_port", model::Column::Kind::numeric, {}, ""},
                     {"fwd_pkts", model::Column::Kind::numeric, {}, ""}};
  manifest.members.resize(1);
  manifest.labels = {"benign", "attack"};
  return manifest;
}

inline Manifest classes_manifest(double threshold) {
  Manifest manifest = binary_manifest();
  manifest.kind = Manifest::Kind::classes;
  manifest.labels = {"benign", "dos", "scan"};
  manifest.threshold.value = threshold;
  return manifest;
}

// Tells scans from the rest.
inline Detector scan_detector() {
  return *Detector::make(classes_manifest(0.5), {classes_model({1, 0, 0}, {0, 0, 1})});
}

inline constexpr Verdict kScan{2, 0.75, 0.875}, kBenign{0, 0.9, 0.125};

inline Subject flow(std::string_view from, std::string_view to, std::uint16_t to_port,
                    std::int64_t start_us = 1'700'000'000'123'456) {
  Subject subject;
  subject.input = "day.pcap";
  subject.number = 7;
  subject.has_addresses = true;
  const auto source = net::parse_address(from), destination = net::parse_address(to);
  subject.tuple = {source->address,    destination->address, 4000, to_port,
                   net::protocol::tcp, source->version,      0};
  subject.start_us = start_us;
  subject.last_us = start_us + 1'000'000;
  subject.packets[0] = 3;
  subject.bytes[0] = 100;
  return subject;
}

}  // namespace nidus::detect
