#include "cmd/program.h"
#include "cmd/verbs.h"

int main(int argc, char** argv) {
  using namespace nidus::cmd;
  constexpr OwnVerb kOwn[] = {
      {"detect", run_detect}, {"flows", run_flows},   {"drift", run_drift},
      {"import", run_import}, {"export", run_export}, {"inspect", run_inspect},
  };
  return run_program(argc, argv, kOwn);
}
