#pragma once

#include <span>
#include <string>

namespace nidus::sandbox {

// The life of a sandboxed child, which `nidus` becomes when it is started as Sandbox starts it: locks itself
// up, reads a job from standard input, does it, writes what came out to standard output. The answer is the
// exit status; nobody but Sandbox has a use for it.
int run_child(std::span<const std::string> words);

// main() says so before anything else if it hands its words to run_child(), so that this program may be
// started as a child of itself: any other would do what it always does, a test start all its tests.
void offer_this_program();
bool is_this_program_offered();

// What a command line that is meant for run_child begins with.
inline constexpr const char* kChildVerb = "sandboxed";

// Exit status of a child that needed more memory than it may have.
inline constexpr int kChildOutOfMemory = 77;

}  // namespace nidus::sandbox
