#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "base/text.h"
#include "cmd/arguments.h"
#include "cmd/exit_status.h"
#include "cmd/metering.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"
#include "detect/label_rules.h"
#include "flow/columns.h"
#include "flow/end_order.h"
#include "flow/features.h"
#include "flow/kdd.h"
#include "flow/record_writer.h"

namespace nidus::cmd {
namespace {

using namespace std::chrono_literals;

using Records = std::span<const flow::FlowRecord* const>;

// Rows written by one thread at a time: enough to be worth handing over, few enough to share a block.
constexpr std::size_t kRecordsPerPiece = 256;

struct FlowsArguments {
  std::vector<std::string> inputs, features = {"flow", "context"};
  std::string output, format = "csv", naming, labels;
  bool community_id = false, short_form = false, json = false;
  MeteringArguments metering;

  void declare(Arguments& arguments) {
    arguments.inputs(inputs, "capture",
                     "pcap or pcapng files, also gzip or zstd compressed; - is standard input");
    arguments.option("-o,--output", output, "Where the records go; standard output if not given");
    arguments.option("--format", format, "How they are written", {"csv", "ndjson", "zeek", "none"});
    arguments.option("--naming", naming, "Names of the columns, if not those of the profile",
                     {"canonical", "cic2017", "cic2018", "cic2020", "python"});
    arguments.option("--labels", labels, "A label file: writes a column with each flow's label");
    arguments.option(
        "--features", features,
        "native: which of a flow's features: flow, context (what other flows there were around it), "
        "sequence (its first packets)");
    arguments.flag("--community-id", community_id, "A column with the Community ID");
    arguments.flag("--short", short_form, "cic2017, cic2018, nsl-kdd: the shorter form of their tables");
    arguments.flag("--json", json, "The summary as JSON, one line for each capture");
    metering.declare(arguments);
    arguments.footer(
        "Records go to standard output, the summary to standard error (with --json and -o: to standard "
        "output).\n"
        "--format none only counts.");
  }

  bool wants(flow::Group group) const {
    return std::any_of(features.begin(), features.end(),
                       [&](const auto& name) { return flow::group_from_name(name) == group; });
  }

  // How captures are run for what is to be written.
  Result<detect::PipelineOptions> pipeline() const {
    detect::PipelineOptions out = metering.options();
    for (const auto& name : features) {
      if (!flow::group_from_name(name)) {
        return Error{Errc::invalid, fmt::format("--features: '{}' is none of flow, context, sequence", name)};
      }
    }
    const bool can = out.meter.profile == flow::Profile::native && (format == "csv" || format == "ndjson");
    if (!can) return out;
    out.meter.context = wants(flow::Group::context);
    if (wants(flow::Group::sequence)) out.meter.sequence_packets = flow::kSequenceMax;
    return out;
  }
};

std::optional<flow::Naming> naming_from_name(std::string_view name) {
  if (name == "canonical") return flow::Naming::canonical;
  if (name == "cic2017") return flow::Naming::cic2017;
  if (name == "cic2018") return flow::Naming::cic2018;
  if (name == "cic2020") return flow::Naming::cic2020;
  if (name == "python") return flow::Naming::python;
  return std::nullopt;
}

flow::RecordWriterOptions writer_options(const FlowsArguments& given, const detect::Pipeline& pipeline) {
  flow::RecordWriterOptions options;
  options.format = given.format == "ndjson" ? flow::RecordFormat::ndjson
                   : given.format == "zeek" ? flow::RecordFormat::zeek
                                            : flow::RecordFormat::csv;
  options.profile = pipeline.options().meter.profile;
  options.naming = naming_from_name(given.naming);
  options.community_id = given.community_id;
  options.label = !given.labels.empty();
  options.short_form = given.short_form;
  options.features = given.wants(flow::Group::flow);
  options.context = pipeline.options().meter.context;
  options.sequence_packets = pipeline.options().meter.sequence_packets;
  options.description = pipeline.description();
  return options;
}

// Writes the rows of a block on all threads, and puts the pieces together in order.
class BlockWriter {
 public:
  BlockWriter(const flow::RecordWriterOptions& options, Workers& workers, Output& output)
      : options_(options), workers_(workers), output_(output) {
    flow::RecordWriter& first = pieces_.emplace_back(options_).writer;
    std::string header;
    first.header(header);
    output_.write(header);
    // A table that numbers its rows is written by one writer, which counts them.
    const auto columns = first.columns();
    numbered_ = std::find(columns.begin(), columns.end(), "id") != columns.end();
  }

  // `rules` may be null.
  bool write(Records records, const detect::LabelRules::OfCapture* rules) {
    const std::size_t piece = numbered_ ? std::max<std::size_t>(records.size(), 1) : kRecordsPerPiece;
    const std::size_t count = (records.size() + piece - 1) / piece;
    while (pieces_.size() < count) pieces_.emplace_back(options_);
    workers_.run(count, [&](std::size_t i) {
      std::string& text = pieces_[i].text;
      text.clear();
      const Records mine = records.subspan(i * piece, std::min(piece, records.size() - i * piece));
      for (const auto* record : mine) {
        const detect::LabelRule* const rule = rules == nullptr ? nullptr : rules->match(*record);
        pieces_[i].writer.row(*record, text,
                              rule == nullptr ? std::string_view() : std::string_view(rule->label));
      }
    });
    for (std::size_t i = 0; i < count; ++i) {
      if (!output_.write(pieces_[i].text)) return false;
    }
    return true;
  }

 private:
  struct Piece {
    explicit Piece(const flow::RecordWriterOptions& options) : writer(options) {}
    flow::RecordWriter writer;
    std::string text;
  };

  flow::RecordWriterOptions options_;
  Workers& workers_;
  Output& output_;
  std::vector<Piece> pieces_;
  bool numbered_ = false;
};

// The tables of KDD'99: features that count the connections of the last two seconds and the last 255 ones, so
// records are put in the order of their ends and computed one after the other.
class KddTable {
 public:
  KddTable(const FlowsArguments& given, const flow::MeterOptions& meter, Output& output)
      : set_(given.short_form ? flow::KddSet::header : flow::KddSet::all),
        longest_silence_us_(std::max(kLongestTimeoutUs, meter.idle_timeout.value_or(0us).count()) +
                            kMarginUs),
        output_(output),
        order_(kHeldMax) {
    flow::append_kdd_header(text_, set_);
  }

  // `rules` may be null.
  bool write(Records records, const detect::LabelRules::OfCapture* rules) {
    rules_ = rules;
    for (const auto* record : records) {
      latest_us_ = std::max(latest_us_, record->last_us);
      order_.add(*record);
    }
    // No flow is silent for longer than this and still open.
    if (latest_us_ != INT64_MIN) release(latest_us_ - longest_silence_us_);
    return drain();
  }

  // The capture has ended: what comes next has other windows.
  bool end_capture() {
    release(INT64_MAX);
    features_.emplace();
    latest_us_ = INT64_MIN;
    return drain();
  }

 private:
  static constexpr std::int64_t kLongestTimeoutUs = 300'000'000;  // of a TCP connection, see flow/profile.h
  static constexpr std::int64_t kMarginUs = 10'000'000;           // packets out of order
  static constexpr std::size_t kHeldMax = 1u << 18, kAtOnce = 4096;

  void release(std::int64_t watermark_us) {
    for (auto some = order_.take(watermark_us, kAtOnce); !some.empty();
         some = order_.take(watermark_us, kAtOnce)) {
      for (const auto* record : some) row(*record);
    }
  }

  void row(const flow::FlowRecord& record) {
    const detect::LabelRule* const rule = rules_ == nullptr ? nullptr : rules_->match(record);
    features_->compute(record, row_);
    flow::append_kdd_row(text_, row_, set_,
                         rule == nullptr ? std::string_view() : std::string_view(rule->label));
  }

  bool drain() {
    const bool more = output_.write(text_);
    text_.clear();
    return more;
  }

  flow::KddSet set_;
  std::int64_t longest_silence_us_;
  Output& output_;
  std::optional<flow::KddFeatures> features_{std::in_place};
  flow::KddRow row_;
  std::string text_;
  const detect::LabelRules::OfCapture* rules_ = nullptr;
  std::int64_t latest_us_ = INT64_MIN;
  flow::EndOrder order_;
};

}  // namespace

int run_flows(std::span<const std::string> words) {
  FlowsArguments given;
  Arguments arguments("flows", "Turns captures into flow records with features.");
  given.declare(arguments);
  if (const auto status = arguments.read(words)) return *status;
  for (const auto& input : given.inputs) {
    if (is_same_file(input, given.output))
      return complain_usage("flows", input + " is both input and output");
  }
  std::optional<detect::LabelRules> labels;
  if (!given.labels.empty()) {
    auto loaded = detect::LabelRules::load(given.labels);
    if (!loaded) return complain(loaded.error());
    labels = std::move(*loaded);
  }

  const auto pipeline_options = given.pipeline();
  if (!pipeline_options) return complain_usage("flows", pipeline_options.error().message);
  detect::Pipeline pipeline(*pipeline_options);
  auto output = Output::open(given.output);
  if (!output) return complain(output.error());
  catch_interrupts();
  const bool counts_only = given.format == "none";
  std::optional<BlockWriter> writer;
  std::optional<KddTable> kdd;
  if (given.format == "csv" && pipeline.options().meter.profile == flow::Profile::nsl_kdd) {
    kdd.emplace(given, pipeline.options().meter, *output);
  } else if (!counts_only) {
    writer.emplace(writer_options(given, pipeline), pipeline.workers(), *output);
  }

  int status = kFine;
  detect::CaptureStatistics total;
  std::string summary;
  for (const auto& input : given.inputs) {
    const auto* const rules = labels ? labels->of(input) : nullptr;
    if (labels && rules == nullptr) say(fmt::format("{}: nothing about {}", given.labels, input));
    const CaptureRun run = run_capture(pipeline, input, [&](Records records) {
      if (kdd) return kdd->write(records, rules);
      return counts_only || writer->write(records, rules);
    });
    if (kdd) kdd->end_capture();
    status = worse(status, run.status);
    if (run.statistics.captures == 0) continue;
    total += run.statistics;
    summary += given.json ? summary_json(input, run.statistics) : summary_text(input, run.statistics);
    if (run.statistics.stopped) break;
  }
  if (total.captures > 1) summary += given.json ? summary_json("all", total) : summary_text("all", total);
  const bool to_stdout = given.json && (counts_only || !output->is_stdout());
  if (auto done = output->finish(); !done) return complain(done.error());
  if (output->reader_gone()) return status;
  if (to_stdout) {
    std::fwrite(summary.data(), 1, summary.size(), stdout);
  } else {
    talk(summary);
  }
  return status;
}

}  // namespace nidus::cmd
