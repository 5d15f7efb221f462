#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/schema.h"

namespace nidus {
class JsonWriter;
}

// A guard against figures that are too good: what the rows give away that a network would not. It looks and
// warns; it never changes a row.
namespace nidus::learn {

enum class LeakKind : std::uint8_t {
  address,  // by its name, the column says who took part
  port,     // a port: of the sender it is chance, of the receiver often the attack's script
  id,       // a number of the row, or what the authors of the data concluded
  time,     // when it happened; attacks of a data set were made at certain hours
  verdict,  // what another detector said
  ttl,      // hops to live: in a testbed they tell the attackers' machines from the others
  alone,    // the column by itself tells attack from benign
  copies,   // rows evaluated that equal rows learnt from
  shift,    // the column means something else here than where the detector learnt
};
std::string_view name(LeakKind kind);

struct Leak {
  LeakKind kind = LeakKind::id;
  std::string column;  // empty for copies, and where one message is about several columns
  double value = 0;    // alone: the ROC AUC; copies: the share of rows; shift: see `message`
  std::string message;
};

// What the name of a column gives away, whatever the data set's spelling: "Src IP", "id.orig_h",
// "L4_DST_PORT", "stime", "MIN_TTL". Counts over addresses or ports ("ct_src_dport_ltm", "dst_host_count")
// are features.
std::optional<LeakKind> leak_by_name(std::string_view column);

// The ROC AUC of the best that can be made of one column: of its values, in either direction, or of the share
// of attacks in each of its categories or of at most 64 ranges, learnt on one half of the rows and measured
// on the other. Missing values are a value of their own. At most `rows_max` rows are looked at, chosen by a
// fixed seed. None with fewer than 20 rows of either side among them.
std::optional<double> alone_auc(const model::Schema& schema, std::size_t column,
                                std::span<const float> values, std::span<const std::uint32_t> labels,
                                std::size_t rows_max = 100'000);

// Rows with the same values in all columns; missing equals missing. Rows are told apart by 64-bit hashes.
// Beyond `hashes_max` rows only those of a half, a quarter, … of all possible rows are looked at, chosen by
// the hash, and the shares are estimates.
struct Copies {
  std::uint64_t looked_at = 0;     // rows, of all there are
  std::uint64_t copies = 0;        // of them, equal to one before
  std::uint64_t contradicted = 0;  // of them, rows that equal one of another class
  // The accuracy of whoever knew for each set of equal rows its most frequent class: no model of these
  // columns does better on these rows.
  double accuracy_ceiling = 1;
  bool estimated = false;
};
inline constexpr std::size_t kHashesMax = std::size_t{1} << 23;  // 16 bytes each
Copies count_copies(std::size_t inputs, std::span<const float> values, std::span<const std::uint32_t> labels,
                    std::size_t hashes_max = kHashesMax);

// How many rows evaluated equal one of those learnt from.
struct Overlap {
  std::uint64_t looked_at = 0, seen = 0;
  bool estimated = false;
};
Overlap count_overlap(std::size_t inputs, std::span<const float> learnt, std::span<const float> evaluated,
                      std::size_t hashes_max = kHashesMax);

// What to search. Rows are row-major in the columns of the schema; label 0 is benign.
struct LeakSearch {
  const model::Schema& schema;
  std::span<const float> values;  // the rows that figures are made of
  std::span<const std::uint32_t> labels;
  // The rows learnt from, where they are at hand.
  std::span<const float> learnt_values = {};
  std::span<const std::uint32_t> learnt_labels = {};
  // Quantiles of each column over the benign rows learnt from, as a detector keeps them: see
  // detect::Manifest.
  std::span<const double> reference_levels = {};
  std::span<const std::vector<double>> reference = {};
  // Of the same rows, the share without a value, column by column. Empty where it is not known: 0.
  std::span<const double> reference_missing = {};
  double alone_auc_least = 0.99;
};

struct LeakReport {
  std::vector<Leak> leaks;  // those of names first, then by kind; within a kind in the order of the columns
  Copies copies;            // among the rows that figures are made of
  std::optional<Overlap> overlap;

  // A sentence or two about copies, and a line for each leak; each line ends with a line feed.
  std::string to_text() const;
  void to_json(JsonWriter& json) const;
};

LeakReport find_leaks(const LeakSearch& search);

}  // namespace nidus::learn
