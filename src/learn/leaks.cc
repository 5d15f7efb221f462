#include "learn/leaks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/json_writer.h"
#include "base/random.h"
#include "base/text.h"
#include "learn/metrics.h"

namespace nidus::learn {
namespace {

// The words of a name: "L4_SRC_PORT", "Src Port" and "id.orig_p" are the same kind of thing.
std::vector<std::string> words_of(std::string_view column) {
  std::vector<std::string> words(1);
  for (const char c : to_lower(column)) {
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
      words.back() += c;
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

bool is_one_of(std::string_view word, std::span<const std::string_view> list) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

// Which rows to look at, so that a million of them do not make one wait.
std::vector<std::size_t> sample(std::size_t rows, std::size_t most) {
  std::vector<std::size_t> out(rows);
  std::iota(out.begin(), out.end(), std::size_t{0});
  Random random(1);
  for (std::size_t i = 0; i < std::min(rows, most); ++i) std::swap(out[i], out[i + random.below(rows - i)]);
  out.resize(std::min(rows, most));
  return out;
}

// Ranges of about equally many of the values, by their upper ends; equal values are in one range.
std::vector<float> ranges_of(std::vector<float> values, std::size_t most) {
  std::sort(values.begin(), values.end());
  std::vector<float> ends;
  for (std::size_t i = 1; i < most; ++i) {
    const float end = values[i * (values.size() - 1) / most];
    if (ends.empty() || end > ends.back()) ends.push_back(end);
  }
  return ends;
}

std::uint64_t hash_of(std::span<const float> row) {
  std::uint64_t hash = 0x9e3779b97f4a7c15u;
  for (const float value : row) {
    // All NaN are one value, and so are the two zeros.
    const std::uint32_t bits = std::isnan(value) ? 0x7fc00000u : std::bit_cast<std::uint32_t>(value + 0.0f);
    hash = Random::mix(hash ^ bits) + bits;
  }
  return Random::mix(hash);
}

// Of hashes, those that are looked at: all, or those whose lowest bits are zero.
std::uint64_t mask_for(std::size_t rows, std::size_t most) {
  std::uint64_t mask = 0;
  for (std::size_t left = rows; left > std::max<std::size_t>(most, 1); left /= 2) mask = mask * 2 + 1;
  return mask;
}

std::string percent(double share) {
  return share < 0.0995 ? fmt::format("{:.2g} %", 100 * share) : fmt::format("{:.1f} %", 100 * share);
}

constexpr std::size_t kBenignLeast = 20;  // fewer rows are too few to speak of what is usual here

double quantile(const std::vector<double>& sorted, double level) {
  return sorted[static_cast<std::size_t>(level * static_cast<double>(sorted.size() - 1))];
}

// What one column's benign values do that those learnt from did not; nothing if they look alike.
struct Shift {
  double value;
  std::string message;
  bool missing = false;
};

// A column that is there less than half as often as where it was learnt from. The later packets of short
// flows are missing by design, and as often elsewhere.
std::optional<Shift> missing_of(std::size_t present, std::size_t benign, double missing_there) {
  const auto rows = static_cast<double>(benign);
  const double expected = (1 - missing_there) * rows;
  constexpr double kTooFew = 20;  // to be missed by more than chance
  if (expected < kTooFew || static_cast<double>(present) * 2 >= expected) return std::nullopt;
  const double share = 1 - static_cast<double>(present) / rows;
  return Shift{share,
               fmt::format("is missing in {} of the benign rows{}", percent(share),
                           missing_there == 0 ? ""
                                              : fmt::format(", and was in {} where the detector learnt",
                                                            percent(missing_there))),
               true};
}

std::optional<Shift> shift_of(const std::vector<double>& here, std::span<const double> levels,
                              std::span<const double> there) {
  if (here.size() < kBenignLeast / 2) return std::nullopt;
  const double low = there.front(), high = there.back();
  const auto outside = static_cast<double>(
      std::count_if(here.begin(), here.end(), [&](double value) { return value < low || value > high; }));
  const double share = outside / static_cast<double>(here.size());
  if (low == high) {
    if (share <= 0.5) return std::nullopt;
    return Shift{share,
                 fmt::format("was {:g} in every benign row learnt from, and is something else in {} of the "
                             "benign rows here",
                             low, percent(share))};
  }
  // Another unit or another origin moves all quantiles alike.
  std::vector<double> ratios, gaps;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    if (levels[i] < 0.2 || levels[i] > 0.95) continue;
    const double now = quantile(here, levels[i]);
    if (there[i] != 0 && now != 0) ratios.push_back(now / there[i]);
    gaps.push_back(now - there[i]);
  }
  const auto alike = [](const std::vector<double>& list, double slack) {
    const auto [least, most] = std::minmax_element(list.begin(), list.end());
    return *most - *least <= slack;
  };
  if (ratios.size() >= 3 && ratios.size() == gaps.size()) {
    const double ratio = ratios[ratios.size() / 2];
    if (std::abs(std::log(std::abs(ratio))) > std::log(5) && ratio > 0 && alike(ratios, 0.1 * ratio)) {
      return Shift{ratio, fmt::format("is {:.3g} times what it was: another unit?", ratio)};
    }
  }
  if (gaps.size() >= 3 && share > 0.5) {
    const double gap = gaps[gaps.size() / 2];
    if (gap != 0 && alike(gaps, 0.05 * std::abs(gap))) {
      return Shift{gap, fmt::format("lies {:+.3g} from where it was, everywhere", gap)};
    }
  }
  if (share > 0.5) {
    return Shift{share,
                 fmt::format("lies outside of what benign rows learnt from had ({:g} to {:g}) in {} of the "
                             "benign rows here",
                             low, high, percent(share))};
  }
  if (here.front() == here.back() && there.size() > 4 &&
      there[there.size() / 4] != there[there.size() * 3 / 4]) {
    return Shift{
        here.front(),
        fmt::format("is {:g} in every benign row here, and was not where the detector learnt", here.front())};
  }
  return std::nullopt;
}

// One line about columns that are missing: where some are, often a whole group is.
void tell_missing(std::vector<Leak> missing, std::vector<Leak>& leaks) {
  constexpr std::size_t kEach = 3, kNamed = 5;
  if (missing.size() > kEach) {
    const auto most = std::max_element(missing.begin(), missing.end(),
                                       [](const Leak& a, const Leak& b) { return a.value < b.value; });
    std::vector<std::string> names;
    for (std::size_t i = 0; i < std::min(missing.size(), kNamed); ++i) names.push_back(missing[i].column);
    missing = {
        {LeakKind::shift, "", most->value,
         fmt::format("{} columns are missing in many more of the benign rows than where the detector learnt, "
                     "at most in {}: {}{}",
                     missing.size(), percent(most->value), fmt::join(names, ", "),
                     missing.size() > kNamed ? ", …" : "")}};
  }
  leaks.insert(leaks.end(), missing.begin(), missing.end());
}

void find_shifts(const LeakSearch& search, std::vector<Leak>& leaks) {
  const std::size_t inputs = search.schema.size(), rows = search.labels.size();
  if (search.reference.size() != inputs || search.reference_levels.size() < 2) return;
  CHECK(search.reference_missing.empty() || search.reference_missing.size() == inputs);
  std::vector<Leak> missing;
  for (std::size_t column = 0; column < inputs; ++column) {
    const auto& there = search.reference[column];
    if (there.size() != search.reference_levels.size()) continue;
    std::vector<double> here;
    std::size_t benign = 0;
    for (std::size_t row = 0; row < rows; ++row) {
      if (search.labels[row] != 0) continue;
      ++benign;
      const float value = search.values[row * inputs + column];
      if (!std::isnan(value)) here.push_back(static_cast<double>(value));
    }
    if (benign < kBenignLeast) return;
    std::sort(here.begin(), here.end());
    auto shift = missing_of(here.size(), benign,
                            search.reference_missing.empty() ? 0 : search.reference_missing[column]);
    if (!shift) shift = shift_of(here, search.reference_levels, there);
    if (!shift) continue;
    const std::string& name = search.schema[column].name;
    (shift->missing ? missing : leaks)
        .push_back({LeakKind::shift, name, shift->value, name + " " + shift->message});
  }
  tell_missing(std::move(missing), leaks);
}

std::string reason(LeakKind kind) {
  switch (kind) {
    case LeakKind::address:
      return "an address: a model learns who attacked here, not what attacks look like";
    case LeakKind::port:
      return "a port: often the habit of this data set's attack scripts; measure without it too";
    case LeakKind::id:
      return "an id or a conclusion of the data's authors: it is not in a network's traffic";
    case LeakKind::time:
      return "a time: a model learns when attacks were made here";
    case LeakKind::verdict:
      return "what another detector concluded: a model learns to repeat it, and needs that detector";
    case LeakKind::ttl:
      return "hops to live: in a testbed they tell the attackers' machines apart";
    case LeakKind::alone:
    case LeakKind::copies:
    case LeakKind::shift:
      break;
  }
  CHECK(false);
  return "";
}

}  // namespace

std::string_view name(LeakKind kind) {
  switch (kind) {
    case LeakKind::address:
      return "address";
    case LeakKind::port:
      return "port";
    case LeakKind::id:
      return "id";
    case LeakKind::time:
      return "time";
    case LeakKind::verdict:
      return "verdict";
    case LeakKind::ttl:
      return "ttl";
    case LeakKind::alone:
      return "alone";
    case LeakKind::copies:
      return "copies";
    case LeakKind::shift:
      return "shift";
  }
  CHECK(false);
  return "";
}

std::optional<LeakKind> leak_by_name(std::string_view column) {
  static constexpr std::string_view kAddresses[] = {"ip",    "addr",   "address", "srcip", "dstip", "saddr",
                                                    "daddr", "srcmac", "dstmac",  "mac",   "smac",  "dmac"};
  static constexpr std::string_view kPorts[] = {"port", "sport", "dport", "srcport", "dstport", "dsport"};
  static constexpr std::string_view kTimes[] = {"timestamp", "ts",    "time",  "date",
                                                "datetime",  "stime", "ltime", "starttime",
                                                "endtime",   "start", "last",  "day"};
  static constexpr std::string_view kIds[] = {"id",    "uid",        "uuid",       "flowid", "index",
                                              "rowid", "difficulty", "attack_cat", "label",  "attack"};
  const std::vector<std::string> words = words_of(column);
  if (words.empty()) return std::nullopt;
  const std::string& first = words.front();
  const std::string& last = words.back();
  const std::string joined = fmt::format("{}", fmt::join(words, "_"));
  // Zeek: id.orig_h and id.resp_p are ends of a connection.
  if (words.size() == 3 && first == "id" && (words[1] == "orig" || words[1] == "resp")) {
    return last == "h" ? LeakKind::address : LeakKind::port;
  }
  if (joined == "ct_state_ttl" || last == "ttl" || last == "sttl" || last == "dttl") return LeakKind::ttl;
  // Suricata: "flow.alerted", "alert.severity", "verdict.action". A TLS alert is traffic.
  if (last == "alerted" || first == "alert" || first == "verdict") return LeakKind::verdict;
  if (first == "ct") return std::nullopt;  // UNSW-NB15's counts over recent connections
  if (is_one_of(last, kPorts)) return LeakKind::port;
  if (is_one_of(last, kAddresses)) return LeakKind::address;
  // A "connection time" or "idle time" lasts; a time by itself, or of a start or an end, is a moment.
  if (is_one_of(last, kTimes)) {
    const bool lasts = last == "time" && words.size() > 1 && first != "start" && first != "end" &&
                       first != "first" && first != "last" && first != "frame";
    if (!lasts) return LeakKind::time;
  }
  if (is_one_of(last, kIds) || is_one_of(joined, kIds) || first == "unnamed") return LeakKind::id;
  return std::nullopt;
}

std::optional<double> alone_auc(const model::Schema& schema, std::size_t column,
                                std::span<const float> values, std::span<const std::uint32_t> labels,
                                std::size_t rows_max) {
  const std::size_t inputs = schema.size();
  const bool categorical = schema[column].kind == model::Column::Kind::categorical;
  std::vector<double> cells;
  std::vector<std::uint8_t> positive;
  std::size_t attacks = 0;
  for (const auto row : sample(labels.size(), rows_max)) {
    const auto value = static_cast<double>(values[row * inputs + column]);
    // Below every number, so that missing is a value.
    cells.push_back(std::isnan(value) ? -std::numeric_limits<double>::infinity() : value);
    positive.push_back(labels[row] != 0);
    attacks += positive.back();
  }
  if (attacks < 20 || cells.size() - attacks < 20) return std::nullopt;
  double best = 0.5;
  if (!categorical) {
    const double auc = *roc_auc(cells, positive);
    best = std::max(auc, 1 - auc);
  }
  // The sample is in random order, so its two halves are alike.
  const std::size_t half = cells.size() / 2;
  std::vector<float> learnt;
  for (std::size_t i = 0; i < half; ++i) learnt.push_back(static_cast<float>(cells[i]));
  std::vector<float> ends;
  if (categorical) {
    for (std::size_t i = 0; i < schema[column].vocabulary.size(); ++i) ends.push_back(static_cast<float>(i));
    ends.insert(ends.begin(), -std::numeric_limits<float>::infinity());
  } else {
    ends = ranges_of(learnt, 64);
  }
  const auto range = [&](double cell) {
    return static_cast<std::size_t>(std::lower_bound(ends.begin(), ends.end(), static_cast<float>(cell)) -
                                    ends.begin());
  };
  const auto overall = static_cast<double>(attacks) / static_cast<double>(cells.size());
  // One row's worth of the overall share, for ranges with few rows.
  std::vector<double> hits(ends.size() + 1, overall), rows(ends.size() + 1, 1);
  for (std::size_t i = 0; i < half; ++i) {
    hits[range(cells[i])] += positive[i];
    ++rows[range(cells[i])];
  }
  std::vector<double> scores;
  for (std::size_t i = half; i < cells.size(); ++i)
    scores.push_back(hits[range(cells[i])] / rows[range(cells[i])]);
  const auto measured = roc_auc(scores, std::span(positive).subspan(half));
  return measured ? std::max(best, *measured) : best;
}

Copies count_copies(std::size_t inputs, std::span<const float> values, std::span<const std::uint32_t> labels,
                    std::size_t hashes_max) {
  const std::uint64_t mask = mask_for(labels.size(), hashes_max);
  std::vector<std::pair<std::uint64_t, std::uint32_t>> rows;
  for (std::size_t row = 0; row < labels.size(); ++row) {
    const std::uint64_t hash = hash_of(values.subspan(row * inputs, inputs));
    if ((hash & mask) == 0) rows.emplace_back(hash, labels[row]);
  }
  std::sort(rows.begin(), rows.end());
  Copies out;
  out.looked_at = rows.size();
  out.estimated = mask != 0;
  std::uint64_t best = 0;
  for (std::size_t i = 0; i < rows.size();) {
    // Equal rows stand together, and of them those of one class.
    std::size_t end = i, most = 0, classes = 0;
    while (end < rows.size() && rows[end].first == rows[i].first) {
      const std::size_t first = end;
      while (end < rows.size() && rows[end] == rows[first]) ++end;
      most = std::max(most, end - first);
      ++classes;
    }
    out.copies += end - i - 1;
    if (classes > 1) out.contradicted += end - i;
    best += most;
    i = end;
  }
  if (!rows.empty()) out.accuracy_ceiling = static_cast<double>(best) / static_cast<double>(rows.size());
  return out;
}

Overlap count_overlap(std::size_t inputs, std::span<const float> learnt, std::span<const float> evaluated,
                      std::size_t hashes_max) {
  if (inputs == 0) return {};
  const std::size_t learnt_rows = learnt.size() / inputs, evaluated_rows = evaluated.size() / inputs;
  const std::uint64_t mask = mask_for(learnt_rows, hashes_max);
  std::vector<std::uint64_t> seen;
  for (std::size_t row = 0; row < learnt_rows; ++row) {
    const std::uint64_t hash = hash_of(learnt.subspan(row * inputs, inputs));
    if ((hash & mask) == 0) seen.push_back(hash);
  }
  std::sort(seen.begin(), seen.end());
  Overlap out;
  out.estimated = mask != 0;
  for (std::size_t row = 0; row < evaluated_rows; ++row) {
    const std::uint64_t hash = hash_of(evaluated.subspan(row * inputs, inputs));
    if ((hash & mask) != 0) continue;
    ++out.looked_at;
    out.seen += std::binary_search(seen.begin(), seen.end(), hash) ? 1 : 0;
  }
  return out;
}

LeakReport find_leaks(const LeakSearch& search) {
  const std::size_t inputs = search.schema.size();
  CHECK(search.values.size() == search.labels.size() * inputs);
  CHECK(search.learnt_values.size() == search.learnt_labels.size() * inputs);
  LeakReport out;
  for (const auto& column : search.schema) {
    if (const auto kind = leak_by_name(column.name)) {
      out.leaks.push_back({*kind, column.name, 0, column.name + ": " + reason(*kind)});
    }
  }
  const bool has_learnt = !search.learnt_labels.empty();
  for (std::size_t column = 0; column < inputs; ++column) {
    const auto auc = alone_auc(search.schema, column, has_learnt ? search.learnt_values : search.values,
                               has_learnt ? search.learnt_labels : search.labels);
    if (!auc || *auc < search.alone_auc_least) continue;
    const std::string& name = search.schema[column].name;
    out.leaks.push_back(
        {LeakKind::alone, name, *auc,
         fmt::format("{} alone tells attacks from benign rows, ROC AUC {:.4f}: is it part of how "
                     "the data was made?",
                     name, *auc)});
  }
  out.copies = count_copies(inputs, search.values, search.labels);
  if (has_learnt && inputs > 0) {
    out.overlap = count_overlap(inputs, search.learnt_values, search.values);
    if (out.overlap->seen > 0) {
      const double share =
          static_cast<double>(out.overlap->seen) / static_cast<double>(out.overlap->looked_at);
      out.leaks.push_back(
          {LeakKind::copies, "", share,
           fmt::format(
               "{} of {} rows that figures are made of ({}{}) equal rows learnt from: they measure memory",
               with_thousands(out.overlap->seen), with_thousands(out.overlap->looked_at), percent(share),
               out.overlap->estimated ? ", from a sample" : "")});
    }
  }
  find_shifts(search, out.leaks);
  return out;
}

std::string LeakReport::to_text() const {
  std::string out;
  const auto rows = static_cast<double>(copies.looked_at);
  if (copies.copies > 0) {
    out += fmt::format("{} of {} rows ({}{}) equal one before them", with_thousands(copies.copies),
                       with_thousands(copies.looked_at), percent(static_cast<double>(copies.copies) / rows),
                       copies.estimated ? ", from a sample" : "");
    if (copies.contradicted > 0) {
      out += fmt::format(
          "; {} equal one of another class, so no model of these columns is right in more than {:.2f} % "
          "of the rows",
          with_thousands(copies.contradicted), 100 * copies.accuracy_ceiling);
    }
    out += '\n';
  }
  for (const auto& leak : leaks) out += fmt::format("warning: {}\n", leak.message);
  return out;
}

void LeakReport::to_json(JsonWriter& json) const {
  json.begin_object();
  json.key("copies");
  json.begin_object();
  json.field("rows_looked_at", copies.looked_at);
  json.field("copies", copies.copies);
  json.field("contradicted", copies.contradicted);
  json.field("accuracy_ceiling", copies.accuracy_ceiling);
  json.field("estimated", copies.estimated);
  json.end_object();
  if (overlap) {
    json.key("learnt_from");
    json.begin_object();
    json.field("rows_looked_at", overlap->looked_at);
    json.field("seen", overlap->seen);
    json.field("estimated", overlap->estimated);
    json.end_object();
  }
  json.key("warnings");
  json.begin_array();
  for (const auto& leak : leaks) {
    json.begin_object();
    json.field("kind", name(leak.kind));
    if (!leak.column.empty()) json.field("column", leak.column);
    json.field("value", leak.value);
    json.field("message", leak.message);
    json.end_object();
  }
  json.end_array();
  json.end_object();
}

}  // namespace nidus::learn
