#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/table.h"
#include "flow/columns.h"
#include "flow/profile.h"
#include "flow/record.h"
#include "model/schema.h"

// The one place where the columns a model wants meet the features a flow has. Training and detection both
// pass through it, so they cannot differ.
namespace nidus::detect {

// Writes flow records as rows of a schema. Immutable.
class FlowBinding {
 public:
  // Each column must be a flow feature under any of its names, or one of context or sequence
  // (flow/columns.h). Errc::not_found names the first that is not, and what may have been meant.
  static Result<FlowBinding> bind(const model::Schema& schema, flow::Profile profile);

  std::size_t inputs() const { return sources_.size(); }
  flow::Profile profile() const { return profile_; }

  // Writes inputs() numbers; NaN for the context of a record that has none, and for packets that it does not
  // have (meter_for() asks for what is needed). Features that are not finite are passed on as they are: what
  // becomes of them is the model's preprocessing to say. A number that is wanted as a category goes by its
  // spelling ("6"); an unknown one is NaN.
  void fill(const flow::FlowRecord& record, float* row) const;
  void fill(const flow::FlowRecord& record, double* row) const;

 private:
  struct Source {
    flow::FlowColumn column;
    std::vector<double> categories;  // the numbers of the vocabulary; empty for a numeric column
  };

  template <class Number>
  void fill_with(const flow::FlowRecord& record, Number* row) const;

  explicit FlowBinding(flow::Profile profile) : profile_(profile) {}

  flow::Profile profile_;
  std::vector<Source> sources_;
  bool of_record_ = false;  // whether any column is of the record itself
};

// How flows are metered for rows of a schema: the options with what its columns need besides, context and the
// first packets of a flow; and each flow once, early if the options say so.
flow::MeterOptions meter_for(const model::Schema& schema, flow::MeterOptions options);

// The schema under the names that its columns have in this table, so that model::TableRows can bind it: a
// column is found by its own name or, if that is a flow feature, by any name of that feature. Errc::not_found
// names the first column that is missing.
Result<model::Schema> schema_in(const model::Schema& schema, const data::Table& table);

// Which of a table's columns, by their names, such a schema wants as numbers. None if one of its columns is
// not there.
std::vector<std::string> numbers_in(const model::Schema& schema, std::span<const std::string> names);

// Whether a table of flows was metered as a detector wants it: the profile, and its settings where the table
// states them. `description` is Meter::description(); empty if the detector does not care. Errc::unsupported
// says what the table is and how that is known. A table that shows no profile at all is taken at its word.
Result<void> check_profile(const data::Table& table, const std::string& description);

// Columns that say who took part or when, or are conclusions of the meter: what a detector must never learn
// from, unless somebody insists.
bool is_identity_column(const std::string& name);

}  // namespace nidus::detect
