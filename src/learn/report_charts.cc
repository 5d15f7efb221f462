#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "learn/internal/chart.h"
#include "learn/internal/report_charts.h"

namespace nidus::learn::internal {
namespace {

using Points = std::vector<std::pair<double, double>>;

const std::vector<std::pair<double, std::string>> kShares = {{0, "0"},     {0.2, "0.2"}, {0.4, "0.4"},
                                                             {0.6, "0.6"}, {0.8, "0.8"}, {1, "1"}};

std::string power_of_ten(int exponent) {
  return exponent == 0   ? "1"
         : exponent > -4 ? fmt::format("{:g}", std::pow(10.0, exponent))
                         : fmt::format("1e{}", exponent);
}

// A curve point as rates.
struct Rates {
  double recall, false_positive_rate, precision, threshold;
};

std::vector<Rates> rates_of(const Evaluation& evaluation) {
  std::vector<Rates> out;
  const auto attacks = static_cast<double>(evaluation.attacks);
  const auto benign = static_cast<double>(evaluation.rows - evaluation.attacks);
  for (const auto& point : evaluation.curve) {
    const auto hits = static_cast<double>(point.hits), alarms = static_cast<double>(point.false_alarms);
    out.push_back(
        {hits / attacks, alarms / benign, hits + alarms == 0 ? 1 : hits / (hits + alarms), point.threshold});
  }
  return out;
}

// Where the curve says its numbers when pointed at: some thirty places along it.
template <class At>
void hints(Chart& chart, const std::vector<Rates>& rates, At&& at) {
  const std::size_t step = std::max<std::size_t>(1, rates.size() / 30);
  for (std::size_t i = step; i < rates.size(); i += step) {
    const auto [x, y] = at(rates[i]);
    chart.dot(
        x, y, 6, "hint",
        fmt::format("threshold {:.4f}: recall {:.4f}, false-positive rate {:.2g}, precision {:.4f}",
                    rates[i].threshold, rates[i].recall, rates[i].false_positive_rate, rates[i].precision));
  }
}

std::string legend(const Report& report) {
  if (!report.other) return "";
  return fmt::format(
      "<p class=\"soft\"><span class=\"key key-a\"></span>A: <bdi>{}</bdi> &#160; "
      "<span class=\"key key-b\"></span>B: <bdi>{}</bdi></p>\n",
      escaped(report.detector), escaped(report.other->detector));
}

Chart roc_chart(const Report& report, bool logarithmic) {
  const Evaluation& evaluation = report.evaluation;
  const auto benign = static_cast<double>(evaluation.rows - evaluation.attacks);
  Axis x{"false-positive rate", 0, 1, false, kShares};
  if (logarithmic) {
    const int lowest = std::min(-1, static_cast<int>(std::floor(std::log10(1 / benign))));
    x = {"false-positive rate, logarithmic", std::pow(10.0, lowest), 1, true, {}};
    for (int i = lowest; i <= 0; ++i) x.ticks.emplace_back(std::pow(10.0, i), power_of_ten(i));
  }
  Chart chart(
      logarithmic ? "roc-log-chart" : "roc-linear-chart",
      logarithmic ? "ROC curve, logarithmic rate" : "ROC curve",
      fmt::format(
          "Recall against false-positive rate over all thresholds. The area under the curve is {:.4f}.",
          evaluation.roc_auc.value_or(0)),
      x, {"recall", 0, 1, false, kShares});
  if (logarithmic && kFalsePositivesLeast / benign > x.low) {
    chart.rectangle(
        x.low, std::min(1.0, kFalsePositivesLeast / benign), 0, 1, "unsure",
        fmt::format("Fewer than {:g} benign rows: too few to state a rate", kFalsePositivesLeast));
  }
  Points chance;
  for (int i = 0; i <= 100; ++i) {
    const double rate = logarithmic ? x.low * std::pow(1 / x.low, i / 100.0) : i / 100.0;
    chance.emplace_back(rate, rate);
  }
  chart.line(chance, "chance");
  const auto draw = [&](const Evaluation& of, const char* style) {
    Points points;
    for (const auto& point : rates_of(of)) {
      // On a logarithmic axis a slope between far rates would be a lie: the curve is a staircase of rows.
      if (logarithmic && !points.empty())
        points.emplace_back(point.false_positive_rate, points.back().second);
      points.emplace_back(point.false_positive_rate, point.recall);
    }
    chart.line(points, style);
  };
  if (report.other) draw(report.other->evaluation, "b");
  draw(evaluation, "a");
  hints(chart, rates_of(evaluation),
        [](const Rates& at) { return std::pair(at.false_positive_rate, at.recall); });
  if (report.other && report.other->evaluation.threshold) {
    const Evaluation& other = report.other->evaluation;
    chart.dot(*other.false_positive_rate, *other.attack_recall, 5, "dot-b", "B at its threshold");
  }
  if (evaluation.threshold) {
    chart.dot(*evaluation.false_positive_rate, *evaluation.attack_recall, 6, "dot-a",
              "at the detector's threshold");
    if (!report.other) {
      chart.note(*evaluation.false_positive_rate, *evaluation.attack_recall,
                 fmt::format("threshold {:.3f}", *evaluation.threshold), "note");
    }
  }
  return chart;
}

std::string roc(const Report& report) {
  const Evaluation& evaluation = report.evaluation;
  std::string out =
      "<figure class=\"roc\"><h3>ROC</h3>\n"
      "<input type=\"radio\" name=\"roc\" id=\"roc-log\" checked=\"checked\"/><label "
      "for=\"roc-log\">logarithmic</label>"
      "<input type=\"radio\" name=\"roc\" id=\"roc-linear\"/><label for=\"roc-linear\">linear</label>\n";
  out += "<div class=\"log\">" + roc_chart(report, true).svg() + "</div>\n";
  out += "<div class=\"linear\">" + roc_chart(report, false).svg() + "</div>\n";
  return out +
         fmt::format(
             "<figcaption>Area {:.4f}. The dot is the detector's threshold, the dashed line is chance; in "
             "the shade on the left, fewer than {:g} of {} benign rows decide.</figcaption></figure>\n",
             *evaluation.roc_auc, kFalsePositivesLeast, with_thousands(evaluation.rows - evaluation.attacks));
}

std::string precision_recall(const Report& report) {
  const Evaluation& evaluation = report.evaluation;
  const double share = static_cast<double>(evaluation.attacks) / static_cast<double>(evaluation.rows);
  Chart chart("pr-chart", "Precision and recall",
              fmt::format("Precision against recall over all thresholds. The average precision is {:.4f}.",
                          evaluation.average_precision.value_or(0)),
              {"recall", 0, 1, false, kShares}, {"precision", 0, 1, false, kShares});
  const Points chance = {{0, share}, {1, share}};
  chart.line(chance, "chance");
  const auto draw = [&](const Evaluation& of, const char* style) {
    Points points;
    const auto rates = rates_of(of);
    // The first point says nothing yet; the curve begins level with the first that does.
    for (std::size_t i = 1; i < rates.size(); ++i) {
      if (i == 1) points.emplace_back(0, rates[i].precision);
      points.emplace_back(rates[i].recall, rates[i].precision);
    }
    chart.line(points, style);
  };
  if (report.other) draw(report.other->evaluation, "b");
  draw(evaluation, "a");
  hints(chart, rates_of(evaluation), [](const Rates& at) { return std::pair(at.recall, at.precision); });
  if (report.other && report.other->evaluation.threshold && report.other->evaluation.attack_precision) {
    chart.dot(*report.other->evaluation.attack_recall, *report.other->evaluation.attack_precision, 5, "dot-b",
              "B at its threshold");
  }
  if (evaluation.threshold && evaluation.attack_precision) {
    chart.dot(*evaluation.attack_recall, *evaluation.attack_precision, 6, "dot-a",
              "at the detector's threshold");
  }
  return "<figure><h3>Precision and recall</h3>\n" + chart.svg() +
         fmt::format(
             "<figcaption>Average precision {:.4f}. The dashed line is what guessing has: {:.1f} % of "
             "these rows are attacks. Where attacks are rarer, precision is lower: see “In "
             "use”.</figcaption></figure>\n",
             *evaluation.average_precision, 100 * share);
}

std::string reliability(const Report& report) {
  const Evaluation& evaluation = report.evaluation;
  if (!evaluation.calibration) return "";
  Chart chart(
      "reliability-chart", "Reliability",
      fmt::format(
          "The share of attacks among rows with about the same score. The expected calibration error is "
          "{:.4f}.",
          evaluation.calibration->expected_error),
      {"mean score of the rows in a bin", 0, 1, false, kShares}, {"share of attacks", 0, 1, false, kShares});
  const Points diagonal = {{0, 0}, {1, 1}};
  chart.line(diagonal, "chance");
  const auto draw = [&](const Evaluation& of, bool is_a) {
    if (!of.calibration) return;
    Points points;
    for (const auto& bin : of.calibration->bins) {
      if (bin.weight > 0) points.emplace_back(bin.mean_score, bin.attack_share);
    }
    chart.line(points, is_a ? "a" : "b");
    for (const auto& bin : of.calibration->bins) {
      if (!(bin.weight > 0) || !is_a) continue;
      const auto rows = static_cast<std::uint64_t>(std::llround(bin.weight));
      const Interval interval =
          wilson(static_cast<std::uint64_t>(std::llround(bin.weight * bin.attack_share)), rows);
      const Points whisker = {{bin.mean_score, interval.low}, {bin.mean_score, interval.high}};
      chart.line(whisker, "whisker");
      chart.dot(bin.mean_score, bin.attack_share, 4.5, "dot-a",
                fmt::format("mean score {:.3f}: {:.1f} % of {} rows are attacks", bin.mean_score,
                            100 * bin.attack_share, with_thousands(rows)));
    }
  };
  if (report.other) draw(report.other->evaluation, false);
  draw(evaluation, true);
  return "<figure><h3>Reliability</h3>\n" + chart.svg() +
         fmt::format(
             "<figcaption>On the dashed line a score is a probability; strokes are 95 % intervals. "
             "Expected calibration error {:.4f}, largest {:.4f}, Brier score {:.4f}. It holds for the "
             "mixture of these rows only.</figcaption></figure>\n",
             evaluation.calibration->expected_error, evaluation.calibration->maximum_error,
             evaluation.brier.value_or(0));
}

std::string scores(const Report& report) {
  const Evaluation& evaluation = report.evaluation;
  if (!evaluation.histogram) return "";
  std::uint64_t most = 1;
  for (const auto* bins : {&evaluation.histogram->benign, &evaluation.histogram->attacks}) {
    most = std::max(most, *std::max_element(bins->begin(), bins->end()));
  }
  // Attacks upwards, benign rows downwards, both by the logarithm of how many there are, so that the few that
  // matter are seen beside the many that do not.
  const double top = std::log10(static_cast<double>(most) + 1);
  const auto height = [](std::uint64_t count) { return std::log10(static_cast<double>(count) + 1); };
  Axis y{"rows, logarithmic", -top * 1.04, top * 1.04, false, {{0, "0"}}};
  for (std::uint64_t count = 10; height(count) < top; count *= top > 4 ? 100 : 10) {
    y.ticks.emplace_back(height(count), with_thousands(count));
    y.ticks.emplace_back(-height(count), with_thousands(count));
  }
  Chart chart("score-chart", "Scores", "How many attacks and benign rows got which score.",
              {"attack score", 0, 1, false, kShares}, y);
  for (std::size_t i = 0; i < kHistogramBins; ++i) {
    const double low = static_cast<double>(i) / kHistogramBins,
                 high = static_cast<double>(i + 1) / kHistogramBins;
    const std::uint64_t attacks = evaluation.histogram->attacks[i], benign = evaluation.histogram->benign[i];
    if (attacks > 0) {
      chart.rectangle(low + 0.001, high - 0.001, 0, height(attacks), "attack",
                      fmt::format("{:.2f} to {:.2f}: {} attacks", low, high, with_thousands(attacks)));
    }
    if (benign > 0) {
      chart.rectangle(low + 0.001, high - 0.001, -height(benign), 0, "benign",
                      fmt::format("{:.2f} to {:.2f}: {} benign rows", low, high, with_thousands(benign)));
    }
  }
  if (evaluation.threshold) {
    const Points line = {{*evaluation.threshold, y.low}, {*evaluation.threshold, y.high}};
    chart.line(line, "mark");
    chart.note(*evaluation.threshold, y.high, fmt::format("threshold {:.3f}", *evaluation.threshold), "note");
  }
  return "<figure><h3>Scores</h3>\n" + chart.svg() +
         "<figcaption><span class=\"box box-attack\"></span>attacks upwards, <span class=\"box "
         "box-benign\"></span>benign rows downwards. Each step of the scale is a "
         "multiple.</figcaption></figure>\n";
}

}  // namespace

std::string charts(const Report& report) {
  const Evaluation& evaluation = report.evaluation;
  std::string figures;
  if (!evaluation.curve.empty()) figures += roc(report) + precision_recall(report);
  figures += reliability(report) + scores(report);
  if (figures.empty()) return "";
  return "<h2>Curves</h2>\n" + legend(report) + "<div class=\"charts\">\n" + figures + "</div>\n";
}

}  // namespace nidus::learn::internal
