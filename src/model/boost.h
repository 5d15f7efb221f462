#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/model.h"
#include "model/trees.h"

namespace nidus::model {

// Gradient-boosted trees with the arithmetic of XGBoost: the margin of a group is a float that begins at the
// base margin and takes on the leaf values of the group's trees one after the other, in float. One group is
// binary and its score the logistic function of the margin; with more groups the scores are the softmax of
// the margins. Or the scores are the margins themselves.
//
// XGBoost goes left when x < t. Its nodes become ours, x <= t', with t' the float just below t: the same for
// every x.
class Boost final : public Model {
 public:
  enum class Link : std::uint8_t { probability, margin };

  // Leaves hold one value; groups[t] says to which group tree t adds, each below the number of base margins.
  static Result<Boost> make(TreeSet trees, Array<std::uint32_t> groups, std::vector<float> base_margins,
                            Link link = Link::probability);
  static Result<Boost> load(internal::FileReader& in);

  std::size_t inputs() const override { return trees_.inputs(); }
  std::size_t outputs() const override { return base_margins_.size(); }
  Scale scale() const override { return link_ == Link::margin ? Scale::margin : Scale::probability; }
  void score(std::span<const float> rows, std::size_t count, std::span<double> scores) const override;
  std::string describe() const override;
  void save(internal::FileWriter& out) const override;

  // count × outputs() margins, equal to those of libxgboost to the last bit.
  void margins(std::span<const float> rows, std::size_t count, std::span<float> out) const;

  const TreeSet& trees() const { return trees_; }
  std::span<const std::uint32_t> groups() const { return groups_.span(); }
  std::span<const float> base_margins() const { return base_margins_; }
  Link link() const { return link_; }

 private:
  Boost(TreeSet trees, Array<std::uint32_t> groups, std::vector<float> base_margins, Link link)
      : trees_(std::move(trees)),
        groups_(std::move(groups)),
        base_margins_(std::move(base_margins)),
        link_(link) {}

  TreeSet trees_;
  Array<std::uint32_t> groups_;
  std::vector<float> base_margins_;
  Link link_;
};

}  // namespace nidus::model
