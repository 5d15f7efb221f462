#include "model/kernel_machine.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/text.h"
#include "model/internal/model_stream.h"
#include "model/internal/wide_rows.h"

namespace nidus::model {
namespace {

constexpr std::size_t kMachineClassesMax = 256;
constexpr std::size_t kInputsMax = 65536;

// Probabilities of the classes out of pairwise[i × classes + j], that of i against j.
void couple(const std::vector<double>& pairwise, std::size_t classes, std::vector<double>& out) {
  out.assign(classes, 1 / static_cast<double>(classes));
  std::vector<double> q(classes * classes, 0.0), qp(classes);
  for (std::size_t t = 0; t < classes; ++t) {
    for (std::size_t j = 0; j < classes; ++j) {
      if (j == t) continue;
      const double against = pairwise[j * classes + t];
      q[t * classes + t] += against * against;
      q[t * classes + j] = -against * pairwise[t * classes + j];
    }
  }
  const double close = 0.005 / static_cast<double>(classes);
  const std::size_t rounds = std::max<std::size_t>(100, classes);
  for (std::size_t round = 0; round < rounds; ++round) {
    double whole = 0;
    for (std::size_t t = 0; t < classes; ++t) {
      qp[t] = 0;
      for (std::size_t j = 0; j < classes; ++j) qp[t] += q[t * classes + j] * out[j];
      whole += out[t] * qp[t];
    }
    double worst = 0;
    for (const double value : qp) worst = std::max(worst, std::abs(value - whole));
    if (worst < close) break;
    for (std::size_t t = 0; t < classes; ++t) {
      const double own = q[t * classes + t], step = (whole - qp[t]) / own;
      out[t] += step;
      whole = (whole + step * (step * own + 2 * qp[t])) / (1 + step) / (1 + step);
      for (std::size_t j = 0; j < classes; ++j) {
        qp[j] = (qp[j] + step * q[t * classes + j]) / (1 + step);
        out[j] /= 1 + step;
      }
    }
  }
}

double platt(double decision, double a, double b) {
  const double x = decision * a + b;
  return x >= 0 ? std::exp(-x) / (1 + std::exp(-x)) : 1 / (1 + std::exp(x));
}

double power(double base, std::uint32_t exponent) {
  double out = 1;
  for (; exponent != 0; exponent /= 2) {
    if (exponent % 2 == 1) out *= base;
    base *= base;
  }
  return out;
}

}  // namespace

Result<KernelMachine> KernelMachine::make(Parts parts) {
  const std::size_t classes = parts.counts.size(), pairs = classes * (classes - 1) / 2;
  std::size_t vectors = 0;
  for (const auto count : parts.counts) vectors += count;
  const bool fits =
      classes >= 2 && classes <= kMachineClassesMax && parts.inputs >= 1 && parts.inputs <= kInputsMax &&
      vectors >= 1 && parts.vectors.size() / parts.inputs == vectors &&
      parts.vectors.size() % parts.inputs == 0 && parts.coefficients.size() == (classes - 1) * vectors &&
      parts.intercepts.size() == pairs && parts.curve_a.size() == parts.curve_b.size() &&
      (parts.curve_a.empty() || parts.curve_a.size() == pairs) && parts.kernel <= Kernel::sigmoid;
  if (!fits) return Error{Errc::corrupt, "a support vector machine whose parts do not fit each other"};
  for (const auto* const values :
       {&parts.vectors, &parts.coefficients, &parts.intercepts, &parts.curve_a, &parts.curve_b}) {
    if (!internal::all_finite(*values))
      return Error{Errc::corrupt, "a support vector machine with a number that is not finite"};
  }
  if (!std::isfinite(parts.gamma) || !std::isfinite(parts.constant) ||
      (parts.kernel == Kernel::rbf && parts.gamma < 0)) {
    return Error{Errc::corrupt, "a support vector machine with a kernel that is none"};
  }
  return KernelMachine(std::move(parts));
}

Result<KernelMachine> KernelMachine::load(internal::FileReader& in) {
  Parts parts;
  parts.kernel = static_cast<Kernel>(in.u8());
  parts.gamma = in.f64();
  parts.constant = in.f64();
  parts.degree = in.u32();
  parts.inputs = in.u32();
  parts.counts.resize(in.count(4));
  for (auto& count : parts.counts) count = in.u32();
  for (auto* const values :
       {&parts.vectors, &parts.coefficients, &parts.intercepts, &parts.curve_a, &parts.curve_b}) {
    *values = in.reals();
  }
  if (!in.ok()) return in.error();
  auto made = make(std::move(parts));
  if (!made) return in.fail(made.error().message);
  return made;
}

void KernelMachine::save(internal::FileWriter& out) const {
  out.tag(internal::ModelTag::kernel_machine);
  out.u8(static_cast<std::uint8_t>(parts_.kernel));
  out.f64(parts_.gamma);
  out.f64(parts_.constant);
  out.u32(parts_.degree);
  out.u32(static_cast<std::uint32_t>(parts_.inputs));
  out.u32(static_cast<std::uint32_t>(parts_.counts.size()));
  for (const auto count : parts_.counts) out.u32(count);
  for (const auto* const values :
       {&parts_.vectors, &parts_.coefficients, &parts_.intercepts, &parts_.curve_a, &parts_.curve_b}) {
    out.reals(*values);
  }
}

// The decisions of all pairs.
void KernelMachine::decide(const double* row, std::vector<double>& kernels,
                           std::vector<double>& decisions) const {
  const std::size_t width = parts_.inputs, vectors = parts_.vectors.size() / width;
  kernels.resize(vectors);
  for (std::size_t v = 0; v < vectors; ++v) {
    const double* const vector = parts_.vectors.data() + v * width;
    double sum = 0;
    if (parts_.kernel == Kernel::rbf) {
      for (std::size_t i = 0; i < width; ++i) sum += (row[i] - vector[i]) * (row[i] - vector[i]);
      kernels[v] = std::exp(-parts_.gamma * sum);
      continue;
    }
    for (std::size_t i = 0; i < width; ++i) sum += row[i] * vector[i];
    if (parts_.kernel != Kernel::linear) sum = parts_.gamma * sum + parts_.constant;
    kernels[v] = parts_.kernel == Kernel::poly      ? power(sum, parts_.degree)
                 : parts_.kernel == Kernel::sigmoid ? std::tanh(sum)
                                                    : sum;
  }
  const std::size_t classes = parts_.counts.size();
  decisions.clear();
  std::size_t first_of_i = 0;
  for (std::size_t i = 0; i < classes; first_of_i += parts_.counts[i], ++i) {
    std::size_t first_of_j = first_of_i + parts_.counts[i];
    for (std::size_t j = i + 1; j < classes; first_of_j += parts_.counts[j], ++j) {
      const double* const against_j = parts_.coefficients.data() + (j - 1) * vectors;
      const double* const against_i = parts_.coefficients.data() + i * vectors;
      double sum = 0;
      for (std::size_t v = first_of_i; v < first_of_i + parts_.counts[i]; ++v)
        sum += against_j[v] * kernels[v];
      for (std::size_t v = first_of_j; v < first_of_j + parts_.counts[j]; ++v)
        sum += against_i[v] * kernels[v];
      decisions.push_back(sum + parts_.intercepts[decisions.size()]);
    }
  }
}

void KernelMachine::score_wide(std::span<const double> rows, std::size_t count,
                               std::span<double> scores) const {
  const std::size_t width = parts_.inputs, classes = parts_.counts.size(), each = outputs();
  CHECK(rows.size() >= count * width && scores.size() >= count * each);
  std::vector<double> kernels, decisions, pairwise(classes * classes), shares, sums(classes);
  for (std::size_t row = 0; row < count; ++row) {
    decide(rows.data() + row * width, kernels, decisions);
    double* const out = scores.data() + row * each;
    if (!parts_.curve_a.empty()) {
      constexpr double kLeast = 1e-7;
      std::size_t pair = 0;
      for (std::size_t i = 0; i < classes; ++i) {
        for (std::size_t j = i + 1; j < classes; ++j, ++pair) {
          const double share = platt(decisions[pair], parts_.curve_a[pair], parts_.curve_b[pair]);
          pairwise[i * classes + j] = std::clamp(share, kLeast, 1 - kLeast);
          pairwise[j * classes + i] = 1 - pairwise[i * classes + j];
        }
      }
      couple(pairwise, classes, shares);
      for (std::size_t k = 0; k < each; ++k) out[k] = shares[each == 1 ? 1 : k];
      continue;
    }
    if (each == 1) {
      out[0] = -decisions[0];
      continue;
    }
    std::fill_n(out, each, 0.0);
    std::fill(sums.begin(), sums.end(), 0.0);
    std::size_t pair = 0;
    for (std::size_t i = 0; i < classes; ++i) {
      for (std::size_t j = i + 1; j < classes; ++j, ++pair) {
        out[decisions[pair] < 0 ? j : i] += 1;
        sums[i] += decisions[pair];
        sums[j] -= decisions[pair];
      }
    }
    for (std::size_t k = 0; k < each; ++k) out[k] += sums[k] / (3 * (std::abs(sums[k]) + 1));
  }
}

void KernelMachine::score(std::span<const float> rows, std::size_t count, std::span<double> scores) const {
  internal::score_widened(rows, count, inputs(), outputs(), scores,
                          [&](auto wide, std::size_t some, auto to) { score_wide(wide, some, to); });
}

std::string KernelMachine::describe() const {
  return "support vector machine: " + with_thousands(parts_.vectors.size() / parts_.inputs) + " vectors, " +
         std::to_string(parts_.counts.size()) + " classes, " + std::to_string(inputs()) + " inputs";
}

}  // namespace nidus::model
