#include "serve/internal/table_rows.h"

#include <fmt/format.h>

#include <limits>

#include "base/number.h"
#include "base/text.h"
#include "data/schemas.h"

namespace nidus::serve::internal {
namespace {

constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
constexpr std::size_t kKddFeatures = 41;

}  // namespace

std::optional<bool> TableRows::bind(const std::vector<std::string_view>& first, RowFault& fault) {
  const auto bind_names = [&] {
    cells_.assign(names_->size(), kNone);
    std::vector<bool> own(names_->size(), false);
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const auto match = names_->find(columns_[i]);
      if (!match || (cells_[match->column] != kNone && (own[match->column] || !match->own))) continue;
      cells_[match->column] = i;
      own[match->column] = match->own;
    }
    fault.missing.clear();
    std::size_t lacking = 0;
    for (std::size_t i = 0; i < cells_.size(); ++i) {
      if (cells_[i] != kNone) continue;
      ++lacking;
      if (fault.missing.size() < RowFault::kMissingMax) fault.missing.push_back(names_->schema()[i].name);
    }
    fault.detail = fmt::format("Missing features: {} of {} are not there: {}{}", lacking, cells_.size(),
                               fmt::join(fault.missing, ", "), lacking > fault.missing.size() ? ", …" : "");
    return lacking == 0;
  };
  std::vector<std::string> texts;
  for (const auto cell : first) texts.emplace_back(trim(cell));
  columns_ = texts;
  if (bind_names()) return true;
  const RowFault as_header = fault;
  columns_ = data::names_of_headerless(texts);
  if (columns_.empty() && texts.size() >= kKddFeatures && texts.size() <= data::nsl_kdd_names().size()) {
    const auto& kdd = data::nsl_kdd_names();
    columns_.assign(kdd.begin(), kdd.begin() + static_cast<std::ptrdiff_t>(texts.size()));
    if (!parse_number(texts[0])) columns_.clear();  // a duration
  }
  if (!columns_.empty() && bind_names()) return false;
  if (columns_.empty()) fault = as_header;
  return std::nullopt;
}

bool TableRows::read(const std::vector<std::string_view>& cells, std::uint64_t line, double* row,
                     RowFault& fault) const {
  if (cells.size() != columns_.size()) {
    fault.detail = fmt::format("line {}: {} cells, expected {}", line, cells.size(), columns_.size());
    return false;
  }
  for (std::size_t i = 0; i < cells_.size(); ++i) {
    const std::string_view cell = cells[cells_[i]];
    const auto value = names_->value_of(i, cell);
    if (!value) {
      fault.detail = fmt::format("line {}: feature '{}' {}", line, names_->schema()[i].name,
                                 FeatureNames::fault_of(cell));
      return false;
    }
    row[i] = *value;
  }
  return true;
}

}  // namespace nidus::serve::internal
