#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "data/table.h"

namespace nidus::data {

struct SplitOptions {
  // Shares of the rows; none below zero, together 1 within 1e-6.
  double train = 0.7;
  double validation = 0.15;
  double test = 0.15;
  std::uint64_t seed = 1;
};

// Row numbers, each list in ascending order, each row in at most one.
struct Split {
  std::vector<std::size_t> train;
  std::vector<std::size_t> validation;
  std::vector<std::size_t> test;
};

// Splits each class by the shares, so that every part has the classes in the proportion of the whole, to
// within one row a class. Rows with kUnlabelled are in no part. The same for a seed everywhere.
Result<Split> stratified_split(std::span<const std::uint32_t> classes, const SplitOptions& options = {});

// As above, but all rows of a group (a capture, a host, a day, a set of equal rows) land in the same part,
// which keeps the shares and proportions only as far as the groups allow. One group id for each row, any
// numbers.
Result<Split> grouped_split(std::span<const std::uint32_t> classes, std::span<const std::uint32_t> groups,
                            const SplitOptions& options = {});

// Group ids from 0 by which rows that are equal in all the given columns are in one group, so that copies of
// a row never stand on both sides of a split. Missing equals missing.
std::vector<std::uint32_t> equal_rows(const Table& table, std::span<const std::size_t> columns);

}  // namespace nidus::data
