#include "data/split.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <map>
#include <numeric>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "base/random.h"
#include "data/labels.h"

namespace nidus::data {
namespace {

Result<std::array<double, 3>> shares_of(const SplitOptions& options) {
  const std::array<double, 3> shares = {options.train, options.validation, options.test};
  const bool good = std::all_of(shares.begin(), shares.end(), [](double share) { return share >= 0; });
  if (!good || std::abs(shares[0] + shares[1] + shares[2] - 1) > 1e-6) {
    return Error{Errc::invalid, "the shares of a split must not be negative and must add up to 1"};
  }
  return shares;
}

template <class T>
void shuffle(std::vector<T>& values, Random& random) {
  for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[random.below(i)]);
}

Split gather(const std::vector<std::uint8_t>& part_of) {
  Split split;
  for (std::size_t row = 0; row < part_of.size(); ++row) {
    if (part_of[row] == 0) split.train.push_back(row);
    if (part_of[row] == 1) split.validation.push_back(row);
    if (part_of[row] == 2) split.test.push_back(row);
  }
  return split;
}

constexpr std::uint8_t kNoPart = 3;

}  // namespace

Result<Split> stratified_split(std::span<const std::uint32_t> classes, const SplitOptions& options) {
  const auto shares = shares_of(options);
  if (!shares) return shares.error();
  std::map<std::uint32_t, std::vector<std::size_t>> rows_of;
  for (std::size_t row = 0; row < classes.size(); ++row) {
    if (classes[row] != kUnlabelled) rows_of[classes[row]].push_back(row);
  }
  std::vector<std::uint8_t> part_of(classes.size(), kNoPart);
  Random random(options.seed);
  for (auto& [code, rows] : rows_of) {
    shuffle(rows, random);
    const auto count = static_cast<double>(rows.size());
    const auto train_end = static_cast<std::size_t>(std::llround(count * (*shares)[0]));
    auto validation_end = static_cast<std::size_t>(std::llround(count * ((*shares)[0] + (*shares)[1])));
    if ((*shares)[2] == 0) validation_end = rows.size();
    for (std::size_t i = 0; i < rows.size(); ++i) {
      part_of[rows[i]] = i < train_end ? 0 : i < validation_end ? 1 : 2;
    }
  }
  return gather(part_of);
}

// Greedy, the largest groups first: each goes where it leaves the least squared distance from the wanted
// counts, each class weighed by its size so that rare classes are spread as well. Groups of equal size come
// in an order drawn by the seed.
Result<Split> grouped_split(std::span<const std::uint32_t> classes, std::span<const std::uint32_t> groups,
                            const SplitOptions& options) {
  CHECK(classes.size() == groups.size());
  const auto shares = shares_of(options);
  if (!shares) return shares.error();

  struct Group {
    std::map<std::uint32_t, double> counts;
    std::size_t size = 0;
    std::uint8_t part = kNoPart;
  };
  std::map<std::uint32_t, Group> by_id;
  std::map<std::uint32_t, double> totals;
  for (std::size_t row = 0; row < classes.size(); ++row) {
    if (classes[row] == kUnlabelled) continue;
    Group& group = by_id[groups[row]];
    ++group.counts[classes[row]];
    ++group.size;
    ++totals[classes[row]];
  }
  std::vector<Group*> order;
  for (auto& [id, group] : by_id) order.push_back(&group);
  Random random(options.seed);
  shuffle(order, random);
  std::stable_sort(order.begin(), order.end(),
                   [](const Group* a, const Group* b) { return a->size > b->size; });

  std::array<std::map<std::uint32_t, double>, 3> filled;
  for (Group* group : order) {
    std::size_t best = 0;
    double best_change = 0;
    bool found = false;
    for (std::size_t part = 0; part < 3; ++part) {
      if ((*shares)[part] == 0) continue;
      double change = 0;
      for (const auto& [code, count] : group->counts) {
        const double total = totals[code];
        const double gap = filled[part][code] - (*shares)[part] * total;
        change += ((gap + count) * (gap + count) - gap * gap) / (total * total * (*shares)[part]);
      }
      if (!found || change < best_change) {
        best = part;
        best_change = change;
        found = true;
      }
    }
    group->part = static_cast<std::uint8_t>(best);
    for (const auto& [code, count] : group->counts) filled[best][code] += count;
  }
  std::vector<std::uint8_t> part_of(classes.size(), kNoPart);
  for (std::size_t row = 0; row < classes.size(); ++row) {
    if (classes[row] != kUnlabelled) part_of[row] = by_id[groups[row]].part;
  }
  return gather(part_of);
}

std::vector<std::uint32_t> equal_rows(const Table& table, std::span<const std::size_t> columns) {
  const auto cell = [&](std::size_t column, std::size_t row) -> std::uint64_t {
    const Column& from = table.column(column);
    if (from.kind == Kind::text) return from.codes[row];
    const double number = from.numbers[row];
    if (number != number) return ~std::uint64_t{0};
    return std::bit_cast<std::uint64_t>(number == 0 ? 0.0 : number);  // 0 equals -0
  };
  const auto equal = [&](std::size_t a, std::size_t b) {
    return std::all_of(columns.begin(), columns.end(),
                       [&](auto column) { return cell(column, a) == cell(column, b); });
  };
  std::vector<std::uint32_t> ids(table.rows());
  std::unordered_map<std::uint64_t, std::vector<std::size_t>> firsts;  // by hash, the first row of each group
  std::uint32_t next = 0;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    std::uint64_t hash = 0;
    for (const auto column : columns) hash = Random::mix(hash ^ cell(column, row)) + column;
    auto& candidates = firsts[hash];
    const auto found =
        std::find_if(candidates.begin(), candidates.end(), [&](auto first) { return equal(first, row); });
    if (found != candidates.end()) {
      ids[row] = ids[*found];
    } else {
      candidates.push_back(row);
      ids[row] = next++;
    }
  }
  return ids;
}

}  // namespace nidus::data
