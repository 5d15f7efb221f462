#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/result.h"
#include "model/model.h"
#include "model/trees.h"

namespace nidus::model {

// A random forest: the mean over the trees of the class shares in the leaf that the row ends in. The sum is
// taken in double, tree after tree.
class Forest final : public Model {
 public:
  // Leaves hold P(class 1) with two classes (width 1), else a share for each class; all in [0, 1].
  // Errc::corrupt if the leaves hold anything else, or there is no tree.
  static Result<Forest> make(TreeSet trees);
  static Result<Forest> load(internal::FileReader& in);

  std::size_t inputs() const override { return trees_.inputs(); }
  std::size_t outputs() const override { return trees_.width(); }
  void score(std::span<const float> rows, std::size_t count, std::span<double> scores) const override;
  std::string describe() const override;
  void save(internal::FileWriter& out) const override;

  const TreeSet& trees() const { return trees_; }

 private:
  explicit Forest(TreeSet trees) : trees_(std::move(trees)) {}
  TreeSet trees_;
};

}  // namespace nidus::model
