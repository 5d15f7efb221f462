#include <csignal>
#include <span>
#include <string>
#include <vector>

#include "cmd/program.h"
#include "cmd/verbs.h"
#include "sandbox/child.h"

int main(int argc, char** argv) {
  using namespace nidus;
  using namespace nidus::cmd;
  sandbox::offer_this_program();
  // No verb for people: what the program becomes to read what strangers sent.
  if (argc > 1 && argv[1] == std::string(sandbox::kChildVerb)) {
    std::signal(SIGPIPE, SIG_IGN);
    return sandbox::run_child(std::vector<std::string>(argv + 2, argv + argc));
  }
  constexpr OwnVerb kOwn[] = {{"serve", run_serve}, {"alerts", run_alerts}, {"keys", run_keys}};
  return run_program(argc, argv, kOwn);
}
