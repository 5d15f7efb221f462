#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "detect/internal/manifest_reader.h"

// The part of `detector.json` that says what benign rows look like.
namespace nidus::detect::internal {
namespace {

Json histogram_json(const Manifest::Histogram& histogram) {
  Json out = Json::object();
  if (!histogram.edges.empty()) {
    Json& edges = out["edges"] = Json::array();
    for (const double edge : histogram.edges) edges.push_back(number_json(edge));
  }
  out["shares"] = histogram.shares;
  if (histogram.missing != 0) out["missing"] = histogram.missing;
  return out;
}

bool is_share(double x) { return x >= 0 && x <= 1; }

// `category`: the column whose texts the shares are of; null where edges say of what.
Manifest::Histogram read_histogram(ManifestReader& in, const Json& json, const std::string& where,
                                   const model::Column* category) {
  Manifest::Histogram out;
  if (!json.is_object()) {
    in.fail(where, "expected an object");
    return out;
  }
  const auto list = [&](const char* field, bool required, std::size_t most) {
    const Json* entries = in.get(json, where, field, Json::value_t::array, required);
    return entries == nullptr ? std::vector<double>()
                              : in.numbers(*entries, ManifestReader::join(where, field), most);
  };
  if (category == nullptr) out.edges = list("edges", false, Manifest::Baseline::kEdgesMax);
  out.shares = list("shares", true, Manifest::kColumnsMax);
  out.missing = in.number(json, where, "missing", false);
  if (!in.ok()) return out;
  if (std::any_of(out.edges.begin(), out.edges.end(), [](double x) { return std::isnan(x); }) ||
      std::adjacent_find(out.edges.begin(), out.edges.end(), std::greater_equal<>()) != out.edges.end()) {
    in.fail(ManifestReader::join(where, "edges"), "do not ascend");
  }
  const std::size_t wanted = category == nullptr ? out.edges.size() + 1 : category->vocabulary.size();
  if (out.shares.size() != wanted) {
    in.fail(ManifestReader::join(where, "shares"),
            fmt::format("{} of them where there must be {}", out.shares.size(), wanted));
  }
  if (!is_share(out.missing) || !std::all_of(out.shares.begin(), out.shares.end(), is_share))
    in.fail(where, "a share lies between 0 and 1");
  return out;
}

}  // namespace

void write_unknown(const Manifest& m, Json& out) {
  if (!(m.unknown.alpha > 0)) return;
  Json& unknown = out["unknown"];
  unknown["alpha"] = m.unknown.alpha;
  unknown["rows_of"] = m.unknown.rows_of;
  Json& labels = unknown["labels"] = Json::array();
  for (const auto& label : m.unknown.labels)
    labels.push_back({{"rows", label.rows}, {"probabilities", label.probabilities}});
}

void read_unknown(ManifestReader& in, const Json& json, Manifest& m) {
  const Json* unknown = in.get(json, "", "unknown", Json::value_t::object, false);
  if (unknown == nullptr) return;
  m.unknown.alpha = in.number(*unknown, "unknown", "alpha");
  m.unknown.rows_of = in.text(*unknown, "unknown", "rows_of", false);
  if (in.ok() && !(m.unknown.alpha > 0 && m.unknown.alpha < 1))
    in.fail("unknown.alpha", "not between 0 and 1");
  in.each(
      *unknown, "unknown", "labels", Manifest::kLabelsMax, true,
      [&](const Json& entry, const std::string& where) {
        if (!entry.is_object()) return in.fail(where, "expected an object");
        auto& label = m.unknown.labels.emplace_back();
        label.rows = in.whole(entry, where, "rows");
        if (const Json* list = in.get(entry, where, "probabilities", Json::value_t::array))
          label.probabilities =
              in.numbers(*list, ManifestReader::join(where, "probabilities"), Manifest::Unknown::kRanksMax);
        const auto& known = label.probabilities;
        if (!std::all_of(known.begin(), known.end(), is_share) || !std::is_sorted(known.begin(), known.end()))
          in.fail(ManifestReader::join(where, "probabilities"), "not ascending between 0 and 1");
        if (known.size() > label.rows || known.empty() != (label.rows == 0))
          in.fail(where, fmt::format("{} probabilities of {} rows", known.size(), label.rows));
      });
  if (in.ok() && m.unknown.labels.size() != m.labels.size()) {
    in.fail("unknown.labels", fmt::format("{} for {} labels", m.unknown.labels.size(), m.labels.size()));
  }
}

void write_baseline(const Manifest& m, Json& reference) {
  const auto& baseline = m.baseline;
  if (baseline.rows != 0) {
    reference["of"] = baseline.of;
    reference["rows"] = baseline.rows;
    Json& columns = reference["histograms"] = Json::array();
    for (const auto& column : baseline.columns) columns.push_back(histogram_json(column));
  }
  if (baseline.scores != 0) {
    Json& score = reference["score"];
    score = histogram_json(baseline.score);
    score["of"] = baseline.scores_of;
    score["rows"] = baseline.scores;
    Json& quantiles = score["quantiles"] = Json::array();
    for (const double value : baseline.score_quantiles) quantiles.push_back(number_json(value));
  }
}

void read_baseline(ManifestReader& in, const Json& reference, Manifest& m) {
  auto& baseline = m.baseline;
  baseline.of = in.text(reference, "reference", "of", false);
  baseline.rows = in.whole(reference, "reference", "rows", false);
  if (baseline.rows != 0) {
    in.each(reference, "reference", "histograms", Manifest::kColumnsMax, true,
            [&](const Json& entry, const std::string& where) {
              const std::size_t at = baseline.columns.size();
              if (at >= m.schema.size()) return in.fail(where, "more histograms than columns");
              const auto& column = m.schema[at];
              const bool category = column.kind == model::Column::Kind::categorical;
              baseline.columns.push_back(read_histogram(in, entry, where, category ? &column : nullptr));
            });
    if (in.ok() && baseline.columns.size() != m.schema.size()) {
      in.fail("reference.histograms",
              fmt::format("{} for {} columns", baseline.columns.size(), m.schema.size()));
    }
  }
  const Json* score = in.get(reference, "reference", "score", Json::value_t::object, false);
  if (score == nullptr) return;
  baseline.scores_of = in.text(*score, "reference.score", "of", false);
  baseline.scores = in.whole(*score, "reference.score", "rows");
  if (in.ok() && baseline.scores == 0) in.fail("reference.score.rows", "is 0");
  baseline.score = read_histogram(in, *score, "reference.score", nullptr);
  if (const Json* list = in.get(*score, "reference.score", "quantiles", Json::value_t::array, false))
    baseline.score_quantiles = in.numbers(*list, "reference.score.quantiles", 1024);
  if (in.ok() && !baseline.score_quantiles.empty() &&
      baseline.score_quantiles.size() != m.reference_levels.size()) {
    in.fail("reference.score.quantiles",
            fmt::format("{} for {} levels", baseline.score_quantiles.size(), m.reference_levels.size()));
  }
}

}  // namespace nidus::detect::internal
