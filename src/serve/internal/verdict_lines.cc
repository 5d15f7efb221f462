#include "serve/internal/verdict_lines.h"

#include <cstring>

#include "base/json_writer.h"
#include "base/number.h"
#include "base/text.h"

namespace nidus::serve::internal {

void VerdictLines::begin(std::string& out) const {
  if (form_ == VerdictForm::csv) out += "row,attack,label,score,label_score\n";
}

void VerdictLines::append_object(const Served& served, const Judged& judged, std::size_t row,
                                 std::uint64_t number, std::span<const float> seen,
                                 std::span<const double> contributions, std::string& out) const {
  const ServedDetector& detector = judged.judge_of(served, row);
  const auto& verdict = judged.scores.verdicts[row];
  JsonWriter json(out);
  json.begin_object();
  json.field("row", number);
  json.field("attack", verdict.is_attack());
  json.field("label", detector.manifest().labels[verdict.label]);
  json.field("score", verdict.score);
  json.field("label_score", verdict.label_score);
  if (&detector != served.active.get()) json.field("version", detector.version());
  if (!contributions.empty()) {
    json.key("explanation");
    detector.reasoner()->json(detector.reasoner()->top(seen, contributions, explain_), json);
  }
  json.end_object();
}

void VerdictLines::append(const Served& served, const Judged& judged, std::span<const double> rows,
                          std::size_t count, std::uint64_t first, std::string& out) {
  const std::size_t width = served.active->inputs();
  for (std::size_t i = 0; i < count; ++i) {
    const auto& verdict = judged.scores.verdicts[i];
    switch (form_) {
      case VerdictForm::json:
      case VerdictForm::ndjson: {
        const auto* reasoner = explain_ == 0 ? nullptr : judged.judge_of(served, i).reasoner();
        std::vector<float> seen;
        std::vector<double> contributions;
        if (reasoner != nullptr) {
          const auto row = rows.subspan(i * width, width);
          seen.assign(row.begin(), row.end());
          contributions.resize(width + 1);
          reasoner->contributions(seen, 1, contributions);
        }
        if (form_ == VerdictForm::json && first + i != 0) out += ',';
        append_object(served, judged, i, first + i, seen, contributions, out);
        if (form_ == VerdictForm::ndjson) out += '\n';
        break;
      }
      case VerdictForm::csv:
        append_number(out, static_cast<std::uint64_t>(first + i));
        out += verdict.is_attack() ? ",1," : ",0,";
        append_csv_cell(out, judged.judge_of(served, i).manifest().labels[verdict.label]);
        out += ',';
        if (verdict.is_judged()) append_number(out, verdict.score);
        out += ',';
        if (verdict.is_judged()) append_number(out, verdict.label_score);
        out += '\n';
        break;
      case VerdictForm::binary: {
        const auto score = static_cast<float>(verdict.score);
        char bytes[8];
        std::memcpy(bytes, &score, 4);  // the processors we build for are little endian
        std::memcpy(bytes + 4, &verdict.label, 4);
        out.append(bytes, 8);
        break;
      }
    }
  }
}

}  // namespace nidus::serve::internal
