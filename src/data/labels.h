#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "data/table.h"

namespace nidus::data {

// The class of a row that has none: its label is empty, or was mapped to nothing.
inline constexpr std::uint32_t kUnlabelled = kMissing;

// The classes of a table's rows. Class 0 is the negative one, named "benign", wherever the data has it or the
// task is binary; the others follow in alphabetical order.
struct Labels {
  std::vector<std::string> classes;
  std::vector<std::uint32_t> codes;  // one for each row: an index into classes, or kUnlabelled

  // How many rows each class has.
  std::vector<std::uint64_t> counts() const;
};

struct LabelOptions {
  // Two classes, "benign" and "attack".
  bool binary = false;

  // Renames or merges: from a label, in any case and without blanks around it, to a class. An empty class
  // leaves the row unlabelled. "*" stands for every label not named otherwise and not benign.
  std::map<std::string, std::string> merge;

  // Errc::exhausted beyond this many classes, which is what an address or number column taken for the label
  // gives.
  std::size_t classes_max = 256;
};

// Whether the words data sets use for the negative class mean this label: benign, normal, or the number 0.
bool is_benign(std::string_view label);

// A trailing full stop, which KDD'99 has, does not count, nor does what stands behind "benign" and two blanks
// or more. Errc::not_found without the column, Errc::invalid if no row has a label.
Result<Labels> read_labels(const Table& table, std::string_view column, const LabelOptions& options = {});
Result<Labels> read_labels(const Column& column, const LabelOptions& options = {});

// One column of labels out of the two of a labelled Zeek log. `verdict` says which rows are benign; of others
// the label is what `detail` names, or what stands behind the verdict and two blanks or more, as in
// "Malicious PartOfAHorizontalPortScan", and the verdict itself where both say nothing ("", "-", "(empty)").
// The detail of benign rows, a vendor or a service, does not count. The columns must be of equal length.
Column whole_labels(const Column& verdict, const Column& detail);

}  // namespace nidus::data
