#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nidus::cmd {

// The command line of one verb. Declares what there may be and where it goes, then reads it; whoever mistypes
// a name is told which one was probably meant. The variables must outlive the object.
class Arguments {
 public:
  Arguments(std::string verb, std::string summary);
  ~Arguments();

  // Words without a dash in front; `most` = 0 is any number.
  void inputs(std::vector<std::string>& into, std::string name, std::string help, std::size_t least = 1,
              std::size_t most = 0);

  void flag(const std::string& name, bool& into, const std::string& help);
  void option(const std::string& name, std::string& into, const std::string& help,
              std::vector<std::string> choices = {});
  void option(const std::string& name, std::vector<std::string>& into, const std::string& help);  // a,b,c
  void option(const std::string& name, std::uint64_t& into, const std::string& help,
              std::uint64_t most = UINT64_MAX);
  void option(const std::string& name, double& into, const std::string& help, double least, double most);
  void option(const std::string& name, std::optional<double>& into, const std::string& help, double least,
              double most);

  // Text below the options of --help.
  void footer(std::string text);

  // Nothing: go on. Otherwise the status to exit with: --help was printed, or what is wrong was said.
  std::optional<int> read(std::span<const std::string> words);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nidus::cmd
