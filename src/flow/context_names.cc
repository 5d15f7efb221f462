#include <string>

#include "flow/context.h"

namespace nidus::flow {
namespace {

struct Names {
  std::string key, unit, meaning;
};

struct Scope {
  std::string_view key, whose;
  bool has_ports, has_hosts;
  std::string_view other_end;
};
constexpr Scope kScopes[] = {
    {"src", "of the same initiator", true, true, "responders"},
    {"dst", "to the same responder", true, true, "initiators"},
    {"pair", "of the same initiator to the same responder", true, false, ""},
    {"srv", "to the same port of the same responder", false, true, "initiators"},
};

std::vector<Names> make_names() {
  std::vector<Names> out;
  for (const std::int64_t window : kWindowsUs) {
    const std::string seconds = std::to_string(window / 1'000'000);
    const std::string flows_of = " of the flows whose last packet came in the " + seconds +
                                 " s up to this one's, this one among them, ";
    for (const Scope& scope : kScopes) {
      const auto add = [&](std::string_view what, std::string_view unit, const std::string& meaning) {
        std::string key = "ctx_";
        ((((key += scope.key) += '_') += what) += '_') += seconds + "s";
        out.push_back({std::move(key), std::string(unit), meaning + flows_of + std::string(scope.whose)});
      };
      add("flows", "flows", "number");
      add("failures", "flows", "attempts that came to nothing (S0, REJ, RSTOS0, RSTRH, SH, SHR)");
      if (scope.has_ports) add("ports", "number", "different responder ports, by protocol,");
      if (scope.has_hosts) add("hosts", "number", "different " + std::string(scope.other_end));
      add("bytes", "bytes", "payload in both directions");
    }
  }
  out.push_back(
      {"ctx_link_gap", "us",
       "since the end of the flow before, of the same initiator to the same port of the same responder; "
       "60 s if there was none in 60 s"});
  out.push_back(
      {"ctx_link_gap_change", "us", "how much that differs from the gap before it; 60 s if there was none"});
  return out;
}

}  // namespace

std::span<const ContextInfo> context_features() {
  static const std::vector<Names> kNames = make_names();
  static const std::vector<ContextInfo> kInfo = [] {
    std::vector<ContextInfo> out;
    for (const Names& names : kNames) out.push_back({names.key, names.unit, names.meaning});
    return out;
  }();
  return kInfo;
}

}  // namespace nidus::flow
