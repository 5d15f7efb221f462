#include "model/network.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "model/internal/layer_stream.h"
#include "model/internal/layer_visit.h"
#include "model/internal/model_stream.h"
#include "model/internal/network_plan.h"

namespace nidus::model {
namespace {

using internal::Nothing;
using internal::visit;
using internal::windows;

std::string_view name_of(const Layer& layer) {
  static constexpr std::string_view kNames[] = {
      "dense",          "normalisation", "layer norm", "activation", "prelu", "convolution", "pooling",
      "global pooling", "reshape",       "transpose",  "repeat",     "slice", "recurrence",  "branches"};
  static_assert(std::size(kNames) == std::variant_size_v<Layer>);
  return kNames[layer.index()];
}

std::string text(Shape shape) {
  return shape.steps == 1 ? std::to_string(shape.channels)
                          : std::to_string(shape.steps) + " × " + std::to_string(shape.channels);
}

// What comes out of a layer, and what it costs a row.
struct Outcome {
  Shape shape;
  std::size_t work = 0;
};

// Whether a layer fits what comes in, and its sizes its weights. Says what is wrong.
class Checker {
 public:
  explicit Checker(Shape in, std::size_t nesting = 0) : in_(in), out_{in, 8 * in.size()}, nesting_(nesting) {}

  // Empty if nothing is.
  std::string fault;
  Outcome outcome() const { return out_; }

  void operator()(const layer::Dense& l) {
    channels(l.inputs);
    sizes({l.units});
    matrix("kernel", l.kernel, {l.inputs, l.units});
    optional("bias", l.bias, l.units);
    gives({in_.steps, l.units}, in_.steps * l.inputs, l.units);
  }
  void operator()(const layer::Normalise& l) {
    channels(l.mean.size());
    matrix("scale", l.scale, {l.mean.size()});
    matrix("shift", l.shift, {l.mean.size()});
  }
  void operator()(const layer::LayerNorm& l) {
    optional("gamma", l.gamma, in_.channels);
    optional("beta", l.beta, in_.channels);
    demand(l.epsilon >= 0 && std::isfinite(l.epsilon), "an epsilon below 0 or not finite");
  }
  void operator()(const layer::Activate& l) { function(l.function, true); }
  void operator()(const layer::Prelu& l) {
    const std::size_t n = l.slopes.size();
    demand(n == 1 || n == in_.channels || n == in_.size(),
           std::to_string(n) + " slopes for a shape of " + text(in_));
  }
  void operator()(const layer::Conv1d& l) {
    channels(l.inputs);
    sizes({l.filters, l.size, l.stride, l.dilation, l.groups});
    paddings(l.pad_before, l.pad_after);
    if (!fault.empty()) return;
    demand(l.inputs % l.groups == 0 && l.filters % l.groups == 0,
           std::to_string(l.groups) + " groups do not divide its channels or filters");
    matrix("kernel", l.kernel, {l.size, l.inputs / l.groups, l.filters});
    optional("bias", l.bias, l.filters);
    const std::size_t steps = windows(in_.steps, l.pad_before, l.pad_after, l.size, l.dilation, l.stride);
    demand(steps > 0, "no window fits into " + std::to_string(in_.steps) + " steps");
    gives({steps, l.filters}, l.kernel.size(), steps);
  }
  void operator()(const layer::Pool& l) {
    sizes({l.size, l.stride});
    paddings(l.pad_before, l.pad_after);
    demand(l.pad_before < l.size && l.pad_after < l.size, "more padding than a window is long");
    const std::size_t steps = windows(in_.steps, l.pad_before, l.pad_after, l.size, 1, l.stride);
    demand(steps > 0, "no window fits into " + std::to_string(in_.steps) + " steps");
    gives({steps, in_.channels}, steps * l.size, in_.channels);
  }
  void operator()(const layer::GlobalPool&) { gives({1, in_.channels}, in_.size(), 1); }
  void operator()(const layer::Reshape& l) {
    sizes({l.to.steps, l.to.channels});
    demand(l.to.size() == in_.size(), text(in_) + " cannot become " + text(l.to));
    out_ = {l.to, 0};
  }
  void operator()(const layer::Transpose&) { gives({in_.channels, in_.steps}, in_.size(), 1); }
  void operator()(const layer::Repeat& l) {
    sizes({l.times});
    gives({in_.steps * l.times, in_.channels}, in_.size(), l.times);
  }
  void operator()(const layer::Slice& l) {
    sizes({l.steps, l.channels});
    paddings(l.first_step, l.first_channel);
    demand(l.first_step + l.steps <= in_.steps && l.first_channel + l.channels <= in_.channels,
           "reaches beyond a shape of " + text(in_));
    gives({l.steps, l.channels}, in_.size(), 1);
  }
  void operator()(const layer::Recurrence& l) {
    demand(l.forward || l.backward, "has no cell");
    std::size_t units = 0, each = 0;
    for (const auto* cell : {&l.forward, &l.backward}) {
      if (!*cell) continue;
      check(**cell);
      if (!fault.empty()) return;
      units += (*cell)->units;
      each += (*cell)->kernel.size() + (*cell)->recurrent.size() + 64 * (*cell)->units;
    }
    gives({l.sequences ? in_.steps : 1, units}, in_.steps, each);
  }
  void operator()(const layer::Branches& l) {
    demand(!l.branches.empty() && l.branches.size() <= Network::kBranchesMax,
           std::to_string(l.branches.size()) + " branches");
    demand(nesting_ < Network::kNestingMax, "branches nested too deep");
    std::size_t work = 0, channels = 0;
    std::optional<Shape> first;
    for (std::size_t i = 0; fault.empty() && i < l.branches.size(); ++i) {
      const auto end = end_of(l.branches[i], work);
      if (!fault.empty()) {
        fault = "branch " + std::to_string(i) + ": " + fault;
        return;
      }
      if (!first) first = end;
      const bool along = l.join == layer::Branches::Join::concatenate;
      demand(end.steps == first->steps && (along || end.channels == first->channels),
             text(end) + " cannot be joined with " + text(*first));
      channels += end.channels;
    }
    if (!fault.empty()) return;
    if (l.join != layer::Branches::Join::concatenate) channels = first->channels;
    gives({first->steps, channels}, work, 1);
  }

 private:
  // What comes out of a branch; its work is added.
  Shape end_of(const layer::Branch& branch, std::size_t& work) {
    Shape now = in_;
    demand(branch.layers.size() <= Network::kLayersMax, "more layers than a network has");
    for (std::size_t i = 0; fault.empty() && i < branch.layers.size(); ++i) {
      Checker inner(now, nesting_ + 1);
      std::visit(inner, branch.layers[i]);
      now = inner.out_.shape;
      work = std::min(work + inner.out_.work, Network::kWorkMax + 1);
      const std::string noun =
          "layer " + std::to_string(i) + " (" + std::string(name_of(branch.layers[i])) + "): ";
      demand(inner.fault.empty(), noun + inner.fault);
      demand(now.size() <= Network::kShapeMax,
             noun + "more than " + with_thousands(Network::kShapeMax) + " numbers come out");
    }
    return now;
  }
  void demand(bool good, const std::string& otherwise) {
    if (!good && fault.empty()) fault = otherwise;
  }
  void sizes(std::initializer_list<std::size_t> all) {
    for (const std::size_t size : all)
      demand(size > 0 && size <= Network::kShapeMax, "a size of " + std::to_string(size));
  }
  void paddings(std::size_t before, std::size_t after) {
    demand(before <= Network::kShapeMax && after <= Network::kShapeMax,
           "a padding or offset of " + std::to_string(std::max(before, after)));
  }
  void channels(std::size_t wanted) {
    demand(wanted == in_.channels, "takes " + std::to_string(wanted) + " numbers a step and is given " +
                                       std::to_string(in_.channels));
  }
  void matrix(const char* name, const std::vector<double>& values, std::initializer_list<std::size_t> shape) {
    std::size_t wanted = 1;
    std::string spoken;
    for (const std::size_t size : shape) {
      if (!fault.empty()) return;
      wanted = wanted > Network::kWeightsMax ? wanted : wanted * size;
      spoken += (spoken.empty() ? "" : " × ") + std::to_string(size);
    }
    demand(values.size() == wanted,
           std::string(name) + " has " + std::to_string(values.size()) + " numbers, not " + spoken);
  }
  void optional(const char* name, const std::vector<double>& values, std::size_t size) {
    if (!values.empty()) matrix(name, values, {size});
  }
  void function(const Activation& f, bool softmax_too) {
    const bool is_relu = f.kind == Activation::Kind::relu;
    demand(std::isfinite(f.a) && std::isfinite(f.c) && (std::isfinite(f.b) || (is_relu && f.b > 0)),
           "an activation with parameters that are not finite");
    demand(f.kind != Activation::Kind::clip || f.a <= f.b, "a clip whose low end is above its high end");
    demand(softmax_too || f.kind != Activation::Kind::softmax, "a softmax inside a cell");
  }
  void check(const layer::Cell& cell) {
    channels(cell.inputs);
    sizes({cell.units});
    const std::size_t wide = cell.gates() * cell.units;
    matrix("kernel", cell.kernel, {cell.inputs, wide});
    matrix("recurrent kernel", cell.recurrent, {cell.units, wide});
    optional("bias", cell.bias, wide);
    optional("recurrent bias", cell.recurrent_bias, wide);
    function(cell.activation, false);
    function(cell.gate, false);
  }
  // Each factor of `work` is at most 2^40, so that their product is looked at before it is made.
  void gives(Shape shape, std::size_t times, std::size_t each) {
    if (!fault.empty()) return;
    const bool much = each != 0 && times > Network::kWorkMax / each;
    out_ = {shape,
            much ? Network::kWorkMax + 1 : times * each + 8 * std::min(shape.size(), Network::kWorkMax)};
  }

  Shape in_;
  Outcome out_;
  std::size_t nesting_;
};

template <class T>
bool finite_as(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double x) { return std::isfinite(static_cast<T>(x)); });
}

struct WeightCheck : Nothing {
  bool single = false, finite = true;
  std::size_t count = 0;
  void weights(std::vector<double>& values) {
    count += values.size();
    finite = finite && (single ? finite_as<float>(values) : finite_as<double>(values));
  }
};

// What normalisation does to the columns of a kernel, and to the bias: ((x W + b) - mean) scale + shift.
// Nothing happens if that would not be finite.
bool fold(const layer::Normalise& normal, std::size_t units, bool single, std::vector<double>& kernel,
          std::vector<double>& bias) {
  std::vector<double> columns = kernel, shifts(units);
  for (std::size_t i = 0; i < columns.size(); ++i) columns[i] *= normal.scale[i % units];
  for (std::size_t i = 0; i < units; ++i)
    shifts[i] = ((bias.empty() ? 0 : bias[i]) - normal.mean[i]) * normal.scale[i] + normal.shift[i];
  if (single ? !finite_as<float>(columns) || !finite_as<float>(shifts)
             : !finite_as<double>(columns) || !finite_as<double>(shifts))
    return false;
  kernel = std::move(columns);
  bias = std::move(shifts);
  return true;
}

// Whether the layer before takes the normalisation in.
bool fold(const layer::Normalise& normal, Layer& before, bool single) {
  if (auto* dense = std::get_if<layer::Dense>(&before))
    return fold(normal, dense->units, single, dense->kernel, dense->bias);
  if (auto* conv = std::get_if<layer::Conv1d>(&before))
    return fold(normal, conv->filters, single, conv->kernel, conv->bias);
  return false;
}

bool between_0_and_1(const Activation& f) {
  using Kind = Activation::Kind;
  return f.kind == Kind::sigmoid || f.kind == Kind::hard_sigmoid ||
         (f.kind == Kind::clip && f.a >= 0 && f.b <= 1);
}

// One output between 0 and 1, or one or all outputs of one softmax.
bool ends_in_probability(const std::vector<Layer>& layers, Shape out) {
  for (auto last = layers.rbegin(); last != layers.rend(); ++last) {
    if (const auto* activate = std::get_if<layer::Activate>(&*last)) {
      if (activate->function.kind == Activation::Kind::softmax) return out.steps == 1;
      return out.size() == 1 && between_0_and_1(activate->function);
    }
    if (std::holds_alternative<layer::Slice>(*last) ? out.size() != 1
                                                    : !std::holds_alternative<layer::Reshape>(*last))
      return false;
  }
  return false;
}

// The layers with their weights apart, in one array and in the order of visit().
template <class T>
struct Collect : Nothing {
  std::vector<T> all;
  std::vector<std::uint32_t> sizes;
  void weights(std::vector<double>& values) {
    sizes.push_back(static_cast<std::uint32_t>(values.size()));
    for (const double value : values) all.push_back(static_cast<T>(value));
    values = {};
  }
};

template <class T>
struct Fill : Nothing {
  const T* next;
  const std::uint32_t* size;
  void weights(std::vector<double>& values) {
    values.assign(next, next + *size);
    next += *size++;
  }
};

// How a network computes in T.
template <class T>
struct Plan {
  Array<T> weights;
  std::vector<std::uint32_t> sizes;
  std::vector<std::unique_ptr<const internal::Step<T>>> steps;  // none for layers that only rename
  std::size_t inputs = 0, outputs = 0;
  std::size_t widest = 0;  // numbers of a row between two steps
  std::size_t rows = 1;    // that are computed at once
  std::size_t room = 0;    // for that many

  // So many rows that what is between two layers stays in the cache of a core, and at most what fills the
  // tiles of the kernels.
  void choose_rows() {
    constexpr std::size_t kBytes = 256 * 1024, kRowsMax = 96, kTile = 6;
    const auto room_of = [&](std::size_t count) {
      std::size_t most = 0;
      for (const auto& step : steps) most = std::max(most, step->room(count));
      return most;
    };
    rows = std::clamp<std::size_t>(kBytes / sizeof(T) / (2 * widest + room_of(1)), 1, kRowsMax);
    if (rows > kTile) rows -= rows % kTile;
    room = room_of(rows);
  }

  template <class Given>
  void score(const internal::LayerKernelOf<T>& kernel, std::span<const Given> given, std::size_t count,
             std::span<double> scores) const {
    CHECK(given.size() >= count * inputs && scores.size() >= count * outputs);
    const std::size_t most = std::min(count, rows);
    thread_local std::vector<T> scratch;
    if (scratch.size() < 2 * rows * widest + room) scratch.resize(2 * rows * widest + room);
    for (std::size_t first = 0; first < count; first += most) {
      const std::size_t some = std::min(most, count - first);
      T *now = scratch.data(), *other = now + rows * widest, *const free = other + rows * widest;
      const Given* from = given.data() + first * inputs;
      for (std::size_t i = 0; i < some * inputs; ++i) now[i] = static_cast<T>(from[i]);
      for (const auto& step : steps) {
        if (step->in_place()) {
          step->run(kernel, now, some, now, free);
        } else {
          step->run(kernel, now, some, other, free);
          std::swap(now, other);
        }
      }
      for (std::size_t i = 0; i < some * outputs; ++i)
        scores[first * outputs + i] = static_cast<double>(now[i]);
    }
  }
};

}  // namespace

layer::Normalise batch_norm(const std::vector<double>& gamma, const std::vector<double>& beta,
                            const std::vector<double>& mean, const std::vector<double>& variance,
                            double epsilon) {
  layer::Normalise out;
  out.mean = mean;
  out.shift = beta.empty() ? std::vector<double>(mean.size()) : beta;
  out.scale.resize(variance.size());
  for (std::size_t i = 0; i < variance.size(); ++i) {
    const double factor = gamma.empty() ? 1 : i < gamma.size() ? gamma[i] : std::nan("");
    out.scale[i] = factor / std::sqrt(variance[i] + epsilon);
  }
  return out;
}

Result<Shape> shape_after(const Layer& given, Shape in) {
  Checker checker(in);
  std::visit(checker, given);
  if (!checker.fault.empty()) return Error{Errc::corrupt, std::string(name_of(given)) + ": " + checker.fault};
  return checker.outcome().shape;
}

struct Network::Impl {
  Parts shape;  // without the weights
  std::variant<std::shared_ptr<const Plan<float>>, std::shared_ptr<const Plan<double>>> plan;
  const internal::LayerKernel* kernel = internal::layer_kernels().back();

  template <class F>
  auto with_plan(F&& f) const {
    return std::visit([&](const auto& p) { return f(*p); }, plan);
  }
};

namespace {

template <class T>
std::shared_ptr<const Plan<T>> make_plan(Network::Parts& parts, const std::vector<Shape>& shapes) {
  auto plan = std::make_shared<Plan<T>>();
  plan->inputs = parts.input.size();
  plan->outputs = shapes.back().size();
  for (const Shape shape : shapes) plan->widest = std::max(plan->widest, shape.size());
  Collect<T> collect;
  for (std::size_t i = 0; i < parts.layers.size(); ++i) {
    if (auto step = internal::make_step<T>(parts.layers[i], shapes[i], shapes[i + 1]))
      plan->steps.push_back(std::move(step));
    visit(parts.layers[i], collect);
  }
  plan->weights = std::move(collect.all);
  plan->sizes = std::move(collect.sizes);
  plan->choose_rows();
  return plan;
}

}  // namespace

Result<Network> Network::make(Parts parts) {
  const auto limit = [](const std::string& what) {
    return Error{Errc::exhausted, "neural network: " + what};
  };
  const bool single = parts.precision == Precision::single;
  if (parts.input.steps == 0 || parts.input.channels == 0)
    return Error{Errc::corrupt, "neural network: it has no inputs"};
  if (parts.layers.empty()) return Error{Errc::corrupt, "neural network: it has no layers"};
  if (parts.layers.size() > kLayersMax) return limit("more than " + with_thousands(kLayersMax) + " layers");
  if (parts.input.steps > kShapeMax || parts.input.channels > kShapeMax || parts.input.size() > kShapeMax)
    return limit("more than " + with_thousands(kShapeMax) + " inputs");
  std::vector<Layer> layers;
  std::vector<Shape> shapes = {parts.input};
  WeightCheck total;
  total.single = single;
  std::size_t work = 0;
  for (std::size_t i = 0; i < parts.layers.size(); ++i) {
    Layer& given = parts.layers[i];
    const std::string noun = "layer " + std::to_string(i) + " (" + std::string(name_of(given)) + "): ";
    Checker checker(shapes.back());
    std::visit(checker, given);
    if (!checker.fault.empty()) return Error{Errc::corrupt, "neural network: " + noun + checker.fault};
    const Outcome outcome = checker.outcome();
    visit(given, total);
    if (!total.finite) return Error{Errc::corrupt, "neural network: " + noun + "a weight that is not finite"};
    if (outcome.shape.size() > kShapeMax)
      return limit(noun + "more than " + with_thousands(kShapeMax) + " numbers come out");
    work += outcome.work;
    if (work > kWorkMax)
      return limit(noun + "a row takes more than " + with_thousands(kWorkMax) + " multiplications");
    if (total.count > kWeightsMax) return limit("more than " + with_thousands(kWeightsMax) + " weights");
    const auto* normal = std::get_if<layer::Normalise>(&given);
    if (normal != nullptr && !layers.empty() && fold(*normal, layers.back(), single)) continue;
    layers.push_back(std::move(given));
    shapes.push_back(outcome.shape);
  }
  parts.layers = std::move(layers);
  if (parts.scale != Scale::margin && parts.scale != Scale::probability)
    return Error{Errc::invalid, "neural network: its scores are probabilities or margins"};
  if (parts.scale == Scale::probability && !ends_in_probability(parts.layers, shapes.back()))
    return Error{Errc::invalid, "neural network: what it ends with is no probability"};
  auto impl = std::make_shared<Impl>();
  if (single) {
    impl->plan = make_plan<float>(parts, shapes);
  } else {
    impl->plan = make_plan<double>(parts, shapes);
  }
  impl->shape = std::move(parts);
  return Network(std::move(impl));
}

std::size_t Network::inputs() const { return impl_->shape.input.size(); }
std::size_t Network::outputs() const {
  return impl_->with_plan([](const auto& plan) { return plan.outputs; });
}
Scale Network::scale() const { return impl_->shape.scale; }
bool Network::is_wide() const { return impl_->shape.precision == Precision::wide; }

void Network::score(std::span<const float> rows, std::size_t count, std::span<double> scores) const {
  impl_->with_plan([&]<class T>(const Plan<T>& plan) {
    plan.score(impl_->kernel->template of<T>(), rows, count, scores);
  });
}

void Network::score_wide(std::span<const double> rows, std::size_t count, std::span<double> scores) const {
  impl_->with_plan([&]<class T>(const Plan<T>& plan) {
    plan.score(impl_->kernel->template of<T>(), rows, count, scores);
  });
}

std::string Network::describe() const {
  return "neural network: " + std::to_string(impl_->shape.layers.size()) + " layers, " +
         with_thousands(impl_->with_plan([](const auto& plan) { return plan.weights.size(); })) +
         " weights in " + (is_wide() ? "double" : "float") + ", " + std::to_string(inputs()) + " inputs";
}

Network::Parts Network::parts() const {
  Parts out = impl_->shape;
  impl_->with_plan([&]<class T>(const Plan<T>& plan) {
    Fill<T> fill{{}, plan.weights.data(), plan.sizes.data()};
    for (Layer& given : out.layers) visit(given, fill);
  });
  return out;
}

void Network::save(internal::FileWriter& out) const {
  out.tag(internal::ModelTag::network);
  out.u8(static_cast<std::uint8_t>(impl_->shape.precision));
  out.u8(static_cast<std::uint8_t>(scale()));
  impl_->with_plan([&](const auto& plan) {
    out.array(plan.weights);
    out.u32(static_cast<std::uint32_t>(impl_->shape.input.steps));
    out.u32(static_cast<std::uint32_t>(impl_->shape.input.channels));
    out.u32(static_cast<std::uint32_t>(impl_->shape.layers.size()));
    std::vector<Layer> layers = impl_->shape.layers;
    internal::WriteLayers write{out, plan.sizes.data()};
    for (Layer& given : layers) {
      write.kind(given);
      visit(given, write);
    }
  });
}

Result<Network> Network::load(internal::FileReader& in) {
  Parts parts;
  const auto precision = in.u8(), scale = in.u8();
  if (precision > 1) in.fail("an unknown precision");
  if (scale > static_cast<std::uint8_t>(Scale::margin)) in.fail("an unknown scale");
  if (!in.ok()) return in.error();
  parts.precision = static_cast<Precision>(precision);
  parts.scale = static_cast<Scale>(scale);
  const auto read = [&]<class T>(const Array<T>& weights) {
    parts.input.steps = in.u32();
    parts.input.channels = in.u32();
    internal::ReadLayers<T> io{in, weights.span(), kLayersMax};
    const std::size_t count = in.count(1);
    for (std::size_t i = 0; i < count && in.ok(); ++i) {
      parts.layers.emplace_back();
      io.kind(parts.layers.back());
      if (!in.ok()) return;
      visit(parts.layers.back(), io);
    }
    if (in.ok() && !io.left.empty()) in.fail("weights that no layer has");
  };
  if (parts.precision == Precision::single) {
    read(in.array<float>());
  } else {
    read(in.array<double>());
  }
  if (!in.ok()) return in.error();
  auto made = make(std::move(parts));
  if (!made) return in.fail(made.error().message);
  return made;
}

std::size_t Network::kernels() { return internal::layer_kernels().size(); }

Network Network::with_kernel(std::size_t kernel) const {
  CHECK(kernel < kernels());
  auto copy = std::make_shared<Impl>(*impl_);
  copy->kernel = internal::layer_kernels()[kernel];
  return Network(std::move(copy));
}

}  // namespace nidus::model
