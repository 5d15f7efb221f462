#include "model/reconstruction.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <type_traits>
#include <vector>

#include "base/check.h"
#include "model/internal/model_stream.h"

namespace nidus::model {
namespace {

constexpr std::size_t kColumnsMax = 65536;

// Calls see(row, column, part) for each column of each row in turn, where `part` is what the column adds to
// the mean.
template <class T, class See>
void for_each_part(const Model& inner, Reconstruction::Measure measure, std::span<const T> rows,
                   std::size_t count, const See& see) {
  const std::size_t columns = inner.inputs();
  CHECK(rows.size() >= count * columns);
  constexpr std::size_t kOnStack = 1024, kNumbers = 8192;
  const std::size_t most = std::max<std::size_t>(1, std::min(count, kNumbers / columns));
  std::array<double, kOnStack> on_stack;
  std::vector<double> on_heap;
  if (most * columns > kOnStack) on_heap.resize(most * columns);
  const std::span<double> said = on_heap.empty() ? std::span<double>(on_stack) : std::span<double>(on_heap);
  const auto n = static_cast<double>(columns);
  const bool is_wide = inner.is_wide(), is_squared = measure == Reconstruction::Measure::squared;
  for (std::size_t first = 0; first < count; first += most) {
    const std::size_t some = std::min(most, count - first);
    const auto given = rows.subspan(first * columns, some * columns);
    if constexpr (std::is_same_v<T, float>) {
      inner.score(given, some, said);
    } else {
      inner.score_wide(given, some, said);
    }
    for (std::size_t row = 0, i = 0; row < some; ++row) {
      for (std::size_t column = 0; column < columns; ++column, ++i) {
        // What the inner model was told: a row of floats, unless it is wide.
        const double told =
            is_wide ? static_cast<double>(given[i]) : static_cast<double>(static_cast<float>(given[i]));
        const double off = told - said[i];
        see(first + row, column, (is_squared ? off * off : std::abs(off)) / n);
      }
    }
  }
}

template <class T>
void score_rows(const Reconstruction& model, std::span<const T> rows, std::size_t count,
                std::span<double> scores) {
  CHECK(scores.size() >= count);
  for_each_part(model.inner(), model.measure(), rows, count,
                [&](std::size_t row, std::size_t column, double part) {
                  scores[row] = column == 0 ? part : scores[row] + part;
                });
}

}  // namespace

Result<Reconstruction> Reconstruction::make(std::shared_ptr<const Model> inner, Measure measure) {
  if (inner->inputs() != inner->outputs()) {
    return Error{Errc::invalid, "reconstruction: a model that is told " + std::to_string(inner->inputs()) +
                                    " numbers and says " + std::to_string(inner->outputs())};
  }
  if (inner->inputs() > kColumnsMax) return Error{Errc::invalid, "reconstruction: more than 65,536 columns"};
  return Reconstruction(std::move(inner), measure);
}

void Reconstruction::score(std::span<const float> rows, std::size_t count, std::span<double> scores) const {
  score_rows(*this, rows, count, scores);
}
void Reconstruction::score_wide(std::span<const double> rows, std::size_t count,
                                std::span<double> scores) const {
  score_rows(*this, rows, count, scores);
}

void Reconstruction::shares(std::span<const float> rows, std::size_t count, std::span<double> out) const {
  CHECK(out.size() >= count * inputs());
  for_each_part(*inner_, measure_, rows, count, [&](std::size_t row, std::size_t column, double part) {
    out[row * inputs() + column] = part;
  });
}
void Reconstruction::shares(std::span<const double> rows, std::size_t count, std::span<double> out) const {
  CHECK(out.size() >= count * inputs());
  for_each_part(*inner_, measure_, rows, count, [&](std::size_t row, std::size_t column, double part) {
    out[row * inputs() + column] = part;
  });
}

std::string Reconstruction::describe() const {
  return std::string(measure_ == Measure::squared ? "mean squared" : "mean absolute") +
         " reconstruction error of a " + inner_->describe();
}

void Reconstruction::save(internal::FileWriter& out) const {
  out.tag(internal::ModelTag::reconstruction);
  out.u8(static_cast<std::uint8_t>(measure_));
  inner_->save(out);
}

Result<Reconstruction> Reconstruction::load(internal::FileReader& in, int nesting) {
  const auto measure = in.u8();
  if (measure > 1) return in.fail("an unknown measure of reconstruction");
  auto inner = in.model(nesting + 1);
  if (!inner) return std::move(inner).error();
  auto made = make(std::move(*inner), static_cast<Measure>(measure));
  if (!made) return in.fail(made.error().message);
  return made;
}

}  // namespace nidus::model
