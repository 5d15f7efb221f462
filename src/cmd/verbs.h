#pragma once

#include <span>
#include <string>
#include <string_view>

namespace nidus::cmd {

// One thing that a person can ask for: `nidus NAME …`.
struct Verb {
  std::string_view name;
  std::string_view summary;  // one line for `nidus help`
  std::string_view program;  // that does it: nidus, nidus-learn or nidus-serve
};

// All of them, in the order in which `nidus help` lists them.
std::span<const Verb> verbs();

// What each does, in its program. `words` are those of the command line behind the verb; the answer is an
// ExitStatus.
int run_detect(std::span<const std::string> words);
int run_flows(std::span<const std::string> words);
int run_drift(std::span<const std::string> words);
int run_import(std::span<const std::string> words);
int run_export(std::span<const std::string> words);
int run_inspect(std::span<const std::string> words);
int run_help(std::span<const std::string> words);
int run_version(std::span<const std::string> words);
// nidus-learn:
int run_train(std::span<const std::string> words);
int run_evaluate(std::span<const std::string> words);
int run_explain(std::span<const std::string> words);
int run_calibrate(std::span<const std::string> words);
// nidus-serve:
int run_serve(std::span<const std::string> words);
int run_alerts(std::span<const std::string> words);
int run_keys(std::span<const std::string> words);

}  // namespace nidus::cmd
