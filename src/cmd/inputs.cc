#include "cmd/inputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "base/text.h"
#include "cmd/terminal.h"
#include "interop/read.h"
#include "net/capture.h"

namespace nidus::cmd {
namespace {

namespace fs = std::filesystem;

Result<std::string> first_bytes(const std::string& path, std::size_t count) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"), std::fclose);
  if (!file) return Error{Errc::io, fmt::format("{}: {}", path, std::strerror(errno))};
  std::string bytes(count, '\0');
  bytes.resize(std::fread(bytes.data(), 1, count, file.get()));
  if (std::ferror(file.get()) != 0) return Error{Errc::io, path + ": cannot read"};
  return bytes;
}

bool begins(std::string_view bytes, std::string_view magic) { return bytes.substr(0, magic.size()) == magic; }

// No zero byte and hardly a control character: text in any encoding that tables come in.
bool is_text(std::string_view bytes) {
  const auto odd = std::count_if(bytes.begin(), bytes.end(), [](unsigned char c) {
    return (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f;
  });
  return bytes.find('\0') == std::string_view::npos && odd * 50 <= static_cast<std::ptrdiff_t>(bytes.size());
}

// Why a file whose first bytes are these is no table although it looks like one; empty if it does not.
std::string nearly_text(const std::string& path, std::string_view bytes) {
  if (begins(bytes, "\xff\xfe") || begins(bytes, "\xfe\xff"))
    return path + ": text in UTF-16; tables are read in UTF-8 (iconv -f UTF-16 -t UTF-8)";
  const auto zero = bytes.find('\0');
  std::string others(bytes);
  std::erase(others, '\0');
  // A few in a file of text; binary files are full of them.
  if (zero == std::string_view::npos || (bytes.size() - others.size()) * 50 > bytes.size() ||
      !is_text(others))
    return "";
  const auto line = 1 + std::count(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(zero), '\n');
  return fmt::format(
      "{}:{}: a zero byte (byte {} of the file) in what else looks like a table: was it damaged?", path, line,
      zero + 1);
}

bool is_model(const std::string& bytes) {
  return interop::format_of(std::as_bytes(std::span(bytes))) != interop::Format::none;
}

bool holds_models(const std::string& folder) {
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(folder, ec)) {
    if (!entry.is_regular_file(ec)) continue;
    const auto bytes = first_bytes(entry.path().string(), 4096);
    if (bytes && is_model(*bytes)) return true;
  }
  return false;
}

}  // namespace

Result<InputKind> kind_of(const std::string& path) {
  if (path == "-") return InputKind::capture;
  std::error_code ec;
  const auto status = fs::status(path, ec);
  if (!fs::exists(status)) return Error{Errc::not_found, path + ": no such file"};
  if (fs::is_directory(status)) {
    if (fs::exists(fs::path(path) / "detector.json", ec)) return InputKind::detector;
    if (holds_models(path)) return InputKind::foreign;
    return Error{Errc::unsupported, path + ": a folder without detector.json or a model file"};
  }
  if (!fs::is_regular_file(status)) return InputKind::capture;
  const auto bytes = first_bytes(path, 4096);
  if (!bytes) return bytes.error();
  if (bytes->empty()) return Error{Errc::corrupt, path + ": empty"};
  if (begins(*bytes, "\x89NIDUS")) return InputKind::model_file;
  if (is_model(*bytes)) return InputKind::foreign;
  for (const std::string_view magic :
       {"\xd4\xc3\xb2\xa1", "\xa1\xb2\xc3\xd4", "\x4d\x3c\xb2\xa1", "\xa1\xb2\x3c\x4d", "\x34\xcd\xb2\xa1",
        "\xa1\xb2\xcd\x34", "\x0a\x0d\x0d\x0a"}) {
    if (begins(*bytes, magic)) return InputKind::capture;
  }
  // What is packed is a capture if it can be opened as one.
  if (begins(*bytes, "\x1f\x8b") || begins(*bytes, "\x28\xb5\x2f\xfd")) {
    return net::Capture::open(path) ? InputKind::capture : InputKind::table;
  }
  if (is_text(*bytes)) return InputKind::table;
  if (const auto why = nearly_text(path, *bytes); !why.empty()) return Error{Errc::corrupt, why};
  return Error{Errc::unsupported,
               path + ": neither a capture nor a table nor anything else that nidus reads"};
}

void say_defects(const data::TableReport& report, const char* left_out) {
  if (report.bad_rows() != 0) {
    say(fmt::format("{} could not be read and {} {}; the first: {}",
                    report.bad_rows() == 1 ? "1 row" : with_thousands(report.bad_rows()) + " rows",
                    report.bad_rows() == 1 ? "was" : "were", left_out, report.first_bad_row()));
  }
  if (const auto& names = report.of(data::Defect::repeated_name); names.count != 0) {
    say(fmt::format("{}: a column stands twice: {}; the first of a name counts", report.file, names.first));
  }
}

}  // namespace nidus::cmd
