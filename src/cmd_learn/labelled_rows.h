#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cmd/arguments.h"
#include "data/labels.h"
#include "data/table.h"
#include "detect/detector.h"
#include "detect/pipeline.h"
#include "detect/subject.h"
#include "model/schema.h"

// Labelled flows out of captures or tables, in the form that training and evaluation take.
namespace nidus::cmd {

// Where the labels stand - for captures in label files, for tables in a column - and which rows of tables are
// for training and which are held out for evaluation. Both verbs are given the same, so they agree.
struct LabelArguments {
  std::vector<std::string> label_files;  // --labels
  std::string column;                    // --label
  std::string group;                     // --group
  std::vector<std::string> merge;        // --merge old=new,…
  std::vector<std::string> hold_out;     // --hold-out
  std::string hold_out_by = "chance";    // --hold-out-by
  std::uint64_t hold_out_seed = 1;       // --hold-out-seed
  bool drop_copies = false;              // --drop-copies

  bool keep_subjects = false;  // for the verb to set: LabelledRows::subjects
  bool keep_times = false;     // and LabelledRows::times
  // For the verb to set: where no labels are named nor known, all rows are benign.
  bool may_lack_labels = false;
  bool quiet = false;  // says nothing of the labels: it was said of other rows

  void declare(Arguments& arguments);
  // Errc::invalid for a merge that is not "old=new".
  Result<data::LabelOptions> options() const;
};

// Which rows of a table are wanted: without --hold-out all of them either way.
enum class Part { training, held_out };

// Which numbers are wanted: floats, or doubles as well.
enum class Width { single, wide };

// Texts by number, each once, in the order in which they appeared.
class Names {
 public:
  std::uint32_t code(std::string_view text) { return dictionary_.code(text, texts_); }
  const std::vector<std::string>& texts() const { return texts_; }
  const std::string& operator[](std::uint32_t code) const { return texts_[code]; }

 private:
  data::Dictionary dictionary_;
  std::vector<std::string> texts_;
};

struct LabelledRows {
  std::vector<float> values;            // row-major, in the columns of the schema they were asked for
  std::vector<double> wide_values;      // the same before they were rounded, if asked for
  std::vector<std::size_t> table_rows;  // of tables: where each stands
  std::vector<std::uint32_t> labels, attacks, groups;  // codes; attacks and groups may be data::kMissing
  Names label_names, attack_names, group_names;
  std::uint64_t unlabelled = 0;  // left out
  std::string label_column;      // of tables: which one was taken

  // Only where LabelArguments asked to keep them, as they take 170 bytes a row: what each row is about, and
  // which input it is of. The `input` of a subject stays empty.
  std::vector<double> times;  // when each row began, in seconds since 1970, NaN if unknown; if asked for
  std::vector<detect::Subject> subjects;
  std::vector<std::uint32_t> input_of;
  bool are_flows = false;  // of captures

  std::size_t rows() const { return labels.size(); }
};

// The flows of captures, as a meter with these options cuts them, each once: an early record stands for its
// flow. Groups are those of the label file, or one for each capture. `status` becomes kBadInput when a
// capture broke off; what could be read is there.
Result<LabelledRows> rows_of_captures(const std::vector<std::string>& inputs, const LabelArguments& labels,
                                      detect::PipelineOptions options, const model::Schema& schema,
                                      int& status, Width width = Width::single);

// Tables of the same columns, one behind the other.
struct InputTables {
  data::Table table;
  std::vector<std::string> files;
  std::vector<std::uint32_t> file_of;  // by row

  // "rows.csv:19", the line on which a row begins; "row 18 of rows.csv" of what cannot be read again. Of
  // tables that were read without a schema.
  std::string place(std::size_t row) const;
};

// Says what could not be read. With a schema, rows with a text where that wants a number are among it, but
// for a pipe, which cannot be looked at before it is read. Errc::corrupt if a file has no good row,
// Errc::invalid if columns differ.
Result<InputTables> read_tables(const std::vector<std::string>& inputs,
                                const model::Schema* schema = nullptr);

// The rows of tables without their values, so that what a schema holds can be learnt from these rows alone.
// Without --label the column is that of the data set, if it is a known one. Without --group all groups are
// data::kMissing. The part is divided before labels are merged or dropped, so it is the same whatever is made
// of them.
Result<LabelledRows> labels_of_table(const InputTables& inputs, const LabelArguments& labels, Part part);
// Adds the values. The schema is found under any names of its features.
Result<void> take_values(const InputTables& inputs, const model::Schema& schema, LabelledRows& rows,
                         Width width = Width::single);

// Whether all inputs are captures, or all tables. Errc::invalid if some are this and some that, or something
// else.
Result<bool> are_captures(const std::vector<std::string>& inputs);

// Labelled captures or tables, as one detector sees them.
struct DetectorRows {
  bool any_profile = false;    // tables may have been metered in another way
  std::uint64_t threads = 0;   // for captures
  std::uint64_t early = 0;     // captures: flows after so many packets, 0 as the detector says
  Part part = Part::held_out;  // of tables, if one was held out
};
// In the numbers that its model wants. Errc::unsupported for captures if the detector judges tables only,
// Errc::invalid for tables with `early`. `status` is that of rows_of_captures().
Result<LabelledRows> rows_for(const detect::Detector& detector, const std::vector<std::string>& inputs,
                              const LabelArguments& labels, const DetectorRows& how, int& status);
// What its model makes of rows_for() it: rows × outputs().
std::vector<double> scores_of(const detect::Detector& detector, const LabelledRows& rows);

// Class codes for rows: class 0 is "benign", then the others by name; with `binary` one class "attack".
data::Labels classes_of(const LabelledRows& rows, bool binary);

}  // namespace nidus::cmd
