#include "model/transform.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "model/internal/columns_stream.h"
#include "model/internal/model_stream.h"
#include "model/internal/wide_rows.h"
#include "model/tensor_program.h"

namespace nidus::model {
namespace {

using internal::all_finite;
using internal::FileReader;
using internal::FileWriter;
using internal::TransformTag;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t kBlock = 256;  // rows on their way at once
constexpr std::size_t kLinksMax = 64;

class Chain final : public Transform {
 public:
  explicit Chain(std::vector<std::shared_ptr<const Transform>> links) : links_(std::move(links)) {
    for (const auto& link : links_) widest_ = std::max(widest_, link->outputs());
  }

  std::size_t inputs() const override { return links_.front()->inputs(); }
  std::size_t outputs() const override { return links_.back()->outputs(); }

  void apply(std::span<const double> rows, std::size_t count, std::span<double> out) const override {
    std::vector<double> between[2];
    for (auto& rest : between) rest.resize(std::min(count, kBlock) * widest_);
    for (std::size_t first = 0; first < count; first += kBlock) {
      const std::size_t some = std::min(kBlock, count - first);
      auto from = rows.subspan(first * inputs(), some * inputs());
      for (std::size_t i = 0; i < links_.size(); ++i) {
        const std::size_t width = links_[i]->outputs();
        const auto to = i + 1 == links_.size() ? out.subspan(first * width, some * width)
                                               : std::span(between[i % 2]).first(some * width);
        links_[i]->apply(from, some, to);
        from = to;
      }
    }
  }

  std::vector<std::uint32_t> sources() const override {
    auto out = links_.front()->sources();
    for (std::size_t i = 1; i < links_.size() && !out.empty(); ++i) {
      auto next = links_[i]->sources();
      for (auto& source : next) source = out[source];
      out = std::move(next);
    }
    return out;
  }

  std::string describe() const override {
    std::string out;
    for (const auto& link : links_) out += (out.empty() ? "" : ", then ") + link->describe();
    return out;
  }

  std::span<const std::shared_ptr<const Transform>> links() const override { return links_; }

  void save(FileWriter& out) const override {
    out.tag(TransformTag::chain);
    out.u32(static_cast<std::uint32_t>(links_.size()));
    for (const auto& link : links_) link->save(out);
  }

 private:
  std::vector<std::shared_ptr<const Transform>> links_;
  std::size_t widest_ = 0;
};

class AffineTransform final : public Transform {
 public:
  explicit AffineTransform(Affine affine) : affine_(std::move(affine)) {}

  std::size_t inputs() const override { return affine_.shift.size(); }
  std::size_t outputs() const override { return affine_.shift.size(); }

  void apply(std::span<const double> rows, std::size_t count, std::span<double> out) const override {
    const std::size_t width = inputs();
    CHECK(rows.size() >= count * width && out.size() >= count * width);
    const double* const shift = affine_.shift.data();
    const double* const factor = affine_.factor.data();
    for (std::size_t row = 0; row < count; ++row) {
      const double* const from = rows.data() + row * width;
      double* const to = out.data() + row * width;
      if (affine_.form == Affine::Form::shift_then_divide) {
        for (std::size_t i = 0; i < width; ++i) to[i] = (from[i] - shift[i]) / factor[i];
      } else {
        for (std::size_t i = 0; i < width; ++i) to[i] = from[i] * factor[i] + shift[i];
      }
      for (std::size_t i = 0; i < affine_.low.size(); ++i) {
        if (to[i] < affine_.low[i]) to[i] = affine_.low[i];
        if (to[i] > affine_.high[i]) to[i] = affine_.high[i];
      }
    }
  }

  std::vector<std::uint32_t> sources() const override {
    std::vector<std::uint32_t> out(inputs());
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::uint32_t>(i);
    return out;
  }

  std::string describe() const override {
    return "scaling of " + std::to_string(inputs()) + " columns" + (affine_.low.empty() ? "" : ", clipped");
  }

  const Affine* affine() const override { return &affine_; }

  void save(FileWriter& out) const override {
    out.tag(TransformTag::affine);
    out.u8(static_cast<std::uint8_t>(affine_.form));
    out.u8(affine_.low.empty() ? 0 : 1);
    out.u32(static_cast<std::uint32_t>(inputs()));
    for (std::size_t i = 0; i < inputs(); ++i) {
      out.f64(affine_.shift[i]);
      out.f64(affine_.factor[i]);
      if (affine_.low.empty()) continue;
      out.f64(affine_.low[i]);
      out.f64(affine_.high[i]);
    }
  }

  static Result<std::shared_ptr<const Transform>> load(FileReader& in) {
    Affine affine;
    const auto form = in.u8(), clips = in.u8();
    if (form > 1 || clips > 1) return in.fail("a scaling of a form that this version does not know");
    affine.form = static_cast<Affine::Form>(form);
    const std::size_t width = in.count(16);
    for (std::size_t i = 0; i < width; ++i) {
      affine.shift.push_back(in.f64());
      affine.factor.push_back(in.f64());
      if (clips == 0) continue;
      affine.low.push_back(in.f64());
      affine.high.push_back(in.f64());
    }
    if (!in.ok()) return in.error();
    return make_affine(std::move(affine));
  }

 private:
  Affine affine_;
};

class RankTransform final : public Transform {
 public:
  RankTransform(std::size_t inputs, std::vector<CutColumn> columns)
      : inputs_(inputs), columns_(std::move(columns)) {}

  std::size_t inputs() const override { return inputs_; }
  std::size_t outputs() const override { return columns_.size(); }

  void apply(std::span<const double> rows, std::size_t count, std::span<double> out) const override {
    const std::size_t width = columns_.size();
    CHECK(rows.size() >= count * inputs_ && out.size() >= count * width);
    for (std::size_t i = 0; i < width; ++i) {
      const CutColumn& column = columns_[i];
      for (std::size_t row = 0; row < count; ++row) {
        const double x = rows[row * inputs_ + column.input];
        out[row * width + i] = column.is_among ? among(column, x) : rank(column, x);
      }
    }
  }

  std::vector<std::uint32_t> sources() const override {
    std::vector<std::uint32_t> out;
    for (const auto& column : columns_) out.push_back(static_cast<std::uint32_t>(column.input));
    return out;
  }

  std::string describe() const override {
    return "ranks of " + std::to_string(inputs_) + " columns among thresholds";
  }

  std::span<const CutColumn> cut_columns() const override { return columns_; }

  void save(FileWriter& out) const override {
    out.tag(TransformTag::ranks);
    out.u32(static_cast<std::uint32_t>(inputs_));
    out.u32(static_cast<std::uint32_t>(columns_.size()));
    for (const auto& column : columns_) {
      out.u32(static_cast<std::uint32_t>(column.input));
      out.u8(column.is_among ? 1 : 0);
      out.u8(column.missing_is_zero ? 1 : 0);
      out.f64(column.zero_is_missing);
      out.f64(column.among_missing);
      out.u32(static_cast<std::uint32_t>(column.is_among ? column.among.size() : column.cuts.size()));
      for (const auto entry : column.among) out.u32(entry);
      for (const double cut : column.cuts) out.f64(cut);
    }
  }

  static Result<std::shared_ptr<const Transform>> load(FileReader& in) {
    const std::size_t inputs = in.u32();
    std::vector<CutColumn> columns(in.count(26));
    for (auto& column : columns) {
      column.input = in.u32();
      column.is_among = in.u8() != 0;
      column.missing_is_zero = in.u8() != 0;
      column.zero_is_missing = in.f64();
      column.among_missing = in.f64();
      if (column.is_among) {
        column.among.resize(in.count(4));
        for (auto& entry : column.among) entry = in.u32();
      } else {
        column.cuts.resize(in.count(8));
        for (auto& cut : column.cuts) cut = in.f64();
      }
      if (!in.ok()) return in.error();
    }
    if (!in.ok()) return in.error();
    return make_ranks(inputs, std::move(columns));
  }

 private:
  static double rank(const CutColumn& column, double x) {
    if (column.missing_is_zero && std::isnan(x)) x = 0;
    if (std::isnan(x) || std::abs(x) <= column.zero_is_missing) return kNone;
    return static_cast<double>(std::lower_bound(column.cuts.begin(), column.cuts.end(), x) -
                               column.cuts.begin());
  }
  static double among(const CutColumn& column, double x) {
    if (column.missing_is_zero && std::isnan(x)) x = 0;
    // A number between -1 and 0 is truncated to 0, as a cast to int does.
    if (!(x > -1)) return column.among_missing;
    if (x >= 4294967296.0) return 0;
    return std::binary_search(column.among.begin(), column.among.end(), static_cast<std::uint32_t>(x)) ? 1
                                                                                                       : 0;
  }

  std::size_t inputs_;
  std::vector<CutColumn> columns_;
};

Error bad_column(std::size_t column, const std::string& what) {
  return {Errc::corrupt, "ranks: column " + std::to_string(column) + ": " + what};
}

}  // namespace

std::span<const CutColumn> Transform::cut_columns() const { return {}; }

Result<std::shared_ptr<const Transform>> chain(std::vector<std::shared_ptr<const Transform>> transforms) {
  if (transforms.empty()) return Error{Errc::invalid, "a chain of no transforms"};
  if (transforms.size() > kLinksMax) {
    return Error{Errc::unsupported, "a chain of " + std::to_string(transforms.size()) +
                                        " transforms, at most " + std::to_string(kLinksMax)};
  }
  for (std::size_t i = 1; i < transforms.size(); ++i) {
    if (transforms[i]->inputs() == transforms[i - 1]->outputs()) continue;
    return Error{Errc::invalid, transforms[i]->describe() + " takes " +
                                    std::to_string(transforms[i]->inputs()) + " numbers, " +
                                    transforms[i - 1]->describe() + " gives " +
                                    std::to_string(transforms[i - 1]->outputs())};
  }
  if (transforms.size() == 1) return transforms.front();
  return std::shared_ptr<const Transform>(std::make_shared<Chain>(std::move(transforms)));
}

Result<std::shared_ptr<const Transform>> make_affine(Affine affine) {
  const std::size_t width = affine.shift.size();
  if (width == 0 || width > Transform::kOutputsMax || affine.factor.size() != width ||
      affine.low.size() != affine.high.size() || (!affine.low.empty() && affine.low.size() != width)) {
    return Error{Errc::corrupt, "a scaling whose parts are not of one length"};
  }
  if (!all_finite(affine.shift) || !all_finite(affine.factor)) {
    return Error{Errc::corrupt, "a scaling by a number that is not finite"};
  }
  for (std::size_t i = 0; i < affine.low.size(); ++i) {
    if (!(affine.low[i] <= affine.high[i]))
      return Error{Errc::corrupt, "clipping between limits in the wrong order"};
  }
  return std::shared_ptr<const Transform>(std::make_shared<AffineTransform>(std::move(affine)));
}

Result<std::shared_ptr<const Transform>> make_ranks(std::size_t inputs, std::vector<CutColumn> columns) {
  constexpr std::size_t kCutsMax = std::size_t{1} << 24;  // beyond, floats skip whole numbers
  if (inputs == 0 || columns.empty() || inputs > Transform::kOutputsMax ||
      columns.size() > Transform::kOutputsMax) {
    return Error{Errc::corrupt, "ranks of no columns, or too many"};
  }
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const CutColumn& column = columns[i];
    if (column.input >= inputs) {
      return bad_column(i, "of input " + std::to_string(column.input) + " of " + std::to_string(inputs));
    }
    if (column.cuts.size() > kCutsMax) return bad_column(i, "too many thresholds");
    if (column.is_among ? !column.cuts.empty() : !column.among.empty())
      return bad_column(i, "both thresholds and a set");
    for (std::size_t k = 0; k < column.cuts.size(); ++k) {
      if (std::isnan(column.cuts[k]) || (k > 0 && !(column.cuts[k - 1] < column.cuts[k])))
        return bad_column(i, "thresholds that do not ascend");
    }
    for (std::size_t k = 1; k < column.among.size(); ++k) {
      if (column.among[k - 1] >= column.among[k]) return bad_column(i, "a set that does not ascend");
    }
    if (std::isinf(column.among_missing) || std::isnan(column.zero_is_missing))
      return bad_column(i, "no rule for what is missing");
  }
  return std::shared_ptr<const Transform>(std::make_shared<RankTransform>(inputs, std::move(columns)));
}

Result<TransformedModel> TransformedModel::make(std::shared_ptr<const Transform> before,
                                                std::shared_ptr<const Model> model) {
  if (before == nullptr || model == nullptr)
    return Error{Errc::invalid, "a transformed model without its parts"};
  if (before->outputs() != model->inputs()) {
    return Error{Errc::invalid, before->describe() + " gives " + std::to_string(before->outputs()) +
                                    " numbers, the model takes " + std::to_string(model->inputs())};
  }
  return TransformedModel(std::move(before), std::move(model));
}

Result<TransformedModel> TransformedModel::load(FileReader& in, int nesting) {
  auto before = in.transform();
  if (!before) return std::move(before).error();
  auto model = in.model(nesting + 1);
  if (!model) return std::move(model).error();
  auto made = make(std::move(*before), std::move(*model));
  if (!made) return in.fail(made.error().message);
  return made;
}

void TransformedModel::save(FileWriter& out) const {
  out.tag(internal::ModelTag::transformed);
  before_->save(out);
  model_->save(out);
}

void TransformedModel::score_wide(std::span<const double> rows, std::size_t count,
                                  std::span<double> scores) const {
  const std::size_t width = before_->inputs(), between = before_->outputs(), each = outputs();
  CHECK(rows.size() >= count * width && scores.size() >= count * each);
  std::vector<double> out(std::min(count, kBlock) * between);
  for (std::size_t first = 0; first < count; first += kBlock) {
    const std::size_t some = std::min(kBlock, count - first);
    const auto prepared = std::span(out).first(some * between);
    before_->apply(rows.subspan(first * width, some * width), some, prepared);
    model_->score_wide(prepared, some, scores.subspan(first * each, some * each));
  }
}

void TransformedModel::score(std::span<const float> rows, std::size_t count, std::span<double> scores) const {
  internal::score_widened(rows, count, inputs(), outputs(), scores,
                          [&](auto wide, std::size_t some, auto to) { score_wide(wide, some, to); });
}

std::string TransformedModel::describe() const {
  return before_->describe() + ", then " + model_->describe();
}

namespace internal {

Result<std::shared_ptr<const Transform>> FileReader::transform(int nesting) {
  if (nesting >= kNestingMax) return fail("transforms nested too deeply");
  const auto kind = u32();
  if (!ok()) return error();
  Result<std::shared_ptr<const Transform>> made = Error{};
  switch (static_cast<TransformTag>(kind)) {
    case TransformTag::chain: {
      std::vector<std::shared_ptr<const Transform>> links(count(5));
      if (links.size() > kLinksMax) return fail("a chain of too many transforms");
      for (auto& link : links) {
        auto next = transform(nesting + 1);
        if (!next) return next;
        link = std::move(*next);
      }
      if (!ok()) return error();
      made = chain(std::move(links));
      break;
    }
    case TransformTag::affine:
      made = AffineTransform::load(*this);
      break;
    case TransformTag::ranks:
      made = RankTransform::load(*this);
      break;
    case TransformTag::tensor_program:
      made = TensorTransform::load(*this);
      break;
    default:
      made = load_columns(*this, static_cast<TransformTag>(kind), nesting);
  }
  if (!made && ok()) return fail(made.error().message);
  return made;
}

}  // namespace internal

}  // namespace nidus::model
