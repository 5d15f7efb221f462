#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/model.h"

namespace nidus::model {

// Gaussian naive Bayes: each class has its own normal distribution of each column, and the columns are taken
// as independent. P(k) is the softmax over the classes of log prior[k] + sum of the log densities.
class NaiveBayes final : public Model {
 public:
  struct Parts {
    std::vector<double> priors;            // one for each class
    std::vector<double> means, variances;  // class × column
  };

  // Errc::corrupt for lengths that do not fit, priors or variances that are not positive, means not finite.
  static Result<NaiveBayes> make(Parts parts);
  static Result<NaiveBayes> load(internal::FileReader& in);

  std::size_t inputs() const override { return parts_.means.size() / parts_.priors.size(); }
  std::size_t outputs() const override { return parts_.priors.size() == 2 ? 1 : parts_.priors.size(); }
  void score(std::span<const float> rows, std::size_t count, std::span<double> scores) const override;
  bool is_wide() const override { return true; }
  void score_wide(std::span<const double> rows, std::size_t count, std::span<double> scores) const override;
  std::string describe() const override;
  void save(internal::FileWriter& out) const override;

 private:
  explicit NaiveBayes(Parts parts);
  Parts parts_;
  std::vector<double> constants_;  // of each class: what does not depend on the row
};

}  // namespace nidus::model
