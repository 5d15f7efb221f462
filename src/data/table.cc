#include "data/table.h"

#include <array>
#include <cstring>
#include <random>
#include <unordered_set>
#include <utility>

#include "base/check.h"
#include "base/number.h"
#include "base/text.h"

namespace nidus::data {

Column Column::numeric(std::string name, Numbers numbers) {
  Column column;
  column.name = std::move(name);
  column.numbers = std::move(numbers);
  return column;
}

Column Column::text(std::string name, std::span<const std::string> cells) {
  Column column;
  column.name = std::move(name);
  column.kind = Kind::text;
  column.codes.reserve(cells.size());
  Dictionary dictionary;
  for (const auto& cell : cells) column.codes.push_back(dictionary.code(cell, column.vocabulary));
  return column;
}

bool Column::missing(std::size_t row) const {
  return kind == Kind::numeric ? numbers[row] != numbers[row] : codes[row] == kMissing;
}

std::string_view Column::text_at(std::size_t row) const {
  return codes[row] == kMissing ? std::string_view() : std::string_view(vocabulary[codes[row]]);
}

std::string Column::cell(std::size_t row) const {
  std::string out;
  if (kind == Kind::text) {
    out = text_at(row);
  } else if (!missing(row)) {
    append_number(out, numbers[row]);
  }
  return out;
}

std::optional<std::size_t> Table::find(std::string_view name) const {
  name = trim(name);
  std::optional<std::size_t> similar;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (columns_[i].name == name) return i;
    if (!similar && equal_ignoring_case(columns_[i].name, name)) similar = i;
  }
  return similar;
}

const Column* Table::get(std::string_view name) const {
  const auto index = find(name);
  return index ? &columns_[*index] : nullptr;
}

Result<const Column*> Table::require(std::string_view name) const {
  if (const Column* column = get(name)) return column;
  std::vector<std::string> names;
  for (const auto& column : columns_) names.push_back(column.name);
  return Error{Errc::not_found, "no column '" + std::string(trim(name)) + "'" + did_you_mean(name, names)};
}

void Table::add(Column column) {
  std::vector<Column> one;
  one.push_back(std::move(column));
  add_all(std::move(one));
}

void Table::add_all(std::vector<Column> columns) {
  std::unordered_set<std::string> taken;
  for (const auto& column : columns_) taken.insert(column.name);
  for (auto& column : columns) {
    CHECK(columns_.empty() || column.size() == rows());
    const std::string plain(trim(column.name));
    column.name = plain;
    for (int n = 1; !taken.insert(column.name).second; ++n) column.name = plain + "." + std::to_string(n);
    columns_.push_back(std::move(column));
  }
}

Result<void> Table::append(const Table& other) {
  if (columns_.empty()) {
    *this = other;
    return {};
  }
  std::vector<std::size_t> source(columns_.size());
  std::vector<bool> used(other.columns(), false);
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const auto found = other.find(columns_[i].name);
    if (!found) return Error{Errc::invalid, "the added rows have no column '" + columns_[i].name + "'"};
    if (other.column(*found).kind != columns_[i].kind) {
      const bool numeric = columns_[i].kind == Kind::numeric;
      return Error{Errc::invalid, "column '" + columns_[i].name + "' holds " +
                                      (numeric ? "numbers" : "text") + ", in the added rows " +
                                      (numeric ? "text" : "numbers")};
    }
    source[i] = *found;
    used[*found] = true;
  }
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (!used[i])
      return Error{Errc::invalid, "the added rows have a further column '" + other.column(i).name + "'"};
  }
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const Column& from = other.column(source[i]);
    Column& to = columns_[i];
    to.numbers.insert(to.numbers.end(), from.numbers.begin(), from.numbers.end());
    if (from.kind == Kind::numeric) continue;
    Dictionary dictionary;
    std::vector<std::string> merged;
    merged.reserve(to.vocabulary.size());
    for (const auto& text : to.vocabulary) dictionary.code(text, merged);
    std::vector<std::uint32_t> renamed;
    renamed.reserve(from.vocabulary.size());
    for (const auto& text : from.vocabulary) renamed.push_back(dictionary.code(text, merged));
    to.vocabulary = std::move(merged);
    to.codes.reserve(to.codes.size() + from.codes.size());
    for (const auto code : from.codes) to.codes.push_back(code == kMissing ? kMissing : renamed[code]);
  }
  return {};
}

Table Table::select(std::span<const std::size_t> columns) const {
  Table out;
  for (const auto index : columns) {
    CHECK(index < columns_.size());
    out.add(columns_[index]);
  }
  return out;
}

Table Table::take(std::span<const std::size_t> rows_wanted) const {
  const std::size_t size = rows();
  for (const auto row : rows_wanted) CHECK(row < size);
  Table out;
  out.columns_.reserve(columns_.size());
  for (const auto& column : columns_) {
    Column taken;
    taken.name = column.name;
    taken.kind = column.kind;
    taken.vocabulary = column.vocabulary;
    if (column.kind == Kind::numeric) {
      taken.numbers.reserve(rows_wanted.size());
      for (const auto row : rows_wanted) taken.numbers.push_back(column.numbers[row]);
    } else {
      taken.codes.reserve(rows_wanted.size());
      for (const auto row : rows_wanted) taken.codes.push_back(column.codes[row]);
    }
    out.columns_.push_back(std::move(taken));
  }
  return out;
}

namespace {

std::uint64_t random_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

// Eight bytes a step, multiplied to twice the width and folded (the idea is that of wyhash by Wang Yi).
std::uint32_t hash_of(std::string_view text) {
  __extension__ using uint128 = unsigned __int128;
  static const std::uint64_t seed = random_seed();
  const auto fold = [](std::uint64_t a, std::uint64_t b) {
    const uint128 product = static_cast<uint128>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  };
  constexpr std::uint64_t kOdd = 0x9e3779b97f4a7c15u;
  std::uint64_t hash = seed ^ text.size();
  const char* at = text.data();
  std::size_t left = text.size();
  std::uint64_t word = 0;
  for (; left > 8; at += 8, left -= 8) {
    std::memcpy(&word, at, 8);
    hash = fold(hash ^ word, seed | kOdd) + kOdd;
  }
  word = 0;
  std::memcpy(&word, at, left);
  hash = fold(hash ^ word, (seed ^ kOdd) | 1);
  return static_cast<std::uint32_t>(hash ^ (hash >> 32));
}

}  // namespace

Dictionary::Slot& Dictionary::find(std::string_view text, std::uint32_t hash,
                                   const std::vector<std::string>& vocabulary) {
  if ((hashes_.size() + 1) * 2 > slots_.size()) grow();
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = hash & mask;
  while (slots_[at].code != kMissing) {
    if (slots_[at].hash == hash && vocabulary[slots_[at].code] == text) break;
    at = (at + 1) & mask;
  }
  return slots_[at];
}

template <class Text>
std::uint32_t Dictionary::code_of(Text&& text, std::uint32_t hash, std::vector<std::string>& vocabulary) {
  Slot& slot = find(text, hash, vocabulary);
  if (slot.code != kMissing) return slot.code;
  slot = {static_cast<std::uint32_t>(vocabulary.size()), hash};
  CHECK(slot.code != kMissing);
  vocabulary.emplace_back(std::forward<Text>(text));
  hashes_.push_back(hash);
  return slot.code;
}

std::uint32_t Dictionary::code(std::string_view text, std::vector<std::string>& vocabulary) {
  if (text.empty()) return kMissing;
  return code_of(text, hash_of(text), vocabulary);
}

void Dictionary::code_all(std::span<const std::string_view> texts, std::vector<std::string>& vocabulary,
                          std::span<std::uint32_t> codes) {
  std::array<std::uint32_t, 64> hashes;
  CHECK(texts.size() <= hashes.size() && texts.size() <= codes.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].empty()) continue;
    hashes[i] = hash_of(texts[i]);
    prefetch(hashes[i]);
  }
  for (std::size_t i = 0; i < texts.size(); ++i) {
    codes[i] = texts[i].empty() ? kMissing : code_of(texts[i], hashes[i], vocabulary);
  }
}

std::vector<std::uint32_t> Dictionary::take_all(const Dictionary& other, std::vector<std::string>& texts,
                                                std::vector<std::string>& vocabulary) {
  // Where a column has a text of its own in every row, the slots lie far apart and none is in a cache: they
  // are asked for some texts ahead.
  constexpr std::size_t kAhead = 12;
  std::vector<std::uint32_t> codes(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (i + kAhead < texts.size()) prefetch(other.hashes_[i + kAhead]);
    codes[i] = code_of(std::move(texts[i]), other.hashes_[i], vocabulary);
  }
  return codes;
}

void Dictionary::clear() {
  if (hashes_.size() > slots_.size() / 16) {
    slots_.assign(slots_.size(), Slot());
  } else {
    // Few of many slots are taken: they are found again faster than all are emptied.
    const std::size_t mask = slots_.size() - 1;
    for (const std::uint32_t hash : hashes_) {
      for (std::size_t at = hash & mask; slots_[at].code != kMissing; at = (at + 1) & mask)
        slots_[at].code = kMissing;
    }
  }
  hashes_.clear();
}

void Dictionary::grow() {
  std::vector<Slot> before(slots_.empty() ? 16 : slots_.size() * 2);
  before.swap(slots_);
  const std::size_t mask = slots_.size() - 1;
  for (const Slot& slot : before) {
    if (slot.code == kMissing) continue;
    std::size_t at = slot.hash & mask;
    while (slots_[at].code != kMissing) at = (at + 1) & mask;
    slots_[at] = slot;
  }
}

}  // namespace nidus::data
