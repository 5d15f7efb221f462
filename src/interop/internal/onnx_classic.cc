#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "interop/internal/onnx_operators.h"
#include "interop/internal/onnx_trees.h"

// The operators of domain ai.onnx.ml: https://onnx.ai/onnx/operators/index.html#ai-onnx-ml.
namespace nidus::interop::internal::onnx {
namespace {

using Op = Builder::Op;
using Step = Builder::Step;

Value row_of(std::vector<double> values, Element element) {
  const auto count = static_cast<std::int64_t>(values.size());
  return Builder::constant(std::move(values), {1, count}, element);
}

// These operators give floats, whatever they get, unless they get doubles and are said to keep them.
Result<Value> as_float(Site& s, const Value& x) { return s.builder.cast(x, Element::f32); }

Result<Value> as_rows(Site& s, const Value& x) {
  if (x.element == Element::text) return s.unsupported("texts");
  if (x.dims.size() == 2) return x;
  if (x.dims.size() == 1) return Builder::reshape(x, {1, x.dims[0]});
  return s.unsupported("input " + spell(x.dims));
}

// One number for each column, or one for all.
Result<Value> per_column(Site& s, std::string_view attribute, std::size_t columns, Element element) {
  auto numbers = s.node.numbers(attribute);
  if (numbers.size() != columns && numbers.size() != 1)
    return s.corrupt(std::to_string(numbers.size()) + " of '" + std::string(attribute) + "' for " +
                     std::to_string(columns) + " columns");
  return row_of(std::move(numbers), element);
}

Result<Outputs> scaler(Site& s) {
  auto x = as_rows(s, s.in(0));
  if (x) x = as_float(s, *x);
  if (!x) return std::move(x).error();
  const auto columns = static_cast<std::size_t>(x->dims[1]);
  auto offset = per_column(s, "offset", columns, Element::f32),
       scale = per_column(s, "scale", columns, Element::f32);
  if (!offset) return std::move(offset).error();
  if (!scale) return std::move(scale).error();
  auto out = s.builder.binary(Op::subtract, *x, *offset);
  if (out) out = s.builder.binary(Op::multiply, *out, *scale);
  return one(std::move(out));
}

Result<Outputs> imputer(Site& s) {
  auto x = as_rows(s, s.in(0));
  if (!x) return std::move(x).error();
  const bool whole = s.node.find("imputed_value_int64s") != nullptr;
  std::vector<double> fill = s.node.numbers("imputed_value_floats");
  double replaced = static_cast<double>(s.node.number("replaced_value_float", 0));
  if (whole) {
    const auto integers = s.node.integers("imputed_value_int64s");
    fill.assign(integers.begin(), integers.end());
    replaced = static_cast<double>(s.node.integer("replaced_value_int64", 0));
  }
  if (fill.size() != static_cast<std::size_t>(x->dims[1]) && fill.size() != 1)
    return s.corrupt(std::to_string(fill.size()) + " values for " + std::to_string(x->dims[1]) + " columns");
  auto gone =
      std::isnan(replaced) ? s.builder.unary(Op::is_missing, *x) : s.builder.binary(Op::equal, *x, replaced);
  if (!gone) return std::move(gone).error();
  return one(s.builder.select(*gone, row_of(std::move(fill), x->element), *x));
}

Result<Outputs> normalizer(Site& s) {
  auto x = as_rows(s, s.in(0));
  if (x) x = as_float(s, *x);
  if (!x) return std::move(x).error();
  const auto norm = s.node.text("norm", "MAX");
  Result<Value> size = *x;
  Builder& b = s.builder;
  if (norm == "L1") {
    size = b.along(Op::sum_of_absolutes, *x, 1);
  } else if (norm == "L2") {
    size = b.along(Op::sum_of_squares, *x, 1);
    if (size) size = b.unary(Op::square_root, *size);
  } else if (norm == "MAX") {
    size = b.along(Op::highest, *x, 1);
  } else {
    return s.corrupt("norm " + std::string(norm));
  }
  // What has no size stays as it is.
  if (!size) return std::move(size).error();
  auto none = b.binary(Op::equal, *size, 0);
  if (!none) return std::move(none).error();
  size = b.select(*none, Builder::scalar(1, Element::f32), *size);
  if (!size) return std::move(size).error();
  return one(b.binary(Op::divide, *x, *size));
}

Result<Outputs> binarizer(Site& s) {
  const auto threshold = static_cast<double>(s.node.number("threshold", 0));
  auto above = s.builder.binary(Op::less, Builder::scalar(threshold, s.in(0).element), s.in(0));
  return above ? one(s.builder.cast(*above, s.in(0).element)) : std::move(above).error();
}

Result<Outputs> feature_extractor(Site& s) {
  if (!s.has(1)) return s.corrupt("no indices");
  const Value& x = s.in(0);
  if (x.dims.empty()) return s.corrupt("a single number");
  auto indices = s.known_integers(1);
  if (!indices) {
    // Labels out of their number, which is of the row.
    if (!x.is_known() || x.dims.size() != 1 || s.in(1).size() != 1) return std::move(indices).error();
    std::vector<double> keys;
    for (std::size_t i = 0; i < x.size(); ++i) keys.push_back(static_cast<double>(i));
    Step step;
    step.op = Op::lookup;
    step.a = step.b = std::numeric_limits<double>::quiet_NaN();
    const auto count = x.dims[0];
    return one(s.builder.emit(std::move(step),
                              {s.in(1), Builder::constant(std::move(keys), {count}, Element::i64), x}, {1, 1},
                              x.element));
  }
  const auto length = x.dims.back();
  Dims dims = x.dims.size() == 1 ? Dims{1} : Dims(x.dims.begin(), x.dims.end() - 1);
  const std::size_t outer = volume(dims);
  dims.push_back(static_cast<std::int64_t>(indices->size()));
  if (volume(dims) > model::TensorProgram::kSizeMax) return s.unsupported("an array that is too large");
  std::vector<std::uint32_t> picks;
  for (std::size_t o = 0; o < outer; ++o) {
    for (const auto index : *indices) {
      if (index < 0 || index >= length) return s.corrupt("index " + std::to_string(index));
      picks.push_back(
          static_cast<std::uint32_t>(o * static_cast<std::size_t>(length) + static_cast<std::size_t>(index)));
    }
  }
  return one(s.builder.pick({x}, std::move(picks), std::move(dims)));
}

Result<Outputs> vectorizer(Site& s) {
  std::vector<Value> parts;
  for (std::size_t i = 0; i < s.inputs.size(); ++i) {
    auto part = as_rows(s, s.in(i));
    if (part) part = as_float(s, *part);
    if (!part) return std::move(part).error();
    parts.push_back(std::move(*part));
  }
  return one(s.builder.concat(parts, 1));
}

// The code of each text of a column: its place in the vocabulary of that column, which it joins.
double code_of(Site& s, std::uint32_t column, std::string_view text) {
  auto& vocabulary = s.vocabularies[column];
  const auto found = std::find(vocabulary.begin(), vocabulary.end(), text);
  const auto code = static_cast<double>(found - vocabulary.begin());
  if (found == vocabulary.end()) vocabulary.emplace_back(text);
  return code;
}

// Numbers in place of keys; `otherwise` for what is no key. Of equal keys the last counts.
Result<Value> replace(Site& s, const Value& x, const std::map<double, double>& table, double otherwise,
                      double for_missing, Element element) {
  std::vector<double> keys, values;
  for (const auto& [key, value] : table) {
    keys.push_back(key);
    values.push_back(value);
  }
  const auto count = static_cast<std::int64_t>(keys.size());
  if (count == 0) return s.unsupported("an empty table");
  Step step;
  step.op = Op::lookup;
  step.a = otherwise;
  step.b = for_missing;
  return s.builder.emit(std::move(step),
                        {x, Builder::constant(std::move(keys), {count}, x.element),
                         Builder::constant(std::move(values), {count}, element)},
                        x.dims, element);
}

// Texts by their codes, column by column, with keys of texts.
Result<Value> replace_texts(Site& s, const Value& x, const std::vector<std::string_view>& keys,
                            const std::vector<double>& values, double otherwise, Element element) {
  std::vector<Value> columns;
  for (const auto column : x.columns) {
    std::map<double, double> table;
    for (std::size_t i = 0; i < keys.size(); ++i) table[code_of(s, column, keys[i])] = values[i];
    const Value number = s.builder.row(column, {1, 1}, Element::i64);
    auto out = replace(s, number, table, otherwise, otherwise, element);
    if (!out) return out;
    columns.push_back(std::move(*out));
  }
  auto out = s.builder.concat(columns, 1);
  return out ? Result<Value>(Builder::reshape(*out, x.dims)) : out;
}

Result<Outputs> label_encoder(Site& s) {
  const Value& x = s.in(0);
  std::vector<double> values;
  double otherwise = 0;
  Element element = Element::i64;
  if (const auto* floats = s.node.find("values_floats"); floats != nullptr) {
    values.assign(floats->floats.begin(), floats->floats.end());
    otherwise = static_cast<double>(s.node.number("default_float", -0.0f));
    element = Element::f32;
  } else if (const auto* integers = s.node.find("values_int64s"); integers != nullptr) {
    values.assign(integers->ints.begin(), integers->ints.end());
    otherwise = static_cast<double>(s.node.integer("default_int64", -1));
  } else if (const auto* tensor = s.node.find("values_tensor");
             tensor != nullptr && !tensor->tensors.empty()) {
    values = tensor->tensors[0].values;
    element = tensor->tensors[0].element;
    otherwise = element == Element::f32 || element == Element::f64 ? 0 : -1;
    if (const auto* rest = s.node.find("default_tensor");
        rest != nullptr && !rest->tensors.empty() && rest->tensors[0].values.size() == 1) {
      otherwise = rest->tensors[0].values[0];
    }
    if (element != Element::f32 && element != Element::f64) element = Element::i64;
  } else if (const auto* classes = s.node.find("classes_strings");
             classes != nullptr && x.element == Element::text) {
    for (std::size_t i = 0; i < classes->strings.size(); ++i) values.push_back(static_cast<double>(i));
    return one(replace_texts(s, x, classes->strings, values,
                             static_cast<double>(s.node.integer("default_int64", -1)), element));
  } else {
    return s.unsupported("labels that are texts");
  }
  std::vector<std::string_view> texts;
  if (const auto* keys = s.node.find("keys_strings"); keys != nullptr) texts = keys->strings;
  if (const auto* keys = s.node.find("keys_tensor"); keys != nullptr && !keys->tensors.empty())
    texts = keys->tensors[0].texts;
  if (x.element == Element::text) {
    if (texts.size() != values.size() || texts.empty())
      return s.corrupt("keys and values of different numbers");
    return one(replace_texts(s, x, texts, values, otherwise, element));
  }
  std::vector<double> keys;
  if (const auto* floats = s.node.find("keys_floats"); floats != nullptr) {
    keys.assign(floats->floats.begin(), floats->floats.end());
  } else if (const auto* integers = s.node.find("keys_int64s"); integers != nullptr) {
    keys.assign(integers->ints.begin(), integers->ints.end());
  } else if (const auto* tensor = s.node.find("keys_tensor"); tensor != nullptr && !tensor->tensors.empty()) {
    keys = tensor->tensors[0].values;
  }
  if (keys.size() != values.size() || keys.empty()) return s.corrupt("keys and values of different numbers");
  std::map<double, double> table;
  double for_missing = otherwise;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (std::isnan(keys[i])) {
      for_missing = values[i];
    } else {
      table.emplace(keys[i], values[i]);
    }
  }
  return one(replace(s, x, table, otherwise, for_missing, element));
}

Result<Outputs> one_hot(Site& s) {
  const Value& x = s.in(0);
  if (s.node.integer("zeros", 1) != 1) return s.unsupported("an error for what is no category");
  std::vector<Value> parts;
  std::size_t categories = 0;
  if (x.element == Element::text) {
    const auto* texts = s.node.find("cats_strings");
    if (texts == nullptr || texts->strings.empty()) return s.corrupt("texts, but categories that are none");
    categories = texts->strings.size();
    for (const auto column : x.columns) {
      std::vector<double> codes;
      for (const auto text : texts->strings) codes.push_back(code_of(s, column, text));
      auto hot = s.builder.binary(Op::equal, s.builder.row(column, {1, 1}, Element::f32),
                                  row_of(std::move(codes), Element::f32));
      if (hot) hot = s.builder.cast(*hot, Element::f32);
      if (!hot) return std::move(hot).error();
      parts.push_back(std::move(*hot));
    }
  } else {
    std::vector<double> numbers;
    for (const auto number : s.node.integers("cats_int64s")) numbers.push_back(static_cast<double>(number));
    if (numbers.empty()) return s.corrupt("numbers, but categories that are none");
    categories = numbers.size();
    // ONNX Runtime compares whole numbers.
    auto whole = s.builder.cast(x, Element::i64);
    if (!whole) return std::move(whole).error();
    const auto count = static_cast<std::int64_t>(x.size());
    auto hot = s.builder.binary(Op::equal, Builder::reshape(*whole, {count, 1}),
                                row_of(std::move(numbers), Element::i64));
    if (hot) hot = s.builder.cast(*hot, Element::f32);
    if (!hot) return std::move(hot).error();
    parts.push_back(std::move(*hot));
  }
  auto all = parts.size() == 1 ? Result<Value>(parts[0]) : s.builder.concat(parts, 0);
  if (!all) return std::move(all).error();
  Dims dims = x.dims;
  dims.push_back(static_cast<std::int64_t>(categories));
  return Outputs{Builder::reshape(*all, std::move(dims))};
}

// The labels of the classes by the number of the highest.
Result<Value> label(Site& s, const Value& scores, std::string_view attribute) {
  auto labels = s.node.integers(attribute);
  if (labels.empty()) return s.unsupported("labels that are texts, used further on");
  if (static_cast<std::int64_t>(labels.size()) != scores.dims[1])
    return s.corrupt("not one label for each class");
  auto best = s.builder.along(Op::index_of_highest, scores, 1);
  if (!best) return best;
  std::map<double, double> table;
  for (std::size_t i = 0; i < labels.size(); ++i)
    table[static_cast<double>(i)] = static_cast<double>(labels[i]);
  auto out = replace(s, *best, table, 0, 0, Element::i64);
  return out ? Result<Value>(Builder::reshape(*out, {scores.dims[0]})) : out;
}

Result<Outputs> classified(Site& s, Result<Value> scores, std::string_view attribute) {
  if (!scores) return std::move(scores).error();
  Outputs out(2);
  out[1] = *scores;
  if (!s.wanted.empty() && s.wanted[0]) {
    auto labels = label(s, *scores, attribute);
    if (!labels) return std::move(labels).error();
    out[0] = std::move(*labels);
  }
  return out;
}

// Both scores of two classes out of that of the second: 1 - s and s, or -s and s.
Result<Value> both(Site& s, const Value& second, bool complement) {
  auto first = complement ? s.builder.binary(Op::subtract, Builder::scalar(1, second.element), second)
                          : s.builder.unary(Op::negate, second);
  if (!first) return first;
  return s.builder.concat({*first, second}, 1);
}

Result<Outputs> linear_classifier(Site& s) {
  auto x = as_rows(s, s.in(0));
  if (x) x = as_float(s, *x);
  if (!x) return std::move(x).error();
  auto weights = s.node.numbers("coefficients"), bias = s.node.numbers("intercepts");
  const std::size_t classes = bias.size(), columns = static_cast<std::size_t>(x->dims[1]);
  if (classes == 0 || weights.size() != classes * columns)
    return s.corrupt(std::to_string(weights.size()) + " coefficients for " + std::to_string(columns) +
                     " columns and " + std::to_string(classes) + " intercepts");
  auto turned = s.builder.transpose(
      Builder::constant(std::move(weights), {static_cast<std::int64_t>(classes), x->dims[1]}, Element::f32),
      {1, 0});
  auto sums = turned ? s.builder.matmul(*x, *turned) : turned;
  if (sums) sums = s.builder.binary(Op::add, *sums, row_of(std::move(bias), Element::f32));
  if (!sums) return std::move(sums).error();
  const auto transform = s.node.text("post_transform", "NONE");
  const auto* texts = s.node.find("classlabels_strings");
  const std::size_t labels = texts != nullptr && !texts->strings.empty()
                                 ? texts->strings.size()
                                 : s.node.integers("classlabels_ints").size();
  if (classes == 1 && labels == 2) {
    if (transform == "LOGISTIC") {
      auto second = s.builder.unary(Op::sigmoid, *sums);
      return classified(s, second ? both(s, *second, true) : second, "classlabels_ints");
    }
    return classified(s, both(s, *sums, true), "classlabels_ints");
  }
  return classified(s, post_transform(s, *sums, transform), "classlabels_ints");
}

Result<Outputs> linear_regressor(Site& s) {
  auto x = as_rows(s, s.in(0));
  if (x) x = as_float(s, *x);
  if (!x) return std::move(x).error();
  auto weights = s.node.numbers("coefficients"), bias = s.node.numbers("intercepts");
  const auto targets = s.node.integer("targets", 1);
  if (targets < 1 || targets > 65536 || weights.size() != static_cast<std::size_t>(targets * x->dims[1]) ||
      (!bias.empty() && bias.size() != static_cast<std::size_t>(targets))) {
    return s.corrupt("coefficients of another number than columns and targets");
  }
  auto turned =
      s.builder.transpose(Builder::constant(std::move(weights), {targets, x->dims[1]}, Element::f32), {1, 0});
  auto sums = turned ? s.builder.matmul(*x, *turned) : turned;
  if (sums && !bias.empty()) sums = s.builder.binary(Op::add, *sums, row_of(std::move(bias), Element::f32));
  if (!sums) return std::move(sums).error();
  return one(post_transform(s, *sums, s.node.text("post_transform", "NONE")));
}

// The sums of an ensemble over one row, with base values.
Result<Value> sums_of(Site& s, const Value& input, Ensemble& ensemble) {
  Builder& b = s.builder;
  const bool wide = input.element == Element::f64;
  const std::size_t inputs = input.size();
  std::vector<Value> parts;
  std::vector<std::uint32_t> plain;
  bool in_order = ensemble.columns.size() == inputs;
  for (std::size_t i = 0; i < ensemble.columns.size(); ++i) {
    in_order = in_order && ensemble.columns[i].among.empty() && ensemble.columns[i].feature == i;
  }
  Result<Value> rows = input;
  if (!in_order) {
    for (std::size_t i = 0; i < ensemble.columns.size(); ++i) {
      const auto& column = ensemble.columns[i];
      auto feature = b.pick({input}, {column.feature}, {1, 1});
      if (!feature) return feature;
      if (!column.among.empty()) {
        auto equal = b.binary(Op::equal, *feature, row_of(column.among, input.element));
        if (equal) equal = b.along(Op::highest, *equal, 1);
        // What is missing stays so: the tree says where it goes.
        auto missing = b.unary(Op::is_missing, *feature);
        if (!equal || !missing) return s.unsupported("sets of this size");
        feature = b.select(*missing, *feature, *equal);
        if (!feature) return feature;
      }
      parts.push_back(std::move(*feature));
    }
    rows = b.concat(parts, 1);
    if (!rows) return rows;
  }
  if (wide) {
    std::vector<double> cuts;
    Step rank;
    rank.op = Op::rank;
    std::vector<std::uint32_t> picks;
    std::vector<Value> ranked;
    for (std::size_t i = 0; i < ensemble.columns.size(); ++i) {
      const auto begin = static_cast<std::uint32_t>(cuts.size());
      // A column that is 1 or 0 already has one cut in between.
      const auto& own = ensemble.columns[i].among.empty() ? ensemble.cuts[i] : std::vector<double>{0};
      cuts.insert(cuts.end(), own.begin(), own.end());
      for (const auto number :
           {static_cast<std::uint32_t>(i), begin, static_cast<std::uint32_t>(cuts.size())})
        picks.push_back(number);
    }
    if (cuts.empty()) cuts.push_back(0);
    if (cuts.size() > (1u << 24)) return s.unsupported("so many thresholds");
    const auto count = static_cast<std::int64_t>(cuts.size());
    rows = b.rank(*rows, Builder::constant(std::move(cuts), {count}, Element::f64), std::move(picks));
    if (!rows) return rows;
  }
  Step step;
  step.op = Op::trees;
  step.inner = static_cast<std::uint32_t>(ensemble.outputs);
  step.trees = std::make_shared<const model::TreeSet>(std::move(*ensemble.trees));
  step.groups = ensemble.groups;
  const double trees = static_cast<double>(step.trees->trees());
  const Element element = wide ? Element::f64 : Element::f32;
  auto sums = b.emit(std::move(step), {*rows}, {1, static_cast<std::int64_t>(ensemble.outputs)}, element);
  if (sums && ensemble.average) sums = b.binary(Op::divide, *sums, trees);
  return sums;
}

Result<Value> with_base(Site& s, const Value& sums, const std::vector<double>& base) {
  if (base.empty()) return sums;
  if (static_cast<std::int64_t>(base.size()) != sums.dims[1])
    return s.unsupported(std::to_string(base.size()) + " base values for " + std::to_string(sums.dims[1]) +
                         " sums");
  return s.builder.binary(Op::add, sums, row_of(base, sums.element));
}

Result<Outputs> tree_classifier(Site& s) {
  auto x = as_rows(s, s.in(0));
  if (!x) return std::move(x).error();
  if (x->element != Element::f64) x = as_float(s, *x);
  if (!x) return std::move(x).error();
  auto ensemble = read_ensemble(s.node, static_cast<std::size_t>(x->dims[1]), x->element == Element::f64);
  if (!ensemble) return std::move(ensemble).error();
  const auto transform = s.node.text("post_transform", "NONE");
  const auto voted = std::count(ensemble->voted.begin(), ensemble->voted.end(), true);
  const bool one_sum = ensemble->outputs == 2 && voted == 1;
  const bool first = ensemble->voted[0];
  const double lowest = ensemble->lowest;
  const auto base = ensemble->base;
  auto sums = sums_of(s, *x, *ensemble);
  if (!sums) return std::move(sums).error();
  if (one_sum && first) {
    // One sum of two classes is that of the second, whatever its number says. Found out by asking ONNX
    // Runtime 1.31: SOFTMAX then does nothing.
    if (base.size() > 1) return s.unsupported("two base values for one sum");
    if (transform == "PROBIT") return s.unsupported("PROBIT of two classes");
    auto second = s.builder.pick({*sums}, {0}, {1, 1});
    if (second) second = with_base(s, *second, base);
    if (!second) return std::move(second).error();
    if (transform == "LOGISTIC") {
      second = s.builder.unary(Op::sigmoid, *second);
      if (!second) return std::move(second).error();
      return classified(s, both(s, *second, true), "classlabels_int64s");
    }
    return classified(s, both(s, *second, lowest >= 0), "classlabels_int64s");
  }
  if (ensemble->outputs == 2 && !base.empty()) return s.unsupported("base values of two classes");
  if (one_sum && transform == "PROBIT") return s.unsupported("PROBIT of two classes");
  auto scores = with_base(s, *sums, base);
  if (!scores) return std::move(scores).error();
  return classified(s, post_transform(s, *scores, transform), "classlabels_int64s");
}

Result<Outputs> tree_regressor(Site& s) {
  auto x = as_rows(s, s.in(0));
  if (!x) return std::move(x).error();
  if (x->element != Element::f64) x = as_float(s, *x);
  if (!x) return std::move(x).error();
  auto ensemble = read_ensemble(s.node, static_cast<std::size_t>(x->dims[1]), x->element == Element::f64);
  if (!ensemble) return std::move(ensemble).error();
  const auto base = ensemble->base;
  auto sums = sums_of(s, *x, *ensemble);
  if (sums) sums = with_base(s, *sums, base);
  if (!sums) return std::move(sums).error();
  static constexpr std::string_view kTransforms[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
  std::string_view transform = s.node.text("post_transform", "NONE");
  if (s.node.op == "TreeEnsemble") {
    const auto number = s.node.integer("post_transform", 0);
    if (number < 0 || number > 4) return s.corrupt("an unknown transform");
    transform = kTransforms[number];
    auto out = post_transform(s, *sums, transform);
    return out && s.in(0).element == Element::f64 ? one(s.builder.cast(*out, Element::f64))
                                                  : one(std::move(out));
  }
  auto out = post_transform(s, *sums, transform);
  return out ? one(as_float(s, *out)) : std::move(out).error();
}

}  // namespace

Result<Value> post_transform(Site& site, const Value& sums, std::string_view name) {
  if (name == "NONE") return sums;
  if (name == "LOGISTIC") return site.builder.unary(Op::sigmoid, sums);
  if (name == "SOFTMAX") return site.builder.along(Op::softmax, sums, sums.dims.size() - 1);
  if (name == "PROBIT") return site.builder.unary(Op::probit, sums);
  return site.unsupported("transform " + std::string(name));
}

Translator find_classic(std::string_view op) {
  static constexpr std::pair<std::string_view, Translator> kAll[] = {
      {"Scaler", scaler},
      {"Imputer", imputer},
      {"Normalizer", normalizer},
      {"Binarizer", binarizer},
      {"ArrayFeatureExtractor", feature_extractor},
      {"FeatureVectorizer", vectorizer},
      {"ZipMap", same},
      {"LabelEncoder", label_encoder},
      {"OneHotEncoder", one_hot},
      {"LinearClassifier", linear_classifier},
      {"LinearRegressor", linear_regressor},
      {"TreeEnsembleClassifier", tree_classifier},
      {"TreeEnsembleRegressor", tree_regressor},
      {"TreeEnsemble", tree_regressor},
  };
  for (const auto& [known, translator] : kAll) {
    if (known == op) return translator;
  }
  return nullptr;
}

}  // namespace nidus::interop::internal::onnx
