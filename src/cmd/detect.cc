#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/json_writer.h"
#include "base/parallel.h"
#include "base/text.h"
#include "cmd/arguments.h"
#include "cmd/exit_status.h"
#include "cmd/inputs.h"
#include "cmd/load_detector.h"
#include "cmd/metering.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"
#include "data/table_reader.h"
#include "detect/binding.h"
#include "detect/detector.h"
#include "detect/pipeline.h"
#include "detect/reasons.h"
#include "detect/record_judge.h"
#include "detect/site_threshold.h"
#include "detect/subject.h"
#include "detect/summary.h"
#include "detect/table_judge.h"
#include "detect/unknown_texts.h"
#include "detect/verdict_writer.h"

namespace nidus::cmd {
namespace {

using Records = std::span<const flow::FlowRecord* const>;

// Rows of a table held at once.
constexpr std::size_t kTableRows = 1u << 16;
constexpr std::size_t kBufferBytes = 1u << 16;

struct DetectArguments {
  std::vector<std::string> inputs;
  std::string detector, output, format;
  bool fail_on_alert = false, attacks_only = false, any_profile = false, json = false, explain = false;
  std::uint64_t top = 5, threads = 0, reasons = 3, early = 0;
  std::optional<double> threshold, rolling;

  void declare(Arguments& arguments) {
    arguments.inputs(inputs, "input",
                     "Captures and tables of flows, mixed as you like; - is a capture on standard input");
    arguments.option(
        "-d,--detector", detector,
        "The detector's folder, or a model of another program; otherwise the environment's NIDUS_DETECTOR");
    arguments.option("--format", format, "Each verdict, and not only the summary",
                     {"table", "csv", "ndjson", "eve"});
    arguments.option("-o,--output", output, "Where the verdicts go; standard output if not given");
    arguments.option("--threshold", threshold,
                     "Attack from this score on, instead of the detector's own threshold", 0, 1e300);
    arguments.option("--rolling", rolling,
                     "Draw the line again and again on the rows that come by, so that this share of them are "
                     "attacks; it begins with the detector's own",
                     1e-6, 0.5);
    arguments.flag("--explain", explain, "Say which features made the score what it is");
    arguments.option("--reasons", reasons, "explain: features named for each verdict", 1000);
    arguments.option(
        "--early", early,
        "Judge a flow of a capture after so many packets, or at its end if it has fewer; 0: as the "
        "detector says",
        UINT32_MAX);
    arguments.option("--top", top, "Sources listed for each label", 100000);
    arguments.option("--threads", threads, "Threads; 0 is one for each processor", 1024);
    arguments.flag("--attacks-only", attacks_only, "csv and ndjson: leave out what is benign");
    arguments.flag("--any-profile", any_profile, "Judge tables even if they were metered in another way");
    arguments.flag("--fail-on-alert", fail_on_alert, "Exit with 10 if there was an attack");
    arguments.flag("--json", json, "The summary as JSON");
    arguments.footer(
        "Without --format the summary goes to standard output. With it the verdicts do, and the summary goes "
        "to\n"
        "standard error: table (attacks only, for people), csv and ndjson (a line for every flow), eve "
        "(Suricata's\n"
        "EVE JSON, an alert for every attack).");
  }
};

detect::VerdictFormat format_from_name(std::string_view name) {
  if (name == "csv") return detect::VerdictFormat::csv;
  if (name == "ndjson") return detect::VerdictFormat::ndjson;
  if (name == "eve") return detect::VerdictFormat::eve;
  return detect::VerdictFormat::table;
}

// Which features, on average, moved the scores of what got a label.
class LabelReasons {
 public:
  explicit LabelReasons(const detect::Manifest& manifest)
      : manifest_(manifest), flows_(manifest.labels.size()), sums_(manifest.labels.size()) {}

  void add(std::uint32_t label, std::span<const double> contributions) {
    ++flows_[label];
    sums_[label].resize(manifest_.schema.size());
    for (std::size_t i = 0; i < manifest_.schema.size(); ++i) sums_[label][i] += contributions[i];
  }

  std::string to_text(std::size_t most) const {
    std::size_t width = 5;
    for (const auto& label : manifest_.labels) width = std::max(width, label.size());
    std::string out = fmt::format("  {:<{}}  mean contribution to the score\n", "label", width);
    for (std::size_t label = 0; label < flows_.size(); ++label) {
      if (flows_[label] == 0) continue;
      std::string line;
      for (const auto& [column, mean] : largest(label, most))
        line += fmt::format("{}{} {:+.3f}", line.empty() ? "" : ", ", manifest_.schema[column].name, mean);
      out += fmt::format("  {:<{}}  {}\n", manifest_.labels[label], width, line);
    }
    return out;
  }

  void to_json(std::size_t most, JsonWriter& json) const {
    json.begin_array();
    for (std::size_t label = 0; label < flows_.size(); ++label) {
      if (flows_[label] == 0) continue;
      json.begin_object();
      json.field("label", manifest_.labels[label]);
      json.field("flows", flows_[label]);
      json.key("reasons");
      json.begin_array();
      for (const auto& [column, mean] : largest(label, most)) {
        json.begin_object();
        json.field("feature", manifest_.schema[column].name);
        json.field("mean_contribution", mean);
        json.end_object();
      }
      json.end_array();
      json.end_object();
    }
    json.end_array();
  }

 private:
  std::vector<std::pair<std::size_t, double>> largest(std::size_t label, std::size_t most) const {
    std::vector<std::pair<std::size_t, double>> out;
    for (std::size_t i = 0; i < sums_[label].size(); ++i)
      out.emplace_back(i, sums_[label][i] / static_cast<double>(flows_[label]));
    std::stable_sort(out.begin(), out.end(),
                     [](const auto& a, const auto& b) { return std::abs(a.second) > std::abs(b.second); });
    out.resize(std::min(most, out.size()));
    return out;
  }

  const detect::Manifest& manifest_;
  std::vector<std::uint64_t> flows_;
  std::vector<std::vector<double>> sums_;  // by label and column
};

// Everything that judges the inputs one after the other, and keeps the sums.
class Run {
 public:
  // `reasoner` is null if nothing is to be explained.
  Run(const DetectArguments& given, const detect::Detector& detector, const detect::Reasoner* reasoner,
      Output& output)
      : given_(given),
        detector_(detector),
        judging_(given.rolling ? detector.with_threshold(std::numeric_limits<double>::lowest()) : detector),
        reasoner_(reasoner),
        output_(output),
        summary_(detector),
        unknown_texts_(detector.manifest().schema),
        label_reasons_(detector.manifest()) {
    if (given.format.empty()) return;
    detect::VerdictWriterOptions options;
    options.format = format_from_name(given.format);
    options.attacks_only = given.attacks_only;
    options.colours = has_colours(output.stream());
    options.reasons = reasoner;
    writer_.emplace(options, detector);
    writer_->header(buffer_);
  }

  int judge(const std::string& input) {
    const auto kind = kind_of(input);
    if (!kind) {
      complain(kind.error());
      return kBadInput;
    }
    switch (*kind) {
      case InputKind::capture:
        return judge_capture(input);
      case InputKind::table:
        return judge_table(input);
      case InputKind::detector:
      case InputKind::model_file:
      case InputKind::foreign:
        return complain({Errc::unsupported, input + ": neither a capture nor a table"});
    }
    return kFailed;
  }

  // The line is drawn again and again from now on.
  void roll(detect::RollingThreshold rolling) { rolling_.emplace(std::move(rolling)); }
  const std::optional<detect::RollingThreshold>& rolling() const { return rolling_; }

  // After the last input.
  void close() {
    flush();
    if (rolling_) summary_.set_rolling(*given_.rolling, rolling_->value());
  }

  void flush() {
    if (!buffer_.empty()) output_.write(buffer_);
    buffer_.clear();
  }

  bool go_on() const { return !interrupted() && !output_.reader_gone(); }
  const detect::VerdictSummary& summary() const { return summary_; }
  const detect::UnknownTexts& unknown_texts() const { return unknown_texts_; }
  const LabelReasons& label_reasons() const { return label_reasons_; }
  const std::string& inputs_text() const { return inputs_text_; }
  const std::vector<std::string>& inputs_json() const { return inputs_json_; }

 private:
  // Explains those of the verdicts that somebody is told about, on all threads. `fill` writes one row.
  template <class Fill>
  void explain(std::span<const detect::Verdict> verdicts, Workers& workers, const Fill& fill) {
    const std::size_t inputs = detector_.inputs(), width = inputs + 1;
    explained_.clear();
    for (std::size_t i = 0; i < verdicts.size(); ++i) {
      if (writer_ ? writer_->writes(verdicts[i]) : verdicts[i].is_attack()) explained_.push_back(i);
    }
    rows_.resize(explained_.size() * inputs);
    contributions_.resize(explained_.size() * width);
    explanations_.resize(explained_.size());
    constexpr std::size_t kPiece = 32;
    workers.run((explained_.size() + kPiece - 1) / kPiece, [&](std::size_t piece) {
      const std::size_t begin = piece * kPiece, count = std::min(kPiece, explained_.size() - begin);
      const auto rows = std::span(rows_).subspan(begin * inputs, count * inputs);
      const auto contributions = std::span(contributions_).subspan(begin * width, count * width);
      for (std::size_t i = 0; i < count; ++i) fill(explained_[begin + i], rows.subspan(i * inputs, inputs));
      reasoner_->contributions(rows, count, contributions);
      for (std::size_t i = 0; i < count; ++i) {
        explanations_[begin + i] = reasoner_->top(rows.subspan(i * inputs, inputs),
                                                  contributions.subspan(i * width, width), given_.reasons);
      }
    });
    for (std::size_t i = 0; i < explained_.size(); ++i) {
      label_reasons_.add(verdicts[explained_[i]].label, std::span(contributions_).subspan(i * width, width));
    }
  }

  // Sums up and writes verdicts; false if nobody wants more.
  template <class SubjectAt, class Fill>
  bool note_all(std::span<const detect::Verdict> verdicts, Workers& workers, const SubjectAt& subject_at,
                const Fill& fill) {
    constexpr std::size_t kPiece = 4096;  // whose explanations are held at once
    for (std::size_t first = 0; first < verdicts.size(); first += kPiece) {
      const auto some = verdicts.subspan(first, std::min(kPiece, verdicts.size() - first));
      if (reasoner_ != nullptr) {
        explain(some, workers, [&](std::size_t i, std::span<float> row) { fill(first + i, row); });
      }
      std::size_t next = 0;
      for (std::size_t i = 0; i < some.size(); ++i) {
        const bool has_reasons = reasoner_ != nullptr && next < explained_.size() && explained_[next] == i;
        const detect::Explanation* const why = has_reasons ? &explanations_[next++] : nullptr;
        if (rolling_ && writer_) writer_->set_threshold(lines_[first + i]);
        if (!note(subject_at(first + i), some[i], why)) return false;
      }
    }
    return true;
  }

  // With a line that moves the model's verdicts are drafts: each has the most likely attack, and becomes
  // benign below the line of its moment.
  std::span<const detect::Verdict> decided(std::span<const detect::Verdict> drafts) {
    if (!rolling_) return drafts;
    decided_.assign(drafts.begin(), drafts.end());
    lines_.clear();
    for (auto& verdict : decided_) {
      const double score = verdict.score;
      lines_.push_back(rolling_->value());
      if (!(score >= rolling_->value())) {
        verdict.label = 0;
        verdict.label_score = detector_.model().outputs() == 1 ? score : 1 - score;
      }
      rolling_->add(score);
    }
    return decided_;
  }

  bool note(const detect::Subject& subject, const detect::Verdict& verdict, const detect::Explanation* why) {
    summary_.add(subject, verdict);
    if (!writer_) return true;
    writer_->verdict(subject, verdict, buffer_, why);
    if (buffer_.size() < kBufferBytes) return true;
    const bool more = output_.write(buffer_);
    buffer_.clear();
    return more;
  }

  int judge_capture(const std::string& input) {
    if (!pipeline_) {
      detect::PipelineOptions options;
      options.threads = given_.threads;
      if (detector_.manifest().meter) options.meter = *detector_.manifest().meter;
      if (given_.early != 0) options.meter.partial_after_packets = static_cast<std::uint32_t>(given_.early);
      options.meter = detect::meter_for(detector_.manifest().schema, options.meter);
      pipeline_.emplace(options);
    }
    if (!judge_) {
      auto judge = detect::RecordJudge::make(judging_, pipeline_->workers());
      if (!judge) return complain(judge.error());
      judge_.emplace(std::move(*judge));
    }
    std::uint64_t number = 0;
    // Whoever watches a pipe wants to know now.
    const bool live = !std::filesystem::is_regular_file(input);
    const CaptureRun run = run_capture(*pipeline_, input, [&](Records records) {
      const auto verdicts = decided(judge_->judge(records));
      const std::size_t inputs = detector_.inputs();
      const bool more = note_all(
          verdicts, pipeline_->workers(),
          [&](std::size_t i) { return detect::subject_of(*records[i], input, ++number); },
          [&](std::size_t i, std::span<float> row) {
            std::copy_n(judge_->rows().begin() + static_cast<std::ptrdiff_t>(i * inputs), inputs,
                        row.begin());
          });
      if (live) flush();
      return more;
    });
    if (run.statistics.captures != 0) {
      inputs_text_ += summary_text(input, run.statistics);
      inputs_json_.push_back(summary_json(input, run.statistics));
    }
    return run.status;
  }

  int judge_table(const std::string& input) {
    const auto started = std::chrono::steady_clock::now();
    data::TableOptions options;
    options.threads = given_.threads;
    auto reader = data::TableReader::open(input, options);
    if (!reader) return complain(reader.error());
    if (!table_judge_) {
      if (!workers_) workers_.emplace(given_.threads);
      table_judge_.emplace(judging_, *workers_, given_.any_profile);
    }
    table_judge_->choose_kinds(*reader);
    std::uint64_t rows = 0;
    int status = kFine;
    while (go_on()) {
      const auto table = reader->next(kTableRows);
      if (!table) {
        complain(table.error());
        if (rows > 0) say(fmt::format("{}: the {} rows before it were judged", input, with_thousands(rows)));
        status = kBadInput;
        break;
      }
      if (table->rows() == 0 && rows > 0) break;
      // Also with no row at all: a table that lacks a column is no table without attacks.
      if (auto done = judge_rows(*table, input, rows); !done)
        return complain(std::move(done).error().within(input));
      if (table->rows() == 0) break;
      rows += table->rows();
    }
    say_defects(reader->report(), "not judged");
    if (reader->report().bad_rows() != 0) status = kBadInput;
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    inputs_text_ += fmt::format("{}: {} rows; {}, {}\n", input, with_thousands(rows), duration_text(seconds),
                                rate_text(static_cast<double>(rows) / seconds, "rows"));
    std::string& json_text = inputs_json_.emplace_back();
    JsonWriter json(json_text);
    json.begin_object();
    json.field("input", input);
    json.field("rows", rows);
    json.field("seconds", seconds);
    json.end_object();
    return interrupted() ? static_cast<int>(kInterrupted) : status;
  }

  Result<void> judge_rows(const data::Table& table, const std::string& input, std::uint64_t first) {
    const std::uint64_t empty_before = table_judge_->empty_rows();
    const auto verdicts = table_judge_->judge(table, reasoner_ != nullptr ? &table_rows_ : nullptr);
    if (!verdicts) return verdicts.error();
    unknown_texts_.add(table);
    summary_.add_empty(table_judge_->empty_rows() - empty_before);
    const detect::TableSubjects subjects(table, input);
    note_all(
        decided(*verdicts), *workers_,
        [&](std::size_t row) {
          detect::Subject subject = subjects.at(row);
          subject.number = first + row + 1;
          return subject;
        },
        [&](std::size_t row, std::span<float> out) {
          std::copy_n(table_rows_.begin() + static_cast<std::ptrdiff_t>(row * out.size()), out.size(),
                      out.begin());
        });
    return {};
  }

  const DetectArguments& given_;
  const detect::Detector& detector_;
  const detect::Detector judging_;  // with a line that moves: without any line
  std::optional<detect::RollingThreshold> rolling_;
  std::vector<detect::Verdict> decided_;
  std::vector<double> lines_;  // by which each of them was
  const detect::Reasoner* reasoner_;
  Output& output_;
  detect::VerdictSummary summary_;
  detect::UnknownTexts unknown_texts_;
  LabelReasons label_reasons_;
  std::optional<detect::VerdictWriter> writer_;
  std::optional<detect::Pipeline> pipeline_;
  std::optional<detect::RecordJudge> judge_;
  std::optional<Workers> workers_;  // of the judge of tables; a pipeline has its own
  std::optional<detect::TableJudge> table_judge_;
  std::vector<float> table_rows_;  // what it saw, if that is to be explained
  std::string buffer_, inputs_text_;
  std::vector<std::string> inputs_json_;

  // Of the verdicts at hand: which are explained, and how.
  std::vector<std::size_t> explained_;
  std::vector<float> rows_;
  std::vector<double> contributions_;
  std::vector<detect::Explanation> explanations_;
};

}  // namespace

int run_detect(std::span<const std::string> words) {
  DetectArguments given;
  Arguments arguments("detect", "Judges captures and tables: which flows are attacks?");
  given.declare(arguments);
  if (const auto status = arguments.read(words)) return *status;
  if (given.detector.empty()) {
    if (const char* const preset = std::getenv("NIDUS_DETECTOR")) given.detector = preset;
  }
  if (given.detector.empty())
    return complain_usage("detect", "which detector? Name its folder with --detector");
  if (!given.output.empty() && given.format.empty()) given.format = "csv";
  for (const auto& input : given.inputs) {
    if (is_same_file(input, given.output))
      return complain_usage("detect", input + " is both input and output");
  }
  auto detector = load_detector(given.detector);
  if (!detector) return complain(detector.error());
  if (given.threshold) detector = detector->with_threshold(*given.threshold);
  std::optional<detect::Reasoner> reasoner;
  if (given.explain) {
    auto made = detect::Reasoner::make(*detector);
    if (!made) return complain(made.error());
    reasoner.emplace(std::move(*made));
  }
  auto output = Output::open(given.format.empty() ? "" : given.output);
  if (!output) return complain(output.error());
  if (given.rolling && given.threshold)
    return complain_usage("detect", "--threshold is one line, --rolling many: which is it?");
  catch_interrupts();

  Run run(given, *detector, reasoner ? &*reasoner : nullptr, *output);
  if (given.rolling) {
    const bool ends_at_1 = detector->model().scale() == model::Scale::probability;
    auto rolling = detect::RollingThreshold::make(
        detector->manifest().threshold.value,
        {.site = {.rate = *given.rolling}, .end = ends_at_1 ? 1 : std::numeric_limits<double>::infinity()});
    if (!rolling) return complain(rolling.error());
    run.roll(std::move(*rolling));
  }
  int status = kFine;
  for (const auto& input : given.inputs) {
    status = worse(status, run.judge(input));
    if (!run.go_on()) break;
  }
  run.close();
  if (run.inputs_json().empty()) return status;  // nothing could be read, which has been said

  // The summary is the data when nothing else is.
  const bool to_stdout = given.format.empty() || !output->is_stdout();
  std::string text;
  if (given.json) {
    text = run.summary().to_json(given.top);
    std::string inputs = ",\"inputs\":[";
    for (const auto& input : run.inputs_json()) {
      if (inputs.back() != '[') inputs += ',';
      inputs += trim(input);
    }
    std::string reasons;
    if (reasoner) {
      JsonWriter json(reasons);
      run.label_reasons().to_json(given.reasons, json);
      reasons = ",\"reasons\":" + reasons;
    }
    text.insert(text.rfind('}'), inputs + "]" + reasons);
  } else {
    text = run.summary().to_text({given.top, has_colours(to_stdout ? stdout : stderr)}) + "\n";
    if (reasoner) text += run.label_reasons().to_text(given.reasons) + "\n";
    text += run.inputs_text();
  }
  if (const auto& rolling = run.rolling(); rolling && rolling->rows() > 0) {
    say(fmt::format("the line was drawn {} times, by {} rows each; it is {:.6g} now, and began at {:.6g}",
                    with_thousands(rolling->rows() / rolling->block_rows()),
                    with_thousands(rolling->block_rows()), rolling->value(),
                    detector->manifest().threshold.value));
    if (rolling->blocks_left_out() != 0) {
      say(
          fmt::format("{} of these times it was left as it was: a line by those rows would leave hardly any "
                      "score above it, so they look attacked",
                      with_thousands(rolling->blocks_left_out())));
    }
  }
  if (const auto unknown = run.unknown_texts().to_text(); !unknown.empty()) say(unknown);
  const bool wanted = !output->reader_gone();
  if (auto done = output->finish(); !done) return complain(done.error());
  if (wanted && to_stdout) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  } else if (wanted) {
    talk(text);
  }
  if (given.fail_on_alert && run.summary().attacks() > 0) status = worse(status, kAlert);
  return status;
}

}  // namespace nidus::cmd
