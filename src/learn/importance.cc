#include "learn/importance.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/parallel.h"
#include "base/random.h"
#include "learn/metrics.h"

namespace nidus::learn {
namespace {

// Columns are permuted one at a time; the rows are scored once for each.
class Permuter {
 public:
  Permuter(const model::Model& model, std::span<const float> rows, std::span<const std::uint8_t> is_attack,
           Workers& workers)
      : model_(model),
        rows_(rows),
        is_attack_(is_attack),
        workers_(workers),
        values_(rows.begin(), rows.end()),
        scores_(is_attack.size()) {}

  std::optional<double> area() {
    const std::size_t inputs = model_.inputs(), count = is_attack_.size();
    constexpr std::size_t kPiece = 1024;
    workers_.run((count + kPiece - 1) / kPiece, [&](std::size_t piece) {
      const std::size_t begin = piece * kPiece, n = std::min(kPiece, count - begin);
      const auto some =
          model::attack_scores(model_, std::span(values_).subspan(begin * inputs, n * inputs), n);
      std::copy(some.begin(), some.end(), scores_.begin() + static_cast<std::ptrdiff_t>(begin));
    });
    return roc_auc(scores_, is_attack_);
  }

  std::optional<double> area_without(std::size_t column, Random random) {
    const std::size_t inputs = model_.inputs(), count = is_attack_.size();
    for (std::size_t i = count; i-- > 1;)
      std::swap(values_[i * inputs + column], values_[random.below(i + 1) * inputs + column]);
    const auto out = area();
    for (std::size_t i = 0; i < count; ++i) values_[i * inputs + column] = rows_[i * inputs + column];
    return out;
  }

 private:
  const model::Model& model_;
  std::span<const float> rows_;
  std::span<const std::uint8_t> is_attack_;
  Workers& workers_;
  std::vector<float> values_;
  std::vector<double> scores_;
};

// False if it was stopped.
bool add_contributions(const model::Explainer& explainer, std::span<const float> rows, std::size_t count,
                       Workers& workers, const Progress& progress, std::vector<double>& means) {
  const std::size_t inputs = explainer.inputs(), width = inputs + 1;
  constexpr std::size_t kPiece = 64;
  const std::size_t pieces = (count + kPiece - 1) / kPiece, at_once = 4 * workers.threads();
  std::vector<double> found(at_once * kPiece * width);
  for (std::size_t first = 0; first < pieces; first += at_once) {
    if (!progress(static_cast<double>(first) / static_cast<double>(pieces))) return false;
    const std::size_t some = std::min(at_once, pieces - first);
    const auto rows_in = [&](std::size_t piece) { return std::min(kPiece, count - piece * kPiece); };
    workers.run(some, [&](std::size_t i) {
      const std::size_t piece = first + i, n = rows_in(piece);
      model::explain_attack_score(explainer, rows.subspan(piece * kPiece * inputs, n * inputs), n,
                                  std::span(found).subspan(i * kPiece * width, n * width));
    });
    // In the order of the rows, so that the sums do not depend on the number of threads.
    for (std::size_t i = 0; i < some; ++i) {
      for (std::size_t row = 0; row < rows_in(first + i); ++row) {
        const double* const at = &found[(i * kPiece + row) * width];
        for (std::size_t column = 0; column < inputs; ++column) means[column] += std::abs(at[column]);
      }
    }
  }
  for (double& mean : means) mean /= static_cast<double>(count);
  return true;
}

}  // namespace

std::vector<std::size_t> Importance::order() const {
  std::vector<std::size_t> out(contribution.size());
  std::iota(out.begin(), out.end(), std::size_t{0});
  std::stable_sort(out.begin(), out.end(),
                   [&](std::size_t a, std::size_t b) { return contribution[a] > contribution[b]; });
  return out;
}

Result<Importance> measure_importance(const model::Model& model, const model::Explainer& explainer,
                                      std::span<const float> rows, std::span<const std::uint8_t> is_attack,
                                      const ImportanceOptions& options) {
  const std::size_t inputs = model.inputs(), count = rows.size() / inputs;
  CHECK(explainer.inputs() == inputs && rows.size() == count * inputs);
  CHECK(is_attack.empty() || is_attack.size() == count);
  if (count == 0) return Error{Errc::invalid, "no row to explain"};
  const Error stopped{Errc::exhausted, "the explanation was stopped before it was done"};
  const double halves = is_attack.empty() ? 1 : 2;
  const Progress first_half = [&](double done) {
    return !options.progress || options.progress(done / halves);
  };
  Importance out;
  auto gain = model::gain_importance(model);
  if (!gain && gain.error().code != Errc::unsupported) return std::move(gain).error();
  out.gain = gain ? std::move(*gain) : std::vector<double>(inputs);  // only trees have splits to gain by
  Workers workers(options.threads);
  out.contribution.resize(inputs);
  if (!add_contributions(explainer, rows, count, workers, first_half, out.contribution)) return stopped;
  if (is_attack.empty()) return out;

  Permuter permuter(model, rows, is_attack, workers);
  const auto whole = permuter.area();
  if (!whole) return out;
  for (std::size_t column = 0; column < inputs; ++column) {
    if (options.progress &&
        !options.progress(0.5 + 0.5 * static_cast<double>(column) / static_cast<double>(inputs))) {
      return stopped;
    }
    const auto without = permuter.area_without(column, Random(Random::mix(options.seed) + column));
    out.permutation.push_back(*whole - without.value_or(*whole));
  }
  return out;
}

std::vector<std::size_t> choose_rows(std::size_t count, std::size_t most, std::uint64_t seed) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (most == 0 || count <= most) return order;
  Random random(seed);
  for (std::size_t i = 0; i < most; ++i) std::swap(order[i], order[i + random.below(count - i)]);
  order.resize(most);
  std::sort(order.begin(), order.end());
  return order;
}

std::vector<LabelMistakes> worst_mistakes(const Judgements& judged, std::size_t each) {
  const std::size_t count = judged.scores.size();
  CHECK(judged.is_attack.size() == count && judged.labels.size() == count);
  if (count == 0) return {};
  const std::size_t inputs = judged.rows.size() / count;
  struct Found {
    std::uint64_t rows = 0;
    std::vector<std::size_t> wrong;
  };
  std::map<std::pair<bool, std::uint32_t>, Found> by_label;
  for (std::size_t row = 0; row < count; ++row) {
    const bool attack = judged.is_attack[row] != 0;
    Found& found = by_label[{attack, judged.labels[row]}];
    ++found.rows;
    if ((judged.scores[row] >= judged.threshold) != attack) found.wrong.push_back(row);
  }
  // The very bits, so that what is missing equals itself.
  const auto equal = [&](std::size_t a, std::size_t b) {
    return std::memcmp(&judged.rows[a * inputs], &judged.rows[b * inputs], inputs * sizeof(float)) == 0;
  };
  std::vector<LabelMistakes> out;
  for (auto& [key, found] : by_label) {
    if (found.wrong.empty()) continue;
    const bool attack = key.first;
    std::stable_sort(found.wrong.begin(), found.wrong.end(), [&](std::size_t a, std::size_t b) {
      return attack ? judged.scores[a] < judged.scores[b] : judged.scores[a] > judged.scores[b];
    });
    LabelMistakes mistakes{key.second, attack, found.rows, found.wrong.size(), {}};
    for (const auto row : found.wrong) {
      const auto same = std::find_if(mistakes.worst.begin(), mistakes.worst.end(),
                                     [&](const Mistake& other) { return equal(other.row, row); });
      if (same != mistakes.worst.end()) {
        ++same->alike;
      } else if (mistakes.worst.size() < each) {
        mistakes.worst.push_back({row, 0});
      }
    }
    out.push_back(std::move(mistakes));
  }
  std::stable_sort(out.begin(), out.end(), [](const LabelMistakes& a, const LabelMistakes& b) {
    return a.is_attack != b.is_attack ? b.is_attack : a.wrong > b.wrong;
  });
  return out;
}

}  // namespace nidus::learn
