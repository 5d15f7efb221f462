#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/parallel.h"
#include "base/result.h"
#include "data/table.h"
#include "data/table_reader.h"
#include "detect/detector.h"

namespace nidus::detect {

// Verdicts on rows of tables, table by table, on all threads: the twin of RecordJudge.
class TableJudge {
 public:
  // The detector is shared; the workers must outlive the judge. Tables that were metered in another way than
  // the detector wants are refused unless `any_profile`.
  TableJudge(const Detector& detector, Workers& workers, bool any_profile)
      : detector_(detector), workers_(&workers), any_profile_(any_profile) {}

  // Has the columns read as numbers that the detector wants as numbers; before the reader's first next().
  void choose_kinds(data::TableReader& reader) const;

  // One verdict for each row, valid until the next call. With `rows` also what the detector saw of them,
  // row-major, rounded to float. Errc::not_found and Errc::invalid as in model::TableRows::bind(),
  // Errc::unsupported as in check_profile(): also with no row at all, since a table that lacks a column is no
  // table without attacks.
  Result<std::span<const Verdict>> judge(const data::Table& table, std::vector<float>* rows = nullptr);

  // Of all rows judged until now those that had not one value: the verdict on them is one on nothing.
  std::uint64_t empty_rows() const { return empty_rows_; }

 private:
  Detector detector_;
  Workers* workers_;
  bool any_profile_;
  std::vector<Verdict> verdicts_;
  std::uint64_t empty_rows_ = 0;
};

}  // namespace nidus::detect
