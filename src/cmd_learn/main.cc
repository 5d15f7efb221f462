#include "cmd/program.h"
#include "cmd/verbs.h"

int main(int argc, char** argv) {
  using namespace nidus::cmd;
  constexpr OwnVerb kOwn[] = {
      {"train", run_train},
      {"evaluate", run_evaluate},
      {"explain", run_explain},
      {"calibrate", run_calibrate},
  };
  return run_program(argc, argv, kOwn);
}
