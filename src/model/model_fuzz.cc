#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/digest.h"
#include "model/explain.h"
#include "model/model_file.h"

namespace {

// Makes the checksums fit, since no fuzzer guesses them.
void mend(std::vector<std::byte>& bytes) {
  if (bytes.size() < 64) return;
  std::uint32_t sections = 0;
  std::memcpy(&sections, &bytes[12], 4);
  const std::uint64_t size = bytes.size();
  std::memcpy(&bytes[16], &size, 8);
  if (sections > (bytes.size() - 64) / 32) return;
  for (std::uint32_t i = 0; i < sections; ++i) {
    std::byte* entry = &bytes[64 + i * 32];
    std::uint64_t offset = 0, length = 0;
    std::memcpy(&offset, entry, 8);
    std::memcpy(&length, entry + 8, 8);
    if (offset > bytes.size() || length > bytes.size() - offset) continue;
    const auto sum = nidus::checksum64(std::span(bytes).subspan(offset, length));
    std::memcpy(entry + 16, &sum, 8);
  }
  const auto table = nidus::checksum64(std::span(bytes).subspan(64, sections * 32));
  std::memcpy(&bytes[24], &table, 8);
  std::memset(&bytes[32], 0, 8);
  const auto header = nidus::checksum64(std::span(bytes).subspan(0, 64));
  std::memcpy(&bytes[32], &header, 8);
}

}  // namespace

// Whatever the bytes: refused, or a model whose scores lie where its scale says, whose reasons are numbers
// and that is written again as it was read.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto given = std::as_bytes(std::span(data, size));
  std::vector<std::byte> bytes(given.begin(), given.end());
  if (size % 4 != 0) mend(bytes);
  const auto file = nidus::model::parse_model(bytes);
  if (!file) return 0;
  const std::size_t inputs = file->model->inputs();
  std::vector<float> rows(inputs * 10);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i] = i % 7 == 0 ? std::nanf("") : i % 11 == 0 ? INFINITY : static_cast<float>(i % 5);
  }
  // Divided by zero, a row may become NaN, of which only trees make a score.
  using nidus::model::Scale;
  const auto scale = file->model->scale();
  for (const double score : nidus::model::all_scores(*file->model, std::span<const float>(rows), 10)) {
    if (score < 0 && scale != Scale::margin) std::abort();
    if (score > 1 + 1e-9 && scale != Scale::margin && scale != Scale::error) std::abort();
  }
  // What can be explained is made of numbers. Whether they add up is no question for hostile leaves: beside
  // 1e30 floats forget what doubles keep. What has no score is shared out as NaN, and only trees have gains.
  if (const auto explainer = nidus::model::Explainer::make(file->model, nidus::model::Explainer::Unit::score);
      explainer && scale != Scale::error) {
    std::vector<double> contributions(10 * (inputs + 1));
    nidus::model::explain_attack_score(*explainer, rows, 10, contributions);
    const auto scores = nidus::model::attack_scores(*file->model, rows, 10);
    for (std::size_t i = 0; i < contributions.size(); ++i) {
      if (std::isfinite(scores[i / (inputs + 1)]) && !std::isfinite(contributions[i])) std::abort();
    }
    const auto gain = nidus::model::gain_importance(*file->model);
    if (!gain && gain.error().code != nidus::Errc::unsupported) std::abort();
  }
  const auto written = nidus::model::serialise(*file);
  if (!written || !nidus::model::parse_model(std::as_bytes(std::span(*written)))) std::abort();
  return 0;
}
