#include "interop/import.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include "base/digest.h"
#include "base/text.h"
#include "data/labels.h"
#include "detect/binding.h"
#include "flow/features.h"
#include "interop/internal/importer.h"
#include "interop/internal/parts.h"
#include "interop/internal/service_files.h"
#include "model/ensemble.h"
#include "model/readout.h"
#include "model/reconstruction.h"

namespace nidus::interop {
namespace {

namespace fs = std::filesystem;
using Kind = Artefact::Kind;
using internal::file_for;
using internal::file_of;
using internal::Part;
using internal::Parts;
using internal::ServiceFiles;
using internal::stem_of;

bool has_word(std::string_view where, std::string_view word) {
  return to_lower(where).find(word) != std::string::npos;
}

class Importer {
 public:
  Importer(const ImportOptions& options, std::vector<std::pair<std::string, Artefact>> artefacts,
           ServiceFiles service)
      : options_(options), artefacts_(std::move(artefacts)), service_(std::move(service)) {}

  Result<Imported> run() {
    for (const auto& [where, artefact] : artefacts_) {
      if (auto done = parts_.add(where, artefact); !done) return std::move(done).error();
    }
    for (const auto& part : parts_.others)
      notes_.push_back(part.where + ": " +
                       (part.artefact->origin.empty() ? "no part of a detector" : part.artefact->origin));
    if (auto done = choose_models(); !done) return std::move(done).error();
    if (auto done = choose_transform(); !done) return std::move(done).error();
    if (auto done = name_columns(); !done) return std::move(done).error();
    if (auto done = name_classes(); !done) return std::move(done).error();
    if (auto done = draw_line(); !done) return std::move(done).error();
    choose_meter();
    return finish();
  }

 private:
  struct Member {
    std::string name;
    Part part;
    double weight = 1;
    std::shared_ptr<const model::Model> model;  // as it is used
    std::vector<std::string> classes;
  };

  void used(const Part& part, const std::string& as) {
    used_.emplace_back(part.where, part.artefact->origin + (as.empty() ? "" : ": " + as));
  }

  // A spare model as a member would be, if it can be one.
  std::shared_ptr<const model::Model> as_member(const Member& spare) const {
    std::shared_ptr<const model::Model> made = spare.model;
    const auto& first = members_.front();
    const std::size_t outputs = labels_.size() == 2 ? 1 : labels_.size();
    if (kind_ == detect::Manifest::Kind::anomaly || made->outputs() != outputs ||
        made->inputs() != first.part.artefact->model->inputs())
      return nullptr;
    if (made->scale() != model::Scale::probability || !std::is_sorted(order_.begin(), order_.end())) {
      auto read = model::Readout::make(made, order_);
      if (!read) return nullptr;
      made = std::make_shared<const model::Readout>(std::move(*read));
    }
    if (transform_ == nullptr) return made;
    auto whole = model::TransformedModel::make(transform_, made);
    if (!whole) return nullptr;
    return std::make_shared<const model::TransformedModel>(std::move(*whole));
  }

  // Those that the metadata name with a weight, else all there are.
  Result<void> choose_models() {
    if (parts_.models.empty()) {
      std::string found;
      for (const auto& [where, artefact] : artefacts_) {
        found += fmt::format("{}{} is {}", found.empty() ? ": " : ", ", where,
                             artefact.origin.empty() ? "no model" : artefact.origin);
      }
      return Error{Errc::not_found, "no model that judges rows" + found};
    }
    if (service_.weights.empty()) {
      for (const auto& part : parts_.models)
        members_.push_back({stem_of(part.where), part, 1, part.artefact->model, part.artefact->classes});
    }
    for (const auto& [name, weight] : service_.weights) {
      const auto file = service_.files.find(name);
      const std::string wanted = file == service_.files.end() ? name : file->second;
      const auto found = std::find_if(parts_.models.begin(), parts_.models.end(), [&](const Part& part) {
        return file_of(part.where) == wanted || fs::path(file_of(part.where)).stem() == wanted;
      });
      if (!(weight > 0)) continue;
      if (found == parts_.models.end()) {
        notes_.push_back(
            fmt::format("{} is not there: the other models share its weight of {}", wanted, weight));
        continue;
      }
      members_.push_back({name, *found, weight, found->artefact->model, found->artefact->classes});
    }
    if (members_.empty())
      return Error{Errc::not_found, service_.where + ": none of the models with a weight is there"};
    for (const auto& part : parts_.models) {
      const bool taken = std::any_of(members_.begin(), members_.end(),
                                     [&](const Member& member) { return member.part.where == part.where; });
      if (taken) continue;
      notes_.push_back(part.where + ": has no weight in " + service_.where + ", so it is not used");
      std::string name = stem_of(part.where);
      for (const auto& [known, file] : service_.files) {
        if (file == file_of(part.where)) name = known;
      }
      spares_.push_back({name, part, 0, part.artefact->model, part.artefact->classes});
    }
    const auto& first = members_.front();
    for (const auto& member : members_) {
      if (member.model->inputs() == first.model->inputs()) continue;
      return Error{
          Errc::invalid,
          fmt::format("{} takes {} columns, {} takes {}: they are no parts of one detector",
                      member.part.where, member.model->inputs(), first.part.where, first.model->inputs())};
    }
    return {};
  }

  // The one that goes before each model.
  Result<void> choose_transform() {
    const std::size_t wanted = members_.front().model->inputs();
    for (const auto& part : parts_.transforms) {
      if (transform_ != nullptr) {
        return Error{Errc::invalid,
                     fmt::format("{} and {}: which of the two goes before the model? Give the files by name",
                                 scaler_.where, part.where)};
      }
      transform_ = part.artefact->transform;
      scaler_ = part;
    }
    if (transform_ == nullptr) return {};
    if (transform_->outputs() != wanted) {
      return Error{Errc::invalid, fmt::format("{} gives {} columns, {} takes {}", scaler_.where,
                                              transform_->outputs(), members_.front().part.where, wanted)};
    }
    used(scaler_, "before each model");
    return {};
  }

  std::size_t inputs() const {
    return transform_ != nullptr ? transform_->inputs() : members_.front().model->inputs();
  }

  // As the person who reads the message would give it.
  std::string option(std::string_view name) const { return options_.read.option_prefix + std::string(name); }

  // Names of the inputs: those given, those of a list, those that scaler or model remember.
  Result<void> name_columns() {
    const model::Schema* known = nullptr;
    std::string known_from;
    const auto remember = [&](const Part& part) {
      const auto& columns = part.artefact->columns;
      if (columns.size() != inputs()) return;
      if (known == nullptr || (known->front().name.empty() && !columns.front().name.empty())) {
        known = &columns;
        known_from = part.where;
      }
    };
    if (transform_ != nullptr) remember(scaler_);
    if (transform_ == nullptr) {
      for (const auto& member : members_) remember(member.part);
    }
    schema_.resize(inputs());
    if (known != nullptr) schema_ = *known;

    std::vector<std::string> names;
    std::string from;
    if (!options_.features.empty()) {
      names = options_.features;
      from = option("features");
    } else if (!service_.features.empty()) {
      names = service_.features;
      from = service_.features_where;
    } else {
      for (const auto& part : parts_.texts) {
        const bool classes = has_word(part.where, "label") || has_word(part.where, "class");
        const bool features = has_word(part.where, "feature") || has_word(part.where, "column");
        if (!features && (classes || part.artefact->texts.size() != inputs())) continue;
        if (!names.empty() && names != part.artefact->texts)
          return Error{Errc::invalid, from + " and " + part.where + " name different features"};
        names = part.artefact->texts;
        from = part.where;
        used(part, "names of the features");
      }
    }
    if (!names.empty() && names.size() != inputs()) {
      return Error{Errc::invalid,
                   fmt::format("{}: {} names for the {} columns of {}", from, names.size(), inputs(),
                               transform_ != nullptr ? scaler_.where : members_.front().part.where)};
    }
    for (std::size_t i = 0; i < names.size(); ++i) {
      const std::string name(trim(names[i]));
      const std::string before(trim(schema_[i].name));
      if (!before.empty() && before != name) {
        return Error{Errc::invalid, fmt::format("{}: column {} is '{}', {} says '{}'", from, i + 1, name,
                                                known_from, before)};
      }
      schema_[i].name = name;
    }
    std::map<std::string, std::size_t> seen;
    for (std::size_t i = 0; i < schema_.size(); ++i) {
      schema_[i].name = trim(schema_[i].name);
      if (schema_[i].name.empty()) {
        return Error{Errc::invalid, fmt::format("{} does not name its {} columns: name them with {}, "
                                                "or beside it in feature_names.json",
                                                members_.front().part.where, inputs(), option("features"))};
      }
      if (const auto [same, is_new] = seen.emplace(to_lower(schema_[i].name), i); !is_new) {
        return Error{Errc::invalid, fmt::format("columns {} and {} are both called '{}'", same->second + 1,
                                                i + 1, schema_[i].name)};
      }
    }
    return {};
  }

  // Whether the network gives back its own input.
  bool is_autoencoder(const model::Model& model) const {
    return model.scale() == model::Scale::margin && model.outputs() == model.inputs() && model.outputs() > 2;
  }

  // Names of the classes, benign first, and every model in that order.
  Result<void> name_classes() {
    bool anomaly = false;
    for (auto& member : members_) {
      if (is_autoencoder(*member.model) && member.classes.empty()) {
        auto made = model::Reconstruction::make(member.model, model::Reconstruction::Measure::squared);
        if (!made) return std::move(made).error().within(member.part.where);
        member.model = std::make_shared<const model::Reconstruction>(std::move(*made));
      }
      const auto scale = member.model->scale();
      if (scale == model::Scale::anomaly || scale == model::Scale::error) anomaly = true;
    }
    if (anomaly) {
      labels_ = {"benign", "anomaly"};
      kind_ = detect::Manifest::Kind::anomaly;
      return {};
    }
    const std::size_t outputs = members_.front().model->outputs(), count = outputs == 1 ? 2 : outputs;
    std::vector<std::string> names = options_.classes;
    std::string from = option("classes");
    if (!names.empty() && names.size() != count)
      return Error{Errc::invalid, fmt::format("{}: {} names for {} classes", from, names.size(), count)};
    for (const auto& part : parts_.texts) {
      const bool classes =
          has_word(part.where, "label") || has_word(part.where, "class") || has_word(part.where, "encoder");
      if (!names.empty() || !classes) continue;
      if (part.artefact->texts.size() != count) {
        notes_.push_back(fmt::format("{}: names {} classes, the model has {}, so it is not used", part.where,
                                     part.artefact->texts.size(), count));
        continue;
      }
      names = part.artefact->texts;
      from = part.where;
      used(part, "names of the classes");
    }
    for (const auto& member : members_) {
      // Numbers are no names: a label encoder knows better.
      if (names.empty() && member.classes.size() == count) {
        names = member.classes;
        from = member.part.where;
      }
      if (member.model->outputs() != outputs) {
        return Error{Errc::invalid, fmt::format("{} tells {} classes apart, {} {}", member.part.where,
                                                std::max<std::size_t>(2, member.model->outputs()),
                                                members_.front().part.where, count)};
      }
    }
    const bool numbered = names.empty();
    for (std::size_t i = 0; numbered && i < count; ++i) names.push_back(std::to_string(i));
    std::size_t benign = count;
    for (std::size_t i = 0; i < count; ++i) {
      const bool is = options_.benign.empty() ? data::is_benign(names[i])
                                              : equal_ignoring_case(trim(options_.benign), trim(names[i]));
      if (!is) continue;
      if (benign != count)
        return Error{Errc::invalid, fmt::format("both '{}' and '{}' may be benign: say which with {}",
                                                names[benign], names[i], option("benign"))};
      benign = i;
    }
    if (benign == count) {
      return Error{Errc::invalid,
                   options_.benign.empty()
                       ? fmt::format("which of the classes is benign: {}? Say it with {}",
                                     fmt::join(names, ", "), option("benign"))
                       : fmt::format("no class '{}' among {}{}", options_.benign, fmt::join(names, ", "),
                                     did_you_mean(options_.benign, names))};
    }
    order_ = {static_cast<std::uint32_t>(benign)};
    for (std::uint32_t i = 0; i < count; ++i) {
      if (i != benign) order_.push_back(i);
    }
    kind_ = count == 2 ? detect::Manifest::Kind::binary : detect::Manifest::Kind::classes;
    for (const auto cls : order_) labels_.emplace_back(trim(names[cls]));
    labels_[0] = "benign";
    if (count == 2 && data::is_benign(labels_[1])) labels_[1] = "attack";
    const bool is_number =
        !labels_[1].empty() && labels_[1].find_first_not_of("0123456789.-") == std::string::npos;
    if (count == 2 && is_number) labels_[1] = "attack";
    for (auto& member : members_) {
      const bool ours = std::is_sorted(order_.begin(), order_.end());
      if (ours && member.model->scale() == model::Scale::probability) continue;
      if (member.model->scale() == model::Scale::margin)
        notes_.push_back(member.part.where +
                         ": gives margins, shown as numbers between 0 and 1 that are not calibrated");
      auto read = model::Readout::make(member.model, order_);
      if (!read) return std::move(read).error().within(member.part.where);
      member.model = std::make_shared<const model::Readout>(std::move(*read));
    }
    return {};
  }

  // Greater than what is said here is an attack.
  Result<void> draw_line() {
    detect::Manifest::Threshold& line = threshold_;
    if (kind_ == detect::Manifest::Kind::classes && !options_.threshold) {
      line.rule = detect::Manifest::Threshold::Rule::most_likely;
      line.value = 0.5;
      line.chosen_on = "the most likely class";
      return {};
    }
    std::optional<double> greater;
    if (options_.threshold) {
      greater = options_.threshold;
      line.chosen_on = "by hand";
    } else if (service_.threshold) {
      greater = service_.threshold;
      line.chosen_on = service_.threshold_where;
    }
    for (const auto& part : parts_.numbers) {
      const auto& numbers = part.artefact->numbers;
      if (greater || numbers.empty()) continue;
      if (has_word(part.where, "threshold") && numbers.size() == 1) {
        greater = numbers.front();
        line.chosen_on = part.where;
        used(part, "the threshold");
      } else if (has_word(part.where, "error") && kind_ == detect::Manifest::Kind::anomaly) {
        greater = percentile(numbers, kErrorPercentile);
        line.chosen_on = fmt::format("the {:g}th percentile of the {} errors of {}", kErrorPercentile,
                                     numbers.size(), part.where);
        used(part,
             "its " + std::to_string(static_cast<int>(kErrorPercentile)) + "th percentile is the threshold");
      }
    }
    if (!greater && members_.size() == 1 && members_.front().part.artefact->threshold &&
        (kind_ == detect::Manifest::Kind::anomaly || order_[0] == 0)) {
      greater = members_.front().part.artefact->threshold;
      line.chosen_on = members_.front().part.where;
      // Of a margin that is now a probability.
      if (members_.front().part.artefact->model->scale() == model::Scale::margin &&
          kind_ != detect::Manifest::Kind::anomaly)
        greater = 1 / (1 + std::exp(-*greater));
    }
    if (!greater && kind_ == detect::Manifest::Kind::anomaly) {
      return Error{Errc::invalid, fmt::format("{}: from which score on is a row anomalous? Say it with "
                                              "{}, or beside it in threshold.json",
                                              members_.front().part.where, option("threshold"))};
    }
    if (!greater) {
      greater = 0.5;
      line.chosen_on = "more likely than not";
    }
    if (!std::isfinite(*greater)) return Error{Errc::invalid, "a threshold that is not finite"};
    line.value = std::nextafter(*greater, std::numeric_limits<double>::infinity());
    return {};
  }

  // As numpy does by default.
  static double percentile(std::vector<double> numbers, double percent) {
    std::sort(numbers.begin(), numbers.end());
    const double at = percent / 100 * static_cast<double>(numbers.size() - 1);
    const auto below = static_cast<std::size_t>(at);
    const std::size_t above = std::min(below + 1, numbers.size() - 1);
    return numbers[below] + (at - static_cast<double>(below)) * (numbers[above] - numbers[below]);
  }

  // Which meter makes such columns: told by how they are spelled.
  void choose_meter() {
    if (const auto bound = detect::FlowBinding::bind(schema_, flow::Profile::native); !bound) {
      if (options_.profile) notes_.push_back("it judges tables only: " + bound.error().message);
      return;
    }
    auto profile = options_.profile;
    const bool is_cic = has_word(service_.dataset, "cic");
    if (!profile && is_cic && has_word(service_.dataset, "2018")) profile = flow::Profile::cic2018;
    if (!profile && is_cic && has_word(service_.dataset, "2017")) profile = flow::Profile::cic2017;
    if (profile && !options_.profile) {
      notes_.push_back(fmt::format("captures are metered as {}, told by its data set, {} ({} says otherwise)",
                                   flow::name(*profile), service_.dataset, option("profile")));
    }
    if (!profile) {
      constexpr std::pair<flow::Naming, flow::Profile> kSpelled[] = {
          {flow::Naming::canonical, flow::Profile::native},
          {flow::Naming::cic2017, flow::Profile::cic2017},
          {flow::Naming::cic2018, flow::Profile::cic2018},
          {flow::Naming::cic2020, flow::Profile::cic_fixed}};
      std::size_t best = 0;
      for (const auto& [naming, meant] : kSpelled) {
        std::size_t same = 0;
        for (const auto& column : schema_) {
          const auto feature = flow::feature_from_name(column.name);
          same += feature && equal_ignoring_case(flow::feature_name(*feature, naming), column.name) ? 1 : 0;
        }
        if (same <= best) continue;
        best = same;
        profile = meant;
      }
      if (best * 2 < schema_.size()) {
        notes_.push_back(
            "its columns are flow features in a spelling that no meter of ours has: it judges tables, and "
            "captures with " +
            option("profile"));
        return;
      }
      notes_.push_back(
          fmt::format("captures are metered as {}, told by how its columns are spelled ({} says otherwise)",
                      flow::name(*profile), option("profile")));
    }
    meter_.emplace().profile = *profile;
  }

  Result<Imported> finish() {
    detect::Manifest manifest;
    manifest.name = options_.name;
    manifest.version = service_.version.empty() ? "1" : service_.version;
    manifest.kind = kind_;
    if (meter_) {
      manifest.meter = meter_;
      manifest.meter_description = flow::Meter(*meter_).description();
    }
    manifest.schema = schema_;
    manifest.labels = labels_;
    manifest.threshold = threshold_;
    manifest.figures = service_.figures;
    if (!service_.dataset.empty()) manifest.trained_on.sources.push_back(service_.dataset);
    std::vector<std::shared_ptr<const model::Model>> models;
    std::vector<std::pair<std::string, std::shared_ptr<const model::Model>>> spares;
    for (const auto& spare : spares_) {
      if (auto made = as_member(spare)) spares.emplace_back(spare.name, std::move(made));
    }
    std::set<std::string> files;
    for (auto& member : members_) {
      for (const auto& note : member.part.artefact->notes) notes_.push_back(member.part.where + ": " + note);
      used(member.part, members_.size() == 1 ? "" : fmt::format("weight {:g}", member.weight));
      manifest.trained_on.sources.push_back(member.part.where + ", " + member.part.artefact->origin);
      std::string file = file_for(member.name);
      for (int i = 2; !files.insert(file).second; ++i) file = file_for(member.name + "-" + std::to_string(i));
      manifest.members.push_back({file, "", member.weight});
      if (transform_ != nullptr) {
        auto whole = model::TransformedModel::make(transform_, member.model);
        if (!whole) return std::move(whole).error().within(member.part.where);
        member.model = std::make_shared<const model::TransformedModel>(std::move(*whole));
      }
      models.push_back(member.model);
    }
    add_golden(manifest);
    auto detector = detect::Detector::make(manifest, models);
    if (!detector) return std::move(detector).error();
    return Imported{std::move(*detector), std::move(models), std::move(spares), std::move(used_),
                    std::move(notes_)};
  }

  // Rows by which a saved detector shows that it still says the same: nothing, all ones, and numbers that go
  // up.
  void add_golden(detect::Manifest& manifest) const {
    for (const float slope : {0.0f, 1.0f, 1000.0f}) {
      detect::Manifest::Golden golden;
      for (std::size_t i = 0; i < schema_.size(); ++i) {
        const float most =
            schema_[i].kind == model::Column::Kind::categorical
                ? static_cast<float>(std::max<std::size_t>(schema_[i].vocabulary.size(), 1) - 1)
                : std::numeric_limits<float>::max();
        golden.row.push_back(std::min(slope * static_cast<float>(i), most));
      }
      manifest.golden.push_back(std::move(golden));
    }
  }

  static constexpr double kErrorPercentile = 94;  // that the service which keeps its errors uses

  const ImportOptions& options_;
  std::vector<std::pair<std::string, Artefact>> artefacts_;
  ServiceFiles service_;
  Parts parts_;
  std::vector<Member> members_, spares_;
  Part scaler_;
  std::shared_ptr<const model::Transform> transform_;
  model::Schema schema_;
  std::vector<std::string> labels_;
  std::vector<std::uint32_t> order_ = {0};
  detect::Manifest::Kind kind_ = detect::Manifest::Kind::binary;
  detect::Manifest::Threshold threshold_;
  std::optional<flow::MeterOptions> meter_;
  std::vector<std::pair<std::string, std::string>> used_;
  std::vector<std::string> notes_;
};

}  // namespace

Result<Imported> import_parts(std::vector<std::pair<std::string, Artefact>> parts,
                              const ImportOptions& options) {
  return internal::put_together(std::move(parts), {}, options);
}

Result<Imported> internal::put_together(std::vector<std::pair<std::string, Artefact>> parts,
                                        ServiceFiles service, const ImportOptions& options) {
  return Importer(options, std::move(parts), std::move(service)).run();
}

}  // namespace nidus::interop
