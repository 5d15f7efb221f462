#include "model/naive_bayes.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "model/internal/model_stream.h"
#include "model/internal/wide_rows.h"

namespace nidus::model {
namespace {

constexpr std::size_t kClassesMax = 1024;
constexpr double kPi = 3.14159265358979323846;

bool all_positive(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(),
                     [](double value) { return value > 0 && std::isfinite(value); });
}

}  // namespace

NaiveBayes::NaiveBayes(Parts parts) : parts_(std::move(parts)) {
  const std::size_t width = inputs();
  for (std::size_t k = 0; k < parts_.priors.size(); ++k) {
    double sum = 0;
    for (std::size_t i = 0; i < width; ++i) sum += std::log(2 * kPi * parts_.variances[k * width + i]);
    constants_.push_back(std::log(parts_.priors[k]) - 0.5 * sum);
  }
}

Result<NaiveBayes> NaiveBayes::make(Parts parts) {
  const std::size_t classes = parts.priors.size();
  if (classes < 2 || classes > kClassesMax || parts.means.empty() || parts.means.size() % classes != 0 ||
      parts.variances.size() != parts.means.size()) {
    return Error{Errc::corrupt, "naive Bayes whose parts do not fit each other"};
  }
  if (!all_positive(parts.priors) || !all_positive(parts.variances) ||
      !std::all_of(parts.means.begin(), parts.means.end(), [](double mean) { return std::isfinite(mean); })) {
    return Error{Errc::corrupt, "naive Bayes with priors, variances or means that are none"};
  }
  return NaiveBayes(std::move(parts));
}

Result<NaiveBayes> NaiveBayes::load(internal::FileReader& in) {
  Parts parts;
  for (auto* const values : {&parts.priors, &parts.means, &parts.variances}) {
    *values = in.reals();
  }
  if (!in.ok()) return in.error();
  auto made = make(std::move(parts));
  if (!made) return in.fail(made.error().message);
  return made;
}

void NaiveBayes::save(internal::FileWriter& out) const {
  out.tag(internal::ModelTag::naive_bayes);
  for (const auto* const values : {&parts_.priors, &parts_.means, &parts_.variances}) {
    out.reals(*values);
  }
}

void NaiveBayes::score_wide(std::span<const double> rows, std::size_t count, std::span<double> scores) const {
  const std::size_t width = inputs(), classes = parts_.priors.size(), each = outputs();
  CHECK(rows.size() >= count * width && scores.size() >= count * each);
  thread_local std::vector<double> logs;
  logs.resize(classes);
  for (std::size_t row = 0; row < count; ++row) {
    for (std::size_t k = 0; k < classes; ++k) {
      double sum = 0;
      for (std::size_t i = 0; i < width; ++i) {
        const double off = rows[row * width + i] - parts_.means[k * width + i];
        sum += off * off / parts_.variances[k * width + i];
      }
      logs[k] = constants_[k] - 0.5 * sum;
    }
    const double highest = *std::max_element(logs.begin(), logs.end());
    double all = 0;
    for (const double value : logs) all += std::exp(value - highest);
    const double norm = highest + std::log(all);
    for (std::size_t k = 0; k < each; ++k) {
      scores[row * each + k] = std::exp(logs[each == 1 ? 1 : k] - norm);
    }
  }
}

void NaiveBayes::score(std::span<const float> rows, std::size_t count, std::span<double> scores) const {
  internal::score_widened(rows, count, inputs(), outputs(), scores,
                          [&](auto wide, std::size_t some, auto to) { score_wide(wide, some, to); });
}

std::string NaiveBayes::describe() const {
  return "naive Bayes: " + std::to_string(parts_.priors.size()) + " classes, " + std::to_string(inputs()) +
         " inputs";
}

}  // namespace nidus::model
