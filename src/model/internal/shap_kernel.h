// The passes of shap_tree.h over one tree. Included by shap_kernel.cc once for each instruction set, inside a
// namespace of its own; so no include guard.

// Four points side by side, wherever they lie.
using Lanes = double __attribute__((vector_size(32), aligned(8), may_alias));

// V: vectors of a slot, or 0 to take their number from the tree.
template <std::size_t V>
void explain_points(const ShapTree& tree, const float* row, double scale, ShapScratch& scratch,
                    double* contributions) {
  const std::size_t vectors = V != 0 ? V : tree.points() / 4;
  const std::size_t leaves = tree.leaves.size(), count = tree.steps.size();
  const ShapStep* const steps = tree.steps.data();
  std::uint8_t* const states = scratch.states.data();
  const auto lanes = [vectors](double* from, std::size_t slot) {
    return reinterpret_cast<Lanes*>(from) + slot * vectors;
  };
  const auto constant = [](const double* from) { return reinterpret_cast<const Lanes*>(from); };
  double* const values = scratch.values.data();
  double* const chances = scratch.chances.data();
  const Lanes* const weights = constant(tree.rule->weights.data());
  const Lanes* const known_chances = constant(tree.rule->chances.data());
  const double* const inverses = tree.inverses.data();

  // Which way a row goes cannot be predicted, so nothing below branches on it: places are computed from it.
  states[0] = 2;
  for (std::size_t i = 0; i < count; ++i) {
    const ShapStep& step = steps[i];
    const float value = row[step.feature];
    const auto missing = static_cast<unsigned>(value != value) & step.missing_right;
    const auto passed = static_cast<unsigned>(states[step.again] == (2u | step.side));
    states[i + 1] =
        static_cast<std::uint8_t>(static_cast<unsigned>(value > step.threshold) | missing | passed << 1);
  }

  for (std::size_t i = count; i-- > 1;) {  // nobody asks for the value of the root
    const ShapStep& step = steps[i];
    const unsigned side = states[i + 1] & 1u, passed = states[i + 1] >> 1;
    const Lanes* const known = known_chances + (passed != 0 ? 0 : 2 * vectors);
    const Lanes* const unknown = known + vectors;
    const Lanes* const inverse = constant(inverses + (passed != 0 ? step.inverse : 0));
    const double z = passed != 0 ? step.passed : 1;
    const double hot_share = z * step.share[side], cold_share = z * step.share[1 - side];
    const Lanes* const hot = lanes(values, step.child[side]);
    const Lanes* const cold = lanes(values, step.child[1 - side]);
    Lanes* const to = lanes(values, leaves + i);
    for (std::size_t v = 0; v < vectors; ++v)
      to[v] = inverse[v] * ((known[v] + unknown[v] * hot_share) * hot[v] + unknown[v] * cold_share * cold[v]);
  }

  // A child that is a leaf writes its chance to place 0, which is read no more.
  const auto place_of = [leaves](std::size_t slot) { return slot < leaves ? 0 : slot - leaves; };
  for (std::size_t v = 0; v < vectors; ++v) lanes(chances, 0)[v] = weights[v] * scale;
  for (std::size_t i = 0; i < count; ++i) {
    const ShapStep& step = steps[i];
    const unsigned side = states[i + 1] & 1u, passed = states[i + 1] >> 1;
    const Lanes* const known = known_chances + (passed != 0 ? 0 : 2 * vectors);
    const Lanes* const unknown = known + vectors;
    const Lanes* const inverse = constant(inverses + (passed != 0 ? step.inverse : 0));
    const double z = passed != 0 ? step.passed : 1;
    const double hot_share = z * step.share[side], cold_share = z * step.share[1 - side];
    const Lanes* const hot = lanes(values, step.child[side]);
    const Lanes* const cold = lanes(values, step.child[1 - side]);
    const Lanes* const chance = lanes(chances, i);
    Lanes* const to_hot = lanes(chances, place_of(step.child[side]));
    Lanes* const to_cold = lanes(chances, place_of(step.child[1 - side]));
    Lanes sum = {0, 0, 0, 0};
    for (std::size_t v = 0; v < vectors; ++v) {
      const Lanes here = chance[v] * inverse[v];
      sum += here * inverse[v] * (hot[v] - cold[v]);
      to_cold[v] = here * (unknown[v] * cold_share);
      to_hot[v] = here * (known[v] + unknown[v] * hot_share);
    }
    contributions[step.player] += passed * cold_share * ((sum[0] + sum[2]) + (sum[1] + sum[3]));
  }
}

template <std::size_t V>
void spread_leaves(const ShapTree& tree, const double* leaf_values, double* to) {
  const std::size_t vectors = V != 0 ? V : tree.points() / 4;
  auto* lanes = reinterpret_cast<Lanes*>(to);
  for (const auto leaf : tree.leaves) {
    const double value = leaf_values[leaf];
    for (std::size_t v = 0; v < vectors; ++v) *lanes++ = Lanes{value, value, value, value};
  }
}

inline void set_leaves(const ShapTree& tree, std::span<const double> leaf_values, ShapScratch& scratch) {
  // A row alone pays for this by itself; a loop over four numbers would be a fifth of its time.
  if (tree.points() == 4) return spread_leaves<1>(tree, leaf_values.data(), scratch.values.data());
  spread_leaves<0>(tree, leaf_values.data(), scratch.values.data());
}

inline void explain_tree(const ShapTree& tree, const float* row, double scale, ShapScratch& scratch,
                         double* contributions) {
  switch (tree.points() / 4) {
    case 1:
      return explain_points<1>(tree, row, scale, scratch, contributions);
    case 2:
      return explain_points<2>(tree, row, scale, scratch, contributions);
    case 3:
      return explain_points<3>(tree, row, scale, scratch, contributions);
    case 4:
      return explain_points<4>(tree, row, scale, scratch, contributions);
    default:
      return explain_points<0>(tree, row, scale, scratch, contributions);
  }
}
