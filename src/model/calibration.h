#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/model.h"

namespace nidus::model {

// What a model says, each output put through a curve of its own and then all of them made one: how
// scikit-learn turns margins into probabilities, one class against the rest, and how it calibrates them.
class Calibration final : public Model {
 public:
  struct Curve {
    enum class Kind : std::uint8_t {
      none,     // as it is
      sigmoid,  // 1 / (1 + exp(a x + b)): Platt, 1999
      steps,    // straight lines between points; beyond them the value of the first or last
    };
    Kind kind = Kind::none;
    double a = -1, b = 0;
    std::vector<double> x, y;  // the points; x ascending

    double at(double value) const;
    // Whether all numbers are finite, and there are points for steps alone, which ascend.
    bool is_sound() const;
    static Curve load(internal::FileReader& in);
    void save(internal::FileWriter& out) const;
  };
  enum class Ending : std::uint8_t {
    none,       // of one output the probability; of several not made to add up to 1
    normalise,  // divided by their sum; the same for all if that is 0
    vote,       // 1 for the first of the largest, 0 for the others; of one output 1 if it is above 1/2
  };

  // Errc::invalid unless there is a curve for each output, or none at all; Errc::corrupt for curves that are
  // not finite or whose points do not ascend.
  static Result<Calibration> make(std::shared_ptr<const Model> inner, std::vector<Curve> curves,
                                  Ending ending);
  static Result<Calibration> load(internal::FileReader& in, int nesting);

  std::size_t inputs() const override { return inner_->inputs(); }
  std::size_t outputs() const override { return inner_->outputs(); }
  Scale scale() const override { return Scale::probability; }
  void score(std::span<const float> rows, std::size_t count, std::span<double> scores) const override;
  bool is_wide() const override { return inner_->is_wide(); }
  void score_wide(std::span<const double> rows, std::size_t count, std::span<double> scores) const override;
  std::string describe() const override;
  void save(internal::FileWriter& out) const override;

  const Model& inner() const { return *inner_; }
  // Of a model with one output: what becomes of its score.
  double after(double score) const;

 private:
  Calibration(std::shared_ptr<const Model> inner, std::vector<Curve> curves, Ending ending)
      : inner_(std::move(inner)), curves_(std::move(curves)), ending_(ending) {}
  void finish(std::size_t count, std::span<double> scores) const;

  std::shared_ptr<const Model> inner_;
  std::vector<Curve> curves_;
  Ending ending_;
};

// Models whose scores are the row of another: stacking (Wolpert, 1992). The row of the last model holds the
// scores of the members, one behind the other, and then, if it is passed on, the row they got.
class Stack final : public Model {
 public:
  static constexpr std::size_t kMembersMax = 64;

  // Errc::invalid unless the members take the same rows and the last one what comes of them.
  static Result<Stack> make(std::vector<std::shared_ptr<const Model>> members, bool passes_row,
                            std::shared_ptr<const Model> last);
  static Result<Stack> load(internal::FileReader& in, int nesting);

  std::size_t inputs() const override { return members_.front()->inputs(); }
  std::size_t outputs() const override { return last_->outputs(); }
  Scale scale() const override { return last_->scale(); }
  void score(std::span<const float> rows, std::size_t count, std::span<double> scores) const override;
  bool is_wide() const override { return true; }
  void score_wide(std::span<const double> rows, std::size_t count, std::span<double> scores) const override;
  std::string describe() const override;
  void save(internal::FileWriter& out) const override;

 private:
  Stack(std::vector<std::shared_ptr<const Model>> members, bool passes_row, std::shared_ptr<const Model> last)
      : members_(std::move(members)), passes_row_(passes_row), last_(std::move(last)) {}

  std::vector<std::shared_ptr<const Model>> members_;
  bool passes_row_;
  std::shared_ptr<const Model> last_;
};

}  // namespace nidus::model
