// Bodies of /predict and of batches. Whatever the bytes: no crash; what is accepted is one JSON text to
// nlohmann, too, and its rows hold no infinity; a reader that has read other rows before says the same as a
// fresh one.
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "serve/row_reader.h"

namespace {

using namespace nidus::serve;

nidus::model::Column numeric(const char* name) { return {name, nidus::model::Column::Kind::numeric, {}, ""}; }

std::shared_ptr<const FeatureNames> names() {
  static const auto made = std::make_shared<const FeatureNames>(
      nidus::model::Schema{numeric("Flow Duration"),
                           numeric("fwd_hdr_bytes"),
                           {"proto", nidus::model::Column::Kind::categorical, {"tcp", "udp", "6"}, ""}});
  return made;
}

// As the routes read a body: an object, in it a row or a list of rows.
bool read(RowReader& reader, std::string_view text, std::vector<double>& rows, RowFault& fault) {
  JsonReader json(text);
  if (json.peek() != JsonReader::Kind::object || !json.enter_object()) return false;
  std::string_view key;
  while (json.next_key(key)) {
    if (key == "features") {
      rows.resize(rows.size() + 3);
      if (!reader.read(json, rows.data() + rows.size() - 3, fault)) return false;
    } else if (key == "flows") {
      if (json.peek() != JsonReader::Kind::array || !json.enter_array()) return false;
      while (json.next_element()) {
        rows.resize(rows.size() + 3);
        if (!reader.read(json, rows.data() + rows.size() - 3, fault)) return false;
      }
    } else if (!json.skip()) {
      return false;
    }
  }
  return !json.failed() && json.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static RowReader used(names());
  RowReader fresh(names());
  std::vector<double> rows, again;
  RowFault fault, other;
  const bool good = read(fresh, text, rows, fault);
  if (read(used, text, again, other) != good || fault.detail != other.detail) std::abort();
  if (!good) return 0;
  if (rows.size() != again.size() ||
      (!rows.empty() && std::memcmp(rows.data(), again.data(), rows.size() * sizeof(double)) != 0))
    std::abort();
  for (const double value : rows) {
    if (std::isinf(value)) std::abort();
  }
  try {
    if (nlohmann::json::parse(text).is_discarded()) std::abort();
  } catch (const nlohmann::json::out_of_range&) {
    // A number beyond double in what nobody asked for: JSON all the same.
  } catch (const nlohmann::json::exception&) {
    std::abort();
  }
  return 0;
}
