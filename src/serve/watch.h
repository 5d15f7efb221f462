#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

namespace nidus::serve {

// Says when something in folders has changed, and has then been left alone for a moment: a copy that takes a
// while is told once, when it is whole. Needs inotify; where there are no watches left, nothing is told.
class FileWatch {
 public:
  // `changed` is called on a thread of its own.
  explicit FileWatch(std::function<void()> changed);
  ~FileWatch();

  // Nothing is told any more once it returns.
  void stop();

  // In place of those before. A file is watched through its folder, so that one put in its place is seen.
  void watch(const std::vector<std::filesystem::path>& paths);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nidus::serve
