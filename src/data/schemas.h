#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nidus::data {

// What a column of a labelled table is for.
enum class Role : std::uint8_t {
  feature,
  label,    // the class, or another spelling of it: "label", "attack_cat"
  address,  // of a host, or a pair of them
  port,     // that the sender happened to choose
  time,     // when it was
  id,       // which flow it was, or which row of which file
  outcome,  // known only to whoever made the table: how hard the row is, whether an attack was attempted
};
std::string_view name(Role role);

// Whether a model that learns from such a column learns who and when, not what. The label as well.
inline bool is_identity(Role role) { return role != Role::feature; }

// By the names that public data sets, flow meters and logs have for it, in any case; `feature` if it is none
// of them. A destination port is a feature: it says which service.
Role role_of(std::string_view column);

// A public data set, told by the names of its columns.
struct DatasetSchema {
  std::string_view key;     // "nsl-kdd"
  std::string_view title;   // for a person
  std::string_view label;   // the column with the finest classes
  std::string_view binary;  // another that says attack or not; may be empty
  std::string_view time;    // may be empty
  std::string_view source;  // the column with the address of the initiator; may be empty
  // Names what a row is that `label` calls bad, and of benign rows something else: whole_labels(). May be
  // empty.
  std::string_view detail = {};
};

// Nothing if the names are those of no set that we know.
const DatasetSchema* recognise(std::span<const std::string> columns);

// The names for a table without a header, by its first row: NSL-KDD and KDD'99 (41 features, the label and in
// NSL-KDD the difficulty) and the four raw files of UNSW-NB15 (49 columns). Empty if it is none of them.
std::vector<std::string> names_of_headerless(std::span<const std::string> first_row);

// NSL-KDD's 43 columns: 41 features, "label", "difficulty".
const std::vector<std::string>& nsl_kdd_names();

}  // namespace nidus::data
