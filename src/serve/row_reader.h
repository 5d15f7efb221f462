#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "flow/features.h"
#include "model/schema.h"
#include "serve/json_reader.h"

namespace nidus::serve {

// Why a row could not be read, in words for the client.
struct RowFault {
  std::string detail;                // "row 3: feature 'Flow Duration' is null, expected a number"
  std::vector<std::string> missing;  // names that were not there, at most kMissingMax

  static constexpr std::size_t kMissingMax = 10;
};

// The names under which clients may send the columns of a schema: the column's own, trimmed and in any case,
// or, of a flow feature, any name that it has in the public data sets. Immutable.
class FeatureNames {
 public:
  explicit FeatureNames(model::Schema schema);
  FeatureNames(const FeatureNames&) = delete;
  FeatureNames& operator=(const FeatureNames&) = delete;

  struct Match {
    std::uint32_t column = 0;
    bool own = false;  // the column's own name, which beats another name of its feature
  };
  std::optional<Match> find(std::string_view name) const;

  const model::Schema& schema() const { return schema_; }
  std::size_t size() const { return schema_.size(); }

  // A text as a number of the column: the place in its vocabulary, NaN for a text that is not there; or what
  // it says as a number. Nothing if it says none, or one that is not finite.
  std::optional<double> value_of(std::size_t column, std::string_view text) const;
  // A number as one of the column: as it is, or by its spelling as one of the vocabulary.
  double value_of(std::size_t column, double number) const;
  // What is wrong with a text of which value_of() is nothing: "is '1e39', larger than a float".
  static std::string fault_of(std::string_view text);

 private:
  model::Schema schema_;
  std::unordered_map<std::string, std::uint32_t> own_;  // lower case
  std::unordered_map<std::uint8_t, std::uint32_t> by_feature_;
  std::vector<std::optional<model::Vocabulary>> vocabularies_;
};

// Rows out of JSON: objects from name to value, or lists in the order of the schema. Numbers may be written
// as texts, truth values count as 0 and 1; null, NaN and numbers beyond float are refused, names that the
// schema does not have are passed over. Remembers the order of names, since the next row will most likely
// have the same; reading a row then costs about a comparison a name, and no memory.
//
// Not thread-safe.
class RowReader {
 public:
  static constexpr std::size_t kMembersMax = 4096;  // of one row

  explicit RowReader(std::shared_ptr<const FeatureNames> names);

  const FeatureNames& names() const { return *names_; }
  const std::shared_ptr<const FeatureNames>& shared_names() const { return names_; }

  // Reads the next value of `json` as a row: writes names().size() numbers. False, with the reason, if it is
  // none; `json` has then failed if the text is no JSON.
  bool read(JsonReader& json, double* row, RowFault& fault);
  // The same of an object that was entered already: reads its members to the end.
  bool read_members(JsonReader& json, double* row, RowFault& fault);

  // "row 3: " in front of the details of faults; nothing for the one row of a request.
  void number_rows(std::optional<std::uint64_t> row) { row_ = row; }

 private:
  struct Step {
    std::string written;  // JsonReader::written_member()
    std::int64_t column = -1;
    bool own = false;
  };

  bool read_list(JsonReader& json, double* row, RowFault& fault);
  bool read_value(JsonReader& json, std::size_t column, double& value, RowFault& fault);
  Step step_of(std::string_view key, std::string_view written) const;
  bool refuse(RowFault& fault, std::string detail) const;
  std::string subject(std::size_t column) const;

  std::shared_ptr<const FeatureNames> names_;
  std::vector<Step> steps_;  // the names in the order in which the last row had them
  // By column, of the row being read: kSeen marks of this row's number.
  std::vector<std::uint64_t> seen_;
  std::uint64_t round_ = 0;
  std::optional<std::uint64_t> row_;
};

}  // namespace nidus::serve
