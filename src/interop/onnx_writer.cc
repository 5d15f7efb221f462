#include "interop/onnx_writer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "base/number.h"
#include "interop/internal/onnx_emitter.h"
#include "interop/internal/onnx_model.h"
#include "model/additive_trees.h"
#include "model/boost.h"
#include "model/ensemble.h"
#include "model/forest.h"
#include "model/network.h"
#include "model/preprocess.h"
#include "model/readout.h"
#include "model/reconstruction.h"
#include "model/tensor_program.h"
#include "model/transform.h"

namespace nidus::interop {
namespace {

using internal::onnx::Attr;
using internal::onnx::Element;
using internal::onnx::Emitter;

constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
constexpr std::size_t kBytesMax = 2000u << 20;  // of protocol buffers

std::vector<float> floats(std::span<const double> values) { return {values.begin(), values.end()}; }

// The largest float that is not greater.
float round_down(double value) {
  const auto rounded = static_cast<float>(value);
  return static_cast<double>(rounded) > value ? std::nextafter(rounded, -HUGE_VALF) : rounded;
}

struct Sums {
  std::span<const std::uint32_t> groups;  // the output of each tree, or none
  std::size_t outputs = 1;
  std::vector<float> base;  // one for each output, or none
  bool mean = false;
  std::span<const model::CutColumn> cuts;  // of trees that walk ranks: what they are ranks of
};

// The sums of the leaves that a row ends in, rows × outputs.
std::string emit_trees(Emitter& out, const model::TreeSet& trees, const Sums& sums, const std::string& x) {
  std::vector<std::int64_t> tree_ids, ids, features, if_true, if_false, missing, leaf_trees, leaf_ids,
      targets;
  std::vector<float> values, weights;
  std::vector<std::string_view> modes;
  const auto& parts = trees.parts();
  for (std::size_t tree = 0; tree < trees.trees(); ++tree) {
    const auto nodes = trees.tree_unshared(tree);
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      const model::Node node = nodes[i];
      const std::size_t bit = parts.roots[tree] + i;
      tree_ids.push_back(static_cast<std::int64_t>(tree));
      ids.push_back(static_cast<std::int64_t>(i));
      if (node.is_leaf()) {
        modes.emplace_back("LEAF");
        for (auto* numbers : {&features, &if_true, &if_false, &missing}) numbers->push_back(0);
        values.push_back(0);
        for (std::size_t k = 0; k < trees.width(); ++k) {
          leaf_trees.push_back(static_cast<std::int64_t>(tree));
          leaf_ids.push_back(static_cast<std::int64_t>(i));
          targets.push_back(static_cast<std::int64_t>(sums.groups.empty() ? k : sums.groups[tree]));
          weights.push_back(static_cast<float>(trees.value(node.leaf_number(), k)));
        }
        continue;
      }
      modes.emplace_back("BRANCH_LEQ");
      std::size_t feature = node.feature();
      float threshold = node.threshold();
      if (!sums.cuts.empty()) {
        // x <= cut[i] exactly when its rank is <= i; of floats, when x <= the float just at or below the cut.
        const model::CutColumn& column = sums.cuts[feature];
        const float at = std::floor(threshold);
        if (at >= static_cast<float>(column.cuts.size())) {
          threshold = HUGE_VALF;
        } else {
          threshold = round_down(column.cuts[static_cast<std::size_t>(at)]);
        }
        feature = column.input;
      }
      features.push_back(static_cast<std::int64_t>(feature));
      values.push_back(threshold);
      if_true.push_back(static_cast<std::int64_t>(node.left()));
      if_false.push_back(static_cast<std::int64_t>(node.left() + 1));
      const bool right =
          !parts.missing_right.empty() && (parts.missing_right[bit / 64] >> (bit % 64) & 1) != 0;
      missing.push_back(right ? 0 : 1);
    }
  }
  std::vector<Attr> attributes = {
      Attr::integers("nodes_treeids", tree_ids),
      Attr::integers("nodes_nodeids", ids),
      Attr::integers("nodes_featureids", features),
      Attr::numbers("nodes_values", values),
      Attr::texts("nodes_modes", modes),
      Attr::integers("nodes_truenodeids", if_true),
      Attr::integers("nodes_falsenodeids", if_false),
      Attr::integers("nodes_missing_value_tracks_true", missing),
      Attr::integers("target_treeids", leaf_trees),
      Attr::integers("target_nodeids", leaf_ids),
      Attr::integers("target_ids", targets),
      Attr::numbers("target_weights", weights),
      Attr::integer("n_targets", static_cast<std::int64_t>(sums.outputs)),
      Attr::text("aggregate_function", sums.mean ? "AVERAGE" : "SUM"),
      Attr::text("post_transform", "NONE"),
  };
  if (!sums.base.empty()) attributes.push_back(Attr::numbers("base_values", sums.base));
  return out.node("TreeEnsembleRegressor", {x}, attributes, "ai.onnx.ml");
}

// x held between limits, column by column; NaN stays.
std::string emit_clip(Emitter& out, std::string x, std::span<const float> low, std::span<const float> high) {
  const std::string lowest = out.row(low), highest = out.row(high);
  x = out.where(out.binary("Less", x, lowest), lowest, x);
  return out.where(out.binary("Greater", x, highest), highest, x);
}

std::string emit_preprocessor(Emitter& out, const model::Preprocessor& before, std::string x) {
  const auto steps = before.steps();
  std::vector<float> low, high, fill, shift, scale;
  bool clips = false, fills = false, hot = false, scales = false;
  for (const model::Step& step : steps) {
    low.push_back(step.clip ? step.low : -HUGE_VALF);
    high.push_back(step.clip ? step.high : HUGE_VALF);
    fill.push_back(step.fill_missing ? step.fill : kNone);
    const bool scaled = step.encode == model::Step::Encode::scale;
    shift.push_back(scaled ? step.shift : 0);
    scale.push_back(scaled ? step.scale : 1);
    clips = clips || step.clip;
    fills = fills || step.fill_missing;
    hot = hot || !scaled;
    scales = scales || shift.back() != 0 || scale.back() != 1;
  }
  if (clips) x = emit_clip(out, std::move(x), low, high);
  if (fills) x = out.where(out.unary("IsNaN", x), out.row(fill), x);
  const std::string raw = x;
  if (scales) x = out.binary("Mul", out.binary("Sub", x, out.row(shift)), out.row(scale));
  if (!hot) return x;
  std::vector<std::string> parts;
  std::vector<std::int64_t> run;  // columns that stay numbers, until one does not
  const auto gather = [&](const std::string& from, std::span<const std::int64_t> columns) {
    return out.node("Gather", {from, out.integers(columns)}, {Attr::integer("axis", 1)});
  };
  const auto end_run = [&] {
    if (!run.empty()) parts.push_back(gather(x, run));
    run.clear();
  };
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto column = static_cast<std::int64_t>(i);
    if (steps[i].encode == model::Step::Encode::scale) {
      run.push_back(column);
      continue;
    }
    end_run();
    if (steps[i].categories == 0) continue;
    std::vector<float> codes(steps[i].categories);
    std::iota(codes.begin(), codes.end(), 0.0f);
    const std::string code = out.unary("Floor", gather(raw, {&column, 1}));
    parts.push_back(out.node("Cast", {out.binary("Equal", code, out.row(codes))},
                             {Attr::integer("to", static_cast<std::int64_t>(Element::f32))}));
  }
  end_run();
  return out.concat(parts, 1);
}

Error refused(const std::string& what) { return {Errc::unsupported, "ONNX has no word here for: " + what}; }

Result<std::string> emit_transform(Emitter& out, const model::Transform& transform, std::string x) {
  if (const auto links = transform.links(); !links.empty()) {
    for (const auto& link : links) {
      auto next = emit_transform(out, *link, std::move(x));
      if (!next) return next;
      x = std::move(*next);
    }
    return x;
  }
  const model::Affine* affine = transform.affine();
  if (affine == nullptr) return refused(transform.describe());
  const std::string shift = out.row(floats(affine->shift)), factor = out.row(floats(affine->factor));
  if (affine->form == model::Affine::Form::shift_then_divide) {
    x = out.binary("Div", out.binary("Sub", x, shift), factor);
  } else {
    x = out.binary("Add", out.binary("Mul", x, factor), shift);
  }
  if (affine->low.empty()) return x;
  return emit_clip(out, std::move(x), floats(affine->low), floats(affine->high));
}

// Missing numbers as the ranks in front of trees see them: 0 for NaN, or NaN for what is nearly 0.
Result<std::string> emit_missing(Emitter& out, const model::Transform& ranks, std::string x) {
  std::vector<float> fill(ranks.inputs(), kNone), nearly(ranks.inputs(), -1);
  std::vector<bool> seen(ranks.inputs(), false);
  bool fills = false, drops = false;
  for (const model::CutColumn& column : ranks.cut_columns()) {
    if (column.is_among) return refused("splits by sets of categories");
    const float own_fill = column.missing_is_zero ? 0 : kNone,
                own_nearly = round_down(column.zero_is_missing);
    const bool same = (own_fill == 0) == (fill[column.input] == 0) && own_nearly == nearly[column.input];
    if (seen[column.input] && !same)
      return refused("a column that is missing to some trees and not to others");
    seen[column.input] = true;
    fill[column.input] = own_fill;
    nearly[column.input] = own_nearly;
    fills = fills || own_fill == 0;
    drops = drops || column.zero_is_missing >= 0;
  }
  if (fills) x = out.where(out.unary("IsNaN", x), out.row(fill), x);
  if (drops) {
    const auto small = out.node("Not", {out.binary("Greater", out.unary("Abs", x), out.row(nearly))});
    x = out.where(small, out.number(kNone), x);
  }
  return x;
}

class OnnxWriter {
 public:
  explicit OnnxWriter(Emitter& out) : out_(out) {}

  // The scores of the model, rows × outputs.
  Result<std::string> emit(const model::Model& model, const std::string& x) {
    if (const auto* forest = dynamic_cast<const model::Forest*>(&model)) {
      Sums sums;
      sums.outputs = forest->outputs();
      sums.mean = true;
      return emit_trees(out_, forest->trees(), sums, x);
    }
    if (const auto* boost = dynamic_cast<const model::Boost*>(&model)) return emit_boost(*boost, x);
    if (const auto* trees = dynamic_cast<const model::AdditiveTrees*>(&model))
      return emit_additive(*trees, {}, x);
    if (const auto* ensemble = dynamic_cast<const model::Ensemble*>(&model))
      return emit_ensemble(*ensemble, x);
    if (const auto* pipeline = dynamic_cast<const model::Pipeline*>(&model))
      return emit(pipeline->model(), emit_preprocessor(out_, pipeline->before(), x));
    if (const auto* whole = dynamic_cast<const model::TransformedModel*>(&model))
      return emit_transformed(*whole, x);
    if (const auto* network = dynamic_cast<const model::Network*>(&model))
      return internal::onnx::emit_network(out_, *network, x);
    if (const auto* copy = dynamic_cast<const model::Reconstruction*>(&model))
      return emit_reconstruction(*copy, x);
    if (const auto* readout = dynamic_cast<const model::Readout*>(&model)) return emit_readout(*readout, x);
    if (dynamic_cast<const model::TensorModel*>(&model) != nullptr)
      return refused("a program that came from an ONNX file, which says the same already");
    return refused(model.describe());
  }

 private:
  std::string softmax(const std::string& x) { return out_.node("Softmax", {x}, {Attr::integer("axis", 1)}); }

  Result<std::string> emit_boost(const model::Boost& boost, const std::string& x) {
    Sums sums;
    sums.outputs = boost.outputs();
    sums.groups = boost.groups();
    sums.base.assign(boost.base_margins().begin(), boost.base_margins().end());
    const std::string margins = emit_trees(out_, boost.trees(), sums, x);
    if (boost.link() == model::Boost::Link::margin) return margins;
    return sums.outputs == 1 ? out_.unary("Sigmoid", margins) : softmax(margins);
  }

  Result<std::string> emit_additive(const model::AdditiveTrees& trees, std::span<const model::CutColumn> cuts,
                                    const std::string& x) {
    const auto& parts = trees.parts();
    Sums sums;
    sums.outputs = trees.outputs();
    sums.groups = parts.groups.span();
    sums.base = floats(parts.base);
    sums.cuts = cuts;
    std::string y = emit_trees(out_, trees.trees(), sums, x);
    using Link = model::AdditiveTrees::Link;
    const bool isolation = parts.link == Link::isolation;
    const double factor = isolation ? -parts.factor * std::log(2.0) : parts.factor;
    if (parts.link != Link::identity && factor != 1)
      y = out_.binary("Mul", y, out_.number(static_cast<float>(factor)));
    switch (parts.link) {
      case Link::identity:
        return y;
      case Link::logistic:
      case Link::one_vs_all:
        return out_.unary("Sigmoid", y);
      case Link::softmax:
        return softmax(y);
      case Link::isolation:
        return out_.unary("Exp", y);
      default:
        return refused(trees.describe());
    }
  }

  Result<std::string> emit_ensemble(const model::Ensemble& ensemble, const std::string& x) {
    double whole = 0;
    for (const auto& member : ensemble.members()) whole += member.weight;
    std::string sum;
    for (const auto& member : ensemble.members()) {
      auto scores = emit(*member.model, x);
      if (!scores) return scores;
      const auto share = out_.binary("Mul", *scores, out_.number(static_cast<float>(member.weight / whole)));
      sum = sum.empty() ? share : out_.binary("Add", sum, share);
    }
    return sum;
  }

  Result<std::string> emit_transformed(const model::TransformedModel& whole, std::string x) {
    // Trees behind ranks get their thresholds back. The ranks are the last link before them.
    const model::Transform* last = &whole.before();
    if (const auto links = last->links(); !links.empty()) {
      for (const auto& link : links.first(links.size() - 1)) {
        auto next = emit_transform(out_, *link, std::move(x));
        if (!next) return next;
        x = std::move(*next);
      }
      last = links.back().get();
    }
    if (last->cut_columns().empty()) {
      auto rows = emit_transform(out_, *last, std::move(x));
      return rows ? emit(whole.model(), *rows) : rows;
    }
    auto rows = emit_missing(out_, *last, std::move(x));
    if (!rows) return rows;
    const auto asks_nothing = [](const model::TreeSet& trees) {  // no rank is below 0
      const auto& nodes = trees.parts().nodes;
      return std::any_of(nodes.begin(), nodes.end(),
                         [](const model::Node& node) { return !node.is_leaf() && node.threshold() < 0; });
    };
    if (const auto* trees = dynamic_cast<const model::AdditiveTrees*>(&whole.model());
        trees != nullptr && !asks_nothing(trees->trees())) {
      return emit_additive(*trees, last->cut_columns(), *rows);
    }
    if (const auto* forest = dynamic_cast<const model::Forest*>(&whole.model());
        forest != nullptr && !asks_nothing(forest->trees())) {
      Sums sums;
      sums.outputs = forest->outputs();
      sums.mean = true;
      sums.cuts = last->cut_columns();
      return emit_trees(out_, forest->trees(), sums, *rows);
    }
    return refused(whole.model().describe() + " behind ranks");
  }

  Result<std::string> emit_reconstruction(const model::Reconstruction& model, const std::string& x) {
    auto copy = emit(model.inner(), x);
    if (!copy) return copy;
    std::string gap = out_.binary("Sub", x, *copy);
    gap = model.measure() == model::Reconstruction::Measure::squared ? out_.binary("Mul", gap, gap)
                                                                     : out_.unary("Abs", gap);
    const std::array<std::int64_t, 1> axis = {1};
    return out_.node("ReduceMean", {gap}, {Attr::integers("axes", axis), Attr::integer("keepdims", 1)});
  }

  Result<std::string> emit_readout(const model::Readout& readout, const std::string& x) {
    auto scores = emit(readout.model(), x);
    if (!scores) return scores;
    const bool margin = readout.model().scale() == model::Scale::margin;
    const bool changes = readout.scale() != readout.model().scale();
    const auto order = readout.order();
    const std::size_t outputs = readout.outputs();
    std::string y = *scores;
    if (outputs == 1) {
      const bool turned = order.size() == 2 && order[0] == 1;
      if (margin && turned) y = out_.unary("Neg", y);
      if (margin && changes) y = out_.unary("Sigmoid", y);
      if (!margin && turned) y = out_.binary("Sub", out_.number(1), y);
      return y;
    }
    if (margin && changes) y = softmax(y);
    const std::vector<std::int64_t> columns(order.begin(), order.end());
    if (std::is_sorted(columns.begin(), columns.end())) return y;
    return out_.node("Gather", {y, out_.integers(columns)}, {Attr::integer("axis", 1)});
  }

  Emitter& out_;
};

// What each row is called, by the numbers of classes.
void emit_labels(Emitter& out, const std::string& number, const std::vector<std::string>& classes,
                 std::size_t count) {
  const std::array<std::int64_t, 1> flat = {-1};
  const std::string plain = out.node("Reshape", {number, out.integers(flat)});
  if (classes.size() != count) {
    out.nodes("Identity", {plain}, {"label"});
    out.output("label", static_cast<std::int64_t>(Element::i64), 0);
    return;
  }
  std::vector<std::int64_t> keys(count);
  std::iota(keys.begin(), keys.end(), 0);
  const std::vector<std::string_view> names(classes.begin(), classes.end());
  out.nodes("LabelEncoder", {plain}, {"label"},
            {Attr::integers("keys_int64s", keys), Attr::texts("values_strings", names)}, "ai.onnx.ml");
  out.output("label", static_cast<std::int64_t>(Element::text), 0);
}

}  // namespace

Result<std::string> write_onnx(const model::Model& model, const model::Schema& schema,
                               const std::vector<std::string>& classes, std::optional<double> threshold) {
  if (schema.size() != model.inputs()) {
    return Error{Errc::invalid,
                 std::to_string(schema.size()) + " columns for a model of " + std::to_string(model.inputs())};
  }
  Emitter out;
  out.input("features", static_cast<std::int64_t>(schema.size()));
  auto emitted = OnnxWriter(out).emit(model, "features");
  if (!emitted) return emitted;
  const std::string scores = *emitted;
  const bool probability = model.scale() == model::Scale::probability;
  const std::string whole = probability ? "probabilities" : "scores";
  const auto i64 = static_cast<std::int64_t>(Element::i64), f32 = static_cast<std::int64_t>(Element::f32);
  const std::size_t outputs = model.outputs();
  if (!threshold && model.scale() == model::Scale::margin) threshold = 0;
  if (!threshold && probability && outputs == 1) threshold = 0.5;
  if (outputs == 1) {
    if (threshold) {
      const auto above = out.binary("Greater", scores, out.number(round_down(*threshold)));
      emit_labels(out, out.node("Cast", {above}, {Attr::integer("to", i64)}), classes, 2);
    }
    if (probability) {
      const auto rest = out.binary("Sub", out.number(1), scores);
      out.nodes("Concat", {rest, scores}, {whole}, {Attr::integer("axis", 1)});
    } else {
      out.nodes("Identity", {scores}, {whole});
    }
  } else {
    emit_labels(out, out.node("ArgMax", {scores}, {Attr::integer("axis", 1)}), classes, outputs);
    out.nodes("Identity", {scores}, {whole});
  }
  out.output(whole, f32, static_cast<std::int64_t>(probability && outputs == 1 ? 2 : outputs));
  for (std::size_t i = 0; i < schema.size(); ++i) {
    out.property("column." + std::to_string(i), schema[i].name);
    for (std::size_t k = 0; k < schema[i].vocabulary.size(); ++k)
      out.property("category." + std::to_string(i) + "." + std::to_string(k), schema[i].vocabulary[k]);
  }
  for (std::size_t i = 0; i < classes.size(); ++i) out.property("class." + std::to_string(i), classes[i]);
  out.property("scale", name(model.scale()));
  if (threshold) {
    std::string text;
    append_number(text, *threshold);
    out.property("threshold", text);
  }
  out.property("model", model.describe());
  out.property(
      "precision",
      "computed in floats: splits are those of the original on rows of floats, sums differ from it by "
      "rounding, about 1e-7 of the largest number involved");
  auto bytes = out.finish();
  if (bytes.size() > kBytesMax)
    return Error{Errc::exhausted, "a model of more than 2 GB, which ONNX cannot hold in one file"};
  return bytes;
}

}  // namespace nidus::interop
