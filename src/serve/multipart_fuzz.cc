// Forms in pieces. Whatever the bytes: no crash, and the same parts however the body is cut. A table in a
// part is read as one.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "serve/csv_records.h"
#include "serve/multipart.h"

namespace {

using namespace nidus;

class Pieces final : public http::BodyReader {
 public:
  Pieces(std::string_view text, std::size_t piece) : text_(text), piece_(piece) {}
  Result<std::span<const std::byte>> read() override {
    const std::string_view next = text_.substr(0, piece_);
    text_.remove_prefix(next.size());
    return std::as_bytes(std::span(next.data(), next.size()));
  }

 private:
  std::string_view text_;
  std::size_t piece_;
};

std::string read(std::string_view text, std::size_t piece) {
  Pieces body(text, piece);
  auto form = serve::Multipart::open("multipart/form-data; boundary=\"B\"", body);
  if (!form) std::abort();
  std::string out;
  for (;;) {
    auto part = form->next();
    if (!part) return out + "!" + part.error().message;
    if (!*part) return out;
    out += "\n<" + (*part)->name + "|" + (*part)->file_name + "|" + (*part)->content_type + ">";
    serve::CsvRecords records;
    std::vector<std::string_view> cells;
    for (bool more = true; more;) {
      auto bytes = form->read();
      if (!bytes) return out + "!" + bytes.error().message;
      more = !bytes->empty();
      more ? records.feed({reinterpret_cast<const char*>(bytes->data()), bytes->size()}) : records.end();
      for (auto next = records.next(cells); next == serve::CsvRecords::Next::record;
           next = records.next(cells)) {
        for (const auto cell : cells) out.append(cell).append(";");
        out += "/";
      }
    }
    out += records.fault();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string whole = read(text, size);
  if (read(text, 1) != whole || read(text, 7) != whole) std::abort();
  return 0;
}
