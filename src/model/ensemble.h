#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/model.h"

namespace nidus::model {

// The weighted mean of several models' scores, summed in double in the order of the members.
class Ensemble final : public Model {
 public:
  struct Member {
    std::shared_ptr<const Model> model;
    double weight = 1;
  };

  // Errc::invalid unless there are 1 to kMembersMax members with the same inputs, outputs and scale and
  // finite weights that are not negative and not all zero.
  static Result<Ensemble> make(std::vector<Member> members);

  static constexpr std::size_t kMembersMax = 64;

  static Result<Ensemble> load(internal::FileReader& in, int nesting);

  std::size_t inputs() const override { return members_.front().model->inputs(); }
  std::size_t outputs() const override { return members_.front().model->outputs(); }
  Scale scale() const override { return members_.front().model->scale(); }
  void score(std::span<const float> rows, std::size_t count, std::span<double> scores) const override;
  bool is_wide() const override;
  void score_wide(std::span<const double> rows, std::size_t count, std::span<double> scores) const override;
  std::string describe() const override;
  void save(internal::FileWriter& out) const override;

  std::span<const Member> members() const { return members_; }

 private:
  template <class Number>
  void mean(std::span<const Number> rows, std::size_t count, std::span<double> scores) const;

  explicit Ensemble(std::vector<Member> members) : members_(std::move(members)) {}
  std::vector<Member> members_;
};

}  // namespace nidus::model
