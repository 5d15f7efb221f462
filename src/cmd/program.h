#pragma once

#include <span>
#include <string>
#include <string_view>

namespace nidus::cmd {

// A verb of the program that is running, and what it does (verbs.h).
struct OwnVerb {
  std::string_view name;
  int (*run)(std::span<const std::string> words);
};

// What main() of each of the programs does: runs the verb that the command line names and answers its
// ExitStatus. A verb of another program is handed to that program, which lies in the same folder and takes
// this one's place, so it keeps the process number, the open files and the signals that are ignored.
int run_program(int argc, char** argv, std::span<const OwnVerb> own);

}  // namespace nidus::cmd
