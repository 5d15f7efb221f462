#pragma once

#include <array>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "http/server.h"

namespace nidus::http::internal {

// Which route takes a request. Immutable, so thread-safe.
class Router {
 public:
  // Errc::invalid if a pattern makes no sense or two routes take the same requests.
  static Result<Router> build(std::vector<Route> routes);

  struct Found {
    const Route* route = nullptr;  // null: none for this method
    std::string_view allow;  // the methods that the path takes, "GET, HEAD, OPTIONS"; empty: no such path
  };
  // Parameters are appended to `parameters`.
  Found find(Method method, std::string_view path,
             std::vector<std::pair<std::string_view, std::string>>& parameters) const;

  // The methods that some path takes.
  std::string_view allow_of_all() const { return allow_of_all_; }

 private:
  static constexpr std::size_t kMethods = static_cast<std::size_t>(Method::other);

  struct Path {
    std::vector<std::string> segments;  // of the pattern; "{name}" takes any
    std::string pattern;
    std::array<const Route*, kMethods> routes{};
    std::string allow;
  };

  static bool takes(const Path& path, const std::vector<std::string_view>& segments);

  std::vector<Route> routes_;
  std::vector<Path> paths_;  // with names; those with fewer names in front come first
  std::unordered_map<std::string_view, Path> fixed_;
  std::string allow_of_all_;
};

}  // namespace nidus::http::internal
