#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "serve/deployment.h"
#include "serve/log.h"
#include "serve/metrics.h"
#include "serve/served_detector.h"
#include "serve/settings.h"

namespace nidus::serve {

// How a shadow's verdicts differed from those that were given.
struct ShadowCounts {
  Counter &rows, &raised, &dropped_alarms, &other_label, &not_scored;
  Histogram& score_difference;
};

// All that is served under one name. A value; immutable once published.
struct Served {
  using Version = std::shared_ptr<const ServedDetector>;

  std::string name;
  DetectorSettings settings;
  bool listed = false;  // in the settings; else it was uploaded
  Version active;
  Version previous;  // what rolling back makes active; may be null
  Version canary;    // judges `canary_percent` of the rows in place of `active`; may be null
  double canary_percent = 0;
  Version shadow;                 // judges the same rows, but nobody is told; may be null
  std::vector<Version> versions;  // loaded, the newest last; those above are among them
  std::string on_disk;            // the version that `settings.path` held when it was last looked at
  std::string last_error;         // why the last attempt to load failed; empty if it did not
  std::shared_ptr<ShadowCounts> shadow_counts;
};

// What a route that names no detector is answered by.
enum class Role : std::uint8_t { predict, score, records, ml, dl };
inline constexpr std::size_t kRoles = 5;

// The detectors of a service. Reading takes no lock that a writer holds while it works: whoever judges rows
// takes the snapshot of the moment and goes on with it, and a version is freed when the last of them is done.
// Whatever changes something loads and tests beside what serves and then publishes the next snapshot; if it
// fails, nothing has changed.
//
// Thread-safe. Methods that change something may take seconds, and run one after the other.
class Detectors {
 public:
  struct State {
    std::vector<std::shared_ptr<const Served>> all;
    std::array<std::shared_ptr<const Served>, kRoles> roles;  // null: none fits
    std::uint64_t generation = 0;                             // one more with every change

    // Null if there is none of that name.
    std::shared_ptr<const Served> find(std::string_view name) const;
  };

  // The metrics and the log must outlive it.
  Detectors(Metrics& metrics, Log& log);

  std::shared_ptr<const State> state() const { return state_.load(std::memory_order_acquire); }
  std::shared_ptr<const Served> serving(Role role) const {
    return state()->roles[static_cast<std::size_t>(role)];
  }

  // Brings what is served in line with the settings: loads what is new or whose files changed, drops what is
  // no longer listed. What cannot be loaded stays as it was, or out; the error names the first of them.
  //
  // What was uploaded stays, under a name that the settings do not use.
  Result<void> reload(const Settings& settings);

  // Takes over what `file` says was uploaded and decided, if there is such a file, and from then on writes
  // every change there before it takes effect; the methods below fail with Errc::io if that cannot be done.
  // What cannot be loaded any more is left out and logged. Versions that are let go lose their files, where
  // these are in the folder of `file`. Once, after the first reload(). Errc::corrupt for a file that is not
  // ours: it stays as it is.
  Result<void> keep_in(std::filesystem::path file);

  // Of one detector, whatever changed. True if another version is active now.
  Result<bool> reload(const std::string& name);

  // Loads a further version under a name, or a new name, without making it active. Answers the version.
  Result<std::string> add(const DetectorSettings& settings);
  // Lets go of a detector that was uploaded, with its versions and their files. Errc::invalid for one that
  // the settings list.
  Result<void> remove(const std::string& name);
  // Errc::not_found names the detector or version that is not there.
  Result<void> activate(const std::string& name, const std::string& version);
  Result<void> roll_back(const std::string& name);
  // Errc::invalid unless it takes the same columns as the active version and 0 < percent <= 100; an empty
  // version ends it.
  Result<void> set_canary(const std::string& name, const std::string& version, double percent);
  Result<void> set_shadow(const std::string& name, const std::string& version);

 private:
  using Change = std::function<Result<void>(Served&)>;
  Result<void> change(const std::string& name, const Change& how);
  Result<Served::Version> load(const DetectorSettings& settings);
  using All = std::vector<std::shared_ptr<const Served>>;
  void publish(All all);
  // Writes it down first. If that fails nothing has changed.
  Result<void> decide(All all);
  Result<void> write_down(const All& all) const;
  void drop_files(const All& before, const All& after) const;
  void restore(Served& served, const Deployment::Detector& kept, const std::filesystem::path& folder);
  std::shared_ptr<Served> fresh(const std::string& name, const DetectorSettings& settings);
  void take_over(Served& served, Served::Version version) const;
  void trim_versions(Served& served) const;
  void tell(const std::string& name, const std::string& what, const std::string& version);

  Metrics& metrics_;
  Log& log_;
  Histogram& load_seconds_;
  Counter& load_failures_;

  std::mutex changing_;  // held by whatever changes something, all the way
  Settings settings_;
  std::filesystem::path file_;  // of keep_in(); empty: nothing is written down

  std::atomic<std::shared_ptr<const State>> state_;
};

// A number from 0 to 1 that is the same for the same row in every process: which rows a canary judges.
double share_of(std::span<const double> row);

}  // namespace nidus::serve
