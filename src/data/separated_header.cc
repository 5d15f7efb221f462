#include <algorithm>
#include <unordered_set>
#include <utility>

#include "base/number.h"
#include "base/text.h"
#include "data/internal/separated_text.h"
#include "data/schemas.h"

namespace nidus::data::internal {
namespace {

struct FirstRecord {
  std::vector<std::string> cells;
  std::string_view raw;   // without its line end
  std::size_t bytes = 0;  // up to behind its line end, with the empty lines before
  std::uint32_t line = 0, lines = 0;
  bool found = false, broken = false;
};

// The first record that is not an empty line. The text holds whole records.
FirstRecord first_record(std::string_view text, const SeparatedSyntax& syntax) {
  FirstRecord record;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t line_end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, line_end - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) break;
    at = std::min(line_end + 1, text.size());
    ++record.line;
  }
  record.lines = record.line;
  record.bytes = at;
  if (at == text.size()) return record;
  record.found = true;
  const std::size_t from = at;
  for (bool more = true; more;) {
    std::string cell;
    if (syntax.quotes && at < text.size() && text[at] == '"') {
      for (++at;;) {
        const auto quote = text.find('"', at);
        if (quote == std::string_view::npos) {
          record.broken = true;
          return record;
        }
        cell += text.substr(at, quote - at);
        at = quote + 1;
        if (at >= text.size() || text[at] != '"') break;
        cell += '"';
        ++at;
      }
      const auto behind = text.substr(at, text.find_first_of(std::string{syntax.separator, '\n'}, at) - at);
      record.broken = record.broken || behind.find_first_not_of(" \r") != std::string_view::npos;
      at += behind.size();
    } else {
      const auto end = std::min(text.find_first_of(std::string{syntax.separator, '\n'}, at), text.size());
      cell = text.substr(at, end - at);
      at = end;
      if ((at == text.size() || text[at] == '\n') && cell.ends_with('\r')) cell.pop_back();
    }
    record.cells.push_back(std::move(cell));
    more = at < text.size() && text[at] != '\n';
    ++at;
  }
  record.bytes = std::min(at, text.size());
  record.raw = text.substr(from, at - 1 - from);
  record.lines += 1 + static_cast<std::uint32_t>(std::count(record.raw.begin(), record.raw.end(), '\n'));
  if (record.raw.ends_with('\r')) record.raw.remove_suffix(1);
  return record;
}

Error too_many(const std::string& place, std::size_t most) {
  return {Errc::exhausted, place + ": more than " + with_thousands(most) + " cells in a row"};
}

// "\x09" and other single characters as Zeek names them; 0 if it is none.
char zeek_separator(std::string_view text) {
  text = trim(text);
  if (text.size() == 1) return text.front();
  if (text.size() != 4 || !text.starts_with("\\x")) return text.empty() ? '\t' : '\0';
  int value = 0;
  for (const char c : text.substr(2)) {
    const auto at = std::string_view("0123456789abcdef").find(c);
    if (at == std::string_view::npos) return '\0';
    value = value * 16 + static_cast<int>(at);
  }
  return static_cast<char>(value);
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> out;
  for (const auto word : split(text, ' ')) {
    if (!word.empty()) out.push_back(word);
  }
  return out;
}

}  // namespace

std::vector<std::string> tidy_names(const std::vector<std::string>& names, std::uint64_t line,
                                    Defects& defects) {
  std::vector<std::string> out;
  std::unordered_set<std::string> taken;
  for (const auto& name : names) {
    std::string plain(trim(name));
    if (plain.empty()) {
      defects.add(Defect::unnamed_column, line, "column " + std::to_string(out.size() + 1));
      plain = "unnamed";
    }
    std::string unique = plain;
    for (int n = 1; !taken.insert(unique).second; ++n) {
      if (n == 1) defects.add(Defect::repeated_name, line, plain);
      unique = plain;
      unique += '.';
      unique += std::to_string(n);
    }
    out.push_back(std::move(unique));
  }
  return out;
}

char likely_separator(std::string_view text) {
  std::size_t counts[4] = {};
  constexpr std::string_view kCandidates = ",\t;|";
  bool quoted = false, any = false;
  for (const char c : text.substr(0, 1u << 16)) {
    if (c == '"') quoted = !quoted;
    if (c == '\n' && !quoted && any) break;
    if (c != '\n' && c != '\r') any = true;
    const auto which = kCandidates.find(c);
    if (which != std::string_view::npos && !quoted) ++counts[which];
  }
  const auto* const most = std::max_element(std::begin(counts), std::end(counts));
  return *most == 0 ? ',' : kCandidates[static_cast<std::size_t>(most - std::begin(counts))];
}

Result<SeparatedHeader> read_separated_header(std::string_view text, const std::string& file,
                                              const TableOptions& options) {
  SeparatedHeader header;
  header.syntax.separator = options.separator == 0 ? likely_separator(text) : options.separator;
  header.syntax.line_bytes_max = options.line_bytes_max;
  const FirstRecord first = first_record(text, header.syntax);
  const std::string place = file + ":" + std::to_string(first.line + 1);
  if (!options.names.empty()) {
    header.names = tidy_names(options.names, 1, header.defects);
  } else if (!first.found) {
    return Error{Errc::corrupt, file + ": empty, expected a line with the names of the columns"};
  } else if (first.broken) {
    return Error{Errc::corrupt, place + ": broken quotes in the names of the columns"};
  } else if (first.cells.size() > options.columns_max) {
    return too_many(place, options.columns_max);
  } else if (auto known = names_of_headerless(first.cells); !known.empty()) {
    header.names = std::move(known);
    header.headerless = true;
  } else if (first.cells.size() > 1 &&
             std::all_of(first.cells.begin(), first.cells.end(),
                         [](const auto& cell) { return parse_number(cell).has_value(); })) {
    return Error{Errc::invalid, place + ": the first line holds numbers, expected the names of the columns"};
  } else {
    header.names = tidy_names(first.cells, first.line, header.defects);
    header.syntax.header = first.raw;
    header.bytes = first.bytes;
    header.lines = first.lines;
  }
  header.takings.assign(header.names.size(), Taking::found);
  return header;
}

Result<SeparatedHeader> read_zeek_header(std::string_view text, const std::string& file,
                                         const TableOptions& options) {
  SeparatedHeader header;
  header.syntax.zeek = true;
  header.syntax.quotes = false;
  header.syntax.separator = '\t';
  header.syntax.unset = "-";
  header.syntax.line_bytes_max = options.line_bytes_max;
  std::vector<std::string> names;
  std::vector<std::string_view> types;
  std::uint32_t fields_line = 0;
  while (text.substr(header.bytes).starts_with('#')) {
    const std::size_t line_end = std::min(text.find('\n', header.bytes), text.size());
    std::string_view line = text.substr(header.bytes, line_end - header.bytes);
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::string place = file + ":" + std::to_string(header.lines + 1);
    if (line.starts_with("#separator")) {
      header.syntax.separator = zeek_separator(line.substr(10));
      if (header.syntax.separator == '\0' || header.syntax.separator == '\n') {
        return Error{Errc::unsupported, place + ": a separator that is not one character"};
      }
    } else {
      auto cells = split(line, header.syntax.separator);
      const std::string_view what = cells.front();
      cells.erase(cells.begin());
      if (what == "#unset_field" && !cells.empty()) header.syntax.unset = cells.front();
      if (what == "#types") types = std::move(cells);
      if (what == "#fields") {
        header.syntax.fields = line;
        fields_line = header.lines;
        names.assign(cells.begin(), cells.end());
      }
    }
    header.bytes = std::min(line_end + 1, text.size());
    ++header.lines;
  }
  if (names.empty()) return Error{Errc::corrupt, file + ": a Zeek log without a line #fields"};
  if (const auto last = words(names.back()); last.size() > 1) {
    header.syntax.joined = last.size();
    std::vector<std::string> parts(last.begin(), last.end());
    names.pop_back();
    names.insert(names.end(), parts.begin(), parts.end());
    if (!types.empty()) {
      const auto last_types = words(types.back());
      types.pop_back();
      types.insert(types.end(), last_types.begin(), last_types.end());
    }
  }
  if (names.size() > options.columns_max) return too_many(file, options.columns_max);
  header.names = tidy_names(names, fields_line, header.defects);
  header.takings.assign(header.names.size(), Taking::found);
  if (types.size() == names.size()) {
    constexpr std::string_view kNumeric[] = {"time", "interval", "double", "count", "int", "port"};
    for (std::size_t i = 0; i < types.size(); ++i) {
      if (std::find(std::begin(kNumeric), std::end(kNumeric), types[i]) == std::end(kNumeric)) {
        header.takings[i] = Taking::text;
      }
    }
  }
  return header;
}

}  // namespace nidus::data::internal
