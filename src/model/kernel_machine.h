#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/model.h"

namespace nidus::model {

// A support vector machine, each class against each other one, as libsvm does it. For the classes i < j the
// decision is the sum over the support vectors v of both of coefficient × kernel(v, x), plus an intercept;
// above 0 it is for i.
//
// Without curves scores are margins: of two classes minus the decision, of more the votes of each class and,
// to tell those of equal votes apart, its decisions squeezed into a third. With curves they are
// probabilities: each decision is put through 1 / (1 + exp(a x + b)) (Platt, 1999), and the classes are
// coupled as by Wu, Lin and Weng (2004), second approach, with libsvm's stopping rule of 0.005 / classes,
// which leaves its mark in the third digit.
class KernelMachine final : public Model {
 public:
  enum class Kernel : std::uint8_t {
    linear,   // v x
    poly,     // (gamma v x + constant)^degree
    rbf,      // exp(-gamma |v - x|^2)
    sigmoid,  // tanh(gamma v x + constant)
  };
  struct Parts {
    Kernel kernel = Kernel::rbf;
    double gamma = 1, constant = 0;
    std::uint32_t degree = 3;
    std::size_t inputs = 0;
    std::vector<std::uint32_t> counts;     // support vectors of each class, which stand class behind class
    std::vector<double> vectors;           // vector × input
    std::vector<double> coefficients;      // (classes - 1) × vector, as libsvm lays them out
    std::vector<double> intercepts;        // of each pair: 0 and 1, 0 and 2, …, 1 and 2, …
    std::vector<double> curve_a, curve_b;  // of each pair, or empty
  };

  // Errc::corrupt for lengths that do not fit each other or numbers that are not finite.
  static Result<KernelMachine> make(Parts parts);
  static Result<KernelMachine> load(internal::FileReader& in);

  std::size_t inputs() const override { return parts_.inputs; }
  std::size_t outputs() const override { return parts_.counts.size() == 2 ? 1 : parts_.counts.size(); }
  Scale scale() const override { return parts_.curve_a.empty() ? Scale::margin : Scale::probability; }
  void score(std::span<const float> rows, std::size_t count, std::span<double> scores) const override;
  bool is_wide() const override { return true; }
  void score_wide(std::span<const double> rows, std::size_t count, std::span<double> scores) const override;
  std::string describe() const override;
  void save(internal::FileWriter& out) const override;

 private:
  explicit KernelMachine(Parts parts) : parts_(std::move(parts)) {}
  void decide(const double* row, std::vector<double>& kernels, std::vector<double>& decisions) const;
  Parts parts_;
};

}  // namespace nidus::model
