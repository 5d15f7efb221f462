#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/parallel.h"
#include "base/result.h"
#include "detect/binding.h"
#include "detect/detector.h"
#include "flow/record.h"

namespace nidus::detect {

// Verdicts on flow records, block by block, on all threads. The verdict on a record depends on nothing but
// the record.
class RecordJudge {
 public:
  // Errc::unsupported if the detector was trained on tables that no meter of ours makes, with the first
  // column that flows do not have. The detector is shared; the workers must outlive the judge.
  static Result<RecordJudge> make(const Detector& detector, Workers& workers);

  // One verdict for each record, valid until the next call.
  std::span<const Verdict> judge(std::span<const flow::FlowRecord* const> records);
  // What the detector saw of the records, row-major, rounded to float; valid as long as the verdicts.
  std::span<const float> rows() const { return rows_; }

 private:
  RecordJudge(const Detector& detector, FlowBinding binding, Workers& workers)
      : detector_(detector), binding_(std::move(binding)), workers_(&workers) {}

  Detector detector_;
  FlowBinding binding_;
  Workers* workers_;
  std::vector<float> rows_;
  std::vector<double> wide_rows_;  // of a wide model
  std::vector<Verdict> verdicts_;
};

}  // namespace nidus::detect
