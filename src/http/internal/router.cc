#include "http/internal/router.h"

#include <algorithm>

#include "base/text.h"
#include "http/internal/target.h"

namespace nidus::http::internal {
namespace {

bool is_name(std::string_view segment) { return segment.starts_with('{'); }

Result<void> check_pattern(const Route& route) {
  const Error odd{Errc::invalid,
                  "route " + route.pattern + ": a pattern is a path whose names are whole segments"};
  if (!route.pattern.starts_with('/') || route.method >= Method::options || route.method == Method::head)
    return odd;
  for (const std::string_view segment : split(route.pattern, '/')) {
    const bool named = segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
    const std::string_view inside = named ? segment.substr(1, segment.size() - 2) : segment;
    if (inside.find_first_of("{}?# %") != std::string_view::npos) return odd;
  }
  return {};
}

std::string methods_text(const bool (&taken)[static_cast<std::size_t>(Method::other)]) {
  std::string text;
  for (std::size_t i = 0; i < std::size(taken); ++i) {
    if (!taken[i]) continue;
    if (!text.empty()) text += ", ";
    text += name_of(static_cast<Method>(i));
  }
  return text;
}

}  // namespace

bool Router::takes(const Path& path, const std::vector<std::string_view>& segments) {
  return path.segments.size() == segments.size() &&
         std::equal(path.segments.begin(), path.segments.end(), segments.begin(),
                    [](const std::string& own, std::string_view asked) {
                      return is_name(own) ? !asked.empty() : own == asked;
                    });
}

Result<Router> Router::build(std::vector<Route> routes) {
  Router router;
  router.routes_ = std::move(routes);
  bool taken_by_any[kMethods] = {};
  taken_by_any[static_cast<std::size_t>(Method::options)] = true;
  for (const Route& route : router.routes_) {
    if (auto checked = check_pattern(route); !checked) return std::move(checked).error();
    const std::size_t method = static_cast<std::size_t>(route.method);
    taken_by_any[method] = true;
    const bool fixed = route.pattern.find('{') == std::string::npos;
    Path* path = nullptr;
    if (fixed) {
      path = &router.fixed_[route.pattern];
    } else {
      const auto known = std::find_if(router.paths_.begin(), router.paths_.end(),
                                      [&](const Path& one) { return one.pattern == route.pattern; });
      path = known != router.paths_.end() ? &*known : &router.paths_.emplace_back();
    }
    if (path->routes[method] != nullptr) {
      return Error{Errc::invalid,
                   "two routes for " + std::string(name_of(route.method)) + " " + route.pattern};
    }
    path->pattern = route.pattern;
    path->routes[method] = &route;
    if (path->segments.empty()) {
      for (const std::string_view segment : split(route.pattern, '/')) path->segments.emplace_back(segment);
    }
  }
  // Two patterns that take a common path must be one more special than the other, so that one can come first.
  const auto names_less = [](const Path& a, const Path& b) {
    for (std::size_t i = 0; i < a.segments.size(); ++i) {
      if (is_name(b.segments[i]) < is_name(a.segments[i])) return false;
    }
    return true;
  };
  for (const Path& a : router.paths_) {
    for (const Path& b : router.paths_) {
      if (&a == &b || a.segments.size() != b.segments.size()) continue;
      bool overlap = true;
      for (std::size_t i = 0; i < a.segments.size(); ++i) {
        overlap =
            overlap && (is_name(a.segments[i]) || is_name(b.segments[i]) || a.segments[i] == b.segments[i]);
      }
      if (overlap && names_less(a, b) == names_less(b, a)) {
        return Error{Errc::invalid, "routes " + a.pattern + " and " + b.pattern + " take the same paths"};
      }
    }
  }
  std::sort(router.paths_.begin(), router.paths_.end(), [](const Path& a, const Path& b) {
    return std::count_if(a.segments.begin(), a.segments.end(), is_name) <
           std::count_if(b.segments.begin(), b.segments.end(), is_name);
  });
  const auto finish = [](Path& path) {
    const auto get = static_cast<std::size_t>(Method::get), head = static_cast<std::size_t>(Method::head);
    path.routes[head] = path.routes[get];
    bool taken[kMethods] = {};
    for (std::size_t i = 0; i < kMethods; ++i) taken[i] = path.routes[i] != nullptr;
    taken[static_cast<std::size_t>(Method::options)] = true;
    path.allow = methods_text(taken);
  };
  for (auto& [pattern, path] : router.fixed_) finish(path);
  for (Path& path : router.paths_) finish(path);
  taken_by_any[static_cast<std::size_t>(Method::head)] = taken_by_any[static_cast<std::size_t>(Method::get)];
  router.allow_of_all_ = methods_text(taken_by_any);
  return router;
}

Router::Found Router::find(Method method, std::string_view path,
                           std::vector<std::pair<std::string_view, std::string>>& parameters) const {
  const auto route_of = [&](const Path& found) {
    return method == Method::other ? nullptr : found.routes[static_cast<std::size_t>(method)];
  };
  std::string_view allow;
  if (const auto fixed = fixed_.find(path); fixed != fixed_.end()) {
    const Route* const route = route_of(fixed->second);
    if (route != nullptr) return {route, fixed->second.allow};
    allow = fixed->second.allow;
  }
  const std::vector<std::string_view> segments = split(path, '/');
  for (const Path& one : paths_) {
    if (!takes(one, segments)) continue;
    const Route* const route = route_of(one);
    if (route == nullptr) {
      if (allow.empty()) allow = one.allow;
      continue;
    }
    for (std::size_t i = 0; i < segments.size(); ++i) {
      const std::string_view own = one.segments[i];
      if (!is_name(own)) continue;
      parameters.emplace_back(own.substr(1, own.size() - 2), percent_decoded(segments[i], false));
    }
    return {route, one.allow};
  }
  return {nullptr, allow};
}

}  // namespace nidus::http::internal
