#include "store/internal/readers.h"

#include <algorithm>
#include <chrono>

namespace nidus::store {
namespace {

// A question over all of a full store; one more question of that kind on each connection would stop the
// others.
constexpr auto kQuestionTime = std::chrono::seconds(20);

}  // namespace

Readers::Readers(std::filesystem::path path, Access access, std::size_t connections_max)
    : path_(std::move(path)), access_(access), connections_max_(std::max<std::size_t>(connections_max, 1)) {}

Readers::Borrowed::~Borrowed() {
  if (!connection_) return;
  {
    const std::lock_guard lock(readers_->mutex_);
    readers_->idle_.push_back(std::move(connection_));
  }
  readers_->returned_.notify_one();
}

Result<Readers::Borrowed> Readers::borrow() {
  std::unique_ptr<Connection> connection;
  {
    std::unique_lock lock(mutex_);
    returned_.wait(lock, [this] { return !idle_.empty() || made_ < connections_max_; });
    if (!idle_.empty()) {
      connection = std::move(idle_.back());
      idle_.pop_back();
    } else {
      ++made_;
    }
  }
  if (!connection) {
    auto opened = Connection::open(path_, access_);
    if (!opened) {
      {
        const std::lock_guard lock(mutex_);
        --made_;
      }
      returned_.notify_one();
      return std::move(opened).error().within(path_.string());
    }
    connection = std::make_unique<Connection>(std::move(*opened));
  }
  connection->set_deadline(std::chrono::steady_clock::now() + kQuestionTime);
  return Borrowed(*this, std::move(connection));
}

Result<std::int64_t> Readers::version() {
  const std::lock_guard lock(version_mutex_);
  if (!version_connection_) {
    auto opened = Connection::open(path_, access_);
    if (!opened) return std::move(opened).error().within(path_.string());
    version_connection_ = std::make_unique<Connection>(std::move(*opened));
  }
  return version_connection_->number("PRAGMA data_version");
}

}  // namespace nidus::store
