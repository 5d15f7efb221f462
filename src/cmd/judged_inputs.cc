#include "cmd/judged_inputs.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "base/parallel.h"
#include "cmd/exit_status.h"
#include "cmd/inputs.h"
#include "cmd/metering.h"
#include "cmd/terminal.h"
#include "data/schemas.h"
#include "data/split.h"
#include "data/table_reader.h"
#include "detect/binding.h"
#include "detect/pipeline.h"
#include "detect/record_judge.h"
#include "detect/table_judge.h"
#include "model/schema.h"

namespace nidus::cmd {
namespace {

constexpr std::size_t kRowsAtOnce = 1u << 16;
constexpr double kNoTime = std::numeric_limits<double>::quiet_NaN();

std::vector<double> times_in(const data::Table& table) {
  for (std::size_t i = 0; i < table.columns(); ++i) {
    if (data::role_of(table.column(i).name) == data::Role::time) return data::times_of(table.column(i));
  }
  return std::vector<double>(table.rows(), kNoTime);
}

// The inputs of one call of judge_inputs().
class InputJudge {
 public:
  using Sink = std::function<void(const JudgedRows&)>;

  InputJudge(const detect::Detector& detector, std::uint64_t threads, bool any_profile, const Sink& sink)
      : detector_(detector), threads_(threads), any_profile_(any_profile), sink_(sink) {
    out_.unknown.resize(detector.inputs());
  }

  Result<void> judge(std::size_t at, const std::string& input) {
    const auto kind = kind_of(input);
    if (!kind) return kind.error();
    switch (*kind) {
      case InputKind::capture:
        return judge_capture(at, input);
      case InputKind::table:
        return judge_table(at, input);
      case InputKind::detector:
      case InputKind::model_file:
      case InputKind::foreign:
        break;
    }
    return Error{Errc::unsupported, input + ": neither a capture nor a table"};
  }

  JudgedInputs take() { return std::move(out_); }

 private:
  Result<void> judge_capture(std::size_t at, const std::string& input) {
    if (!pipeline_) {
      detect::PipelineOptions options;
      options.threads = threads_;
      if (detector_.manifest().meter) options.meter = *detector_.manifest().meter;
      pipeline_.emplace(options);
      auto judge = detect::RecordJudge::make(detector_, pipeline_->workers());
      if (!judge) return std::move(judge).error();
      judge_.emplace(std::move(*judge));
    }
    std::vector<double> times;
    const CaptureRun run =
        run_capture(*pipeline_, input, [&](std::span<const flow::FlowRecord* const> records) {
          const auto verdicts = judge_->judge(records);
          times.clear();
          for (const auto* record : records) times.push_back(static_cast<double>(record->start_us) * 1e-6);
          out_.rows += records.size();
          sink_({at, judge_->rows().first(records.size() * detector_.inputs()), verdicts, times});
          return true;
        });
    if (run.status == kInterrupted) return Error{Errc::io, "interrupted"};
    if (run.statistics.captures == 0) return Error{Errc::corrupt, input + ": no capture that can be read"};
    out_.status = worse(out_.status, run.status);
    return {};
  }

  Result<void> judge_table(std::size_t at, const std::string& input) {
    data::TableOptions options;
    options.threads = threads_;
    auto reader = data::TableReader::open(input, options);
    if (!reader) return std::move(reader).error();
    if (!table_judge_) {
      if (!workers_) workers_.emplace(threads_);
      table_judge_.emplace(detector_, *workers_, any_profile_);
    }
    table_judge_->choose_kinds(*reader);
    bool first = true;
    for (;; first = false) {
      if (interrupted()) return Error{Errc::io, "interrupted"};
      auto table = reader->next(kRowsAtOnce);
      if (!table) return std::move(table).error();
      if (table->rows() == 0 && !first) break;
      if (auto done = judge_rows(at, *table); !done) return std::move(done).error().within(input);
      if (table->rows() == 0) break;
    }
    say_defects(reader->report(), "left out");
    if (reader->report().bad_rows() != 0) out_.status = worse(out_.status, kBadInput);
    return {};
  }

  Result<void> judge_rows(std::size_t at, const data::Table& table) {
    const auto verdicts = table_judge_->judge(table, &values_);
    if (!verdicts) return verdicts.error();
    const auto schema = detect::schema_in(detector_.manifest().schema, table);
    if (!schema) return schema.error();
    const std::size_t inputs = detector_.inputs(), rows = table.rows();
    // A text that is there and became nothing is one that the detector does not know.
    for (std::size_t input = 0; input < inputs; ++input) {
      if ((*schema)[input].kind != model::Column::Kind::categorical) continue;
      const data::Column* const column = table.get((*schema)[input].name);
      for (std::size_t row = 0; column != nullptr && row < rows; ++row) {
        if (std::isnan(values_[row * inputs + input]) && !column->missing(row)) ++out_.unknown[input];
      }
    }
    const auto times = times_in(table);
    out_.rows += rows;
    if (rows > 0) sink_({at, values_, *verdicts, times});
    return {};
  }

  const detect::Detector& detector_;
  std::uint64_t threads_;
  bool any_profile_;
  const Sink& sink_;
  JudgedInputs out_;
  std::optional<detect::Pipeline> pipeline_;
  std::optional<detect::RecordJudge> judge_;
  std::optional<Workers> workers_;  // of the judge of tables; a pipeline has its own
  std::optional<detect::TableJudge> table_judge_;
  std::vector<float> values_;
};

}  // namespace

Result<JudgedInputs> judge_inputs(const detect::Detector& detector, const std::vector<std::string>& inputs,
                                  std::uint64_t threads, bool any_profile,
                                  const std::function<void(const JudgedRows&)>& sink) {
  InputJudge judge(detector, threads, any_profile, sink);
  for (std::size_t at = 0; at < inputs.size(); ++at) {
    if (auto done = judge.judge(at, inputs[at]); !done) return std::move(done).error();
  }
  return judge.take();
}

}  // namespace nidus::cmd
