#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/calibration.h"
#include "model/model.h"

namespace nidus::model {

// Models of different kinds made one: the attack score of each goes through a curve of its own to a common
// scale, as how rare it is among benign rows, and a rule makes one score of them. Members that know classes
// say which; a detector of benign rows beside them has one score and takes part in the first question alone.
class Fusion final : public Model {
 public:
  static constexpr std::size_t kMembersMax = 64;

  enum class Rule : std::uint8_t {
    mean,      // the mean by the weights
    quorum,    // the highest score that `quorum` members reach: 1 is the maximum, more than half a majority
    logistic,  // 1 / (1 + exp(-(bias + the sum of weight × score))): stacking by logistic regression
  };
  struct Member {
    std::shared_ptr<const Model> model;
    Calibration::Curve curve;
    double weight = 1;  // not negative; of the classes' shares too
  };
  struct Parts {
    std::vector<Member> members;
    Rule rule = Rule::mean;
    std::uint32_t quorum = 1;
    double bias = 0;
    // One output more than the members' classes, "anomaly": a row gets it whose score under the same rule by
    // the members that know classes alone does not reach this line.
    std::optional<double> line;
  };

  // Errc::invalid for members that take different rows, know different classes or none where there is a line,
  // a quorum that is none, or weights that are negative, not finite or of no class; Errc::corrupt for curves
  // that are none, fall, or leave [0, 1].
  static Result<Fusion> make(Parts parts);
  static Result<Fusion> load(internal::FileReader& in, int nesting);

  std::size_t inputs() const override { return parts_.members.front().model->inputs(); }
  // 1 if no member knows classes; else of class 0 one minus the score, of the others their shares of it.
  std::size_t outputs() const override { return classes_ == 1 ? 1 : classes_ + (parts_.line ? 1 : 0); }
  void score(std::span<const float> rows, std::size_t count, std::span<double> scores) const override;
  bool is_wide() const override;
  void score_wide(std::span<const double> rows, std::size_t count, std::span<double> scores) const override;
  std::string describe() const override;
  void save(internal::FileWriter& out) const override;

  const Parts& parts() const { return parts_; }
  // What the rule makes of the members' scores on the common scale, one for each. NaN if one of them is.
  double combine(std::span<const double> scores) const;
  // Under Rule::quorum: the member whose score that is.
  std::size_t deciding(std::span<const double> scores) const;

 private:
  Fusion(Parts parts, std::size_t classes);
  // The rule over the members that know classes.
  double class_score(std::span<const double> scores) const;
  double combine_some(std::span<const double> scores, std::span<const std::size_t> members) const;
  template <class Number>
  void fuse(std::span<const Number> rows, std::size_t count, std::span<double> scores) const;

  Parts parts_;
  std::size_t classes_;  // 1, or as many as the members know
  std::vector<std::size_t> all_;
  std::vector<std::size_t> knowing_;  // the members that know classes
};

}  // namespace nidus::model
