#include "interop/internal/sklearn_reader.h"

#include <charconv>
#include <utility>

#include "base/number.h"
#include "base/text.h"

namespace nidus::interop::internal {
namespace {

constexpr std::size_t kColumnsMax = 65536;
constexpr std::size_t kLabelsMax = 65536;
constexpr std::size_t kNumbersMax = std::size_t{1} << 26;

// Texts go to terminals and JSON: what is no UTF-8 or would move a cursor is replaced.
std::string printable(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    const std::size_t length = c < 0x80                ? 1
                               : c >= 0xc2 && c < 0xe0 ? 2
                               : c >= 0xe0 && c < 0xf0 ? 3
                               : c >= 0xf0 && c < 0xf5 ? 4
                                                       : 0;
    bool good = length != 0 && i + length <= text.size() && c >= 32 && c != 127;
    for (std::size_t k = 1; good && k < length; ++k)
      good = (static_cast<unsigned char>(text[i + k]) & 0xc0) == 0x80;
    // Surrogates and overlong forms.
    if (good && length == 3) {
      const auto next = static_cast<unsigned char>(text[i + 1]);
      good = !(c == 0xe0 && next < 0xa0) && !(c == 0xed && next >= 0xa0);
    }
    if (good && length == 4) {
      const auto next = static_cast<unsigned char>(text[i + 1]);
      good = !(c == 0xf0 && next < 0x90) && !(c == 0xf4 && next >= 0x90);
    }
    if (good)
      out += text.substr(i, length);
    else
      out += '?';
    i += good ? length : 1;
  }
  return out;
}

std::optional<std::string> label_of(const PickleValue& value) {
  if (const auto text = value.text()) return printable(*text);
  if (value.type() == PickleType::boolean) return *value.boolean() ? "True" : "False";
  if (value.is_none()) return "None";
  std::string out;
  if (const auto whole = value.integer()) {
    append_number(out, *whole);
    return out;
  }
  if (const auto number = value.number()) {
    append_number(out, *number);
    return out;
  }
  return std::nullopt;
}

// Of an array of numbers or texts.
std::optional<std::string> label_of(const PickleArray& array, const std::optional<PickleNumbers>& numbers,
                                    std::size_t i) {
  if (array.dtype().kind == PickleDtype::Kind::object) return label_of(array.item(i));
  if (!numbers) {
    const auto text = array.text(i);
    if (!text) return std::nullopt;
    return printable(*text);
  }
  if (array.dtype().kind == PickleDtype::Kind::boolean) return numbers->integer(i) != 0 ? "True" : "False";
  std::string out;
  if (numbers->is_real()) {
    append_number(out, numbers->real(i));
  } else {
    append_number(out, numbers->integer(i));
  }
  return out;
}

Artefact texts(std::vector<std::string> all, std::string origin) {
  Artefact out;
  out.kind = Artefact::Kind::texts;
  out.origin = std::move(origin);
  out.texts = std::move(all);
  return out;
}

Artefact other(std::string origin) {
  Artefact out;
  out.origin = std::move(origin);
  return out;
}

Artefact numbers(std::vector<double> all, std::string origin) {
  Artefact out;
  out.kind = Artefact::Kind::numbers;
  out.origin = std::move(origin);
  out.numbers = std::move(all);
  return out;
}

bool is_container(const PickleValue& value) {
  return value.type() == PickleType::list || value.type() == PickleType::tuple ||
         value.type() == PickleType::dict || value.type() == PickleType::set;
}

}  // namespace

Error corrupt_at(const PickleValue& value, const std::string& what) {
  return {Errc::corrupt, value.where() + ": " + what};
}

Error unsupported_at(const PickleValue& value, const std::string& what) {
  return {Errc::unsupported, value.where() + ": " + what};
}

std::string_view class_of(const PickleValue& object) {
  if (object.type() != PickleType::object) return {};
  const std::string_view name = object.name();
  if (name.substr(0, 8) != "sklearn.") return {};
  return name.substr(name.rfind('.') + 1);
}

std::string_view version_of(const PickleValue& object) {
  return object.find("_sklearn_version").text().value_or(std::string_view());
}

bool since(const PickleValue& object, int major, int minor) {
  const std::string_view version = version_of(object);
  int first = 0, second = 0;
  const char* const end = version.data() + version.size();
  const auto [dot, bad] = std::from_chars(version.data(), end, first);
  if (version.empty() || bad != std::errc() || dot == end || *dot != '.') return true;
  if (std::from_chars(dot + 1, end, second).ec != std::errc()) return true;
  return first != major ? first > major : second >= minor;
}

std::size_t features_of(const PickleValue& object) {
  for (const char* const member : {"n_features_in_", "n_features_", "_n_features"}) {
    const auto count = object.find(member).integer();
    if (count && *count > 0 && *count <= static_cast<std::int64_t>(kColumnsMax))
      return static_cast<std::size_t>(*count);
  }
  return 0;
}

void set_columns(Artefact& artefact, const PickleValue& object, std::size_t count) {
  artefact.columns.assign(count, {});
  const auto names = texts_of(object.find("feature_names_in_"));
  if (!names || names->size() != count) return;
  for (std::size_t i = 0; i < count; ++i) artefact.columns[i].name = (*names)[i];
}

Artefact begin_artefact(const PickleValue& object, Artefact::Kind kind) {
  Artefact out;
  out.kind = kind;
  const std::string version = printable(version_of(object).substr(0, 40));
  out.origin = "scikit-learn " + (version.empty() ? "" : version + " ") + std::string(class_of(object));
  set_columns(out, object, features_of(object));
  return out;
}

Result<Artefact> begin_classifier(const PickleValue& object) {
  Artefact out = begin_artefact(object, Artefact::Kind::model);
  auto classes = classes_of(object);
  if (!classes) return std::move(classes).error();
  out.classes = std::move(*classes);
  return out;
}

Result<std::vector<double>> numbers_of(const PickleValue& value) {
  if (const auto array = value.array()) {
    const auto all = array->numbers();
    if (all && all->size() <= kNumbersMax) return all->reals();
    if (array->dtype().kind == PickleDtype::Kind::object && array->size() <= kNumbersMax) {
      std::vector<double> out(array->size());
      for (std::size_t i = 0; i < out.size(); ++i) {
        const auto number = array->item(i).number();
        if (!number) return corrupt_at(value, "instead of a number " + array->item(i).describe());
        out[i] = *number;
      }
      return out;
    }
    return corrupt_at(value, "instead of numbers " + array->describe());
  }
  if (const auto number = value.number()) return std::vector<double>{*number};
  if (value.type() != PickleType::list && value.type() != PickleType::tuple) {
    return corrupt_at(value, "instead of numbers " + value.describe());
  }
  std::vector<double> out(value.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto number = value[i].number();
    if (!number) return corrupt_at(value, "instead of a number " + value[i].describe());
    out[i] = *number;
  }
  return out;
}

Result<std::vector<double>> numbers_of(const PickleValue& object, std::string_view member,
                                       std::size_t count) {
  const PickleValue value = object.find(member);
  if (!value)
    return corrupt_at(object, object.describe() + " without " + std::string(member) + ": it was not fitted");
  auto out = numbers_of(value);
  if (!out) return std::move(out).error().within(std::string(member));
  if (count != 0 && out->size() != count) {
    return corrupt_at(object, std::string(member) + " of " + object.describe() + " has " +
                                  with_thousands(out->size()) + " numbers where " + with_thousands(count) +
                                  " are wanted");
  }
  return out;
}

Result<std::vector<std::string>> texts_of(const PickleValue& value) {
  std::vector<std::string> out;
  const auto array = value.array();
  const bool sequence = value.type() == PickleType::list || value.type() == PickleType::tuple;
  if (!array && !sequence) return corrupt_at(value, "instead of texts " + value.describe());
  const std::size_t count = array ? array->size() : value.size();
  if (count > kLabelsMax) return Error{Errc::exhausted, value.where() + ": more than 65,536 texts"};
  const auto all = array ? array->numbers() : std::nullopt;
  for (std::size_t i = 0; i < count; ++i) {
    auto label = array ? label_of(*array, all, i) : label_of(value[i]);
    if (!label) return corrupt_at(value, "entry " + std::to_string(i) + " is neither text nor number");
    out.push_back(std::move(*label));
  }
  return out;
}

Result<std::vector<std::string>> classes_of(const PickleValue& object) {
  const PickleValue value = object.find("classes_");
  if (!value) return corrupt_at(object, object.describe() + " without classes_: it was not fitted");
  auto out = texts_of(value);
  if (!out) return std::move(out).error().within("classes_");
  if (out->size() < 2)
    return unsupported_at(object, object.describe() + " of " + std::to_string(out->size()) + " class");
  return out;
}

Result<std::vector<PickleValue>> parts_of(const PickleValue& object, std::string_view member) {
  const PickleValue value = object.find(member);
  std::vector<PickleValue> out;
  if (const auto array = value.array(); array && array->dtype().kind == PickleDtype::Kind::object) {
    for (std::size_t i = 0; i < array->size(); ++i) out.push_back(array->item(i));
    return out;
  }
  if (value.type() != PickleType::list && value.type() != PickleType::tuple) {
    return corrupt_at(object, std::string(member) + " of " + object.describe() + " is " + value.describe() +
                                  ": it was not fitted");
  }
  for (std::size_t i = 0; i < value.size(); ++i) out.push_back(value[i]);
  return out;
}

Result<void> SklearnReader::charge(const PickleValue& value, std::size_t bytes) {
  if (bytes > room_) return Error{Errc::exhausted, value.where() + ": the same parts again and again"};
  room_ -= bytes;
  return {};
}

Result<Artefact> SklearnReader::read_estimator(const PickleValue& object) {
  const Level level(*this);
  if (too_deep()) return Error{Errc::exhausted, object.where() + ": estimators in estimators without end"};
  if (auto good = charge(object, 4096); !good) return std::move(good).error();
  const std::string_view name = class_of(object);
  for (const auto family : {tree_estimator, hist_gradient_boosting, linear_estimator, transformer,
                            composed_estimator, calibrated_estimator}) {
    if (const SklearnFunction function = family(name)) return function(*this, object);
  }
  if (const SklearnFunction function = booster(object.name())) return function(*this, object);
  if (name.empty()) return unsupported_at(object, object.describe() + " is no estimator that is known");
  return unsupported_at(object, object.describe() + " is not done");
}

Result<Artefact> SklearnReader::read(const PickleValue& value) {
  const Level level(*this);
  if (too_deep()) return other("values in values without end");
  if (auto good = charge(value, 256); !good) return std::move(good).error();
  if (value.type() == PickleType::object) return read_estimator(value);
  if (const auto array = value.array()) {
    if (array->numbers()) {
      if (auto good = charge(value, array->size() * 8); !good) return std::move(good).error();
      auto all = numbers_of(value);
      if (!all) return std::move(all).error();
      return numbers(std::move(*all), "an array of " + array->describe());
    }
    if (auto all = texts_of(value)) return texts(std::move(*all), "an array of " + array->describe());
    return other("an array of " + array->describe());
  }
  if (const auto text = value.text()) return texts({printable(*text)}, "a text");
  if (const auto number = value.number()) return numbers({*number}, "a number");
  if (!is_container(value)) return other(value.describe());

  const bool dict = value.type() == PickleType::dict;
  const std::string origin = "a Python " + value.describe().substr(2);
  if (!dict && value.size() > 0) {
    if (value[0].text()) {
      if (auto all = texts_of(value)) return texts(std::move(*all), origin);
    } else if (value[0].number()) {
      if (auto all = numbers_of(value)) return numbers(std::move(*all), origin);
    }
  }
  Artefact out;
  out.kind = Artefact::Kind::bundle;
  out.origin = origin;
  constexpr std::size_t kMembersMax = 10000;
  if (value.size() > kMembersMax) return other(origin);
  for (std::size_t i = 0; i < value.size(); ++i) {
    const auto key = dict ? label_of(value.key(i)) : std::to_string(i);
    auto member = read(value[i]);
    if (!member) {
      // A part that is not done is told, so that the others can be used; what contradicts itself ends it all.
      if (member.error().code != Errc::unsupported) return member;
      Artefact left = other(value[i].describe());
      left.notes.push_back(member.error().message);
      member = std::move(left);
    }
    out.members.push_back({std::string(key.value_or("an entry without a name")), std::move(*member)});
  }
  return out;
}

}  // namespace nidus::interop::internal
