#include "detect/row_window.h"

namespace nidus::detect {
namespace {

constexpr std::size_t kValuesMax = std::size_t{1} << 21;

}  // namespace

RowWindow::RowWindow(std::size_t inputs, std::chrono::nanoseconds interval)
    : inputs_(inputs),
      capacity_(std::clamp<std::size_t>(kValuesMax / std::max<std::size_t>(inputs, 1), 128, kRowsMax)),
      interval_(interval),
      values_(std::make_unique<std::atomic<float>[]>(capacity_ * inputs)),
      scores_(std::make_unique<std::atomic<double>[]>(capacity_)) {}

RowWindow::Rows RowWindow::copy() const {
  Rows out;
  const std::size_t count = rows();
  out.values.reserve(count * inputs_);
  for (std::size_t i = 0; i < count * inputs_; ++i)
    out.values.push_back(values_[i].load(std::memory_order_relaxed));
  for (std::size_t i = 0; i < count; ++i) out.scores.push_back(scores_[i].load(std::memory_order_relaxed));
  return out;
}

}  // namespace nidus::detect
