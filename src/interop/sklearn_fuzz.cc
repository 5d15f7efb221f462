#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "interop/sklearn.h"
#include "model/model_file.h"

namespace {

void judge(const nidus::interop::Artefact& artefact, int level) {
  if (artefact.model != nullptr && artefact.model->inputs() < 1000) {
    std::vector<double> rows(3 * artefact.model->inputs());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      rows[i] = i % 5 == 0 ? std::nan("") : i % 7 == 0 ? -INFINITY : static_cast<double>(i % 11) - 4;
    }
    (void)nidus::model::all_scores(*artefact.model, std::span<const double>(rows), 3);
    if (!artefact.columns.empty() && artefact.columns.size() != artefact.model->inputs()) std::abort();
  }
  if (artefact.transform != nullptr && artefact.transform->inputs() < 1000) {
    const std::vector<double> row(artefact.transform->inputs(), 0.5);
    std::vector<double> out(artefact.transform->outputs());
    artefact.transform->apply(row, 1, out);
  }
  if (level > 20) std::abort();
  for (const auto& [name, member] : artefact.members) judge(member, level + 1);
}

}  // namespace

// Whatever the bytes: refused, or something that judges and prepares rows; and the outline is not stricter.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto artefact = nidus::interop::read_pickle(bytes);
  const auto outline = nidus::interop::read_pickle(bytes, nidus::interop::Reading::outline);
  if (!artefact) return 0;
  if (!outline) std::abort();
  judge(*artefact, 0);
  return 0;
}
