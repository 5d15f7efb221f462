#pragma once

#include <span>
#include <string>
#include <string_view>

namespace nidus::cmd {

// One thing the program does. `words` are those of the command line behind the verb; the answer is an
// ExitStatus.
struct Verb {
  std::string_view name;
  std::string_view summary;  // one line for `nidus help`
  int (*run)(std::span<const std::string> words);
};

// In the order in which `nidus help` lists them.
std::span<const Verb> verbs();

int run_detect(std::span<const std::string> words);
int run_flows(std::span<const std::string> words);
int run_train(std::span<const std::string> words);
int run_evaluate(std::span<const std::string> words);
int run_explain(std::span<const std::string> words);
int run_calibrate(std::span<const std::string> words);
int run_drift(std::span<const std::string> words);
int run_import(std::span<const std::string> words);
int run_export(std::span<const std::string> words);
int run_serve(std::span<const std::string> words);
int run_alerts(std::span<const std::string> words);
int run_keys(std::span<const std::string> words);
int run_inspect(std::span<const std::string> words);
int run_help(std::span<const std::string> words);
int run_version(std::span<const std::string> words);

}  // namespace nidus::cmd
