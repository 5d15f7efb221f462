// Whatever the bytes of a kept job (what was asked, a line feed, what came of it): no crash, and what is
// accepted is read the same again from what is written of it.
#include <cstdlib>
#include <string_view>

#include "serve/internal/job_record.h"

namespace {

bool is_same(const nidus::store::Job& a, const nidus::store::Job& b) {
  return a.request == b.request && a.result == b.result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nidus;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto line = text.find('\n');
  store::Job job;
  job.kind = "capture";
  job.id = "0123456789abcdef0123456789abcdef";
  job.state = store::JobState::done;
  job.request = text.substr(0, line);
  if (line != std::string_view::npos) job.result = text.substr(line + 1);
  const auto record = serve::internal::from_job(job);
  if (!record) return 0;
  const auto written = to_job(*record);
  const auto again = serve::internal::from_job(written);
  if (!again || !is_same(to_job(*again), written)) std::abort();
  return 0;
}
