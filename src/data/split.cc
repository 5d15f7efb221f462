#include "data/split.h"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "base/number.h"
#include "base/random.h"
#include "base/text.h"
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

namespace {

// Rows of a group by class.
using Counts = std::map<std::uint32_t, double>;

// A choice of groups, by bit, whose rows are nearest to what is wanted; of equals the one that has most
// evenly of every class, and of those the first one met.
std::vector<bool> nearest_choice(const std::vector<double>& sizes, const std::vector<const Counts*>& counts,
                                 const Counts& totals, double share, double wanted) {
  const auto unevenness = [&](std::uint32_t choice) {
    double out = 0;
    for (const auto& [code, total] : totals) {
      double held = 0;
      for (std::size_t i = 0; i < counts.size(); ++i) {
        if ((choice >> i & 1) == 0) continue;
        const auto found = counts[i]->find(code);
        held += found == counts[i]->end() ? 0 : found->second;
      }
      out += (held / total - share) * (held / total - share);
    }
    return out;
  };
  std::uint32_t best = 0;
  double gap = std::numeric_limits<double>::infinity(), uneven = gap;
  for (std::uint32_t choice = 1; choice + 1 < (1u << sizes.size()); ++choice) {
    double rows = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) rows += (choice >> i & 1) != 0 ? sizes[i] : 0;
    const double this_gap = std::abs(rows - wanted);
    if (this_gap > gap) continue;
    const double this_uneven = unevenness(choice);
    if (this_gap == gap && this_uneven >= uneven) continue;
    gap = this_gap;
    uneven = this_uneven;
    best = choice;
  }
  std::vector<bool> out;
  for (std::size_t i = 0; i < sizes.size(); ++i) out.push_back((best >> i & 1) != 0);
  return out;
}

// Moves one group after the other, always the one that helps most, until the choice is within `enough` of
// what is wanted or no single group brings it nearer.
void bring_nearer(const std::vector<double>& sizes, double wanted, double enough, std::vector<bool>& chosen) {
  double rows = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) rows += chosen[i] ? sizes[i] : 0;
  auto count = static_cast<std::size_t>(std::count(chosen.begin(), chosen.end(), true));
  while (std::abs(rows - wanted) > enough || count == 0 || count == sizes.size()) {
    const bool must = count == 0 || count == sizes.size();
    double best = must ? std::numeric_limits<double>::infinity() : std::abs(rows - wanted);
    std::size_t at = sizes.size();
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      const std::size_t left = chosen[i] ? count - 1 : count + 1;
      const double gap = std::abs(rows + (chosen[i] ? -sizes[i] : sizes[i]) - wanted);
      if (gap >= best || left == 0 || left == sizes.size()) continue;
      best = gap;
      at = i;
    }
    if (at == sizes.size()) return;
    rows += chosen[at] ? -sizes[at] : sizes[at];
    count = chosen[at] ? count - 1 : count + 1;
    chosen[at] = !chosen[at];
  }
}

}  // namespace

Result<std::vector<bool>> hold_out_groups(std::span<const std::uint32_t> classes,
                                          std::span<const std::uint32_t> groups, double share,
                                          std::uint64_t seed) {
  CHECK(classes.size() == groups.size());
  constexpr std::size_t kFew = 16;
  std::map<std::uint32_t, Counts> counts_of;
  Counts totals;
  double total = 0;
  for (std::size_t row = 0; row < classes.size(); ++row) {
    if (classes[row] == kUnlabelled) continue;
    ++counts_of[groups[row]][classes[row]];
    ++totals[classes[row]];
    ++total;
  }
  if (counts_of.size() < 2)
    return Error{Errc::invalid, "all rows are of one group: none can be held out and others left"};
  // In an order drawn by the seed, which decides between choices that are equally near.
  std::vector<std::uint32_t> ids;
  for (const auto& [id, counts] : counts_of) ids.push_back(id);
  Random random(seed);
  shuffle(ids, random);
  std::vector<double> sizes;
  std::vector<const Counts*> counts;
  for (const auto id : ids) {
    counts.push_back(&counts_of[id]);
    double rows = 0;
    for (const auto& [code, count] : counts_of[id]) rows += count;
    sizes.push_back(rows);
  }
  std::vector<bool> chosen;
  if (ids.size() <= kFew) {
    chosen = nearest_choice(sizes, counts, totals, share, share * total);
  } else {
    SplitOptions options;
    options.train = 1 - share;
    options.validation = 0;
    options.test = share;
    options.seed = seed;
    const auto split = grouped_split(classes, groups, options);
    if (!split) return split.error();
    std::map<std::uint32_t, bool> held;
    for (const auto row : split->test) held[groups[row]] = true;
    for (const auto id : ids) chosen.push_back(held.contains(id));
    bring_nearer(sizes, share * total, total / 200, chosen);
  }
  std::map<std::uint32_t, bool> is_held;
  for (std::size_t i = 0; i < ids.size(); ++i) is_held[ids[i]] = chosen[i];
  std::vector<bool> out(classes.size(), false);
  for (std::size_t row = 0; row < classes.size(); ++row) {
    out[row] = classes[row] != kUnlabelled && is_held[groups[row]];
  }
  return out;
}

Result<Split> time_split(std::span<const std::uint32_t> classes, std::span<const double> times,
                         const SplitOptions& options) {
  CHECK(classes.size() == times.size());
  const auto shares = shares_of(options);
  if (!shares) return shares.error();
  std::vector<std::size_t> order;
  for (std::size_t row = 0; row < classes.size(); ++row) {
    if (classes[row] != kUnlabelled && !std::isnan(times[row])) order.push_back(row);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return times[a] < times[b]; });
  const auto cut = [&](double share) {
    auto at = static_cast<std::size_t>(std::llround(static_cast<double>(order.size()) * share));
    while (at > 0 && at < order.size() && times[order[at]] == times[order[at - 1]]) ++at;
    return at;
  };
  const std::size_t train_end = cut((*shares)[0]);
  const std::size_t validation_end =
      (*shares)[2] == 0 ? order.size() : std::max(train_end, cut((*shares)[0] + (*shares)[1]));
  std::vector<std::uint8_t> part_of(classes.size(), kNoPart);
  for (std::size_t i = 0; i < order.size(); ++i) {
    part_of[order[i]] = i < train_end ? 0 : i < validation_end ? 1 : 2;
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

std::vector<std::size_t> distinct_rows(const Table& table, std::span<const std::size_t> columns) {
  std::vector<std::size_t> rows;
  std::uint32_t next = 0;
  const auto ids = equal_rows(table, columns);
  for (std::size_t row = 0; row < ids.size(); ++row) {
    if (ids[row] != next) continue;  // ids are given in the order of first appearance
    rows.push_back(row);
    ++next;
  }
  return rows;
}

namespace {

// Whole numbers and what stands between them.
class TimeText {
 public:
  explicit TimeText(std::string_view text) : text_(trim(text)) {}

  std::optional<int> number(std::size_t digits_max) {
    int value = 0;
    std::size_t digits = 0;
    while (digits < digits_max && digits < text_.size() && text_[digits] >= '0' && text_[digits] <= '9') {
      value = value * 10 + (text_[digits++] - '0');
    }
    if (digits == 0) return std::nullopt;
    text_.remove_prefix(digits);
    return value;
  }

  bool take(std::string_view any) {
    if (text_.empty() || any.find(text_.front()) == std::string_view::npos) return false;
    text_.remove_prefix(1);
    return true;
  }

  std::string_view rest() const { return text_; }

 private:
  std::string_view text_;
};

// By its size seconds, milli-, micro- or nanoseconds.
double time_of(double number) {
  const double size = std::abs(number);
  return number / (size < 1e11 ? 1 : size < 1e14 ? 1e3 : size < 1e17 ? 1e6 : 1e9);
}

double time_of(std::string_view text) {
  const double kNone = std::numeric_limits<double>::quiet_NaN();
  TimeText in(text);
  const auto first = in.number(4);
  if (!first || !in.take("-/.")) return kNone;
  const auto second = in.number(2);
  if (!second || !in.take("-/.")) return kNone;
  const auto third = in.number(4);
  if (!third) return kNone;
  const bool year_first = *first > 31;
  int year = year_first ? *first : *third;
  const int day = year_first ? *third : *first;
  if (year < 100) year += 2000;
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(*second)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return kNone;
  double seconds = 86400.0 * static_cast<double>(std::chrono::sys_days(date).time_since_epoch().count());
  if (in.rest().empty()) return seconds;
  if (!in.take(" T")) return kNone;
  auto hour = in.number(2);
  if (!hour || !in.take(":")) return kNone;
  const auto minute = in.number(2);
  if (!minute) return kNone;
  double second_of_minute = 0;
  if (in.take(":")) {
    const auto end = std::min(in.rest().find_first_not_of("0123456789."), in.rest().size());
    const auto value = parse_number(in.rest().substr(0, end));
    if (!value) return kNone;
    second_of_minute = *value;
    in = TimeText(in.rest().substr(end));
  }
  const std::string_view half = trim(in.rest());
  if (half.size() == 2 && (half[1] | 0x20) == 'm') {
    const bool afternoon = (half[0] | 0x20) == 'p';
    hour = *hour % 12 + (afternoon ? 12 : 0);
  } else if (half.size() == 5 && (half[0] == '+' || half[0] == '-')) {  // "+0200", as EVE writes it
    const auto zone = parse_integer(half.substr(1));
    if (!zone) return kNone;
    const double offset = static_cast<double>(*zone / 100 * 3600 + *zone % 100 * 60);
    seconds -= half[0] == '+' ? offset : -offset;
  } else if (!half.empty() && half != "Z") {
    return kNone;
  }
  return seconds + 3600.0 * *hour + 60.0 * *minute + second_of_minute;
}

}  // namespace

std::vector<double> times_of(const Column& column) {
  std::vector<double> times(column.size(), std::numeric_limits<double>::quiet_NaN());
  if (column.kind == Kind::numeric) {
    for (std::size_t row = 0; row < times.size(); ++row) times[row] = time_of(column.numbers[row]);
    return times;
  }
  std::vector<double> by_code;
  by_code.reserve(column.vocabulary.size());
  for (const auto& text : column.vocabulary) {
    // A column that holds a word somewhere holds its numbers as texts.
    const auto number = parse_number(text);
    by_code.push_back(number ? time_of(*number) : time_of(text));
  }
  for (std::size_t row = 0; row < times.size(); ++row) {
    if (column.codes[row] != kMissing) times[row] = by_code[column.codes[row]];
  }
  return times;
}

Days days_of(std::span<const double> times) {
  Days days;
  std::map<std::int64_t, std::uint32_t> known;
  for (const double time : times) {
    if (!(std::abs(time) < 1e11)) {
      days.ids.push_back(kMissing);
      continue;
    }
    const auto day = static_cast<std::int64_t>(std::floor(time / 86400));
    const auto [found, added] = known.try_emplace(day, static_cast<std::uint32_t>(days.names.size()));
    if (added) days.names.push_back(iso8601(day * 86'400'000'000).substr(0, 10));
    days.ids.push_back(found->second);
  }
  return days;
}

}  // namespace nidus::data
