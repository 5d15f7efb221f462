#include "cmd/exit_status.h"

#include <algorithm>

namespace nidus::cmd {

int exit_status(Errc code) {
  switch (code) {
    case Errc::invalid:
      return kUsage;
    case Errc::not_found:
    case Errc::unsupported:
    case Errc::corrupt:
      return kBadInput;
    case Errc::io:
    case Errc::exhausted:
      return kFailed;
  }
  return kFailed;
}

int worse(int a, int b) {
  // An alert is good news about the run; anything that went wrong with it comes first.
  const auto rank = [](int status) { return status == kAlert ? 1 : status == kFine ? 0 : 2; };
  return rank(b) > rank(a) ? b : a;
}

}  // namespace nidus::cmd
