#include "data/inspection.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <unordered_map>
#include <utility>

#include "base/number.h"
#include "base/random.h"
#include "base/text.h"
#include "base/utf8.h"

namespace nidus::data {
namespace {

bool is_utf8(std::string_view text) {
  const char* const end = text.data() + text.size();
  for (const char* at = text.data(); at != end;) {
    const std::size_t length = utf8_length(at, end);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

std::uint64_t hash_of(double number) {
  return Random::mix(std::bit_cast<std::uint64_t>(number == 0 ? 0.0 : number) + 1);
}

std::uint64_t hash_of(std::string_view text) {
  // What is a number in one piece may stand among texts in another.
  if (const auto number = parse_number(text)) return *number != *number ? 0 : hash_of(*number);
  std::uint64_t hash = text.size() ^ 0x9e3779b97f4a7c15u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return Random::mix(hash);
}

// Hashes, each once: open addressing.
class SeenHashes {
 public:
  // Whether it is new.
  bool add(std::uint64_t hash) {
    if (hash == 0) hash = 1;
    if ((used_ + 1) * 2 > slots_.size()) grow();
    std::uint64_t& slot = place_of(hash);
    if (slot == hash) return false;
    slot = hash;
    ++used_;
    return true;
  }
  std::uint64_t size() const { return used_; }

 private:
  std::uint64_t& place_of(std::uint64_t hash) {
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = hash & mask;
    while (slots_[at] != 0 && slots_[at] != hash) at = (at + 1) & mask;
    return slots_[at];
  }

  void grow() {
    std::vector<std::uint64_t> before(slots_.empty() ? 1024 : slots_.size() * 2);
    before.swap(slots_);
    for (const auto hash : before) {
      if (hash != 0) place_of(hash) = hash;
    }
  }

  std::vector<std::uint64_t> slots_;
  std::uint64_t used_ = 0;
};

// Rows by what they hold. All of them are remembered, not only the first with some features: rows with the
// same features may come under two labels in turn.
class SeenRows {
 public:
  enum class Outcome : std::uint8_t { fresh, copy, contradiction, full };

  Outcome add(std::uint64_t features, std::uint64_t label) {
    if (wholes_.size() >= kCompareRowsMax) return Outcome::full;
    if (!wholes_.add(Random::mix(features + Random::mix(label)))) return Outcome::copy;
    return features_.add(features) ? Outcome::fresh : Outcome::contradiction;
  }

 private:
  SeenHashes wholes_, features_;
};

// A column over all pieces.
struct Seen {
  ColumnFacts facts;
  Dictionary dictionary;
  std::vector<std::string> different;
  std::uint64_t hash = 0;  // of all cells in order
  std::uint64_t first_infinite = 0, first_text = 0, negative = 0, first_negative = 0;
  std::string a_text;  // the first, where numbers stand too
  std::uint64_t not_utf8 = 0, first_not_utf8 = 0;
  std::map<std::string, std::uint64_t> labels;
  bool too_many_labels = false;
};

class Inspector {
 public:
  explicit Inspector(const TableReader& reader) : reader_(reader) {}

  void add(const Table& piece) {
    features_.assign(piece.rows(), 0);
    labels_.assign(piece.rows(), 0);
    for (std::size_t i = 0; i < piece.columns(); ++i) add(piece.column(i), column_of(piece.column(i).name));
    for (auto& seen : columns_) {
      const std::uint64_t there = seen.facts.numbers + seen.facts.texts + seen.facts.missing;
      seen.facts.missing += rows_ + piece.rows() - there;
    }
    rows_ += piece.rows();
    for (std::size_t row = 0; row < piece.rows(); ++row) {
      switch (seen_rows_.add(features_[row], labels_[row])) {
        case SeenRows::Outcome::fresh:
          break;
        case SeenRows::Outcome::copy:
          count(copies_, row);
          break;
        case SeenRows::Outcome::contradiction:
          count(contradictions_, row);
          break;
        case SeenRows::Outcome::full:
          ++not_compared_;
          break;
      }
    }
  }

  void finish(Inspection& out) {
    out.report = reader_.report();
    std::vector<std::string> names;
    for (const auto& seen : columns_) names.push_back(seen.facts.name);
    out.schema = recognise(names);
    constexpr const char* kKeys[kDefects] = {
        "wrong_cells",  "broken_quotes",  "broken_json",     "not_a_number",  "header_again",
        "other_events", "repeated_names", "unnamed_columns", "repeated_keys", "late_columns"};
    for (std::size_t i = 0; i < kDefects; ++i) {
      const DefectCount& defect = out.report.defects[i];
      if (defect.count == 0) continue;
      out.findings.push_back({kKeys[i], std::string(text_of(static_cast<Defect>(i), defect.count)),
                              defect.count, defect.line, defect.first});
    }
    find_in_columns(out);
    if (copies_.count != 0) {
      out.findings.push_back({"copies",
                              copies_.count == 1
                                  ? "row that differs from an earlier one only in who and when"
                                  : "rows that differ from an earlier one only in who and when",
                              copies_.count,
                              copies_.line,
                              {}});
    }
    if (contradictions_.count != 0) {
      out.findings.push_back({"contradictions",
                              contradictions_.count == 1 ? "row equal to an earlier one but for the label"
                                                         : "rows equal to an earlier one but for the label",
                              contradictions_.count,
                              contradictions_.line,
                              {}});
    }
    if (not_compared_ != 0) {
      out.findings.push_back({"not_compared",
                              not_compared_ == 1 ? "row not compared with others: too many"
                                                 : "rows not compared with others: too many",
                              not_compared_,
                              0,
                              {}});
    }
    for (auto& seen : columns_) {
      ColumnFacts& facts = seen.facts;
      facts.different = seen.different.size();
      facts.kind = facts.texts > 0 ? Kind::text : Kind::numeric;
      facts.constant = facts.missing == 0 && facts.infinite == 0 &&
                       (facts.texts == 0 ? facts.numbers > 0 && facts.smallest == facts.largest
                                         : facts.numbers == 0 && facts.different == 1);
      if (facts.role == Role::label && !seen.too_many_labels) out.labels[facts.name] = seen.labels;
      out.columns.push_back(facts);
    }
  }

 private:
  struct Count {
    std::uint64_t count = 0, line = 0;
  };
  void count(Count& to, std::size_t row) {
    if (to.count++ == 0) to.line = reader_.line(row);
  }

  Seen& column_of(const std::string& name) {
    const auto [found, added] = index_.try_emplace(name, columns_.size());
    if (added) {
      Seen& seen = columns_.emplace_back();
      seen.facts.name = name;
      seen.facts.role = role_of(name);
      seen.facts.missing = rows_;
    }
    return columns_[found->second];
  }

  void add(const Column& column, Seen& to) {
    const std::uint64_t salt = Random::mix(static_cast<std::uint64_t>(&to - columns_.data()) + 1);
    const bool feature = to.facts.role == Role::feature, label = to.facts.role == Role::label;
    std::vector<std::uint64_t> hashes;  // of a text column, by code
    std::vector<std::uint8_t> numbers;  // which texts are numbers
    std::vector<std::uint64_t> counts(column.vocabulary.size());
    for (const auto& text : column.vocabulary) {
      const auto number = parse_number(text);
      hashes.push_back(hash_of(text));
      numbers.push_back(number ? 1 : 0);
      if (number) note_number(*number, to);
      if (!number && to.different.size() < kDifferentMax) to.dictionary.code(text, to.different);
    }
    for (std::size_t row = 0; row < column.size(); ++row) {
      std::uint64_t hash = 0;
      if (column.missing(row)) {
        ++to.facts.missing;
      } else if (column.kind == Kind::numeric) {
        const double number = column.numbers[row];
        hash = hash_of(number);
        note_number(number, to);
        ++to.facts.numbers;
        if (std::isinf(number) && to.facts.infinite++ == 0) to.first_infinite = reader_.line(row);
        if (number < 0 && to.negative++ == 0) to.first_negative = reader_.line(row);
      } else {
        const std::uint32_t code = column.codes[row];
        hash = hashes[code];
        ++counts[code];
        ++(numbers[code] != 0 ? to.facts.numbers : to.facts.texts);
        if (numbers[code] == 0 && to.first_text == 0) {
          to.first_text = reader_.line(row);
          to.a_text = column.vocabulary[code];
        }
        if (to.not_utf8 == 0 && counts[code] == 1 && !is_utf8(column.vocabulary[code])) {
          to.first_not_utf8 = reader_.line(row);
        }
      }
      to.hash = Random::mix(to.hash + hash);
      if (feature) features_[row] += Random::mix(hash ^ salt);
      if (label) labels_[row] += Random::mix(hash ^ salt);
      if (label && column.kind == Kind::numeric) note_label(column.cell(row), 1, to);
    }
    for (std::size_t code = 0; code < counts.size(); ++code) {
      if (!is_utf8(column.vocabulary[code])) to.not_utf8 += counts[code];
      if (label) note_label(column.vocabulary[code], counts[code], to);
    }
    if (label && column.kind == Kind::text) {
      std::uint64_t known = 0;
      for (const auto one : counts) known += one;
      if (known < column.size()) note_label("", column.size() - known, to);
    }
  }

  static void note_number(double number, Seen& to) {
    if (!std::isfinite(number)) return;
    to.facts.smallest = std::min(to.facts.smallest, number);
    to.facts.largest = std::max(to.facts.largest, number);
  }

  static void note_label(const std::string& label, std::uint64_t rows, Seen& to) {
    if (to.too_many_labels || rows == 0) return;
    to.labels[label] += rows;
    if (to.labels.size() > kLabelsMax) {
      to.too_many_labels = true;
      to.labels.clear();
    }
  }

  // Collects the columns with one thing wrong.
  struct Gathered {
    std::uint64_t count = 0, line = 0;
    std::vector<std::string> columns;
    void add(const std::string& column, std::uint64_t how_many, std::uint64_t first) {
      count += how_many;
      if (first != 0 && (line == 0 || first < line)) line = first;
      columns.push_back(column);
    }
    void report(const char* key, const char* one, const char* many, Inspection& out) const {
      if (columns.empty()) return;
      std::string where;
      for (std::size_t i = 0; i < std::min<std::size_t>(columns.size(), 12); ++i) {
        where += (where.empty() ? "" : ", ") + columns[i];
      }
      if (columns.size() > 12) where += ", and " + std::to_string(columns.size() - 12) + " more";
      out.findings.push_back({key, count == 1 ? one : many, count, line, std::move(where)});
    }
  };

  void find_in_columns(Inspection& out) const {
    Gathered infinite, missing, mixed, nothing, constant, repeated, bytes, wrapped, unlabelled, spelled;
    std::map<std::uint64_t, const Seen*> by_hash;
    for (const auto& seen : columns_) {
      const ColumnFacts& facts = seen.facts;
      const std::uint64_t cells = facts.numbers + facts.texts;
      if (facts.infinite != 0) infinite.add(facts.name, facts.infinite, seen.first_infinite);
      if (cells == 0) {
        if (rows_ > 0) nothing.add(facts.name, 1, 0);
        continue;
      }
      if (facts.missing != 0)
        (facts.role == Role::label ? unlabelled : missing).add(facts.name, facts.missing, 0);
      // Names that are digits for the most part are no mistake: only a few texts among many numbers are.
      if (facts.texts != 0 && facts.texts * 10 < facts.numbers) {
        mixed.add(facts.name + " ('" + seen.a_text.substr(0, 20) + "')", facts.texts, seen.first_text);
      }
      const bool one_value = facts.texts == 0 ? facts.smallest == facts.largest && facts.infinite == 0
                                              : facts.numbers == 0 && seen.different.size() == 1;
      if (one_value && facts.missing == 0 && rows_ > 1 && facts.role == Role::feature) {
        constant.add(facts.name, 1, 0);
      } else if (const auto [other, fresh] = by_hash.try_emplace(seen.hash, &seen); !fresh) {
        repeated.add(facts.name + " = " + other->second->facts.name, 1, 0);
      }
      if (seen.not_utf8 != 0) bytes.add(facts.name, seen.not_utf8, seen.first_not_utf8);
      const std::string name = to_lower(facts.name);
      if (seen.negative != 0 && (name.find("header len") != std::string::npos)) {
        wrapped.add(facts.name, seen.negative, seen.first_negative);
      }
      std::map<std::string, std::string> spellings;
      for (const auto& [label, rows] : seen.labels) {
        const auto [first, fresh] = spellings.try_emplace(to_lower(trim(label)), label);
        if (!fresh) spelled.add(facts.name + ": '" + first->second + "' and '" + label + "'", rows, 0);
      }
    }
    infinite.report("infinite_values", "infinite value", "infinite values", out);
    missing.report("missing_values", "missing value", "missing values", out);
    mixed.report("text_among_numbers", "text where nearly all cells are numbers",
                 "texts where nearly all cells are numbers", out);
    wrapped.report("negative_lengths", "negative header length: wrapped at 16 bits",
                   "negative header lengths: wrapped at 16 bits", out);
    bytes.report("not_utf8", "text that is not UTF-8", "texts that are not UTF-8", out);
    nothing.report("empty_columns", "column without any value", "columns without any value", out);
    constant.report("constant_columns", "column with one value only", "columns with one value only", out);
    repeated.report("repeated_columns", "column that repeats another cell by cell",
                    "columns that repeat another cell by cell", out);
    unlabelled.report("unlabelled", "row without a label", "rows without a label", out);
    spelled.report("label_spellings", "label spelled in more than one way",
                   "labels spelled in more than one way", out);
  }

  const TableReader& reader_;
  std::vector<Seen> columns_;
  std::unordered_map<std::string, std::size_t> index_;
  std::vector<std::uint64_t> features_, labels_;
  SeenRows seen_rows_;
  Count copies_, contradictions_;
  std::uint64_t rows_ = 0, not_compared_ = 0;
};

}  // namespace

Result<Inspection> inspect_table(const std::filesystem::path& path, const TableOptions& options,
                                 const std::function<bool(const Table&, const TableReport&)>& each) {
  auto reader = TableReader::open(path, options);
  if (!reader) return std::move(reader).error();
  reader->read_as_found();
  Inspector inspector(*reader);
  for (;;) {
    const auto piece = reader->next();
    if (!piece) return piece.error();
    inspector.add(*piece);
    if (each && !each(*piece, reader->report())) break;
    if (piece->rows() == 0) break;
  }
  if (reader->report().rows == 0 && reader->report().bad_rows() > 0) {
    return Error{Errc::corrupt, "no row could be read: " + reader->report().first_bad_row()};
  }
  Inspection out;
  inspector.finish(out);
  return out;
}

}  // namespace nidus::data
