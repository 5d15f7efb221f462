#include "serve/served_detector.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/json_writer.h"
#include "base/text.h"
#include "interop/import.h"
#include "model/ensemble.h"
#include "serve/json_reader.h"

namespace nidus::serve {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kFilesMax = 256;
constexpr std::size_t kMetadataMax = std::size_t{1} << 20;
constexpr std::size_t kVersionDigits = 12;

bool is_native(const fs::path& path) {
  std::error_code ec;
  return fs::exists(path / "detector.json", ec);
}

std::string name_of(const fs::path& path) {
  const fs::path plain = path.filename().empty() ? path.parent_path() : path;
  // A folder "models" is named for what it belongs to.
  const std::string stem = plain.stem().string();
  if (stem == "models" || stem == "model") {
    const std::string above = fs::absolute(plain).lexically_normal().parent_path().filename().string();
    return above.empty() ? stem : above;
  }
  return stem;
}

}  // namespace

Result<std::string> content_digest(const fs::path& path) {
  std::error_code ec;
  std::vector<fs::path> files;
  if (fs::is_directory(path, ec)) {
    for (const auto& entry : fs::directory_iterator(path, ec)) {
      if (!entry.is_regular_file(ec)) continue;
      if (files.size() == kFilesMax)
        return Error{Errc::exhausted, fmt::format("{}: more than {} files", path.string(), kFilesMax)};
      files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
  } else {
    files.push_back(path);
  }
  std::string digests;
  for (const auto& file : files) {
    auto mapped = MappedFile::open(file);
    if (!mapped) return std::move(mapped).error();
    digests += file.filename().string() + " " + sha256_hex(mapped->bytes()) + "\n";
  }
  return sha256_hex(std::as_bytes(std::span(digests.data(), digests.size())));
}

ServedDetector::ServedDetector(detect::Detector detector, const DetectorSettings& settings)
    : name_(settings.name),
      path_(settings.path),
      detector_(std::move(detector)),
      names_(std::make_shared<const FeatureNames>(manifest().schema)),
      window_(std::make_unique<detect::RowWindow>(detector_.inputs())) {}

std::shared_ptr<const ServedDetector> ServedDetector::make(
    detect::Detector detector, const DetectorSettings& settings,
    const std::map<std::string, std::map<std::string, double>>& configurations) {
  auto made = std::make_shared<ServedDetector>(std::move(detector), settings);
  if (made->name_.empty()) made->name_ = made->manifest().name;
  made->find_members();
  made->make_configurations(configurations);
  made->explains_ = detect::Reasoner::make(made->detector_).has_value();
  made->metadata_ = made->metadata_of_its_own();
  return made;
}

Result<std::shared_ptr<const ServedDetector>> ServedDetector::load(
    const DetectorSettings& settings,
    const std::map<std::string, std::map<std::string, double>>& configurations) {
  const auto start = std::chrono::steady_clock::now();
  const auto digest = content_digest(settings.path);
  if (!digest) return digest.error();

  std::vector<std::string> notes;
  std::vector<std::pair<std::string, std::shared_ptr<const model::Model>>> spares;
  std::optional<detect::Detector> detector;
  if (is_native(settings.path)) {
    auto loaded = detect::Detector::load(settings.path);  // scores the golden rows
    if (!loaded) return std::move(loaded).error();
    detector = settings.threshold ? loaded->with_threshold(*settings.threshold) : std::move(*loaded);
  } else {
    interop::ImportOptions options;
    options.name = settings.name.empty() ? name_of(settings.path) : settings.name;
    options.features = settings.features;
    options.classes = settings.classes;
    options.benign = settings.benign;
    options.profile = settings.profile;
    options.read.layers = settings.layers;
    options.read.option_prefix = "detector.";  // as the file of settings calls them
    options.threshold = settings.threshold;
    auto imported = interop::import_detector(std::span(&settings.path, 1), options);
    if (!imported) return std::move(imported).error();
    notes = std::move(imported->notes);
    spares = std::move(imported->spares);
    detector = std::move(imported->detector);
    // Files of others say no scores to compare with; but models that say nothing of any row are broken.
    bool says_something = detector->manifest().golden.empty();
    for (const auto& golden : detector->manifest().golden) {
      detect::Verdict verdict;
      detector->judge(golden.row, 1, std::span(&verdict, 1));
      says_something = says_something || verdict.is_judged();
    }
    if (!says_something)
      return Error{Errc::corrupt, settings.path.string() + ": its models give no number for any row"};
  }

  auto made = std::make_shared<ServedDetector>(std::move(*detector), settings);
  if (made->name_.empty())
    made->name_ = made->manifest().name.empty() ? name_of(settings.path) : made->manifest().name;
  made->version_ = digest->substr(0, kVersionDigits);
  made->notes_ = std::move(notes);
  made->find_members();
  for (auto& [name, model] : spares) made->members_.push_back({name, std::move(model), 0});
  made->make_configurations(configurations);
  {
    const auto reasoner = detect::Reasoner::make(made->detector_);
    made->explains_ = reasoner.has_value();
    if (!reasoner) made->notes_.push_back("cannot be explained: " + reasoner.error().message);
  }
  ::malloc_trim(0);  // it can have been larger than the models
  made->metadata_ = made->metadata_of_its_own();
  if (const auto text = read_file(settings.path / "model_metadata.json", kMetadataMax)) {
    JsonReader json(*text);
    if (json.peek() == JsonReader::Kind::object && json.skip() && json.finish()) made->metadata_ = *text;
  }
  made->loaded_us_ = now_us();
  made->load_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return std::shared_ptr<const ServedDetector>(std::move(made));
}

void ServedDetector::find_members() {
  const auto& m = manifest();
  const auto member_name = [&](std::size_t i) {
    const std::string stem = i < m.members.size() ? fs::path(m.members[i].file).stem().string() : "";
    return stem.empty() ? fmt::format("model-{}", i + 1) : stem;
  };
  if (const auto* ensemble = dynamic_cast<const model::Ensemble*>(&detector_.model());
      ensemble != nullptr && ensemble->members().size() == m.members.size()) {
    for (std::size_t i = 0; i < ensemble->members().size(); ++i) {
      const auto& member = ensemble->members()[i];
      members_.push_back({member_name(i), member.model, member.weight});
    }
  } else {
    members_.push_back({member_name(0), detector_.shared_model(), 1});
  }
}

void ServedDetector::make_configurations(
    const std::map<std::string, std::map<std::string, double>>& configurations) {
  for (const auto& [name, wanted] : configurations) {
    Configuration made{name, std::vector<double>(members_.size(), 0.0)};
    std::size_t found = 0;
    double sum = 0;
    for (std::size_t i = 0; i < members_.size(); ++i) {
      const auto weight = wanted.find(members_[i].name);
      if (weight == wanted.end()) continue;
      ++found;
      made.weights[i] = weight->second;
      sum += weight->second;
    }
    if (found == wanted.size() && sum > 0 && std::isfinite(sum)) configurations_.push_back(std::move(made));
  }
}

const detect::Reasoner* ServedDetector::reasoner() const {
  if (!explains_) return nullptr;
  std::call_once(reasoner_made_, [this] {
    if (auto made = detect::Reasoner::make(detector_)) reasoner_.emplace(std::move(*made));
  });
  return reasoner_ ? &*reasoner_ : nullptr;
}

bool ServedDetector::has_member(std::string_view name) const {
  return std::any_of(members_.begin(), members_.end(),
                     [&](const auto& member) { return member.name == name; });
}

const Configuration* ServedDetector::configuration(std::string_view name) const {
  for (const auto& made : configurations_) {
    if (made.name == name) return &made;
  }
  return nullptr;
}

std::string ServedDetector::metadata_of_its_own() const {
  const auto& m = manifest();
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.field("name", name_);
  json.field("version", m.version);
  json.field("type", detect::name(m.kind));
  json.key("models");
  json.begin_object();
  for (const auto& member : members_) {
    json.key(member.name);
    json.begin_object();
    json.field("description", member.model->describe());
    json.end_object();
  }
  json.end_object();
  json.key("deployment_config");
  json.begin_object();
  json.key("ensemble_weights");
  json.begin_object();
  for (const auto& member : members_) {
    if (member.weight > 0) json.field(member.name, member.weight);
  }
  json.end_object();
  if (!members_.empty()) json.field("primary_model", members_.front().name);
  if (members_.size() > 1) json.field("secondary_model", members_[1].name);
  json.field("decision_threshold", m.threshold.value);
  json.field("use_ensemble", members_.size() > 1);
  json.end_object();
  json.key("preprocessing");
  json.begin_object();
  json.field("features_count", m.schema.size());
  json.key("features");
  json.begin_array();
  for (const auto& column : m.schema) json.value(column.name);
  json.end_array();
  json.end_object();
  json.key("labels");
  json.begin_array();
  for (const auto& label : m.labels) json.value(label);
  json.end_array();
  json.key("figures");
  json.begin_object();
  for (const auto& [on, figures] : m.figures) {
    json.key(on);
    json.raw(figures);
  }
  json.end_object();
  json.end_object();
  return out;
}

void ServedDetector::score(std::span<const double> rows, std::size_t count, const Wanted& wanted,
                           Scores& scores) const {
  score_rows(rows, count, wanted, scores);
}

void ServedDetector::score(std::span<const float> rows, std::size_t count, const Wanted& wanted,
                           Scores& scores) const {
  score_rows(rows, count, wanted, scores);
}

template <class Number>
void ServedDetector::score_rows(std::span<const Number> rows, std::size_t count, const Wanted& wanted,
                                Scores& scores) const {
  const auto score = [&](const model::Model& model, std::span<double> to) {
    if constexpr (sizeof(Number) == sizeof(float)) {
      model.score(rows, count, to);
    } else {
      model.score_wide(rows, count, to);
    }
  };
  const std::size_t width = outputs();
  CHECK(rows.size() >= count * inputs());
  scores.verdicts.resize(count);
  scores.outputs.resize(count * width);
  scores.members.clear();
  if (wanted.configuration == nullptr && !wanted.members) {
    score(detector_.model(), scores.outputs);
    detector_.decide(scores.outputs, count, scores.verdicts);
    return;
  }
  // As model::Ensemble adds up its members: in their order, in double, divided at the end.
  const auto weight_of = [&](std::size_t i) {
    return wanted.configuration != nullptr ? wanted.configuration->weights[i] : members_[i].weight;
  };
  double sum = 0;
  for (std::size_t i = 0; i < members_.size(); ++i) sum += weight_of(i);
  const bool alone = members_.size() == 1;
  std::fill(scores.outputs.begin(), scores.outputs.end(), 0.0);
  scores.part_.resize(count * width);
  if (wanted.members) scores.members.resize(count * members_.size());
  for (std::size_t i = 0; i < members_.size(); ++i) {
    const double weight = weight_of(i);
    // What has no weight is not asked, as the service that it comes from does not load it.
    if (!(weight > 0)) {
      for (std::size_t row = 0; wanted.members && row < count; ++row)
        scores.members[row * members_.size() + i] = std::nan("");
      continue;
    }
    score(*members_[i].model, scores.part_);
    for (std::size_t row = 0; wanted.members && row < count; ++row) {
      const double first = scores.part_[row * width];
      scores.members[row * members_.size() + i] = width == 1 ? first : 1 - first;
    }
    if (alone) {
      scores.outputs.swap(scores.part_);
    } else {
      for (std::size_t k = 0; k < count * width; ++k) scores.outputs[k] += weight * scores.part_[k];
    }
  }
  for (std::size_t k = 0; !alone && k < count * width; ++k) scores.outputs[k] /= sum;
  detector_.decide(scores.outputs, count, scores.verdicts);
}

}  // namespace nidus::serve
