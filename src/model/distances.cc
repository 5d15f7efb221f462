#include "model/distances.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/text.h"
#include "model/internal/model_stream.h"

namespace nidus::model {
namespace {

constexpr double kNumberMax = 1e100;
constexpr float kSampleMax = 1e15f;
constexpr std::size_t kNeighbourInputsMax = 65536;

// So many rows are taken side by side, that a processor without wide registers also adds several at once.
constexpr std::size_t kAbreast = 8;

// Column by column, kAbreast rows side by side: out[column × kAbreast + row]. Where rows are missing the last
// one is repeated.
template <class Number>
void abreast(std::span<const float> rows, std::size_t first, std::size_t count, std::size_t inputs,
             std::vector<Number>& out) {
  out.resize(inputs * kAbreast);
  for (std::size_t lane = 0; lane < kAbreast; ++lane) {
    const float* const row = rows.data() + std::min(first + lane, count - 1) * inputs;
    for (std::size_t i = 0; i < inputs; ++i) out[i * kAbreast + lane] = static_cast<Number>(row[i]);
  }
}

// NaN stays.
double held(double off, double reach) { return off < -reach ? -reach : off > reach ? reach : off; }

// Infinities are as far as a number can be.
float held_in_sample(float x) { return x < -kSampleMax ? -kSampleMax : x > kSampleMax ? kSampleMax : x; }

std::vector<float> rounded(std::span<const double> rows) {
  std::vector<float> out(rows.size());
  std::transform(rows.begin(), rows.end(), out.begin(), [](double x) { return static_cast<float>(x); });
  return out;
}

}  // namespace

Result<Mahalanobis> Mahalanobis::make(Parts parts) {
  const std::size_t inputs = parts.mean.size();
  if (inputs == 0 || inputs > kInputsMax || parts.reach.size() != inputs ||
      parts.precision.size() != inputs * inputs) {
    return Error{Errc::corrupt, "Mahalanobis distance: a mean of " + std::to_string(inputs) +
                                    " columns and a matrix of " + std::to_string(parts.precision.size()) +
                                    " numbers"};
  }
  const auto fine = [](double number) { return std::abs(number) <= kNumberMax; };
  if (!std::all_of(parts.mean.begin(), parts.mean.end(), fine) ||
      !std::all_of(parts.reach.begin(), parts.reach.end(), [&](double x) { return x >= 0 && fine(x); }) ||
      !std::all_of(parts.precision.begin(), parts.precision.end(), fine))
    return Error{Errc::corrupt, "Mahalanobis distance: a number that is none, or too large"};
  return Mahalanobis(std::move(parts));
}

Result<Mahalanobis> Mahalanobis::load(internal::FileReader& in) {
  Parts parts;
  parts.mean = in.reals();
  parts.reach = in.reals();
  parts.precision = in.array<double>();
  if (!in.ok()) return in.error();
  auto made = make(std::move(parts));
  if (!made) return in.fail(made.error().message);
  return made;
}

void Mahalanobis::save(internal::FileWriter& out) const {
  out.tag(internal::ModelTag::mahalanobis);
  out.reals(parts_.mean);
  out.reals(parts_.reach);
  out.array(parts_.precision);
}

void Mahalanobis::score(std::span<const float> rows, std::size_t count, std::span<double> scores) const {
  const std::size_t inputs = this->inputs();
  CHECK(rows.size() >= count * inputs && scores.size() >= count);
  std::vector<double> off;
  for (std::size_t first = 0; first < count; first += kAbreast) {
    abreast(rows, first, count, inputs, off);
    for (std::size_t i = 0; i < inputs; ++i) {
      for (std::size_t lane = 0; lane < kAbreast; ++lane) {
        double& own = off[i * kAbreast + lane];
        own = held(own - parts_.mean[i], parts_.reach[i]);
      }
    }
    double sums[kAbreast] = {};
    for (std::size_t i = 0; i < inputs; ++i) {
      const double* const line = parts_.precision.data() + i * inputs;
      const double* const own = &off[i * kAbreast];
      double others[kAbreast] = {};
      for (std::size_t j = 0; j < i; ++j) {
        for (std::size_t lane = 0; lane < kAbreast; ++lane)
          others[lane] += line[j] * off[j * kAbreast + lane];
      }
      for (std::size_t lane = 0; lane < kAbreast; ++lane)
        sums[lane] += own[lane] * (2 * others[lane] + line[i] * own[lane]);
    }
    for (std::size_t lane = 0; lane < std::min(kAbreast, count - first); ++lane)
      scores[first + lane] = sums[lane] < 0 ? 0 : sums[lane];
  }
}

void Mahalanobis::shares(std::span<const float> rows, std::size_t count, std::span<double> out) const {
  const std::size_t inputs = this->inputs();
  CHECK(rows.size() >= count * inputs && out.size() >= count * inputs);
  std::vector<double> off(inputs);
  for (std::size_t row = 0; row < count; ++row) {
    for (std::size_t i = 0; i < inputs; ++i)
      off[i] = held(static_cast<double>(rows[row * inputs + i]) - parts_.mean[i], parts_.reach[i]);
    for (std::size_t i = 0; i < inputs; ++i) {
      double sum = 0;
      for (std::size_t j = 0; j < inputs; ++j)
        sum += parts_.precision[std::max(i, j) * inputs + std::min(i, j)] * off[j];
      out[row * inputs + i] = off[i] * sum;
    }
  }
}

void Mahalanobis::shares(std::span<const double> rows, std::size_t count, std::span<double> out) const {
  shares(std::span<const float>(rounded(rows)), count, out);
}

std::string Mahalanobis::describe() const {
  return "squared Mahalanobis distance: " + std::to_string(inputs()) + " inputs";
}

struct Neighbours::Found {
  float square = 0;
  std::size_t which = 0;  // of the sample
};

Result<Neighbours> Neighbours::make(Parts parts) {
  const std::size_t rows = parts.inputs == 0 ? 0 : parts.sample.size() / parts.inputs;
  if (parts.inputs == 0 || parts.inputs > kNeighbourInputsMax || rows * parts.inputs != parts.sample.size() ||
      parts.nearest == 0 || parts.nearest > rows) {
    return Error{Errc::corrupt, "neighbours: the " + std::to_string(parts.nearest) + "-th nearest of " +
                                    std::to_string(rows) + " rows"};
  }
  if (!std::all_of(parts.sample.begin(), parts.sample.end(),
                   [](float number) { return std::abs(number) <= kSampleMax; }))
    return Error{Errc::corrupt, "neighbours: a number that is none, or too large"};
  return Neighbours(std::move(parts));
}

Result<Neighbours> Neighbours::load(internal::FileReader& in) {
  Parts parts;
  parts.inputs = in.u32();
  parts.nearest = in.u32();
  parts.sample = in.array<float>();
  if (!in.ok()) return in.error();
  auto made = make(std::move(parts));
  if (!made) return in.fail(made.error().message);
  return made;
}

void Neighbours::save(internal::FileWriter& out) const {
  out.tag(internal::ModelTag::neighbours);
  out.u32(static_cast<std::uint32_t>(parts_.inputs));
  out.u32(parts_.nearest);
  out.array(parts_.sample);
}

// The k-th nearest of each row, of equals the first in the sample. A row with a NaN is NaN from all.
void Neighbours::find(std::span<const float> rows, std::size_t count, std::span<Found> found) const {
  const std::size_t inputs = parts_.inputs, k = parts_.nearest, size = parts_.sample.size() / inputs;
  std::vector<float> columns;
  std::vector<Found> nearest(kAbreast * k);  // of each row, ascending
  for (std::size_t first = 0; first < count; first += kAbreast) {
    abreast(rows, first, count, inputs, columns);
    for (float& value : columns) value = held_in_sample(value);
    std::fill(nearest.begin(), nearest.end(), Found{std::numeric_limits<float>::infinity(), 0});
    bool is_number[kAbreast];
    std::fill_n(is_number, kAbreast, true);
    for (std::size_t s = 0; s < size; ++s) {
      const float* const other = parts_.sample.data() + s * inputs;
      float squares[kAbreast] = {};
      for (std::size_t i = 0; i < inputs; ++i) {
        for (std::size_t lane = 0; lane < kAbreast; ++lane) {
          const float off = columns[i * kAbreast + lane] - other[i];
          squares[lane] += off * off;
        }
      }
      for (std::size_t lane = 0; lane < kAbreast; ++lane) {
        const float square = squares[lane];
        if (std::isnan(square)) is_number[lane] = false;
        Found* const list = &nearest[lane * k];
        if (!(square < list[k - 1].square)) continue;
        std::size_t at = k - 1;
        for (; at > 0 && square < list[at - 1].square; --at) list[at] = list[at - 1];
        list[at] = {square, s};
      }
    }
    for (std::size_t lane = 0; lane < std::min(kAbreast, count - first); ++lane) {
      found[first + lane] = nearest[lane * k + k - 1];
      if (!is_number[lane]) found[first + lane].square = std::numeric_limits<float>::quiet_NaN();
    }
  }
}

void Neighbours::score(std::span<const float> rows, std::size_t count, std::span<double> scores) const {
  CHECK(rows.size() >= count * inputs() && scores.size() >= count);
  std::vector<Found> found(count);
  find(rows, count, found);
  for (std::size_t row = 0; row < count; ++row)
    scores[row] = std::sqrt(static_cast<double>(found[row].square));
}

void Neighbours::shares(std::span<const float> rows, std::size_t count, std::span<double> out) const {
  const std::size_t inputs = this->inputs();
  CHECK(rows.size() >= count * inputs && out.size() >= count * inputs);
  std::vector<Found> found(count);
  find(rows, count, found);
  for (std::size_t row = 0; row < count; ++row) {
    const double distance = std::sqrt(static_cast<double>(found[row].square));
    for (std::size_t i = 0; i < inputs; ++i) {
      const double off = static_cast<double>(held_in_sample(rows[row * inputs + i])) -
                         static_cast<double>(parts_.sample[found[row].which * inputs + i]);
      out[row * inputs + i] = distance > 0 ? off * off / distance : 0;
    }
  }
}

void Neighbours::shares(std::span<const double> rows, std::size_t count, std::span<double> out) const {
  shares(std::span<const float>(rounded(rows)), count, out);
}

std::string Neighbours::describe() const {
  return "distance to the nearest " + std::to_string(parts_.nearest) + " of " +
         with_thousands(parts_.sample.size() / parts_.inputs) + " rows, " + std::to_string(inputs()) +
         " inputs";
}

}  // namespace nidus::model
