#include "learn/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "base/json_writer.h"
#include "base/text.h"
#include "learn/internal/resampling.h"
#include "learn/internal/scored_rows.h"

namespace nidus::learn {
namespace {

// P(X <= k) and P(X = k) of `n` throws of a fair coin.
struct Binomial {
  double up_to = 1;
  double exactly = 1;
};

Binomial fair_coin(std::uint64_t k, std::uint64_t n) {
  const auto all = static_cast<double>(n), at = static_cast<double>(k);
  Binomial out;
  out.exactly =
      std::exp(std::lgamma(all + 1) - std::lgamma(at + 1) - std::lgamma(all - at + 1) - all * std::log(2.0));
  // P(i - 1) = P(i) × i / (n - i + 1), until nothing more is added.
  double term = out.exactly;
  out.up_to = 0;
  for (std::uint64_t i = k;; --i) {
    out.up_to += term;
    if (i == 0 || term < out.up_to * 1e-18) break;
    term *= static_cast<double>(i) / static_cast<double>(n - i + 1);
  }
  return out;
}

// Mid-ranks of the chosen rows among themselves: from 1, equal scores share the mean of their ranks.
std::vector<double> mid_ranks(std::span<const double> scores) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return scores[a] < scores[b]; });
  std::vector<double> ranks(scores.size());
  for (std::size_t i = 0; i < order.size();) {
    std::size_t end = i;
    while (end < order.size() && scores[order[end]] == scores[order[i]]) ++end;
    const double rank = 0.5 * static_cast<double>(i + end + 1);
    for (; i < end; ++i) ranks[order[i]] = rank;
  }
  return ranks;
}

// The share of the other side that each row beats, ties counting half: attacks above benign rows, and benign
// rows below attacks. Their mean is the area, their spread its variance.
struct Placements {
  std::vector<double> attacks, benign;
};

Placements placements(std::span<const double> scores, std::span<const std::uint8_t> positive) {
  std::vector<double> side[2];  // benign, attacks
  for (std::size_t i = 0; i < scores.size(); ++i) side[positive[i] != 0].push_back(scores[i]);
  const std::vector<double> among_all = mid_ranks(scores);
  const std::vector<double> among[2] = {mid_ranks(side[0]), mid_ranks(side[1])};
  Placements out;
  const auto benign = static_cast<double>(side[0].size()), attacks = static_cast<double>(side[1].size());
  std::size_t at[2] = {0, 0};
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const bool attack = positive[i] != 0;
    const double below = among_all[i] - among[attack][at[attack]++];  // of the other side
    if (attack) {
      out.attacks.push_back(below / benign);
    } else {
      out.benign.push_back(1 - below / attacks);
    }
  }
  return out;
}

double mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// The variance of the mean of a[i] - b[i].
double variance_of_mean_difference(std::span<const double> a, std::span<const double> b) {
  const double middle = mean(a) - mean(b);
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i] - middle) * (a[i] - b[i] - middle);
  const auto n = static_cast<double>(a.size());
  return sum / (n - 1) / n;
}

// Attack or not: the figures that two detectors with different classes have in common.
constexpr std::array<Figure, 9> kCompared = {
    Figure::accuracy,          Figure::balanced_accuracy,   Figure::mcc,
    Figure::attack_recall,     Figure::false_positive_rate, Figure::roc_auc,
    Figure::average_precision, Figure::recall_at_1e2,       Figure::recall_at_1e3};

McNemar test(std::span<const std::uint8_t> positive, std::span<const std::uint32_t> said_a,
             std::span<const std::uint32_t> said_b, bool attacks, bool benign) {
  std::uint64_t only_a = 0, only_b = 0;
  for (std::size_t row = 0; row < positive.size(); ++row) {
    const bool attack = positive[row] != 0;
    if (said_a[row] == said_b[row] || !(attack ? attacks : benign)) continue;
    ++((said_a[row] != 0) == attack ? only_a : only_b);
  }
  return mcnemar(only_a, only_b);
}

std::string shown_p(double p) {
  return p < 1e-300 ? "< 1e-300" : p < 0.001 ? fmt::format("{:.1e}", p) : fmt::format("{:.3f}", p);
}

}  // namespace

McNemar mcnemar(std::uint64_t only_a, std::uint64_t only_b) {
  McNemar out{only_a, only_b, 1, 1};
  const std::uint64_t all = only_a + only_b;
  if (all == 0) return out;
  const Binomial less = fair_coin(std::min(only_a, only_b), all);
  out.p_exact = std::min(1.0, 2 * less.up_to);
  out.p_mid = std::min(1.0, 2 * less.up_to - less.exactly);
  return out;
}

std::optional<DeLong> delong(std::span<const double> scores_a, std::span<const double> scores_b,
                             std::span<const std::uint8_t> positive) {
  if (!check_scores(scores_a, positive) || !check_scores(scores_b, positive)) return std::nullopt;
  const Placements a = placements(scores_a, positive), b = placements(scores_b, positive);
  if (a.attacks.size() < 2 || a.benign.size() < 2) return std::nullopt;
  DeLong out;
  out.a = mean(a.attacks);
  out.b = mean(b.attacks);
  out.difference = out.a - out.b;
  out.standard_error = std::sqrt(variance_of_mean_difference(a.attacks, b.attacks) +
                                 variance_of_mean_difference(a.benign, b.benign));
  constexpr double kZ = 1.959963984540054;
  out.interval = {out.difference - kZ * out.standard_error, out.difference + kZ * out.standard_error};
  if (out.standard_error > 0) {
    out.z = out.difference / out.standard_error;
    out.p = std::erfc(std::abs(out.z) / std::sqrt(2.0));
  }
  return out;
}

Result<Comparison> compare(const Paired& paired) {
  const std::size_t rows = paired.positive.size();
  for (const auto& scores : {paired.scores_a, paired.scores_b}) {
    if (auto good = check_scores(scores, paired.positive); !good) return std::move(good).error();
  }
  if (!paired.groups.empty() && paired.groups.size() != rows) {
    return Error{Errc::invalid, fmt::format("{} groups for {} rows", paired.groups.size(), rows)};
  }
  Comparison out;
  out.rows = rows;
  out.threshold_a = paired.threshold_a;
  out.threshold_b = paired.threshold_b;
  std::vector<std::uint32_t> truth(rows), said_a(rows), said_b(rows);
  for (std::size_t row = 0; row < rows; ++row) {
    truth[row] = paired.positive[row] != 0;
    said_a[row] = paired.scores_a[row] >= paired.threshold_a;
    said_b[row] = paired.scores_b[row] >= paired.threshold_b;
    out.attacks += truth[row];
  }
  out.all = test(paired.positive, said_a, said_b, true, true);
  out.on_attacks = test(paired.positive, said_a, said_b, true, false);
  out.on_benign = test(paired.positive, said_a, said_b, false, true);
  out.auc = delong(paired.scores_a, paired.scores_b, paired.positive);

  const internal::ScoredRows a(paired.scores_a, truth, said_a, 2), b(paired.scores_b, truth, said_b, 2);
  const std::size_t width = a.width();
  std::vector<double> of_a(width), of_b(width);
  const std::vector<std::uint32_t> once(rows, 1);
  a.figures(once, of_a);
  b.figures(once, of_b);
  const internal::Resampling resampling(rows, paired.groups);
  out.resampled = {paired.bootstrap_replicates, resampling.units(), resampling.by_group(), paired.seed};
  const auto intervals =
      internal::bootstrap(resampling, width, paired.bootstrap_replicates, paired.seed, paired.threads,
                          [&](std::span<const std::uint32_t> counts, std::span<double> figures) {
                            std::vector<double> other(width);
                            a.figures(counts, figures);
                            b.figures(counts, other);
                            for (std::size_t i = 0; i < width; ++i) figures[i] -= other[i];
                          });
  const auto some = [](double value) { return std::isnan(value) ? std::nullopt : std::optional(value); };
  const auto benign = static_cast<double>(rows - out.attacks);
  for (const Figure figure : kCompared) {
    const auto i = static_cast<std::size_t>(figure);
    const auto rate = i - static_cast<std::size_t>(Figure::recall_at_1e2);
    // A recall at a rate that so few benign rows cannot resolve is not worth comparing.
    if (rate < kRates.size() && kRates[rate] * benign * (1 + 1e-12) < kFalsePositivesLeast) continue;
    out.differences.push_back({figure, some(of_a[i]), some(of_b[i]), intervals[i]});
  }
  return out;
}

std::string Comparison::to_text(const std::string& name_a, const std::string& name_b) const {
  std::string out = fmt::format("A  {}, threshold {:.4f}\nB  {}, threshold {:.4f}\n", name_a, threshold_a,
                                name_b, threshold_b);
  out += fmt::format("attack or not, on the same {} rows, {} of them attacks\n\n", with_thousands(rows),
                     with_thousands(attacks));
  const auto shown = [](const std::optional<double>& value) {
    return value ? fmt::format("{:.4f}", *value) : "-";
  };
  out += fmt::format("{:<22}{:>10}{:>10}{:>10}   {}\n", "", "A", "B", "A - B", "95 % of A - B");
  for (const auto& each : differences) {
    const bool both = each.a && each.b;
    out += fmt::format(
        "{:<22}{:>10}{:>10}{:>10}   {}\n", title(each.figure), shown(each.a), shown(each.b),
        both ? fmt::format("{:+.4f}", *each.a - *each.b) : "-",
        each.interval ? fmt::format("{:+.4f} to {:+.4f}", each.interval->low, each.interval->high) : "-");
  }
  out += "paired bootstrap, " + resampled.to_text() + "\n";
  out += fmt::format("\n{:<30}{:>12}{:>12}{:>12}{:>12}\n", "McNemar: right by one alone", "A", "B", "p, mid",
                     "p, exact");
  for (const auto& [name, result] :
       {std::pair("all rows (accuracy)", &all), std::pair("attacks (recall)", &on_attacks),
        std::pair("benign rows (false alarms)", &on_benign)}) {
    out += fmt::format("{:<30}{:>12}{:>12}{:>12}{:>12}\n", name, with_thousands(result->only_a),
                       with_thousands(result->only_b), shown_p(result->p_mid), shown_p(result->p_exact));
  }
  if (auc) {
    out += fmt::format("\nDeLong: ROC AUC differs by {:+.4f} ({:+.4f} to {:+.4f}), z {:.2f}, p {}\n",
                       auc->difference, auc->interval.low, auc->interval.high, auc->z, shown_p(auc->p));
  }
  out += resampled.by_group
             ? "p values take rows to be independent; where groups differ, trust the bootstrap, which draws "
               "groups\n"
             : "all of it takes rows to be independent; flows of one attack are not (--group)\n";
  return out;
}

void Comparison::to_json(JsonWriter& json) const {
  const auto put = [&](std::string_view name, const std::optional<double>& value) {
    json.key(name);
    if (value) {
      json.value(*value);
    } else {
      json.null();
    }
  };
  const auto put_interval = [&](const std::optional<Interval>& interval) {
    json.key("interval_95");
    if (!interval) return json.null();
    json.begin_array();
    json.value(interval->low);
    json.value(interval->high);
    json.end_array();
  };
  json.begin_object();
  json.field("rows", rows);
  json.field("attacks", attacks);
  json.field("threshold_a", threshold_a);
  json.field("threshold_b", threshold_b);
  json.key("differences");
  json.begin_array();
  for (const auto& each : differences) {
    json.begin_object();
    json.field("figure", key(each.figure));
    put("a", each.a);
    put("b", each.b);
    put_interval(each.interval);
    json.end_object();
  }
  json.end_array();
  json.key("bootstrap");
  json.begin_object();
  resampled.add_fields(json);
  json.end_object();
  json.key("mcnemar");
  json.begin_object();
  for (const auto& [name, result] :
       {std::pair("all", &all), std::pair("attacks", &on_attacks), std::pair("benign", &on_benign)}) {
    json.key(name);
    json.begin_object();
    json.field("only_a_right", result->only_a);
    json.field("only_b_right", result->only_b);
    json.field("p_mid", result->p_mid);
    json.field("p_exact", result->p_exact);
    json.end_object();
  }
  json.end_object();
  if (auc) {
    json.key("delong");
    json.begin_object();
    json.field("auc_a", auc->a);
    json.field("auc_b", auc->b);
    json.field("difference", auc->difference);
    json.field("standard_error", auc->standard_error);
    put_interval(auc->interval);
    json.field("z", auc->z);
    json.field("p", auc->p);
    json.end_object();
  }
  json.end_object();
}

}  // namespace nidus::learn
