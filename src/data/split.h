#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
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

// One part of whole groups, of about this share of the rows; never none and never all of them. Of 16 groups
// or fewer it is the choice of groups that comes nearest to the share; of more that of grouped_split(),
// changed where it misses the share by more than a two-hundredth of the rows. By row; rows with kUnlabelled
// are not in it. Errc::invalid if all rows are of one group.
Result<std::vector<bool>> hold_out_groups(std::span<const std::uint32_t> classes,
                                          std::span<const std::uint32_t> groups, double share,
                                          std::uint64_t seed);

// In the order of time: the oldest rows to train, the latest to test; the seed does not matter. Rows of one
// instant stay together, in the earlier part. Rows without a time (NaN) or a class are in no part.
Result<Split> time_split(std::span<const std::uint32_t> classes, std::span<const double> times,
                         const SplitOptions& options = {});

// Group ids from 0 by which rows that are equal in all the given columns are in one group, so that copies of
// a row never stand on both sides of a split. Missing equals missing.
std::vector<std::uint32_t> equal_rows(const Table& table, std::span<const std::size_t> columns);

// The first of each set of rows that are equal in all the given columns, in ascending order.
std::vector<std::size_t> distinct_rows(const Table& table, std::span<const std::size_t> columns);

// When each row was, in seconds since 1970, NaN where that cannot be read. Numbers are seconds, or by their
// size milli-, micro- or nanoseconds, also as texts; other texts are "2017-07-07 11:59:50.315195" with a
// blank or T between, or day first, "7/7/2017 3:30:01 PM" with or without seconds and AM or PM. Without a
// zone it is taken for UTC.
std::vector<double> times_of(const Column& column);

// Groups by the day on which each row was: "2017-07-07", in UTC. kMissing where the time is not known.
struct Days {
  std::vector<std::uint32_t> ids;
  std::vector<std::string> names;  // by id
};
Days days_of(std::span<const double> times);

}  // namespace nidus::data
