#include "cmd/program.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <filesystem>
#include <new>
#include <vector>

#include "base/text.h"
#include "cmd/exit_status.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"

namespace nidus::cmd {
namespace {

// Comes back only if the program could not be started.
int become(std::string_view program, std::vector<std::string> words) {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::string path = error ? std::string(program) : (self.parent_path() / program).string();
  words.insert(words.begin(), std::string(program));
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execv(path.c_str(), arguments.data());
  if (errno == ENOENT) {
    return complain(
        {Errc::io, fmt::format("'nidus {}' is done by {}, which is not in {}: build or install it as well",
                               words[1], program, self.parent_path().string())});
  }
  return complain({Errc::io, fmt::format("cannot start {}: {}", path, std::strerror(errno))});
}

const Verb* find_verb(std::string_view name) {
  const auto all = verbs();
  const auto at = std::ranges::find(all, name, &Verb::name);
  return at == all.end() ? nullptr : &*at;
}

int run(std::vector<std::string> words, std::span<const OwnVerb> own) {
  if (words.empty()) {
    run_help({});
    return kUsage;
  }
  if (words[0] == "--help" || words[0] == "-h") words[0] = "help";
  if (words[0] == "--version" || words[0] == "-V") words[0] = "version";
  // help detect: what detect --help says.
  if (words[0] == "help" && words.size() > 1 && words[1] != "help" && words[1] != "version" &&
      find_verb(words[1]))
    words = {words[1], "--help"};

  const auto behind = std::span<const std::string>(words).subspan(1);
  if (words[0] == "help") return run_help(behind);
  if (words[0] == "version") return run_version(behind);
  for (const OwnVerb& verb : own) {
    if (words[0] == verb.name) return verb.run(behind);
  }
  if (const Verb* verb = find_verb(words[0])) return become(verb->program, std::move(words));

  std::vector<std::string> names;
  for (const Verb& verb : verbs()) names.emplace_back(verb.name);
  return complain_usage("", fmt::format("no verb '{}'{}", words[0], did_you_mean(words[0], names)));
}

}  // namespace

int run_program(int argc, char** argv, std::span<const OwnVerb> own) {
  // A closed pipe is a failed write, which Output knows, and not our death.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return run({argv + (argc > 0 ? 1 : 0), argv + argc}, own);
  } catch (const std::bad_alloc&) {
    return complain({Errc::exhausted, "out of memory"});
  } catch (const std::exception& exception) {
    return complain({Errc::io, exception.what()});
  }
}

}  // namespace nidus::cmd
