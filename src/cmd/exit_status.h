#pragma once

#include "base/result.h"

namespace nidus::cmd {

// What the program answers to whoever started it.
enum ExitStatus : int {
  kFine = 0,
  kFailed = 1,        // the system refused, or a limit was reached
  kUsage = 2,         // the command line makes no sense
  kBadInput = 3,      // a file is missing, broken or not what it should be
  kAlert = 10,        // detect --fail-on-alert found something
  kInterrupted = 130  // Ctrl-C, as shells report it; what was counted until then was printed
};

int exit_status(Errc code);

// The worse of two: the one that a caller must hear about first.
int worse(int a, int b);

}  // namespace nidus::cmd
