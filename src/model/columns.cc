#include "model/columns.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "base/check.h"
#include "model/internal/columns_stream.h"
#include "model/internal/model_stream.h"

namespace nidus::model {
namespace {

using internal::all_finite;
using internal::FileReader;
using internal::FileWriter;
using internal::TransformTag;
using Made = Result<std::shared_ptr<const Transform>>;

Error bad(const char* what) { return {Errc::corrupt, what}; }

class Recoder final : public Transform {
 public:
  Recoder(std::size_t inputs, std::vector<Recoding> columns)
      : inputs_(inputs), columns_(std::move(columns)) {}

  std::size_t inputs() const override { return inputs_; }
  std::size_t outputs() const override { return columns_.size(); }

  void apply(std::span<const double> rows, std::size_t count, std::span<double> out) const override {
    const std::size_t width = outputs();
    CHECK(rows.size() >= count * inputs_ && out.size() >= count * width);
    for (std::size_t i = 0; i < width; ++i) {
      const Recoding& column = columns_[i];
      for (std::size_t row = 0; row < count; ++row) {
        out[row * width + i] = recode(column, rows[row * inputs_ + column.input]);
      }
    }
  }

  std::vector<std::uint32_t> sources() const override {
    std::vector<std::uint32_t> out;
    for (const auto& column : columns_) out.push_back(column.input);
    return out;
  }

  std::string describe() const override {
    return "encoding: " + std::to_string(inputs()) + " to " + std::to_string(outputs());
  }

  void save(FileWriter& out) const override {
    out.tag(TransformTag::recodings);
    out.u32(static_cast<std::uint32_t>(inputs_));
    out.u32(static_cast<std::uint32_t>(columns_.size()));
    for (const auto& column : columns_) {
      out.u32(column.input);
      out.u8(static_cast<std::uint8_t>((column.keep_missing ? 1 : 0) | (column.keep_other ? 2 : 0)));
      out.f64(column.missing);
      out.f64(column.other);
      out.reals(column.from);
      out.reals(column.to);
    }
  }

  static Made load(FileReader& in) {
    const std::size_t inputs = in.u32();
    std::vector<Recoding> columns(in.count(29));
    for (auto& column : columns) {
      column.input = in.u32();
      const auto keeps = in.u8();
      if (keeps > 3) return in.fail("an encoding of a form that this version does not know");
      column.keep_missing = (keeps & 1) != 0;
      column.keep_other = (keeps & 2) != 0;
      column.missing = in.f64();
      column.other = in.f64();
      column.from = in.reals();
      column.to = in.reals();
      if (!in.ok()) return in.error();
    }
    return make_recodings(inputs, std::move(columns));
  }

 private:
  static double recode(const Recoding& column, double x) {
    if (std::isnan(x)) return column.keep_missing ? x : column.missing;
    const auto at = std::lower_bound(column.from.begin(), column.from.end(), x);
    if (at != column.from.end() && *at == x)
      return column.to[static_cast<std::size_t>(at - column.from.begin())];
    return column.keep_other ? x : column.other;
  }

  std::size_t inputs_;
  std::vector<Recoding> columns_;
};

class SideBySide final : public Transform {
 public:
  explicit SideBySide(std::vector<std::shared_ptr<const Transform>> parts) : parts_(std::move(parts)) {
    for (const auto& part : parts_) {
      outputs_ += part->outputs();
      widest_ = std::max(widest_, part->outputs());
    }
  }

  std::size_t inputs() const override { return parts_.front()->inputs(); }
  std::size_t outputs() const override { return outputs_; }

  void apply(std::span<const double> rows, std::size_t count, std::span<double> out) const override {
    constexpr std::size_t kBlock = 256;
    std::vector<double> room(std::min(count, kBlock) * widest_);
    for (std::size_t first = 0; first < count; first += kBlock) {
      const std::size_t some = std::min(kBlock, count - first);
      std::size_t begin = 0;
      for (const auto& part : parts_) {
        const std::size_t width = part->outputs();
        part->apply(rows.subspan(first * inputs(), some * inputs()), some,
                    std::span(room).first(some * width));
        for (std::size_t row = 0; row < some; ++row) {
          std::copy_n(&room[row * width], width, &out[(first + row) * outputs_ + begin]);
        }
        begin += width;
      }
    }
  }

  std::vector<std::uint32_t> sources() const override {
    std::vector<std::uint32_t> out;
    for (const auto& part : parts_) {
      const auto some = part->sources();
      if (some.empty()) return {};
      out.insert(out.end(), some.begin(), some.end());
    }
    return out;
  }

  std::string describe() const override {
    std::string out;
    for (const auto& part : parts_) out += (out.empty() ? "" : " beside ") + part->describe();
    return out;
  }

  void save(FileWriter& out) const override {
    out.tag(TransformTag::side_by_side);
    out.u32(static_cast<std::uint32_t>(parts_.size()));
    for (const auto& part : parts_) part->save(out);
  }

 private:
  std::vector<std::shared_ptr<const Transform>> parts_;
  std::size_t outputs_ = 0, widest_ = 0;
};

class LinearTransform final : public Transform {
 public:
  explicit LinearTransform(Linear linear) : linear_(std::move(linear)) {}

  std::size_t inputs() const override { return linear_.mean.size(); }
  std::size_t outputs() const override { return linear_.matrix.size() / linear_.mean.size(); }

  void apply(std::span<const double> rows, std::size_t count, std::span<double> out) const override {
    const std::size_t from = inputs(), to = outputs();
    CHECK(rows.size() >= count * from && out.size() >= count * to);
    for (std::size_t row = 0; row < count; ++row) {
      for (std::size_t i = 0; i < to; ++i) {
        double sum = 0;
        for (std::size_t j = 0; j < from; ++j) {
          sum += (rows[row * from + j] - linear_.mean[j]) * linear_.matrix[i * from + j];
        }
        out[row * to + i] = linear_.scale.empty() ? sum : sum / linear_.scale[i];
      }
    }
  }

  std::string describe() const override {
    return "linear map: " + std::to_string(inputs()) + " to " + std::to_string(outputs());
  }

  void save(FileWriter& out) const override {
    out.tag(TransformTag::linear);
    out.reals(linear_.mean);
    out.reals(linear_.matrix);
    out.reals(linear_.scale);
  }

  static Made load(FileReader& in) {
    Linear linear;
    linear.mean = in.reals();
    linear.matrix = in.reals();
    linear.scale = in.reals();
    if (!in.ok()) return in.error();
    return make_linear(std::move(linear));
  }

 private:
  Linear linear_;
};

class UnitRows final : public Transform {
 public:
  UnitRows(std::size_t columns, RowNorm norm, double least) : columns_(columns), norm_(norm), least_(least) {}

  std::size_t inputs() const override { return columns_; }
  std::size_t outputs() const override { return columns_; }

  void apply(std::span<const double> rows, std::size_t count, std::span<double> out) const override {
    CHECK(rows.size() >= count * columns_ && out.size() >= count * columns_);
    for (std::size_t row = 0; row < count; ++row) {
      const double* const from = rows.data() + row * columns_;
      double size = 0;
      for (std::size_t i = 0; i < columns_; ++i) {
        const double x = std::abs(from[i]);
        switch (norm_) {
          case RowNorm::l1:
            size += x;
            break;
          case RowNorm::l2:
            size += x * x;
            break;
          case RowNorm::max:
            size = std::isnan(x) || std::isnan(size) ? size + x : std::max(size, x);
            break;
        }
      }
      if (norm_ == RowNorm::l2) size = std::sqrt(size);
      if (size == 0 || size < least_) size = 1;
      for (std::size_t i = 0; i < columns_; ++i) out[row * columns_ + i] = from[i] / size;
    }
  }

  std::string describe() const override { return "rows of unit length"; }

  void save(FileWriter& out) const override {
    out.tag(TransformTag::unit_rows);
    out.u32(static_cast<std::uint32_t>(columns_));
    out.u8(static_cast<std::uint8_t>(norm_));
    out.f64(least_);
  }

  static Made load(FileReader& in) {
    const std::size_t columns = in.u32();
    const auto norm = in.u8();
    const double least = in.f64();
    if (!in.ok()) return in.error();
    if (norm > 2) return in.fail("a norm that this version does not know");
    return make_unit_rows(columns, static_cast<RowNorm>(norm), least);
  }

 private:
  std::size_t columns_;
  RowNorm norm_;
  double least_;
};

class PowerTransform final : public Transform {
 public:
  explicit PowerTransform(Power power) : power_(std::move(power)) {}

  std::size_t inputs() const override { return power_.lambdas.size(); }
  std::size_t outputs() const override { return power_.lambdas.size(); }

  void apply(std::span<const double> rows, std::size_t count, std::span<double> out) const override {
    const std::size_t width = inputs();
    CHECK(rows.size() >= count * width && out.size() >= count * width);
    for (std::size_t i = 0; i < count * width; ++i) {
      const double lambda = power_.lambdas[i % width];
      out[i] = power_.box_cox ? box_cox(rows[i], lambda) : yeo_johnson(rows[i], lambda);
    }
  }

  std::vector<std::uint32_t> sources() const override {
    std::vector<std::uint32_t> out(inputs());
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::uint32_t>(i);
    return out;
  }

  std::string describe() const override {
    return power_.box_cox ? "powers by Box and Cox" : "powers by Yeo and Johnson";
  }

  void save(FileWriter& out) const override {
    out.tag(TransformTag::power);
    out.u8(power_.box_cox ? 1 : 0);
    out.reals(power_.lambdas);
  }

  static Made load(FileReader& in) {
    Power power;
    const auto method = in.u8();
    power.lambdas = in.reals();
    if (!in.ok()) return in.error();
    if (method > 1) return in.fail("powers by a method that this version does not know");
    power.box_cox = method == 1;
    return make_power(std::move(power));
  }

 private:
  static double box_cox(double x, double lambda) {
    if (!(x > 0)) return std::numeric_limits<double>::quiet_NaN();
    return lambda == 0 ? std::log(x) : std::expm1(lambda * std::log(x)) / lambda;
  }

  static double yeo_johnson(double x, double lambda) {
    constexpr double kTiny = 2.220446049250313e-16;
    if (x >= 0) {
      if (std::abs(lambda) < kTiny) return std::log1p(x);
      return (std::pow(x + 1, lambda) - 1) / lambda;
    }
    if (std::isnan(x)) return x;
    if (std::abs(lambda - 2) > kTiny) return -(std::pow(1 - x, 2 - lambda) - 1) / (2 - lambda);
    return -std::log1p(-x);
  }

  Power power_;
};

// The inverse of the normal distribution function to about 1e-16: Wichura, algorithm AS 241 (PPND16), 1988.
double normal_quantile(double p) {
  const auto ratio = [](double r, const double(&a)[8], const double(&b)[8]) {
    double top = a[7], bottom = b[7];
    for (int i = 6; i >= 0; --i) {
      top = top * r + a[i];
      bottom = bottom * r + b[i];
    }
    return top / bottom;
  };
  constexpr double kA[8] = {3.3871328727963666080e0,  1.3314166789178437745e+2, 1.9715909503065514427e+3,
                            1.3731693765509461125e+4, 4.5921953931549871457e+4, 6.7265770927008700853e+4,
                            3.3430575583588128105e+4, 2.5090809287301226727e+3};
  constexpr double kB[8] = {1.0,
                            4.2313330701600911252e+1,
                            6.8718700749205790830e+2,
                            5.3941960214247511077e+3,
                            2.1213794301586595867e+4,
                            3.9307895800092710610e+4,
                            2.8729085735721942674e+4,
                            5.2264952788528545610e+3};
  constexpr double kC[8] = {1.42343711074968357734e0,  4.63033784615654529590e0, 5.76949722146069140550e0,
                            3.64784832476320460504e0,  1.27045825245236838258e0, 2.41780725177450611770e-1,
                            2.27238449892691845833e-2, 7.74545014278341407640e-4};
  constexpr double kD[8] = {1.0,
                            2.05319162663775882187e0,
                            1.67638483018380384940e0,
                            6.89767334985100004550e-1,
                            1.48103976427480074590e-1,
                            1.51986665636164571966e-2,
                            5.47593808499534494600e-4,
                            1.05075007164441684324e-9};
  constexpr double kE[8] = {6.65790464350110377720e0,  5.46378491116411436990e0,  1.78482653991729133580e0,
                            2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                            2.71155556874348757815e-5, 2.01033439929228813265e-7};
  constexpr double kF[8] = {1.0,
                            5.99832206555887937690e-1,
                            1.36929880922735805310e-1,
                            1.48753612908506148525e-2,
                            7.86869131145613259100e-4,
                            1.84631831751005468180e-5,
                            1.42151175831644588870e-7,
                            2.04426310338993978564e-15};
  const double q = p - 0.5;
  if (std::abs(q) <= 0.425) return q * ratio(0.180625 - q * q, kA, kB);
  const double tail = q < 0 ? p : 1 - p;
  if (!(tail > 0))
    return q < 0 ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
  const double r = std::sqrt(-std::log(tail));
  const double out = r <= 5 ? ratio(r - 1.6, kC, kD) : ratio(r - 5, kE, kF);
  return q < 0 ? -out : out;
}

class QuantileTransform final : public Transform {
 public:
  explicit QuantileTransform(Quantiles parts) : parts_(std::move(parts)) {}

  std::size_t inputs() const override { return parts_.columns; }
  std::size_t outputs() const override { return parts_.columns; }

  void apply(std::span<const double> rows, std::size_t count, std::span<double> out) const override {
    const std::size_t width = parts_.columns, each = parts_.shares.size();
    CHECK(rows.size() >= count * width && out.size() >= count * width);
    for (std::size_t i = 0; i < count * width; ++i) {
      const double* const quantiles = parts_.quantiles.data() + i % width * each;
      out[i] = place(rows[i], quantiles);
    }
  }

  std::vector<std::uint32_t> sources() const override {
    std::vector<std::uint32_t> out(inputs());
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::uint32_t>(i);
    return out;
  }

  std::string describe() const override {
    return parts_.normal ? "quantiles, as of a normal distribution" : "quantiles";
  }

  void save(FileWriter& out) const override {
    out.tag(TransformTag::quantiles);
    out.u32(static_cast<std::uint32_t>(parts_.columns));
    out.u8(parts_.normal ? 1 : 0);
    out.reals(parts_.shares);
    out.reals(parts_.quantiles);
  }

  static Made load(FileReader& in) {
    Quantiles parts;
    parts.columns = in.u32();
    const auto normal = in.u8();
    parts.shares = in.reals();
    parts.quantiles = in.reals();
    if (!in.ok()) return in.error();
    if (normal > 1) return in.fail("quantiles of a form that this version does not know");
    parts.normal = normal == 1;
    return make_quantiles(std::move(parts));
  }

 private:
  double place(double x, const double* quantiles) const {
    constexpr double kEdge = 1e-7;
    if (std::isnan(x)) return x;
    const std::size_t last = parts_.shares.size() - 1;
    double share = 0;
    // Columns whose first or last quantiles are equal: the ends win.
    const bool low = parts_.normal ? x - kEdge < quantiles[0] : x == quantiles[0];
    const bool high = parts_.normal ? x + kEdge > quantiles[last] : x == quantiles[last];
    if (high) {
      share = 1;
    } else if (low) {
      share = 0;
    } else {
      share = 0.5 * (from_below(x, quantiles) + from_above(x, quantiles));
    }
    if (low) share = 0;
    if (!parts_.normal) return share;
    const double least = normal_quantile(kEdge - kSpacing), most = normal_quantile(1 - (kEdge - kSpacing));
    return std::clamp(normal_quantile(share), least, most);
  }

  // numpy.interp: where quantiles are equal, the last of them counts …
  double from_below(double x, const double* quantiles) const {
    const std::size_t count = parts_.shares.size();
    const auto* const end = std::upper_bound(quantiles, quantiles + count, x);
    const auto at = static_cast<std::size_t>(end - quantiles);
    if (at == 0) return parts_.shares.front();
    if (at == count) return parts_.shares.back();
    return between(x, quantiles, at - 1);
  }
  // … and of the negated ones, read from the other end, the first.
  double from_above(double x, const double* quantiles) const {
    const std::size_t count = parts_.shares.size();
    const auto* const begin = std::lower_bound(quantiles, quantiles + count, x);
    const auto at = static_cast<std::size_t>(begin - quantiles);
    if (at == count) return parts_.shares.back();
    if (quantiles[at] == x || at == 0) return parts_.shares[at];
    return between(x, quantiles, at - 1);
  }
  double between(double x, const double* quantiles, std::size_t i) const {
    const double slope = (parts_.shares[i + 1] - parts_.shares[i]) / (quantiles[i + 1] - quantiles[i]);
    return slope * (x - quantiles[i]) + parts_.shares[i];
  }

  static constexpr double kSpacing = 2.220446049250313e-16;  // of 1, as numpy.spacing has it
  Quantiles parts_;
};

}  // namespace

Made make_recodings(std::size_t inputs, std::vector<Recoding> columns) {
  if (inputs == 0 || columns.empty() || inputs > Transform::kOutputsMax ||
      columns.size() > Transform::kOutputsMax) {
    return bad("an encoding of no columns, or too many");
  }
  for (const Recoding& column : columns) {
    if (column.input >= inputs) return bad("an encoding of a column that is not there");
    if (column.from.size() != column.to.size()) return bad("an encoding whose parts are not of one length");
    for (std::size_t i = 0; i < column.from.size(); ++i) {
      if (std::isnan(column.from[i]) || (i > 0 && !(column.from[i - 1] < column.from[i]))) {
        return bad("an encoding whose numbers do not ascend");
      }
    }
  }
  return std::shared_ptr<const Transform>(std::make_shared<Recoder>(inputs, std::move(columns)));
}

Made side_by_side(std::vector<std::shared_ptr<const Transform>> parts) {
  if (parts.empty()) return Error{Errc::invalid, "no transforms side by side"};
  std::size_t outputs = 0;
  for (const auto& part : parts) {
    if (part->inputs() != parts.front()->inputs()) {
      return Error{Errc::invalid, part->describe() + " takes " + std::to_string(part->inputs()) +
                                      " numbers, what stands beside it " +
                                      std::to_string(parts.front()->inputs())};
    }
    outputs += part->outputs();
  }
  if (outputs > Transform::kOutputsMax) return Error{Errc::exhausted, "more than 65,536 columns"};
  if (parts.size() == 1) return parts.front();
  return std::shared_ptr<const Transform>(std::make_shared<SideBySide>(std::move(parts)));
}

Made make_linear(Linear linear) {
  const std::size_t inputs = linear.mean.size();
  if (inputs == 0 || linear.matrix.empty() || linear.matrix.size() % inputs != 0 ||
      (!linear.scale.empty() && linear.scale.size() != linear.matrix.size() / inputs) ||
      linear.matrix.size() / inputs > Transform::kOutputsMax || inputs > Transform::kOutputsMax) {
    return bad("a linear map whose parts do not fit each other");
  }
  if (!all_finite(linear.mean) || !all_finite(linear.matrix) || !all_finite(linear.scale)) {
    return bad("a linear map by a number that is not finite");
  }
  return std::shared_ptr<const Transform>(std::make_shared<LinearTransform>(std::move(linear)));
}

Made make_unit_rows(std::size_t columns, RowNorm norm, double least) {
  if (columns == 0 || columns > Transform::kOutputsMax) return bad("rows of no columns, or too many");
  if (!(least >= 0 && least < 1)) return bad("rows of unit length with no limit below");
  return std::shared_ptr<const Transform>(std::make_shared<UnitRows>(columns, norm, least));
}

Made make_power(Power power) {
  if (power.lambdas.empty() || power.lambdas.size() > Transform::kOutputsMax || !all_finite(power.lambdas)) {
    return bad("powers of no columns, or that are not finite");
  }
  return std::shared_ptr<const Transform>(std::make_shared<PowerTransform>(std::move(power)));
}

Made make_quantiles(Quantiles parts) {
  const std::size_t each = parts.shares.size();
  if (parts.columns == 0 || parts.columns > Transform::kOutputsMax || each < 2 ||
      parts.quantiles.size() / each != parts.columns || parts.quantiles.size() % each != 0) {
    return bad("quantiles whose parts do not fit each other");
  }
  if (!all_finite(parts.shares) || !all_finite(parts.quantiles)) return bad("a quantile that is not finite");
  if (!std::is_sorted(parts.shares.begin(), parts.shares.end())) return bad("quantiles that do not ascend");
  for (std::size_t i = 0; i < parts.columns; ++i) {
    const auto from = parts.quantiles.begin() + static_cast<std::ptrdiff_t>(i * each);
    if (!std::is_sorted(from, from + static_cast<std::ptrdiff_t>(each)))
      return bad("quantiles that do not ascend");
  }
  return std::shared_ptr<const Transform>(std::make_shared<QuantileTransform>(std::move(parts)));
}

namespace internal {

Made load_columns(FileReader& in, TransformTag tag, int nesting) {
  switch (tag) {
    case TransformTag::recodings:
      return Recoder::load(in);
    case TransformTag::side_by_side: {
      std::vector<std::shared_ptr<const Transform>> parts(in.count(5));
      for (auto& part : parts) {
        auto next = in.transform(nesting + 1);
        if (!next) return next;
        part = std::move(*next);
      }
      if (!in.ok()) return in.error();
      return side_by_side(std::move(parts));
    }
    case TransformTag::linear:
      return LinearTransform::load(in);
    case TransformTag::unit_rows:
      return UnitRows::load(in);
    case TransformTag::power:
      return PowerTransform::load(in);
    case TransformTag::quantiles:
      return QuantileTransform::load(in);
    case TransformTag::packet_steps:
      return load_packet_steps(in);
    default:
      return in.fail("a transform of kind " + std::to_string(static_cast<std::uint32_t>(tag)) +
                     ", which this version does not know");
  }
}

}  // namespace internal

}  // namespace nidus::model
