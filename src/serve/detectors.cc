#include "serve/detectors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/file.h"
#include "base/random.h"
#include "base/text.h"
#include "detect/binding.h"

namespace nidus::serve {
namespace {

std::string names_in(const Detectors::State& state) {
  std::string out;
  for (const auto& served : state.all) out += (out.empty() ? "" : ", ") + served->name;
  return out.empty() ? "none is loaded" : out;
}

Served::Version find_version(const Served& served, std::string_view version) {
  for (const auto& candidate : served.versions) {
    if (candidate->version() == version) return candidate;
  }
  return nullptr;
}

Result<Served::Version> require_version(const Served& served, const std::string& version) {
  if (auto found = find_version(served, version)) return found;
  std::vector<std::string> known;
  for (const auto& candidate : served.versions) known.push_back(candidate->version());
  return Error{Errc::not_found,
               fmt::format("{} has no version '{}', but {}", served.name, version, fmt::join(known, ", "))};
}

bool same_columns(const ServedDetector& a, const ServedDetector& b) {
  const auto& one = a.manifest().schema;
  const auto& other = b.manifest().schema;
  return one == other;
}

bool judges_flows(const ServedDetector& detector) {
  const auto& meter = detector.manifest().meter;
  return meter && detect::FlowBinding::bind(detector.manifest().schema, meter->profile);
}

// Whether the columns are those of NSL-KDD's records: enough of its names that no flow has.
bool takes_records(const ServedDetector& detector) {
  std::size_t found = 0;
  for (const char* name : {"protocol_type", "service", "flag", "src_bytes", "dst_bytes", "srv_count",
                           "dst_host_count", "serror_rate"}) {
    found += model::find_column(detector.manifest().schema, name) ? 1 : 0;
  }
  return found >= 4;
}

}  // namespace

double share_of(std::span<const double> row) {
  std::uint64_t hash = 0x6e69647573;  // any number, but always the same one
  for (double value : row) {
    if (value == 0) value = 0;  // -0 is no other flow
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(bits));
    hash = Random::mix(hash ^ bits);
  }
  return static_cast<double>(hash >> 11) * 0x1p-53;
}

std::shared_ptr<const Served> Detectors::State::find(std::string_view name) const {
  for (const auto& served : all) {
    if (served->name == name) return served;
  }
  return nullptr;
}

Detectors::Detectors(Metrics& metrics, Log& log)
    : metrics_(metrics),
      log_(log),
      load_seconds_(metrics.histogram("model_load_duration_seconds", "Time to load and test a detector",
                                      {0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60})),
      load_failures_(metrics.counter("nidus_detector_load_failures_total",
                                     "Detectors that could not be loaded; what served went on")),
      state_(std::make_shared<const State>()) {}

void Detectors::tell(const std::string& name, const std::string& what, const std::string& version) {
  log_.info("detector_" + what, {{"detector", name}, {"version", version}});
}

Result<Served::Version> Detectors::load(const DetectorSettings& settings) {
  auto loaded = ServedDetector::load(settings, settings_.configurations);
  if (!loaded) {
    load_failures_.add();
    log_.error("detector_not_loaded", {{"path", settings.path.string()}, {"error", loaded.error().message}});
    return std::move(loaded).error();
  }
  load_seconds_.observe((*loaded)->load_seconds());
  log_.info("detector_loaded", {{"detector", (*loaded)->name()},
                                {"version", (*loaded)->version()},
                                {"path", settings.path.string()},
                                {"seconds", (*loaded)->load_seconds()}});
  for (const auto& note : (*loaded)->notes())
    log_.info("detector_note", {{"detector", (*loaded)->name()}, {"note", note}});
  return loaded;
}

std::shared_ptr<Served> Detectors::fresh(const std::string& name, const DetectorSettings& settings) {
  auto served = std::make_shared<Served>();
  served->name = name;
  served->settings = settings;
  const MetricLabels of = {{"detector", name}};
  const auto difference = [&](const char* kind) -> Counter& {
    return metrics_.counter("nidus_shadow_disagreements_total",
                            "Rows on which the shadow's verdict was another than the one given",
                            {{"detector", name}, {"kind", kind}});
  };
  served->shadow_counts = std::make_shared<ShadowCounts>(ShadowCounts{
      metrics_.counter("nidus_shadow_rows_total", "Rows that a shadow judged, too", of), difference("raised"),
      difference("dropped"), difference("other_label"),
      metrics_.counter("nidus_shadow_rows_not_scored_total", "Rows that a shadow was too slow for", of),
      metrics_.histogram("nidus_shadow_score_difference", "Score of the shadow less the one given",
                         {-0.5, -0.25, -0.1, -0.05, -0.01, 0, 0.01, 0.05, 0.1, 0.25, 0.5}, of)});
  return served;
}

void Detectors::take_over(Served& served, Served::Version version) const {
  if (!find_version(served, version->version())) served.versions.push_back(version);
  if (served.active != version) served.previous = std::exchange(served.active, version);
  // What was tried beside the old version may not fit the new one.
  if (served.canary == version || (served.canary && !same_columns(*served.canary, *version))) {
    served.canary = nullptr;
    served.canary_percent = 0;
  }
  if (served.shadow == version || (served.shadow && !same_columns(*served.shadow, *version)))
    served.shadow = nullptr;
  trim_versions(served);
}

void Detectors::trim_versions(Served& served) const {
  for (std::size_t i = 0;
       i < served.versions.size() && served.versions.size() > settings_.detectors.versions_max;) {
    const auto& version = served.versions[i];
    if (version == served.active || version == served.previous || version == served.canary ||
        version == served.shadow) {
      ++i;
    } else {
      served.versions.erase(served.versions.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
}

void Detectors::publish(std::vector<std::shared_ptr<const Served>> all) {
  auto next = std::make_shared<State>();
  next->all = std::move(all);
  next->generation = state()->generation + 1;
  const auto named = [&](const std::string& name, auto&& fits) {
    if (!name.empty()) return next->find(name);
    for (const auto& served : next->all) {
      if (fits(*served->active)) return served;
    }
    return std::shared_ptr<const Served>();
  };
  const auto& wanted = settings_.detectors;
  const auto role = [&](Role r) -> auto& { return next->roles[static_cast<std::size_t>(r)]; };
  const auto any = [](const ServedDetector&) { return true; };
  const auto judges = [](const ServedDetector& d) { return !d.is_anomaly() && !takes_records(d); };
  const auto finds_anomalies = [](const ServedDetector& d) { return d.is_anomaly(); };
  role(Role::predict) = named(wanted.predict, judges);
  if (!role(Role::predict)) role(Role::predict) = named(wanted.predict, any);
  role(Role::score) = named(wanted.score, finds_anomalies);
  if (!role(Role::score)) role(Role::score) = named(wanted.score, any);
  role(Role::records) = named(wanted.records, takes_records);
  role(Role::ml) = named(wanted.ml, [](const auto& d) { return !d.is_anomaly() && judges_flows(d); });
  role(Role::dl) = named(wanted.dl, [](const auto& d) { return d.is_anomaly() && judges_flows(d); });
  state_.store(std::move(next), std::memory_order_release);
}

Result<void> Detectors::write_down(const All& all) const {
  if (file_.empty()) return {};
  Deployment deployment;
  const auto id = [](const Served::Version& version) { return version ? version->version() : std::string(); };
  for (const auto& served : all) {
    auto& kept = deployment.detectors.emplace_back();
    kept.name = served->name;
    if (served->listed) kept.on_disk = served->on_disk;
    kept.active = id(served->active);
    kept.previous = id(served->previous);
    kept.canary = id(served->canary);
    kept.canary_percent = served->canary_percent;
    kept.shadow = id(served->shadow);
    for (const auto& version : served->versions) {
      if (served->listed && version->path() == served->settings.path) continue;
      // Inside the folder by the way from there, so that the folder can be moved.
      const auto inside = version->path().lexically_relative(file_.parent_path());
      const bool is_inside = !inside.empty() && *inside.begin() != "..";
      kept.versions.push_back({version->version(), is_inside ? inside : version->path()});
    }
  }
  return write_file(file_, to_json(deployment), Durability::on_disk);
}

Result<void> Detectors::decide(All all) {
  if (auto done = write_down(all); !done) return done;
  const auto before = state();
  publish(std::move(all));
  drop_files(before->all, state()->all);
  return {};
}

// Whoever still judges by such a version has its files mapped, or read.
void Detectors::drop_files(const All& before, const All& after) const {
  if (file_.empty()) return;
  const auto folder = file_.parent_path() / "detectors";
  const auto is_used = [&](const std::filesystem::path& path) {
    return std::any_of(after.begin(), after.end(), [&](const auto& served) {
      return std::any_of(served->versions.begin(), served->versions.end(),
                         [&](const auto& version) { return version->path() == path; });
    });
  };
  for (const auto& served : before) {
    for (const auto& version : served->versions) {
      if (version->path().parent_path() != folder || is_used(version->path())) continue;
      std::error_code ignored;
      std::filesystem::remove_all(version->path(), ignored);
    }
  }
}

void Detectors::restore(Served& served, const Deployment::Detector& kept,
                        const std::filesystem::path& folder) {
  for (const auto& [id, path] : kept.versions) {
    DetectorSettings from;
    from.name = kept.name;
    from.path = folder / path;  // the path itself if it is absolute
    auto version = load(from);  // logs why not
    if (!version || (*version)->version() != id || find_version(served, id)) continue;
    // Behind what was loaded from the settings' files, which are newer only if they changed since.
    const bool newest = !served.listed || served.on_disk == kept.on_disk;
    served.versions.insert(newest ? served.versions.end() : served.versions.begin(), std::move(*version));
  }
  if (!served.active && !served.versions.empty()) served.active = served.versions.back();
  if (!served.active) return;
  // What was decided stands, unless the settings' files changed since: then these serve, as when that is seen
  // live.
  if (served.listed && served.on_disk != kept.on_disk) return;
  if (auto active = find_version(served, kept.active)) served.active = std::move(active);
  served.previous = find_version(served, kept.previous);
  if (served.previous == served.active) served.previous = nullptr;
  const auto beside = [&](const std::string& id) {
    auto found = find_version(served, id);
    return found && found != served.active && same_columns(*found, *served.active) ? found : nullptr;
  };
  served.canary = beside(kept.canary);
  served.canary_percent = served.canary ? kept.canary_percent : 0;
  served.shadow = beside(kept.shadow);
}

Result<void> Detectors::keep_in(std::filesystem::path file) {
  const std::lock_guard lock(changing_);
  std::error_code failed;  // whoever cannot write there is told so when something is to be written
  std::filesystem::create_directories(file.parent_path(), failed);
  const auto text = read_file(file, 64u << 20);
  if (!text && text.error().code != Errc::not_found) return text.error();
  if (text) {
    auto kept = parse_deployment(*text);
    if (!kept) return Error{kept.error().code, file.string() + ": " + kept.error().message};
    All all = state()->all;
    for (const auto& entry : kept->detectors) {
      const auto found = std::find_if(all.begin(), all.end(),
                                      [&](const auto& served) { return served->name == entry.name; });
      if (found == all.end() && entry.versions.empty()) continue;  // no longer in the settings
      DetectorSettings settings;
      settings.name = entry.name;
      auto served = found == all.end() ? fresh(entry.name, settings) : std::make_shared<Served>(**found);
      restore(*served, entry, file.parent_path());
      if (!served->active) continue;
      if (!served->listed) served->settings.path = served->active->path();
      trim_versions(*served);
      log_.info("detector_restored", {{"detector", std::string_view(entry.name)},
                                      {"version", std::string_view(served->active->version())},
                                      {"versions", static_cast<std::uint64_t>(served->versions.size())}});
      if (found == all.end()) {
        all.push_back(std::move(served));
      } else {
        *found = std::move(served);
      }
    }
    publish(std::move(all));
  }
  file_ = std::move(file);
  return {};
}

Result<void> Detectors::reload(const Settings& settings) {
  const std::lock_guard lock(changing_);
  settings_ = settings;
  std::vector<std::shared_ptr<const Served>> all;
  std::vector<std::pair<std::string, std::string>> activated;  // detector, version
  std::optional<Error> first;
  const auto before = state();
  for (const auto& wanted : settings.detector_list) {
    // The one that came from there, under whatever name.
    std::shared_ptr<const Served> known;
    for (const auto& served : before->all) {
      if (served->settings.path == wanted.path && served->settings.name == wanted.name) known = served;
    }
    const auto digest = known ? content_digest(wanted.path) : Result<std::string>(std::string());
    const bool same_settings = known && known->settings == wanted;
    // What was activated by hand stays so until the files change.
    const bool same_files = known && digest && digest->starts_with(known->on_disk);
    if (same_settings && same_files) {
      all.push_back(known);
      continue;
    }
    auto loaded = load(wanted);
    if (!loaded) {
      if (!first) first = loaded.error();
      if (known) {
        auto kept = std::make_shared<Served>(*known);
        kept->last_error = loaded.error().message;
        all.push_back(std::move(kept));
      }
      continue;
    }
    const std::string name = (*loaded)->name();
    const bool taken =
        std::any_of(all.begin(), all.end(), [&](const auto& served) { return served->name == name; });
    if (taken) {
      if (!first)
        first = Error{Errc::invalid, fmt::format("{}: another detector is called '{}', too; give one a name",
                                                 wanted.path.string(), name)};
      log_.error("detector_not_loaded", {{"path", wanted.path.string()}, {"error", first->message}});
      continue;
    }
    auto served = known ? std::make_shared<Served>(*known) : fresh(name, wanted);
    served->settings = wanted;
    served->listed = true;
    served->on_disk = (*loaded)->version();
    served->last_error.clear();
    // Newest last, also if it was there before.
    std::erase_if(served->versions, [&](const auto& v) { return v->version() == (*loaded)->version(); });
    take_over(*served, *loaded);
    activated.emplace_back(name, (*loaded)->version());
    all.push_back(std::move(served));
  }
  for (const auto& served : before->all) {
    if (served->listed) continue;
    const bool taken =
        std::any_of(all.begin(), all.end(), [&](const auto& other) { return other->name == served->name; });
    if (!taken) all.push_back(served);
  }
  // Files that changed serve, whether or not that can be written down: the next start sees them as well.
  if (auto written = write_down(all); !written)
    log_.error("deployment_not_written", {{"error", written.error().message}});
  const auto gone = before;
  publish(std::move(all));
  drop_files(gone->all, state()->all);
  for (const auto& [name, version] : activated) tell(name, "activated", version);
  if (first) return *first;
  return {};
}

Result<bool> Detectors::reload(const std::string& name) {
  const std::lock_guard lock(changing_);
  const auto served = state()->find(name);
  if (!served) return Error{Errc::not_found, fmt::format("no detector '{}': {}", name, names_in(*state()))};
  if (!served->listed) return false;  // an upload does not change
  auto loaded = load(served->settings);
  auto next = std::make_shared<Served>(*served);
  bool changed = false;
  if (loaded) {
    next->on_disk = (*loaded)->version();
    next->last_error.clear();
    changed = (*loaded)->version() != served->active->version();
    std::erase_if(next->versions, [&](const auto& v) { return v->version() == (*loaded)->version(); });
    if (changed) {
      take_over(*next, *loaded);
    } else {
      // The same bytes: the one that serves goes on, since what was loaded again says nothing else.
      next->versions.push_back(served->active);
    }
  } else {
    next->last_error = loaded.error().message;
  }
  auto all = state()->all;
  for (auto& entry : all) {
    if (entry->name == name) entry = next;
  }
  if (auto done = decide(std::move(all)); !done) return std::move(done).error();
  if (!loaded) return std::move(loaded).error();
  if (changed) tell(name, "activated", (*loaded)->version());
  return changed;
}

Result<std::string> Detectors::add(const DetectorSettings& settings) {
  const std::lock_guard lock(changing_);
  auto loaded = load(settings);
  if (!loaded) return std::move(loaded).error();
  const auto& version = *loaded;
  auto all = state()->all;
  const auto known = std::find_if(all.begin(), all.end(),
                                  [&](const auto& served) { return served->name == version->name(); });
  if (known == all.end()) {
    auto served = fresh(version->name(), settings);
    served->on_disk = version->version();
    take_over(*served, version);
    all.push_back(std::move(served));
  } else {
    auto served = std::make_shared<Served>(**known);
    if (!find_version(*served, version->version())) served->versions.push_back(version);
    trim_versions(*served);
    *known = std::move(served);
  }
  if (auto done = decide(std::move(all)); !done) return std::move(done).error();
  tell(version->name(), "added", version->version());
  return version->version();
}

Result<void> Detectors::remove(const std::string& name) {
  const std::lock_guard lock(changing_);
  const auto served = state()->find(name);
  if (!served) return Error{Errc::not_found, fmt::format("no detector '{}': {}", name, names_in(*state()))};
  if (served->listed) {
    return Error{
        Errc::invalid,
        fmt::format("'{}' is in the settings, and only what was uploaded can be removed here", name)};
  }
  auto all = state()->all;
  std::erase(all, served);
  if (auto done = decide(std::move(all)); !done) return done;
  tell(name, "removed", served->active->version());
  return {};
}

Result<void> Detectors::change(const std::string& name, const Change& how) {
  const auto before = state();
  const auto served = before->find(name);
  if (!served) return Error{Errc::not_found, fmt::format("no detector '{}': {}", name, names_in(*before))};
  auto next = std::make_shared<Served>(*served);
  if (auto done = how(*next); !done) return done;
  auto all = before->all;
  for (auto& entry : all) {
    if (entry->name == name) entry = next;
  }
  return decide(std::move(all));
}

Result<void> Detectors::activate(const std::string& name, const std::string& version) {
  const std::lock_guard lock(changing_);
  auto done = change(name, [&](Served& served) -> Result<void> {
    auto found = require_version(served, version);
    if (!found) return std::move(found).error();
    take_over(served, std::move(*found));
    return {};
  });
  if (done) tell(name, "activated", version);
  return done;
}

Result<void> Detectors::roll_back(const std::string& name) {
  const std::lock_guard lock(changing_);
  std::string version;
  auto done = change(name, [&](Served& served) -> Result<void> {
    if (!served.previous)
      return Error{Errc::invalid, fmt::format("{} has no version before the active one", name)};
    auto back = served.previous;
    version = back->version();
    take_over(served, std::move(back));
    return {};
  });
  if (done) tell(name, "rolled_back", version);
  return done;
}

Result<void> Detectors::set_canary(const std::string& name, const std::string& version, double percent) {
  const std::lock_guard lock(changing_);
  auto done = change(name, [&](Served& served) -> Result<void> {
    if (version.empty()) {
      served.canary = nullptr;
      served.canary_percent = 0;
      return {};
    }
    if (!(percent > 0 && percent <= 100))
      return Error{Errc::invalid, "percent must be above 0 and at most 100"};
    auto found = require_version(served, version);
    if (!found) return std::move(found).error();
    if (*found == served.active) return Error{Errc::invalid, "this version is the active one"};
    if (!same_columns(**found, *served.active))
      return Error{Errc::invalid, "a canary must take the same columns as the active version"};
    served.canary = std::move(*found);
    served.canary_percent = percent;
    return {};
  });
  if (done) tell(name, version.empty() ? "canary_ended" : "canary_set", version);
  return done;
}

Result<void> Detectors::set_shadow(const std::string& name, const std::string& version) {
  const std::lock_guard lock(changing_);
  auto done = change(name, [&](Served& served) -> Result<void> {
    if (version.empty()) {
      served.shadow = nullptr;
      return {};
    }
    auto found = require_version(served, version);
    if (!found) return std::move(found).error();
    if (*found == served.active) return Error{Errc::invalid, "this version is the active one"};
    if (!same_columns(**found, *served.active))
      return Error{Errc::invalid, "a shadow must take the same columns as the active version"};
    served.shadow = std::move(*found);
    return {};
  });
  if (done) tell(name, version.empty() ? "shadow_ended" : "shadow_set", version);
  return done;
}

}  // namespace nidus::serve
