#include <csignal>
#include <exception>
#include <new>
#include <span>
#include <string>
#include <vector>

#include "base/text.h"
#include "cmd/exit_status.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"
#include "sandbox/child.h"

int main(int argc, char** argv) {
  using namespace nidus;
  // A closed pipe is a failed write, which Output knows, and not our death.
  std::signal(SIGPIPE, SIG_IGN);
  sandbox::offer_this_program();
  try {
    const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
    if (words.empty()) {
      cmd::run_help({});
      return cmd::kUsage;
    }
    if (words[0] == "--help" || words[0] == "-h") return cmd::run_help({});
    if (words[0] == "--version" || words[0] == "-V") return cmd::run_version({});
    // No verb for people: what the program becomes to read what strangers sent.
    if (words[0] == sandbox::kChildVerb) return sandbox::run_child(std::span(words).subspan(1));
    std::vector<std::string> names;
    for (const auto& verb : cmd::verbs()) {
      if (words[0] == verb.name) return verb.run(std::span(words).subspan(1));
      names.emplace_back(verb.name);
    }
    return cmd::complain_usage("", "no verb '" + words[0] + "'" + did_you_mean(words[0], names));
  } catch (const std::bad_alloc&) {
    return cmd::complain({Errc::exhausted, "out of memory"});
  } catch (const std::exception& exception) {
    return cmd::complain({Errc::io, exception.what()});
  }
}
