#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "detect/manifest.h"

// How the parts of `detector.json` are read and written.
namespace nidus::detect::internal {

using Json = nlohmann::ordered_json;

// Reads fields and remembers the first thing that is wrong, by its path.
class ManifestReader {
 public:
  bool ok() const { return problem_.empty(); }
  Error error() const { return {code_, problem_}; }

  void fail(const std::string& path, const std::string& what, Errc code = Errc::corrupt) {
    if (!ok()) return;
    problem_ = path + ": " + what;
    code_ = code;
  }

  // The field, or null when it is not there or of the wrong type.
  const Json* get(const Json& object, const std::string& path, const char* field, Json::value_t type,
                  bool required = true) {
    if (!ok() || !object.is_object()) return nullptr;
    const auto found = object.find(field);
    if (found == object.end()) {
      if (required) fail(join(path, field), "is missing");
      return nullptr;
    }
    const bool right = type == Json::value_t::number_float ? found->is_number() : found->type() == type;
    if (!right) {
      fail(join(path, field), fmt::format("expected {}, found {}", type_name(type), found->type_name()));
      return nullptr;
    }
    return &*found;
  }

  std::string text(const Json& object, const std::string& path, const char* field, bool required = true) {
    const Json* value = get(object, path, field, Json::value_t::string, required);
    return value == nullptr ? std::string() : value->get<std::string>();
  }

  double number(const Json& object, const std::string& path, const char* field, bool required = true) {
    const Json* value = get(object, path, field, Json::value_t::number_float, required);
    return value == nullptr ? 0 : value->get<double>();
  }

  std::uint64_t whole(const Json& object, const std::string& path, const char* field, bool required = true) {
    const Json* value = get(object, path, field, Json::value_t::number_float, required);
    if (value == nullptr) return 0;
    if (value->is_number_unsigned()) return value->get<std::uint64_t>();
    fail(join(path, field), "expected a whole number that is not negative");
    return 0;
  }

  bool truth(const Json& object, const std::string& path, const char* field) {
    const Json* value = get(object, path, field, Json::value_t::boolean, false);
    return value != nullptr && value->get<bool>();
  }

  // Calls read(element, path) for each element of an array.
  template <class Read>
  void each(const Json& object, const std::string& path, const char* field, std::size_t most, bool required,
            Read&& read) {
    const Json* list = get(object, path, field, Json::value_t::array, required);
    if (list == nullptr) return;
    if (list->size() > most) {
      fail(join(path, field), fmt::format("{} entries, at most {} are read", list->size(), most),
           Errc::exhausted);
      return;
    }
    for (std::size_t i = 0; i < list->size() && ok(); ++i) {
      read((*list)[i], fmt::format("{}[{}]", join(path, field), i));
    }
  }

  std::vector<std::string> texts(const Json& object, const std::string& path, const char* field,
                                 std::size_t most, bool required = true) {
    std::vector<std::string> out;
    each(object, path, field, most, required, [&](const Json& entry, const std::string& where) {
      if (!entry.is_string()) return fail(where, "expected a text");
      out.push_back(entry.get<std::string>());
    });
    return out;
  }

  // Numbers, null for NaN, "inf" and "-inf".
  std::vector<double> numbers(const Json& list, const std::string& where, std::size_t most) {
    std::vector<double> out;
    if (!list.is_array() || list.size() > most) {
      fail(where, fmt::format("expected a list of at most {} numbers", most));
      return out;
    }
    for (const Json& entry : list) {
      if (entry.is_number()) {
        out.push_back(entry.get<double>());
      } else if (entry.is_null()) {
        out.push_back(std::numeric_limits<double>::quiet_NaN());
      } else if (entry == "inf" || entry == "-inf") {
        out.push_back(entry == "inf" ? std::numeric_limits<double>::infinity()
                                     : -std::numeric_limits<double>::infinity());
      } else {
        fail(where, "expected numbers");
        return out;
      }
    }
    return out;
  }

  static std::string join(const std::string& path, const char* field) {
    return path.empty() ? field : path + "." + field;
  }

 private:
  static std::string_view type_name(Json::value_t type) {
    if (type == Json::value_t::number_float) return "a number";
    if (type == Json::value_t::string) return "a text";
    if (type == Json::value_t::array) return "a list";
    if (type == Json::value_t::boolean) return "true or false";
    return "an object";
  }

  std::string problem_;
  Errc code_ = Errc::corrupt;
};

inline Json number_json(double value) {
  if (std::isnan(value)) return nullptr;
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

// "unknown", and the baseline of the benign rows inside "reference".
void write_unknown(const Manifest& manifest, Json& out);
void read_unknown(ManifestReader& in, const Json& json, Manifest& manifest);
void write_baseline(const Manifest& manifest, Json& reference);
void read_baseline(ManifestReader& in, const Json& reference, Manifest& manifest);

}  // namespace nidus::detect::internal
