#include "data/internal/json_lines.h"
#include "base/utf8.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/text.h"
#include "data/internal/number_cell.h"

// Each line is walked twice: once to see that all of it is JSON, so that a broken line leaves nothing behind,
// and once to take its values, where nothing can fail any more.
namespace nidus::data::internal {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r'; }

const char* skip_space(const char* at, const char* end) {
  while (at != end && is_space(*at)) ++at;
  return at;
}

// Behind the closing quote of the string that begins at `at`, or null. Escapes are checked.
const char* skip_string(const char* at, const char* end) {
  for (++at; at != end;) {
    const auto c = static_cast<unsigned char>(*at++);
    if (c == '"') return at;
    if (c < 0x20) return nullptr;
    if (c != '\\') continue;
    if (at == end) return nullptr;
    const char escaped = *at++;
    if (escaped == 'u') {
      for (int i = 0; i < 4; ++i, ++at) {
        if (at == end || std::strchr("0123456789abcdefABCDEF", *at) == nullptr || *at == '\0') return nullptr;
      }
    } else if (escaped == '\0' || std::strchr("\"\\/bfnrt", escaped) == nullptr) {
      return nullptr;
    }
  }
  return nullptr;
}

bool is_token_end(char c) { return c == ',' || c == '}' || c == ']' || is_space(c); }

// Behind a number, true, false, null, NaN or Infinity, or null.
const char* skip_token(const char* at, const char* end) {
  const char* const begin = at;
  while (at != end && !is_token_end(*at)) ++at;
  const std::string_view token(begin, static_cast<std::size_t>(at - begin));
  if (token == "true" || token == "false" || token == "null") return at;
  double value = 0;
  const char first = token.empty() ? '\0' : token.front();
  const bool plausible =
      first == '-' || (first >= '0' && first <= '9') || token == "NaN" || token == "Infinity";
  return plausible && read_number(begin, at, value) ? at : nullptr;
}

const char* skip_value(const char* at, const char* end, int depth);

// From behind the bracket to behind the one that closes it, or null.
const char* skip_members(const char* at, const char* end, int depth, bool object) {
  const char closing = object ? '}' : ']';
  at = skip_space(at, end);
  if (at != end && *at == closing) return at + 1;
  for (;;) {
    if (object) {
      at = skip_space(at, end);
      if (at == end || *at != '"' || (at = skip_string(at, end)) == nullptr) return nullptr;
      at = skip_space(at, end);
      if (at == end || *at++ != ':') return nullptr;
    }
    at = skip_value(skip_space(at, end), end, depth);
    if (at == nullptr) return nullptr;
    at = skip_space(at, end);
    if (at == end) return nullptr;
    const char c = *at++;
    if (c == closing) return at;
    if (c != ',') return nullptr;
  }
}

const char* skip_value(const char* at, const char* end, int depth) {
  if (at == end) return nullptr;
  if (*at == '"') return skip_string(at, end);
  if (*at != '{' && *at != '[') return skip_token(at, end);
  if (depth == kJsonDepth) return nullptr;
  return skip_members(at + 1, end, depth + 1, *at == '{');
}

std::uint32_t hex4(const char* at) {
  std::uint32_t code = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = at[i];
    code = code * 16 + static_cast<std::uint32_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return code;
}

// What is between the quotes of a good string. Half of a surrogate pair becomes U+FFFD.
void append_unescaped(std::string& out, std::string_view inside) {
  for (std::size_t i = 0; i < inside.size(); ++i) {
    if (inside[i] != '\\') {
      out += inside[i];
      continue;
    }
    switch (const char c = inside[++i]) {
      case 'b':
        out += '\b';
        break;
      case 'f':
        out += '\f';
        break;
      case 'n':
        out += '\n';
        break;
      case 'r':
        out += '\r';
        break;
      case 't':
        out += '\t';
        break;
      case 'u': {
        std::uint32_t code = hex4(&inside[i + 1]);
        i += 4;
        if (code >= 0xd800 && code < 0xdc00 && inside.substr(i + 1).starts_with("\\u")) {
          const std::uint32_t low = hex4(&inside[i + 3]);
          if (low >= 0xdc00 && low < 0xe000) {
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            i += 6;
          }
        }
        append_utf8(out, code);
        break;
      }
      default:
        out += c;
    }
  }
}

// The text of a member of the outermost object, empty if there is none; the object is good.
std::string_view text_of_member(const char* at, const char* end, std::string_view key) {
  for (at = skip_space(at + 1, end); *at != '}';) {
    const char* const name = skip_space(at, end);
    const char* const behind = skip_string(name, end);
    const char* const value = skip_space(skip_space(behind, end) + 1, end);
    const char* const value_end = skip_value(value, end, 1);
    if (std::string_view(name + 1, static_cast<std::size_t>(behind - name - 2)) == key) {
      if (*value != '"') return {};
      return {value + 1, static_cast<std::size_t>(value_end - value - 2)};
    }
    at = skip_space(value_end, end);
    if (*at == ',') at = skip_space(at + 1, end);
  }
  return {};
}

class Walker {
 public:
  Walker(const JsonSyntax& syntax, Piece& piece) : syntax_(syntax), piece_(piece) {
    for (const auto& column : piece.columns) index_.code(column.column.name, names_);
  }

  void take_line(const char* at, const char* end, std::uint32_t line) {
    line_ = line;
    expected_ = 0;
    path_.clear();
    take_object(at, end);
    piece_.lines.push_back(line);
    const std::size_t cells = piece_.lines.size() * piece_.columns.size();
    if (cells > (1u << 20) + 8 * piece_.bytes) {
      piece_.fail(Errc::exhausted, line, "far more columns than there is text: nearly all cells are missing");
    }
  }

  // After the last line.
  void finish() {
    for (auto& column : piece_.columns) {
      if (column.taking == Taking::skipped || column.spoilt) continue;
      column.add_missing(piece_.lines.size() - column.size());
    }
  }

 private:
  void take_object(const char*& at, const char* end) {
    const std::size_t prefix = path_.size();
    for (at = skip_space(at + 1, end); *at != '}';) {
      const char* const behind = skip_string(at, end);
      append_unescaped(path_, {at + 1, static_cast<std::size_t>(behind - at - 2)});
      at = skip_space(skip_space(behind, end) + 1, end);
      if (*at == '{') {
        path_ += '.';
        take_object(at, end);
      } else {
        const char* const value_end = skip_value(at, end, 1);
        take_value({at, static_cast<std::size_t>(value_end - at)});
        at = value_end;
      }
      path_.resize(prefix);
      at = skip_space(at, end);
      if (*at == ',') at = skip_space(at + 1, end);
    }
    ++at;
  }

  ColumnBuilder* column() {
    if (path_.empty()) path_ = "unnamed";
    // Lines of one kind have their keys in the same order.
    if (expected_ < piece_.columns.size() && names_[expected_] == path_) {
      return &piece_.columns[expected_++];
    }
    const std::size_t before = names_.size();
    const std::uint32_t code = index_.code(path_, names_);
    expected_ = code + std::size_t{1};
    if (code >= piece_.columns.size() && code == before) {
      if (before >= syntax_.columns_max) {
        piece_.fail(Errc::exhausted, line_, "more than " + with_thousands(syntax_.columns_max) + " columns");
        return nullptr;
      }
      if (syntax_.open_ended) piece_.columns.emplace_back(path_, Taking::found);
    }
    if (code < piece_.columns.size()) return &piece_.columns[code];
    piece_.defects.add(Defect::late_column, line_, path_);
    return nullptr;
  }

  void take_value(std::string_view value) {
    ColumnBuilder* const to = column();
    if (to == nullptr || to->taking == Taking::skipped || to->spoilt) return;
    const std::size_t row = piece_.lines.size();
    if (to->size() > row) {
      piece_.defects.add(Defect::repeated_key, line_, path_);
      return;
    }
    to->add_missing(row - to->size());
    if (value == "null" || (value.front() == '[' && value.find_first_not_of(" \t", 1) == value.size() - 1)) {
      to->add_missing(1);
      return;
    }
    std::string_view text = value;
    if (value.front() == '"') {
      text = value.substr(1, value.size() - 2);
      if (text.find('\\') != std::string_view::npos) {
        unescaped_.clear();
        append_unescaped(unescaped_, text);
        text = unescaped_;
      }
      if (text.find_first_not_of(" \t") == std::string_view::npos) {
        to->add_missing(1);
        return;
      }
    }
    if (to->column.kind == Kind::text) {
      to->column.codes.push_back(to->dictionary.code(text, to->column.vocabulary));
      return;
    }
    double number = 0;
    if (value == "true" || value == "false") {
      number = value == "true" ? 1 : 0;
    } else if (value.front() == '[' || (value.front() == '"' && to->taking != Taking::numeric) ||
               !read_padded(text, number)) {
      take_text_among_numbers(*to, text);
      return;
    }
    to->any_value = true;
    to->column.numbers.push_back(number);
  }

  // A number out of a text that may not have readable bytes behind it.
  static bool read_padded(std::string_view text, double& number) {
    char padded[64] = {};
    if (text.size() > 40) return read_long_number(text.data(), text.data() + text.size(), number);
    std::memcpy(padded, text.data(), text.size());
    return read_number(padded, padded + text.size(), number);
  }

  void take_text_among_numbers(ColumnBuilder& to, std::string_view text) {
    if (to.taking == Taking::numeric) {
      piece_.refuse(piece_.lines.size(), to.column.name, text);
      to.add_missing(1);
    } else if (to.any_value) {
      to.spoilt = true;
    } else {
      to.become_text();
      to.column.codes.push_back(to.dictionary.code(text, to.column.vocabulary));
    }
  }

  const JsonSyntax& syntax_;
  Piece& piece_;
  Dictionary index_;
  std::vector<std::string> names_;  // the columns, and behind them the keys that are none
  std::string path_, unescaped_;
  std::size_t expected_ = 0;
  std::uint32_t line_ = 0;
};

void walk(const JsonSyntax& syntax, std::string_view text, Piece& piece) {
  Walker walker(syntax, piece);
  piece.bytes = text.size();
  std::uint32_t line = 0;
  for (std::size_t at = 0; at < text.size() && !piece.failure; ++line) {
    const std::size_t line_end = text.find('\n', at);
    const char* const end = text.data() + line_end;
    const char* const begin = skip_space(text.data() + at, end);
    at = line_end + 1;
    if (begin == end) continue;
    if (static_cast<std::size_t>(end - begin) > syntax.line_bytes_max) {
      piece.fail(Errc::exhausted, line,
                 "a row longer than " + with_thousands(syntax.line_bytes_max) + " bytes");
      break;
    }
    const char* const behind = *begin == '{' ? skip_value(begin, end, 0) : nullptr;
    if (behind == nullptr || skip_space(behind, end) != end) {
      piece.defects.add(Defect::broken_json, line, "not a JSON object");
      continue;
    }
    if (syntax.flows_only) {
      const auto type = text_of_member(begin, end, "event_type");
      if (type != "flow") {
        piece.defects.add(Defect::other_event, line, type.substr(0, 40));
        continue;
      }
    }
    walker.take_line(begin, end, line);
  }
  piece.line_count = line;
  walker.finish();
}

}  // namespace

void parse_json_lines(const JsonSyntax& syntax, const TextPiece& text, Piece& piece) {
  walk(syntax, text.text(), piece);
  const auto spoilt = [](const ColumnBuilder& column) { return column.spoilt; };
  if (std::none_of(piece.columns.begin(), piece.columns.end(), spoilt)) return piece.drop_bad_rows();
  // Texts among numbers: once more, with those columns as they are spelled.
  std::vector<std::string> names;
  std::vector<Taking> takings;
  for (const auto& column : piece.columns) {
    names.push_back(column.column.name);
    takings.push_back(column.spoilt ? Taking::text : column.taking);
  }
  piece.begin(names, takings);
  walk(syntax, text.text(), piece);
  piece.drop_bad_rows();
}

bool looks_like_eve(std::string_view text) {
  while (!text.empty()) {
    const std::size_t line_end = std::min(text.find('\n'), text.size());
    std::string line(trim(text.substr(0, line_end)));
    text.remove_prefix(std::min(line_end + 1, text.size()));
    const std::size_t length = line.size();
    line.append(kCellPadding, '\0');
    const char* const end = line.data() + length;
    if (!line.starts_with('{') || skip_value(line.data(), end, 0) != end) continue;
    return !text_of_member(line.data(), end, "event_type").empty() &&
           !text_of_member(line.data(), end, "timestamp").empty();
  }
  return false;
}

}  // namespace nidus::data::internal
