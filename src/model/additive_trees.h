#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/model.h"
#include "model/trees.h"

namespace nidus::model {

// The mean length of a search that fails in a binary tree of so many rows: c(n) of Liu, Ting and Zhou (2008),
// as scikit-learn computes it. What a leaf of an isolation forest counts beside its depth.
double mean_search_path(double rows);

// Trees whose leaves are added up in double, as scikit-learn, LightGBM and CatBoost do: sum[k] begins at
// base[k] and takes on the leaf values of the trees of output k, in the order of the trees; then a link makes
// scores of sums. A leaf of several values adds one to each sum. (XGBoost adds floats: boost.h. Shares of a
// random forest: forest.h.)
class AdditiveTrees final : public Model {
 public:
  enum class Link : std::uint8_t {
    identity,    // the sum; Scale::margin
    logistic,    // 1 / (1 + exp(-factor × sum))
    softmax,     // exp(factor × sum) by the sum of those of all outputs
    one_vs_all,  // logistic of each output by itself, not made to add up to 1
    isolation,   // 2^(-factor × sum): the anomaly score of an isolation forest (Liu, Ting, Zhou 2008),
                 // Scale::anomaly
  };
  struct Parts {
    Array<std::uint32_t>
        groups;                // the output of each tree; empty where leaves hold as many values as outputs
    std::vector<double> base;  // one for each output
    Link link = Link::identity;
    double factor = 1;
    std::string kind = "additive trees";  // for describe(): "isolation forest", "LightGBM"
  };

  // Errc::corrupt when groups, base and leaves do not fit each other or a number is not finite.
  static Result<AdditiveTrees> make(TreeSet trees, Parts parts);
  static Result<AdditiveTrees> load(internal::FileReader& in);

  std::size_t inputs() const override { return trees_.inputs(); }
  std::size_t outputs() const override { return parts_.base.size(); }
  Scale scale() const override;
  void score(std::span<const float> rows, std::size_t count, std::span<double> scores) const override;
  std::string describe() const override;
  void save(internal::FileWriter& out) const override;

  // The sums before the link, count × outputs().
  void sums(std::span<const float> rows, std::size_t count, std::span<double> out) const;

  const TreeSet& trees() const { return trees_; }
  const Parts& parts() const { return parts_; }

 private:
  AdditiveTrees(TreeSet trees, Parts parts) : trees_(std::move(trees)), parts_(std::move(parts)) {}
  TreeSet trees_;
  Parts parts_;
};

}  // namespace nidus::model
