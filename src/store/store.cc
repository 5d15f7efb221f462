#include "store/store.h"

#include <unistd.h>

#include <future>

#include "store/internal/readers.h"
#include "store/internal/schema.h"
#include "store/internal/writer.h"

namespace nidus::store {
namespace {

bool bytes_in(const std::filesystem::path& path) {
  std::error_code failed;
  const auto size = std::filesystem::file_size(path, failed);
  return !failed && size > 0;
}

// Opens what is there to be read alone.
Result<Access> readable(const std::filesystem::path& path, bool writable) {
  // A log that was left behind by a crash must be played back first; without one the file is all there is,
  // and can be read where nothing can be written, not even SQLite's notes on who reads.
  const bool log = bytes_in(path.string() + "-wal");
  if (!writable && !log) return Access::frozen;
  return Access::read;
}

}  // namespace

std::string_view name(StoreState state) {
  switch (state) {
    case StoreState::ok:
      return "ok";
    case StoreState::full:
      return "full";
    case StoreState::failing:
      return "failing";
    case StoreState::corrupt:
      return "corrupt";
    case StoreState::read_only:
      return "read_only";
  }
  CHECK(false);
}

struct Store::Impl {
  StoreOptions options;
  std::unique_ptr<Writer> writer;  // null: nothing is written
  std::string why_not;             // written
  // Closed before the writer, for who closes last takes the log away, which a reader may not.
  std::unique_ptr<Readers> readers;
};

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

Result<Store> Store::open(const std::filesystem::path& path, StoreOptions options) {
  const std::string name = path.string();
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    if (bytes_in(name + "-wal")) {
      return Error{Errc::corrupt, name + ": is missing, but its log " + name +
                                      "-wal is here: restore the database, or move the log away"};
    }
    if (options.read_only) return Error{Errc::not_found, name + ": there is no such store"};
    if (auto created = create_database(path); !created) return std::move(created).error();
  } else if (!bytes_in(path)) {
    return Error{Errc::corrupt,
                 name + ": is empty, as no store ever is: restore it from a copy, or remove it"};
  }

  auto impl = std::make_unique<Impl>();
  impl->options = options;
  std::filesystem::path folder = path.parent_path();
  if (folder.empty()) folder = ".";
  // Where the disk is read-only this fails for root too.
  const bool writable = ::access(path.c_str(), W_OK) == 0 && ::access(folder.c_str(), W_OK) == 0;
  Access access = Access::write;
  if (options.read_only || !writable) {
    auto chosen = readable(path, writable);
    if (!chosen) return std::move(chosen).error();
    access = *chosen;
    impl->why_not = name + (options.read_only ? ": was opened to be read" : ": cannot be written here");
  }

  auto connection = Connection::open(path, access);
  if (!connection) return std::move(connection).error().within(name);
  auto version = check_database(*connection, path);
  if (!version) return std::move(version).error();
  if (access == Access::write) {
    // It is in the file, but a copy made by other tools may have lost it.
    if (auto mode = connection->run("PRAGMA journal_mode = WAL"); !mode) {
      return std::move(mode).error().within(name);
    }
    if (*version < kSchemaVersion) {
      if (auto done = migrate(*connection); !done) return std::move(done).error().within(name);
    }
    auto writer = Writer::start(std::move(*connection), path, options);
    if (!writer) return std::move(writer).error().within(name);
    impl->writer = std::move(*writer);
  } else if (*version < kSchemaVersion) {
    return Error{Errc::unsupported, name + ": is of an older version, and cannot be brought up to date here"};
  }
  impl->readers =
      std::make_unique<Readers>(path, access == Access::write ? Access::read : access, options.readers_max);
  return Store(std::move(impl));
}

bool Store::keeps(const Verdict& verdict) const {
  switch (impl_->options.keep) {
    case KeepPolicy::none:
      return false;
    case KeepPolicy::attacks:
      if (!verdict.attack) return false;
      break;
    case KeepPolicy::all:
      break;
  }
  return impl_->options.keep_without_addresses || verdict.source || verdict.target;
}

void Store::write(std::vector<Change> changes, Done done) {
  if (!impl_->writer) {
    done(Error{Errc::io, impl_->why_not});
    return;
  }
  bool anything = false;
  for (auto& change : changes) {
    if (auto* keep = std::get_if<Keep>(&change)) {
      std::erase_if(keep->verdicts, [this](const Verdict& verdict) { return !keeps(verdict); });
      anything = anything || !keep->verdicts.empty();
    } else {
      anything = true;
    }
  }
  if (!anything) {
    done(Numbers(changes.size(), 0));
    return;
  }
  impl_->writer->write(std::move(changes), std::move(done));
}

Result<Store::Numbers> Store::write(std::vector<Change> changes) {
  std::promise<Result<Numbers>> promise;
  auto answer = promise.get_future();
  write(std::move(changes), [&promise](Result<Numbers> result) { promise.set_value(std::move(result)); });
  return answer.get();
}

Result<std::vector<Alert>> Store::alerts(const AlertQuery& query, AlertCursor after,
                                         std::size_t limit) const {
  return impl_->readers->alerts(query, after, limit);
}
Result<Alert> Store::alert(std::int64_t id) const { return impl_->readers->alert(id); }
Result<std::vector<TriageStep>> Store::triage_of(std::int64_t alert) const {
  return impl_->readers->triage_of(alert);
}
Result<std::vector<AlertGroup>> Store::group(const AlertQuery& query, GroupBy by, std::size_t limit) const {
  return impl_->readers->group(query, by, limit);
}
Result<std::vector<Verdict>> Store::verdicts(const VerdictQuery& query, std::int64_t before,
                                             std::size_t limit) const {
  return impl_->readers->verdicts(query, before, limit);
}
Result<std::vector<Bucket>> Store::histogram(const VerdictQuery& query, std::int64_t width_us,
                                             std::size_t limit) const {
  return impl_->readers->histogram(query, width_us, limit);
}
Result<Job> Store::job(const std::string& id) const { return impl_->readers->job(id); }
Result<std::vector<Job>> Store::jobs(std::size_t limit) const { return impl_->readers->jobs(limit); }
Result<std::vector<AuditEntry>> Store::audit(std::int64_t before, std::size_t limit) const {
  return impl_->readers->audit(before, limit);
}
Result<std::uint64_t> Store::verify_audit() const { return impl_->readers->verify_audit(); }
Result<std::vector<ApiKey>> Store::keys() const { return impl_->readers->keys(); }
Result<std::vector<Activation>> Store::activations(std::size_t limit) const {
  return impl_->readers->activations(limit);
}
Result<std::int64_t> Store::version() const { return impl_->readers->version(); }

StoreCounts Store::counts() const {
  if (impl_->writer) return impl_->writer->counts();
  StoreCounts counts;
  counts.state = StoreState::read_only;
  counts.reason = impl_->why_not;
  return counts;
}

}  // namespace nidus::store
