#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "serve/internal/capture_answer.h"
#include "store/records.h"

namespace nidus::serve::internal {

// What the store keeps of a job on a capture, so that it can be done, or its answer be told, after a restart.
// A value. Files are not part of it.
struct JobRecord {
  std::string id, owner, detector, version;
  store::JobState state = store::JobState::waiting;
  AnswerWish wish;
  std::uint64_t bytes = 0;         // of the capture
  std::uint64_t starts = 0;        // how often it was begun
  std::uint64_t looked_at = 0;     // verdicts, from the first, of which those to be kept are in the store
  std::uint64_t answer_bytes = 0;  // when it is done
  std::uint64_t packets = 0, flows = 0;
  double progress = 0;
  std::string error;
  std::int64_t created_us = 0, changed_us = 0;

  // 32 hexadecimal digits: what is safe as the name of a file.
  static bool is_id(std::string_view text);
};

store::Job to_job(const JobRecord& record);

// Errc::corrupt for a job that is none of ours.
Result<JobRecord> from_job(const store::Job& job);

}  // namespace nidus::serve::internal
