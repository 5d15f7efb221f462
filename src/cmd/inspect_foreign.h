#pragma once

#include <string>
#include <utility>
#include <vector>

namespace nidus::cmd {

// What is known of model files of another program, or of a folder of such: name and value, in order. The
// answer is an ExitStatus; what is wrong was said.
int inspect_foreign(const std::string& path, std::vector<std::pair<std::string, std::string>>& facts);

}  // namespace nidus::cmd
