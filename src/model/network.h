#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/layers.h"
#include "model/model.h"

namespace nidus::model {

// What a layer makes of a row of some shape. Errc::corrupt if it does not fit there, or its sizes contradict
// its weights.
Result<Shape> shape_after(const Layer& layer, Shape in);

// A neural network: layers one behind the other, as in layers.h, after training.
//
// Its arithmetic is float, as that of Keras and PyTorch, or double, as that of scikit-learn. Every sum is
// taken in the order of its terms, in runs of 64 whose sums are then added up, and no product is fused into a
// sum. So a score is the same to the last bit alone and among other rows, and on every instruction set; other
// libraries, whose order depends on the machine, differ from it by rounding. Exponentials are our own, for
// the same reason: within 1e-15 of the truth of doubles, of floats within 5e-12 before they are rounded.
//
// A row with NaN or an infinity yields what the arithmetic yields, which is mostly NaN.
//
// Scoring allocates nothing: each thread keeps room for a block of rows once it has scored the first.
class Network final : public Model {
 public:
  enum class Precision : std::uint8_t { single, wide };

  struct Parts {
    Shape input;
    std::vector<Layer> layers;
    Precision precision = Precision::single;
    Scale scale = Scale::margin;  // what the numbers behind the last layer are
  };

  // The most layers, numbers between two layers, weights, and multiplications that a row may take.
  static constexpr std::size_t kLayersMax = 1024;
  static constexpr std::size_t kBranchesMax = 64, kNestingMax = 8;  // of branches within branches
  static constexpr std::size_t kShapeMax = std::size_t{1} << 20;
  static constexpr std::size_t kWeightsMax = std::size_t{1} << 28;
  static constexpr std::size_t kWorkMax = std::size_t{1} << 28;

  // Normalisation behind a dense or convolutional layer becomes part of that layer. Errc::corrupt for layers
  // that do not fit each other, sizes that contradict their weights, or weights that are not finite; the
  // message names the layer. Errc::exhausted beyond a limit. Scale::probability needs a sigmoid or softmax at
  // the end, and of one output a sigmoid or a slice of a softmax: Errc::invalid.
  static Result<Network> make(Parts parts);
  static Result<Network> load(internal::FileReader& in);

  std::size_t inputs() const override;
  std::size_t outputs() const override;
  Scale scale() const override;
  void score(std::span<const float> rows, std::size_t count, std::span<double> scores) const override;
  bool is_wide() const override;
  void score_wide(std::span<const double> rows, std::size_t count, std::span<double> scores) const override;
  std::string describe() const override;
  void save(internal::FileWriter& out) const override;

  // What it was made of, normalisation folded in and weights rounded to the precision. Copies the weights.
  Parts parts() const;

  // For tests and benches: how many ways there are to compute on this machine, which must all give the same
  // bits, and a network that uses the given one.
  static std::size_t kernels();
  Network with_kernel(std::size_t kernel) const;

 private:
  struct Impl;
  explicit Network(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace nidus::model
