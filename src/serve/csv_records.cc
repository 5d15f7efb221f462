#include "serve/csv_records.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace nidus::serve {

CsvRecords::Next CsvRecords::fail(std::string what) {
  fault_ = fmt::format("line {}: {}", line_, what);
  return Next::fault;
}

void CsvRecords::feed(std::string_view bytes) {
  if (at_ > 0) {
    buffer_.erase(0, at_);
    scanned_ -= at_;
    at_ = 0;
  }
  buffer_ += bytes;
}

CsvRecords::Next CsvRecords::next(std::vector<std::string_view>& cells) {
  cells.clear();
  if (!fault_.empty()) return Next::fault;
  if (!started_) {
    constexpr std::string_view kMark = "\xef\xbb\xbf";
    if (buffer_.size() < kMark.size() && !ended_) return Next::more;
    if (buffer_.starts_with(kMark)) at_ = scanned_ = kMark.size();
    started_ = true;
  }
  for (;;) {
    // The end of the record: a line end that is not inside quotes.
    std::size_t end = scanned_;
    while (end < buffer_.size() && (in_quotes_ || buffer_[end] != '\n')) {
      if (buffer_[end] == '"') in_quotes_ = !in_quotes_;
      ++end;
    }
    scanned_ = end;
    line_ = next_line_;
    if (end - at_ > kRecordBytesMax)
      return fail(fmt::format("more than {} bytes in one record", kRecordBytesMax));
    const bool is_last = end == buffer_.size();
    if (is_last && !ended_) return Next::more;
    if (is_last && in_quotes_) return fail("a quote that does not end");
    if (is_last && at_ == end) return Next::end;
    std::string_view record(buffer_.data() + at_, end - at_);
    next_line_ += static_cast<std::uint64_t>(std::count(record.begin(), record.end(), '\n')) + 1;
    at_ = scanned_ = is_last ? end : end + 1;
    if (record.ends_with('\r')) record.remove_suffix(1);
    if (trim(record).empty()) continue;

    if (separator_ == 0) {
      separator_ = ',';
      for (const char candidate : {'\t', ';'}) {
        if (std::count(record.begin(), record.end(), candidate) >
            std::count(record.begin(), record.end(), separator_))
          separator_ = candidate;
      }
    }
    // Room for all cells that have to be written anew, so that views into it stay good.
    unquoted_.clear();
    unquoted_.reserve(record.size());
    for (std::size_t at = 0;;) {
      if (cells.size() == kCellsMax) return fail(fmt::format("more than {} cells", kCellsMax));
      const std::size_t first = record.find_first_not_of(' ', at);
      if (first != std::string_view::npos && record[first] == '"') {
        const std::size_t start = unquoted_.size();
        std::size_t p = first + 1;
        for (; p < record.size(); ++p) {
          if (record[p] == '"') {
            if (p + 1 >= record.size() || record[p + 1] != '"') break;
            ++p;
          }
          unquoted_ += record[p];
        }
        cells.emplace_back(unquoted_.data() + start, unquoted_.size() - start);
        const std::size_t behind = record.find_first_not_of(' ', p + 1);
        if (behind == std::string_view::npos) return Next::record;
        if (record[behind] != separator_) return fail("something behind a quoted cell");
        at = behind + 1;
        continue;
      }
      const std::size_t stop = record.find(separator_, at);
      const std::string_view cell = record.substr(at, stop == std::string_view::npos ? stop : stop - at);
      if (cell.find('"') != std::string_view::npos) return fail("a quote within a cell");
      cells.push_back(cell);
      if (stop == std::string_view::npos) return Next::record;
      at = stop + 1;
    }
  }
}

}  // namespace nidus::serve
