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

// What happens to one column of a row before the model proper sees it, in this order: infinities are clipped,
// what is missing is filled in, then the value is encoded. Everything here was learnt from training rows.
struct Step {
  enum class Encode : std::uint8_t {
    scale,    // (x - shift) * scale; one number out. Identity with 0 and 1.
    one_hot,  // `categories` numbers out: 1 at the index x, which is rounded down, else 0; all 0 if x is none
              // of them
    log_scale,  // (sign(x) log(1 + |x|) - shift) * scale, the logarithm in double; one number out
  };

  float low = 0;  // what replaces -infinity and anything below; low <= high, both finite
  float high = 0;
  bool clip = false;
  bool fill_missing = false;
  float fill = 0;
  Encode encode = Encode::scale;
  float shift = 0;
  float scale = 1;
  std::uint32_t categories = 0;

  bool operator==(const Step&) const = default;
};

// sign(x) log(1 + |x|), which tames columns of bytes and times.
float signed_log(float x);

// A row in, a row out, by one step a column.
class Preprocessor {
 public:
  // Errc::corrupt for numbers that are not finite, low > high, or more than kOutputsMax outputs.
  static Result<Preprocessor> make(std::vector<Step> steps);

  static constexpr std::size_t kOutputsMax = 65536;

  std::size_t inputs() const { return steps_.size(); }
  std::size_t outputs() const { return outputs_; }
  std::span<const Step> steps() const { return steps_; }

  // Row-major, count × inputs() to count × outputs().
  void apply(std::span<const float> rows, std::size_t count, std::span<float> out) const;

 private:
  Preprocessor(std::vector<Step> steps, std::size_t outputs) : steps_(std::move(steps)), outputs_(outputs) {}
  std::vector<Step> steps_;
  std::size_t outputs_;
};

// Preprocessing and the model behind it, as one model.
class Pipeline final : public Model {
 public:
  // Errc::invalid unless the model takes what the preprocessor gives.
  static Result<Pipeline> make(Preprocessor before, std::shared_ptr<const Model> model);

  static Result<Pipeline> load(internal::FileReader& in, int nesting);

  std::size_t inputs() const override { return before_.inputs(); }
  std::size_t outputs() const override { return model_->outputs(); }
  Scale scale() const override { return model_->scale(); }
  void score(std::span<const float> rows, std::size_t count, std::span<double> scores) const override;
  std::string describe() const override;
  void save(internal::FileWriter& out) const override;

  const Preprocessor& before() const { return before_; }
  const Model& model() const { return *model_; }

 private:
  Pipeline(Preprocessor before, std::shared_ptr<const Model> model)
      : before_(std::move(before)), model_(std::move(model)) {}
  Preprocessor before_;
  std::shared_ptr<const Model> model_;
};

}  // namespace nidus::model
