#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "model/model.h"

namespace nidus::model {

// Why a tree model says of a row what it says: exact Shapley values of the game of path-dependent TreeSHAP
// (Lundberg et al., "From local explanations to global understanding with explainable AI for trees", 2020).
// In that game a tree is asked about some columns only: where it splits by another one, both sides are
// followed and weighted by the training weight that went there. What is missing in a row goes where the model
// sends it. shap_tree.h says how the values are computed.
//
// A column is one player, also where preprocessing makes several numbers out of it.
//
// Immutable, so one object may be used by any number of threads; copies share everything.
class Explainer {
 public:
  enum class Unit : std::uint8_t {
    // What the trees add up to: of a forest the shares, of boosted trees the margins, whose logistic function
    // or
    // softmax are the scores; of an ensemble the weighted mean of that.
    margin,
    // What Model::score says. The same as `margin` for a forest. Where sums of trees are squashed into
    // scores, the
    // contributions to the sums are carried through with the mean slope on the straight line from the base to
    // the
    // sums of the row (Aumann and Shapley's values; with one sum a common factor).
    score,
  };

  // A calibration of one output is explained in units of `score`: contributions to what it is a curve of are
  // carried through it in the same way.
  //
  // Of an autoencoder a column contributes its share of the error, and the base is 0.
  //
  // Errc::unsupported if the model consists of anything else, columns are mixed before they get there
  // (principal components), trees do not know their covers (as files of version 1 do not), or has `margin`
  // asked of an ensemble in which some members have margins and others shares; Errc::exhausted for a tree
  // whose explanation would take more than 1 GiB at once.
  static Result<Explainer> make(std::shared_ptr<const Model> model, Unit unit);

  std::size_t inputs() const;
  std::size_t outputs() const;
  Unit unit() const;

  // Explains a weighted sum of the outputs: `weights` has one for each. One output is {0, 1, 0}, one class
  // against another {-1, 1, 0}.
  //
  // `rows` as for Model::score. Writes count × (inputs() + 1) numbers, row-major: what each column
  // contributes, and behind them the base, which is what the model says as long as it knows nothing of the
  // row. They add up to the weighted sum of the outputs within rounding.
  void explain(std::span<const float> rows, std::size_t count, std::span<const double> weights,
               std::span<double> contributions) const;

 private:
  struct Impl;
  explicit Explainer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

// Contributions to the attack score, which is that of "not class 0": as Explainer::explain in units of the
// score, with the attack score for the weighted sum.
void explain_attack_score(const Explainer& explainer, std::span<const float> rows, std::size_t count,
                          std::span<double> contributions);

// How much of the impurity that the splits of a tree model take away is due to each column, as shares of 1. A
// split takes away the drop of the squared distance of leaf values from their mean, weighted by cover: in a
// forest the decrease of the Gini impurity, in boosted trees XGBoost's gain without regularisation. The
// members of an ensemble count by their weights. All 0 if no tree splits. Errors as of Explainer::make.
Result<std::vector<double>> gain_importance(const Model& model);

}  // namespace nidus::model
