#include "learn/baselines.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/parallel.h"
#include "base/random.h"

namespace nidus::learn {
namespace {

constexpr double kReach = 10;  // deviations

Result<void> check_numbers(const Dataset& training) {
  for (std::size_t i = 0; i < training.values.size(); ++i) {
    if (std::isfinite(training.values[i])) continue;
    return Error{Errc::invalid, "column '" + training.schema[i % training.inputs()].name + "', row " +
                                    std::to_string(i / training.inputs()) +
                                    ": a value that is missing or infinite, which distances cannot do with"};
  }
  return {};
}

// Means and deviations, column by column; the deviation of a column that hardly varies is 1.
struct Moments {
  std::vector<double> mean, deviation;
  bool any_varies = false;
};

Moments moments_of(const Dataset& training) {
  const std::size_t rows = training.rows(), inputs = training.inputs();
  const auto n = static_cast<double>(rows);
  Moments out{std::vector<double>(inputs), std::vector<double>(inputs), false};
  std::vector<double> largest(inputs);
  for (std::size_t row = 0; row < rows; ++row) {
    const float* const values = training.values.data() + row * inputs;
    for (std::size_t i = 0; i < inputs; ++i) {
      out.mean[i] += static_cast<double>(values[i]);
      largest[i] = std::max(largest[i], std::abs(static_cast<double>(values[i])));
    }
  }
  for (double& mean : out.mean) mean /= n;
  for (std::size_t row = 0; row < rows; ++row) {
    const float* const values = training.values.data() + row * inputs;
    for (std::size_t i = 0; i < inputs; ++i) {
      const double off = static_cast<double>(values[i]) - out.mean[i];
      out.deviation[i] += off * off;
    }
  }
  for (std::size_t i = 0; i < inputs; ++i) {
    out.deviation[i] = std::sqrt(out.deviation[i] / n);
    const bool varies = out.deviation[i] > 1e-12 * largest[i];
    if (!varies) out.deviation[i] = 1;
    out.any_varies = out.any_varies || varies;
  }
  return out;
}

// The covariance of the scaled rows, its lower triangle, and the sum over the rows of the fourth power of
// their lengths, which says how sure it is.
struct Scatter {
  std::vector<double> covariance;
  double fourth = 0;
};

// The rows are cut into so many pieces, whose sums are added up in order: by their number of columns, not by
// that of the threads, so that the result does not depend on those.
Scatter scatter_of(const Dataset& training, const Moments& moments, Workers& workers) {
  const std::size_t rows = training.rows(), inputs = training.inputs();
  constexpr std::size_t kPiecesBytesMax = std::size_t{256} << 20;
  const std::size_t pieces =
      std::clamp<std::size_t>(kPiecesBytesMax / (inputs * inputs * sizeof(double)), 1, 16);
  std::vector<Scatter> parts(pieces);
  workers.run(pieces, [&](std::size_t piece) {
    constexpr std::size_t kBlock = 64;
    Scatter& part = parts[piece];
    part.covariance.assign(inputs * inputs, 0);
    std::vector<double> scaled(inputs * kBlock);  // column by column
    const std::size_t first = rows * piece / pieces, end = rows * (piece + 1) / pieces;
    for (std::size_t begin = first; begin < end; begin += kBlock) {
      const std::size_t some = std::min(kBlock, end - begin);
      for (std::size_t row = 0; row < some; ++row) {
        const float* const values = training.values.data() + (begin + row) * inputs;
        double square = 0;
        for (std::size_t i = 0; i < inputs; ++i) {
          const double z = std::clamp(
              (static_cast<double>(values[i]) - moments.mean[i]) / moments.deviation[i], -kReach, kReach);
          scaled[i * kBlock + row] = z;
          square += z * z;
        }
        part.fourth += square * square;
      }
      for (std::size_t row = some; row < kBlock; ++row) {
        for (std::size_t i = 0; i < inputs; ++i) scaled[i * kBlock + row] = 0;
      }
      for (std::size_t i = 0; i < inputs; ++i) {
        const double* const a = &scaled[i * kBlock];
        double* const line = &part.covariance[i * inputs];
        for (std::size_t j = 0; j <= i; ++j) {
          // Eight sums beside each other, that the processor adds at once.
          const double* const b = &scaled[j * kBlock];
          double sums[8] = {};
          for (std::size_t row = 0; row < kBlock; row += 8) {
            for (std::size_t lane = 0; lane < 8; ++lane) sums[lane] += a[row + lane] * b[row + lane];
          }
          for (const double sum : sums) line[j] += sum;
        }
      }
    }
  });
  Scatter out = std::move(parts.front());
  for (std::size_t piece = 1; piece < pieces; ++piece) {
    for (std::size_t i = 0; i < out.covariance.size(); ++i) out.covariance[i] += parts[piece].covariance[i];
    out.fourth += parts[piece].fourth;
  }
  for (double& value : out.covariance) value /= static_cast<double>(rows);
  return out;
}

// Of a symmetric positive matrix given by its lower triangle: L of L L', in place. False when it is none.
bool factorise(std::vector<double>& matrix, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    double* const line = &matrix[i * size];
    for (std::size_t j = 0; j <= i; ++j) {
      const double* const other = &matrix[j * size];
      double sum = line[j];
      for (std::size_t k = 0; k < j; ++k) sum -= line[k] * other[k];
      if (i != j) {
        line[j] = sum / other[j];
        continue;
      }
      if (!(sum > 0)) return false;
      line[i] = std::sqrt(sum);
    }
  }
  return true;
}

// The inverse out of L: the product of the transpose of L's inverse and that inverse.
std::vector<double> inverse_of(const std::vector<double>& factor, std::size_t size) {
  // Column by column of L's inverse, which stands in the rows here: it begins at the diagonal.
  std::vector<double> columns(size * size), out(size * size);
  for (std::size_t column = 0; column < size; ++column) {
    double* const to = &columns[column * size];
    to[column] = 1 / factor[column * size + column];
    for (std::size_t i = column + 1; i < size; ++i) {
      double sum = 0;
      for (std::size_t k = column; k < i; ++k) sum -= factor[i * size + k] * to[k];
      to[i] = sum / factor[i * size + i];
    }
  }
  for (std::size_t i = 0; i < size; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      double sum = 0;
      for (std::size_t k = i; k < size; ++k) sum += columns[i * size + k] * columns[j * size + k];
      out[i * size + j] = out[j * size + i] = sum;
    }
  }
  return out;
}

double signed_log_of(double x) { return std::copysign(std::log1p(std::abs(x)), x); }
double signed_power_of(double x) { return std::copysign(std::expm1(std::abs(x)), x); }

// The edges of the bins of a numeric column; none if nothing is finite.
std::vector<double> edges_of(const Dataset& training, std::size_t input, std::size_t bins) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (std::size_t row = 0; row < training.rows(); ++row) {
    const auto value = static_cast<double>(training.at(row, input));
    if (!std::isfinite(value)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  std::vector<double> edges;
  if (!(low <= high)) return edges;
  edges.push_back(low);
  const double from = signed_log_of(low), to = signed_log_of(high);
  for (std::size_t i = 1; i < bins; ++i) {
    const double share = static_cast<double>(i) / static_cast<double>(bins);
    const double edge = signed_power_of(from + (to - from) * share);
    if (edge > edges.back() && edge <= high) edges.push_back(edge);
  }
  edges.push_back(std::nextafter(high, std::numeric_limits<double>::infinity()));
  return edges;
}

}  // namespace

Result<FittedMahalanobis> fit_mahalanobis(const Dataset& training, std::size_t threads) {
  const std::size_t rows = training.rows(), inputs = training.inputs();
  if (rows < 2) return Error{Errc::invalid, "a covariance wants two rows at least"};
  if (inputs == 0 || inputs > model::Mahalanobis::kInputsMax) {
    return Error{Errc::unsupported, std::to_string(inputs) + " columns, a Mahalanobis distance takes 1 to " +
                                        std::to_string(model::Mahalanobis::kInputsMax)};
  }
  if (auto good = check_numbers(training); !good) return std::move(good).error();
  const Moments moments = moments_of(training);
  if (!moments.any_varies) return Error{Errc::invalid, "no column varies: there is no covariance"};
  Workers workers(threads);
  Scatter scatter = scatter_of(training, moments, workers);

  // Ledoit and Wolf (2004), in the words of scikit-learn's ledoit_wolf_shrinkage.
  const auto n = static_cast<double>(rows), p = static_cast<double>(inputs);
  double trace = 0, squares = 0;
  for (std::size_t i = 0; i < inputs; ++i) {
    trace += scatter.covariance[i * inputs + i];
    for (std::size_t j = 0; j < i; ++j) {
      const double value = scatter.covariance[i * inputs + j];
      squares += 2 * value * value;
    }
    squares += scatter.covariance[i * inputs + i] * scatter.covariance[i * inputs + i];
  }
  const double mu = trace / p;
  const double delta = (squares - 2 * mu * trace + p * mu * mu) / p;
  const double beta = std::min((scatter.fourth / n - squares) / (n * p), delta);
  const double shrinkage = beta > 0 ? beta / delta : 0;
  for (double& value : scatter.covariance) value *= 1 - shrinkage;
  // A little more, where shrinking leaves a matrix that is not positive.
  std::vector<double> factor;
  double ridge = shrinkage * mu;
  for (double more = 1e-9 * mu;; more *= 10) {
    factor = scatter.covariance;
    for (std::size_t i = 0; i < inputs; ++i) factor[i * inputs + i] += ridge;
    if (factorise(factor, inputs)) break;
    CHECK(more <= 2 * mu);
    ridge = shrinkage * mu + more;
  }
  model::Mahalanobis::Parts parts;
  parts.mean = moments.mean;
  for (const double deviation : moments.deviation) parts.reach.push_back(kReach * deviation);
  std::vector<double> precision = inverse_of(factor, inputs);
  for (std::size_t i = 0; i < inputs; ++i) {
    for (std::size_t j = 0; j < inputs; ++j)
      precision[i * inputs + j] /= moments.deviation[i] * moments.deviation[j];
  }
  parts.precision = std::move(precision);
  auto model = model::Mahalanobis::make(std::move(parts));
  if (!model) return Error{Errc::invalid, model.error().message};
  return FittedMahalanobis{std::move(*model), shrinkage};
}

Result<model::HistogramSums> fit_histogram(const Dataset& training, const HistogramOptions& options) {
  if (training.rows() == 0) return Error{Errc::invalid, "no rows to learn from"};
  if (options.bins == 0 || options.bins > 10'000)
    return Error{Errc::invalid, "a histogram has 1 to 10,000 bins"};
  std::vector<model::HistogramSums::Histogram> columns(training.inputs());
  for (std::size_t input = 0; input < training.inputs(); ++input) {
    auto& column = columns[input];
    if (training.schema[input].kind == model::Column::Kind::categorical) {
      for (std::size_t i = 0; i <= training.schema[input].vocabulary.size(); ++i)
        column.edges.push_back(static_cast<double>(i));
    } else {
      column.edges = edges_of(training, input, options.bins);
    }
    std::vector<double> counts(column.edges.size() + 1);
    double missing = 0;
    for (std::size_t row = 0; row < training.rows(); ++row) {
      const auto value = static_cast<double>(training.at(row, input));
      if (std::isnan(value)) {
        ++missing;
        continue;
      }
      const auto bin =
          std::upper_bound(column.edges.begin(), column.edges.end(), value) - column.edges.begin();
      ++counts[static_cast<std::size_t>(bin)];
    }
    const double all = static_cast<double>(training.rows() + counts.size() + 1);
    for (const double count : counts) column.values.push_back(-std::log((count + 1) / all));
    column.missing = -std::log((missing + 1) / all);
  }
  return model::HistogramSums::make(std::move(columns));
}

Result<model::Neighbours> fit_neighbours(const Dataset& training, const NeighboursOptions& options) {
  const std::size_t rows = training.rows(), inputs = training.inputs();
  if (options.nearest == 0 || options.nearest > rows || options.nearest > options.sample) {
    return Error{Errc::invalid, std::to_string(options.nearest) + " neighbours out of " +
                                    std::to_string(std::min(rows, options.sample)) + " rows"};
  }
  if (auto good = check_numbers(training); !good) return std::move(good).error();
  std::vector<std::size_t> drawn(rows);
  for (std::size_t i = 0; i < rows; ++i) drawn[i] = i;
  Random random(options.seed);
  const std::size_t kept = std::min(rows, options.sample);
  for (std::size_t i = 0; i < kept; ++i) std::swap(drawn[i], drawn[i + random.below(rows - i)]);
  drawn.resize(kept);
  std::sort(drawn.begin(), drawn.end());
  std::vector<float> sample;
  sample.reserve(kept * inputs);
  for (const std::size_t row : drawn) {
    const auto from = training.values.begin() + static_cast<std::ptrdiff_t>(row * inputs);
    sample.insert(sample.end(), from, from + static_cast<std::ptrdiff_t>(inputs));
  }
  model::Neighbours::Parts parts;
  parts.inputs = inputs;
  parts.nearest = static_cast<std::uint32_t>(options.nearest);
  parts.sample = std::move(sample);
  return model::Neighbours::make(std::move(parts));
}

}  // namespace nidus::learn
