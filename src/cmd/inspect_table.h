#pragma once

#include <string>

namespace nidus::cmd {

// Appends what is in a table - format, data set, columns, labels, what is wrong with it - as lines for a
// person or as fields of a JSON object. Returns the exit status; what went wrong was said.
int inspect_table(const std::string& path, bool as_json, std::string& out);

}  // namespace nidus::cmd
