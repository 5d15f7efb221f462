#include "detect/detector.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/parallel.h"
#include "detect/binding.h"
#include "model/ensemble.h"
#include "model/model_file.h"

namespace nidus::detect {
namespace {

namespace fs = std::filesystem;

constexpr const char* kManifestFile = "detector.json";

// Scores are the same to the last bit on one machine, but the logistic function is the system library's.
constexpr double kGoldenTolerance = 1e-6;

std::size_t outputs_for(const std::vector<std::string>& labels) {
  return labels.size() == 2 ? 1 : labels.size();
}

Result<std::shared_ptr<const model::Model>> combine(
    const Manifest& manifest, std::vector<std::shared_ptr<const model::Model>> members) {
  for (std::size_t i = 0; i < members.size(); ++i) {
    const auto& member = *members[i];
    const std::string& file = manifest.members[i].file;
    if (member.inputs() != manifest.schema.size()) {
      return Error{Errc::corrupt, fmt::format("{}: the model takes {} columns, the schema has {}", file,
                                              member.inputs(), manifest.schema.size())};
    }
    if (member.outputs() != outputs_for(manifest.labels)) {
      return Error{Errc::corrupt,
                   fmt::format("{}: the model gives {} scores a row, {} labels need {}", file,
                               member.outputs(), manifest.labels.size(), outputs_for(manifest.labels))};
    }
  }
  if (members.size() == 1) return members.front();
  std::vector<model::Ensemble::Member> weighted;
  for (std::size_t i = 0; i < members.size(); ++i) {
    weighted.push_back({std::move(members[i]), manifest.members[i].weight});
  }
  auto ensemble = model::Ensemble::make(std::move(weighted));
  if (!ensemble) return std::move(ensemble).error();
  return std::shared_ptr<const model::Model>(std::make_shared<model::Ensemble>(std::move(*ensemble)));
}

// What a model file holds, if it is what the manifest says.
Result<std::shared_ptr<const model::Model>> fitting(Result<model::ModelFile> loaded,
                                                    const Manifest& manifest) {
  if (!loaded) return std::move(loaded).error();
  for (std::size_t i = 0; i < std::min(loaded->schema.size(), manifest.schema.size()); ++i) {
    if (loaded->schema[i].name == manifest.schema[i].name) continue;
    return Error{Errc::corrupt, fmt::format("column {} is '{}', detector.json says '{}'", i,
                                            loaded->schema[i].name, manifest.schema[i].name)};
  }
  if (loaded->classes != manifest.labels)
    return Error{Errc::corrupt, "other classes than the labels of detector.json"};
  return std::shared_ptr<const model::Model>(loaded->model);
}

// A model file beside the manifest, with the digest it should have.
Result<std::shared_ptr<const model::Model>> load_member(const fs::path& folder, const Manifest& manifest,
                                                        const Manifest::Member& member) {
  const fs::path path = folder / member.file;
  auto mapped = MappedFile::open(path);
  if (!mapped) return std::move(mapped).error();
  const auto file = std::make_shared<const MappedFile>(std::move(*mapped));
  // The digest of a large file takes about half as long as loading it, and needs none of it.
  constexpr std::size_t kLarge = std::size_t{1} << 20;
  Workers workers(file->bytes().size() < kLarge ? 1 : std::min<std::size_t>(default_threads(), 2));
  std::string digest;
  std::optional<Result<model::ModelFile>> read;
  workers.run(2, [&](std::size_t i) {
    if (i == 0) {
      read = model::load_model(file);
    } else {
      digest = sha256_hex(file->bytes());
    }
  });
  if (digest != member.sha256) {
    return Error{Errc::corrupt, fmt::format("{}: another SHA-256 than detector.json says", path.string())};
  }
  auto model = fitting(std::move(*read), manifest);
  if (!model) return std::move(model).error().within(path.string());
  return model;
}

// The same out of bytes.
Result<std::shared_ptr<const model::Model>> parse_member(std::span<const std::byte> bytes,
                                                         const Manifest& manifest,
                                                         const Manifest::Member& member) {
  if (sha256_hex(bytes) != member.sha256) {
    return Error{Errc::corrupt, fmt::format("{}: another SHA-256 than detector.json says", member.file)};
  }
  auto model = fitting(model::parse_model(bytes), manifest);
  if (!model) return std::move(model).error().within(member.file);
  return model;
}

// From which probability on each label is credible: the p-value of a row, (1 + those of the label's rows that
// are not above it) / (rows + 1), is then above alpha. A label of too few rows could never be ruled out, and
// would make every row a known one; it is credible only where it is the most likely.
std::vector<double> least_credible(const Manifest::Unknown& unknown) {
  std::vector<double> out;
  if (!(unknown.alpha > 0)) return out;
  for (const auto& label : unknown.labels) {
    const double rows = static_cast<double>(label.rows),
                 kept = static_cast<double>(label.probabilities.size());
    // So many of the label's rows must not be above.
    const double needed = std::floor(unknown.alpha * (rows + 1) * (1 + 1e-12));
    if (needed < 1 || kept == 0) {
      out.push_back(std::numeric_limits<double>::infinity());
      continue;
    }
    const auto rank = static_cast<std::size_t>(std::min(std::ceil(needed * kept / rows), kept)) - 1;
    out.push_back(label.probabilities[rank]);
  }
  return out;
}

// `scores`: of one row, one with two labels, else one for each.
bool is_unknown(std::span<const double> credible_from, std::span<const double> scores) {
  const std::size_t labels = credible_from.size();
  const auto probability = [&](std::size_t label) {
    if (scores.size() > 1) return scores[label];
    return label == 0 ? 1 - scores[0] : scores[0];
  };
  std::size_t likeliest = 0;
  for (std::size_t label = 0; label < labels; ++label) {
    if (probability(label) >= credible_from[label]) return false;
    if (probability(label) > probability(likeliest)) likeliest = label;
  }
  return credible_from[likeliest] != std::numeric_limits<double>::infinity();
}

// The golden rows still get the scores that they should.
Result<void> check_golden(const Detector& detector) {
  const Manifest& m = detector.manifest();
  for (std::size_t i = 0; i < m.golden.size(); ++i) {
    Verdict verdict;
    detector.judge(m.golden[i].row, 1, std::span(&verdict, 1));
    const auto& expected = m.golden[i];
    if (std::abs(verdict.score - expected.score) <=
        kGoldenTolerance * std::max(1.0, std::abs(expected.score)))
      continue;
    return Error{Errc::corrupt, fmt::format("{}: golden[{}]: scores {}, should be {}", kManifestFile, i,
                                            verdict.score, expected.score)};
  }
  return {};
}

}  // namespace

struct Detector::Parts {
  Manifest manifest;
  std::shared_ptr<const model::Model> model;  // of all members together
  std::vector<std::shared_ptr<const model::Model>> members;
  std::vector<double> credible_from;  // by label: the least probability at which it is credible; or empty
};

Detector::Detector(std::shared_ptr<const Parts> parts) : parts_(std::move(parts)) {}

Detector Detector::with_threshold(double threshold) const {
  Parts parts = *parts_;
  parts.manifest.threshold = {};
  parts.manifest.threshold.value = threshold;
  parts.manifest.threshold.chosen_on = "by hand";
  return Detector(std::make_shared<const Parts>(std::move(parts)));
}

const Manifest& Detector::manifest() const { return parts_->manifest; }
const model::Model& Detector::model() const { return *parts_->model; }
std::span<const std::shared_ptr<const model::Model>> Detector::members() const { return parts_->members; }
std::shared_ptr<const model::Model> Detector::shared_model() const { return parts_->model; }

Result<Detector> Detector::make(Manifest manifest, std::vector<std::shared_ptr<const model::Model>> members) {
  if (members.empty() || members.size() != manifest.members.size()) {
    return Error{Errc::invalid, "a detector needs one model for each of its members"};
  }
  if (manifest.labels.size() < 2) return Error{Errc::invalid, "a detector needs at least two labels"};
  if (manifest.unknown.alpha > 0 && manifest.unknown.labels.size() != manifest.labels.size())
    return Error{Errc::invalid, "what is unknown is told by all labels or by none"};
  auto model = combine(manifest, members);
  if (!model) return std::move(model).error();
  if (manifest.meter) manifest.meter = meter_for(manifest.schema, *manifest.meter);
  std::vector<double> credible_from = least_credible(manifest.unknown);
  return Detector(std::make_shared<const Parts>(
      Parts{std::move(manifest), std::move(*model), std::move(members), std::move(credible_from)}));
}

Result<Detector> Detector::load(const fs::path& folder) {
  const fs::path path = folder / kManifestFile;
  const auto text = read_file(path, Manifest::kBytesMax);
  if (!text) {
    if (text.error().code == Errc::exhausted) return text.error();
    return Error{Errc::not_found,
                 fmt::format("{}: not a detector: {}", folder.string(), text.error().message)};
  }
  auto manifest = parse_manifest(*text);
  if (!manifest) return std::move(manifest).error().within(path.string());
  std::vector<std::shared_ptr<const model::Model>> members;
  for (const auto& member : manifest->members) {
    auto model = load_member(folder, *manifest, member);
    if (!model) return std::move(model).error();
    members.push_back(std::move(*model));
  }
  auto detector = make(std::move(*manifest), std::move(members));
  if (!detector) return std::move(detector).error().within(folder.string());
  if (auto golden = check_golden(*detector); !golden)
    return std::move(golden).error().within(folder.string());
  return detector;
}

Result<Detector> Detector::load_files(std::span<const File> files) {
  const auto find = [&](const std::string& name) {
    const auto at = std::find_if(files.begin(), files.end(), [&](const File& f) { return f.name == name; });
    return at == files.end() ? nullptr : &*at;
  };
  const File* const text = find(kManifestFile);
  if (text == nullptr) return Error{Errc::not_found, "not a detector: there is no detector.json"};
  if (text->bytes.size() > Manifest::kBytesMax) {
    return Error{Errc::exhausted,
                 fmt::format("{}: larger than {} bytes", kManifestFile, Manifest::kBytesMax)};
  }
  auto manifest = parse_manifest({reinterpret_cast<const char*>(text->bytes.data()), text->bytes.size()});
  if (!manifest) return std::move(manifest).error().within(kManifestFile);
  std::vector<std::shared_ptr<const model::Model>> members;
  for (const auto& member : manifest->members) {
    const File* const file = find(member.file);
    if (file == nullptr) return Error{Errc::not_found, fmt::format("{}: is not there", member.file)};
    auto model = parse_member(file->bytes, *manifest, member);
    if (!model) return std::move(model).error();
    members.push_back(std::move(*model));
  }
  auto detector = make(std::move(*manifest), std::move(members));
  if (!detector) return detector;
  if (auto golden = check_golden(*detector); !golden) return std::move(golden).error();
  return detector;
}

Result<void> Detector::save(Manifest manifest, std::span<const std::shared_ptr<const model::Model>> members,
                            const fs::path& folder) {
  std::error_code ec;
  if (fs::exists(folder, ec)) {
    if (!fs::is_directory(folder, ec)) {
      return Error{Errc::invalid, fmt::format("{}: exists and is not a folder", folder.string())};
    }
    if (!fs::is_empty(folder, ec) && !fs::exists(folder / kManifestFile, ec)) {
      return Error{Errc::invalid, fmt::format("{}: holds something else than a detector", folder.string())};
    }
  }
  fs::create_directories(folder, ec);
  if (ec) return Error{Errc::io, fmt::format("{}: {}", folder.string(), ec.message())};
  // Until the new manifest is there, no reader must take the old one for that of the new models.
  fs::remove(folder / kManifestFile, ec);
  return write(std::move(manifest), members, [&](const std::string& name, std::string_view bytes) {
    return write_file(folder / name, bytes);
  });
}

Result<void> Detector::write(Manifest manifest, std::span<const std::shared_ptr<const model::Model>> members,
                             const FileSink& sink) {
  CHECK(manifest.members.empty() || manifest.members.size() == members.size());
  manifest.members.resize(members.size());
  for (std::size_t i = 0; i < members.size(); ++i) {
    auto& member = manifest.members[i];
    if (member.file.empty()) member.file = fmt::format("model-{}.nidus", i + 1);
    const auto bytes = model::serialise({manifest.schema, manifest.labels, members[i], ""});
    if (!bytes) return bytes.error();
    member.sha256 = sha256_hex(std::as_bytes(std::span(bytes->data(), bytes->size())));
    if (auto done = sink(member.file, *bytes); !done) return done;
  }
  const auto whole = make(manifest, {members.begin(), members.end()});
  if (!whole) return whole.error();
  for (auto& golden : manifest.golden) {
    Verdict verdict;
    whole->judge(golden.row, 1, std::span(&verdict, 1));
    golden.score = verdict.score;
    golden.label = manifest.labels[verdict.label];
  }
  return sink(kManifestFile, to_json(manifest));
}

void Detector::judge(std::span<const float> rows, std::size_t count, std::span<Verdict> verdicts) const {
  judge_rows(rows, count, verdicts);
}

void Detector::judge(std::span<const double> rows, std::size_t count, std::span<Verdict> verdicts) const {
  judge_rows(rows, count, verdicts);
}

template <class Number>
void Detector::judge_rows(std::span<const Number> rows, std::size_t count,
                          std::span<Verdict> verdicts) const {
  const std::size_t width = model().outputs();
  CHECK(rows.size() >= count * inputs() && verdicts.size() >= count);
  // A batch whose rows stay in the second cache.
  constexpr std::size_t kBatch = 1024;
  std::vector<double> scores(std::min(count, kBatch) * width);
  for (std::size_t first = 0; first < count; first += kBatch) {
    const std::size_t n = std::min(kBatch, count - first);
    const auto from = rows.subspan(first * inputs(), n * inputs());
    if constexpr (sizeof(Number) == sizeof(float)) model().score(from, n, std::span(scores).first(n * width));
    if constexpr (sizeof(Number) == sizeof(double))
      model().score_wide(from, n, std::span(scores).first(n * width));
    decide(scores, n, verdicts.subspan(first, n));
  }
}

void Detector::decide(std::span<const double> scores, std::size_t count, std::span<Verdict> verdicts) const {
  const std::size_t width = model().outputs();
  CHECK(scores.size() >= count * width && verdicts.size() >= count);
  if (!parts_->credible_from.empty()) {
    for (std::size_t i = 0; i < count; ++i)
      verdicts[i].is_unknown = is_unknown(parts_->credible_from, scores.subspan(i * width, width));
  }
  const double threshold = manifest().threshold.value;
  const bool most_likely = manifest().threshold.rule == Manifest::Threshold::Rule::most_likely;
  for (std::size_t i = 0; i < count; ++i) {
    Verdict& verdict = verdicts[i];
    if (width == 1) {
      verdict.score = scores[i];  // that of no number is below every threshold
      verdict.label = verdict.score >= threshold ? 1 : 0;
      verdict.label_score = verdict.score;
      continue;
    }
    const double* row = &scores[i * width];
    verdict.score = 1 - row[0];
    const double* best = std::max_element(row + 1, row + width);
    const bool attack = most_likely ? *best > row[0] : verdict.score >= threshold;
    verdict.label = attack ? static_cast<std::uint32_t>(best - row) : 0;
    verdict.label_score = row[verdict.label];
  }
}

}  // namespace nidus::detect
