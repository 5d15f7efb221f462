#include "detect/table_judge.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "detect/binding.h"
#include "model/schema.h"

namespace nidus::detect {
namespace {

// Rows scored by one thread at a time.
constexpr std::size_t kRowsOfAPiece = 1024;

template <class Number>
std::uint64_t count_empty(std::span<const Number> values, std::size_t inputs) {
  std::uint64_t count = 0;
  for (std::size_t at = 0; at < values.size(); at += inputs) {
    const auto row = values.subspan(at, inputs);
    if (std::all_of(row.begin(), row.end(), [](Number value) { return std::isnan(value); })) ++count;
  }
  return count;
}

}  // namespace

void TableJudge::choose_kinds(data::TableReader& reader) const {
  const auto& names = reader.names();
  for (const auto& wanted : numbers_in(detector_.manifest().schema, names)) {
    const auto at = std::find(names.begin(), names.end(), wanted);
    if (at != names.end()) reader.read_as(static_cast<std::size_t>(at - names.begin()), data::Kind::numeric);
  }
}

Result<std::span<const Verdict>> TableJudge::judge(const data::Table& table, std::vector<float>* rows) {
  const Manifest& manifest = detector_.manifest();
  if (!any_profile_) {
    if (auto same = check_profile(table, manifest.meter_description); !same) return std::move(same).error();
  }
  const auto schema = schema_in(manifest.schema, table);
  if (!schema) return schema.error();
  const auto bound = model::TableRows::bind(*schema, table);
  if (!bound) return bound.error();

  const std::size_t inputs = bound->inputs(), all = table.rows();
  const bool wide = detector_.model().is_wide();
  verdicts_.resize(all);
  if (rows != nullptr) rows->resize(all * inputs);
  std::atomic<std::uint64_t> empty{0};
  workers_->run((all + kRowsOfAPiece - 1) / kRowsOfAPiece, [&](std::size_t piece) {
    const std::size_t begin = piece * kRowsOfAPiece, count = std::min(kRowsOfAPiece, all - begin);
    const auto verdicts = std::span(verdicts_).subspan(begin, count);
    std::vector<float> own;
    if (rows == nullptr && !wide) own.resize(count * inputs);
    const std::span<float> values =
        rows != nullptr ? std::span(*rows).subspan(begin * inputs, count * inputs) : std::span(own);
    if (!values.empty()) bound->fill(begin, count, values);
    if (!wide) {
      empty += count_empty(std::span<const float>(values), inputs);
      detector_.judge(std::span<const float>(values), count, verdicts);
      return;
    }
    std::vector<double> wide_values(count * inputs);
    bound->fill(begin, count, std::span(wide_values));
    empty += count_empty(std::span<const double>(wide_values), inputs);
    detector_.judge(std::span<const double>(wide_values), count, verdicts);
  });
  empty_rows_ += empty;
  return std::span<const Verdict>(verdicts_);
}

}  // namespace nidus::detect
