#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cmd/arguments.h"
#include "data/labels.h"
#include "data/table.h"
#include "detect/pipeline.h"
#include "model/schema.h"

// Labelled flows out of captures or tables, in the form that training and evaluation take.
namespace nidus::cmd {

// Where the labels stand: for captures in label files, for tables in a column.
struct LabelArguments {
  std::vector<std::string> label_files;  // --labels
  std::string column;                    // --label
  std::string group;                     // --group
  std::vector<std::string> merge;        // --merge old=new,…

  void declare(Arguments& arguments);
  // Errc::invalid for a merge that is not "old=new".
  Result<data::LabelOptions> options() const;
};

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
  std::vector<float> values;  // row-major, in the columns of the schema they were asked for
  std::vector<std::uint32_t> labels, attacks, groups;  // codes; attacks and groups may be data::kMissing
  Names label_names, attack_names, group_names;
  std::uint64_t unlabelled = 0;  // left out

  std::size_t rows() const { return labels.size(); }
};

// The flows of captures, as a meter with these options cuts them. Groups are those of the label file, or one
// for each capture. `status` becomes kBadInput when a capture broke off; what could be read is there.
Result<LabelledRows> rows_of_captures(const std::vector<std::string>& inputs, const LabelArguments& labels,
                                      const detect::PipelineOptions& options, const model::Schema& schema,
                                      int& status);

// All inputs as one table; they must have the same columns.
Result<data::Table> read_tables(const std::vector<std::string>& inputs);

// The rows of a table. The schema is found under any names of its features. Without a group column all groups
// are data::kMissing.
Result<LabelledRows> rows_of_table(const data::Table& table, const LabelArguments& labels,
                                   const model::Schema& schema);

// Whether all inputs are captures, or all tables. Errc::invalid if some are this and some that, or something
// else.
Result<bool> are_captures(const std::vector<std::string>& inputs);

// Class codes for rows: class 0 is "benign", then the others by name; with `binary` one class "attack".
data::Labels classes_of(const LabelledRows& rows, bool binary);

}  // namespace nidus::cmd
