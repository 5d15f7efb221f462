#include "detect/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/text.h"
#include "detect/internal/manifest_reader.h"

namespace nidus::detect {
namespace {

using internal::Json;
using internal::number_json;
using Reader = internal::ManifestReader;

constexpr std::int64_t kFormat = 1;

// What is beyond a float is an infinity, as a model would see it.
float to_float(double value) {
  constexpr double kMax = std::numeric_limits<float>::max();
  if (std::abs(value) > kMax) value = std::copysign(std::numeric_limits<double>::infinity(), value);
  return static_cast<float>(value);
}

Json meter_json(const Manifest& manifest) {
  const flow::MeterOptions& o = *manifest.meter;
  Json out;
  out["profile"] = std::string(flow::name(o.profile));
  out["description"] = manifest.meter_description;
  if (o.active_timeout) out["active_timeout_us"] = o.active_timeout->count();
  if (o.idle_timeout) out["idle_timeout_us"] = o.idle_timeout->count();
  if (o.tcp_linger) out["tcp_linger_us"] = o.tcp_linger->count();
  if (o.partial_after_packets != 0) out["partial_after_packets"] = o.partial_after_packets;
  if (o.separate_vlans) out["separate_vlans"] = true;
  return out;
}

void read_meter(Reader& in, const Json& json, Manifest& manifest) {
  const Json* meter = in.get(json, "", "meter", Json::value_t::object, false);
  if (meter == nullptr) return;
  flow::MeterOptions options;
  const auto microseconds = [&](const char* field) -> std::optional<std::chrono::microseconds> {
    if (!meter->contains(field)) return std::nullopt;
    const std::uint64_t value = in.whole(*meter, "meter", field);
    if (value > 4'294'000'000u) in.fail(Reader::join("meter", field), "more than a meter can hold");
    return std::chrono::microseconds(value);
  };
  const std::string profile = in.text(*meter, "meter", "profile");
  const auto known = flow::profile_from_name(profile);
  if (in.ok() && !known) return in.fail("meter.profile", "no profile '" + profile + "'", Errc::unsupported);
  if (known) options.profile = *known;
  options.active_timeout = microseconds("active_timeout_us");
  options.idle_timeout = microseconds("idle_timeout_us");
  options.tcp_linger = microseconds("tcp_linger_us");
  const std::uint64_t partial = in.whole(*meter, "meter", "partial_after_packets", false);
  if (partial > UINT32_MAX) in.fail("meter.partial_after_packets", "too large");
  options.partial_after_packets = static_cast<std::uint32_t>(partial);
  options.separate_vlans = in.truth(*meter, "meter", "separate_vlans");
  manifest.meter_description = in.text(*meter, "meter", "description");
  if (!in.ok()) return;
  // The settings above are what counts; the text beside them must say the same.
  const std::string meant = flow::Meter(options).description();
  if (manifest.meter_description != meant) {
    return in.fail("meter.description",
                   fmt::format("'{}', but the settings are '{}'", manifest.meter_description, meant));
  }
  manifest.meter = options;
}

Json schema_json(const model::Schema& schema) {
  Json out = Json::array();
  for (const auto& column : schema) {
    Json entry;
    entry["name"] = column.name;
    entry["type"] = column.kind == model::Column::Kind::numeric ? "number" : "category";
    if (!column.unit.empty()) entry["unit"] = column.unit;
    if (column.kind == model::Column::Kind::categorical) entry["vocabulary"] = column.vocabulary;
    out.push_back(std::move(entry));
  }
  return out;
}

void read_schema(Reader& in, const Json& json, model::Schema& schema) {
  in.each(json, "", "schema", Manifest::kColumnsMax, true, [&](const Json& entry, const std::string& where) {
    if (!entry.is_object()) return in.fail(where, "expected an object");
    model::Column column;
    column.name = in.text(entry, where, "name");
    column.unit = in.text(entry, where, "unit", false);
    const std::string type = in.text(entry, where, "type");
    if (type == "category") {
      column.kind = model::Column::Kind::categorical;
      column.vocabulary = in.texts(entry, where, "vocabulary", Manifest::kColumnsMax);
    } else if (type != "number") {
      in.fail(Reader::join(where, "type"), "expected 'number' or 'category', found '" + type + "'");
    }
    if (column.name.empty()) in.fail(Reader::join(where, "name"), "is empty");
    schema.push_back(std::move(column));
  });
  if (in.ok() && schema.empty()) in.fail("schema", "has no columns");
}

// A member is a file beside the manifest and nothing else.
bool is_plain_file_name(const std::string& name) {
  return !name.empty() && name.size() <= 255 && name.front() != '.' && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos && name != "detector.json";
}

bool is_sha256(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

void read_members(Reader& in, const Json& json, Manifest& manifest) {
  double weights = 0;
  in.each(json, "", "members", Manifest::kMembersMax, true, [&](const Json& entry, const std::string& where) {
    if (!entry.is_object()) return in.fail(where, "expected an object");
    Manifest::Member member{in.text(entry, where, "file"), in.text(entry, where, "sha256"),
                            in.number(entry, where, "weight")};
    if (!is_plain_file_name(member.file))
      in.fail(Reader::join(where, "file"), "not the name of a file in this folder");
    if (!is_sha256(member.sha256)) in.fail(Reader::join(where, "sha256"), "not 64 hexadecimal digits");
    if (!(member.weight >= 0) || !std::isfinite(member.weight))
      in.fail(Reader::join(where, "weight"), "is negative");
    weights += member.weight;
    manifest.members.push_back(std::move(member));
  });
  if (in.ok() && !(weights > 0)) in.fail("members", "none has a weight");
}

void read_golden(Reader& in, const Json& json, Manifest& manifest) {
  in.each(json, "", "golden", Manifest::kGoldenRowsMax, false,
          [&](const Json& entry, const std::string& where) {
            if (!entry.is_object()) return in.fail(where, "expected an object");
            Manifest::Golden golden;
            const Json* row = in.get(entry, where, "row", Json::value_t::array);
            if (row == nullptr) return;
            for (const double value : in.numbers(*row, Reader::join(where, "row"), Manifest::kColumnsMax)) {
              golden.row.push_back(to_float(value));
            }
            if (in.ok() && golden.row.size() != manifest.schema.size()) {
              in.fail(Reader::join(where, "row"),
                      fmt::format("{} numbers for {} columns", golden.row.size(), manifest.schema.size()));
            }
            golden.score = in.number(entry, where, "score");
            if (!std::isfinite(golden.score)) in.fail(Reader::join(where, "score"), "is not finite");
            golden.label = in.text(entry, where, "label");
            manifest.golden.push_back(std::move(golden));
          });
}

// nlohmann's own parser keeps a stack on the heap; what it makes of hostile nesting is refused before it
// starts.
bool is_too_deep(std::string_view json) {
  std::size_t depth = 0;
  bool in_text = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_text) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_text = false;
      }
    } else if (c == '"') {
      in_text = true;
    } else if (c == '[' || c == '{') {
      if (++depth > Manifest::kDepthMax) return true;
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return false;
}

// These texts are printed on terminals, which obey some of them.
bool has_control_characters(const std::string& text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

std::optional<Manifest::Kind> kind_from_name(std::string_view text) {
  for (const auto kind : {Manifest::Kind::binary, Manifest::Kind::classes, Manifest::Kind::anomaly}) {
    if (text == name(kind)) return kind;
  }
  return std::nullopt;
}

}  // namespace

std::string_view name(Manifest::Kind kind) {
  switch (kind) {
    case Manifest::Kind::binary:
      return "binary";
    case Manifest::Kind::classes:
      return "classes";
    case Manifest::Kind::anomaly:
      return "anomaly";
  }
  return "";
}

std::string to_json(const Manifest& m) {
  Json out;
  out["format"] = kFormat;
  out["name"] = m.name;
  out["version"] = m.version;
  out["kind"] = std::string(name(m.kind));
  out["labels"] = m.labels;
  Json& threshold = out["threshold"];
  if (m.threshold.rule == Manifest::Threshold::Rule::most_likely) threshold["rule"] = "most_likely";
  threshold["value"] = m.threshold.value;
  threshold["chosen_on"] = m.threshold.chosen_on;
  threshold["wanted_rate"] = m.threshold.wanted_rate;
  threshold["realised_rate"] = m.threshold.realised_rate;
  threshold["benign_rows"] = m.threshold.benign_rows;
  threshold["resolvable"] = m.threshold.resolvable;
  if (!m.calibration.method.empty()) {
    out["calibration"] = {{"method", m.calibration.method},
                          {"fitted_on", m.calibration.fitted_on},
                          {"rows", m.calibration.rows},
                          {"attacks", m.calibration.attacks}};
  }
  internal::write_unknown(m, out);
  if (m.meter) out["meter"] = meter_json(m);
  out["members"] = Json::array();
  for (const auto& member : m.members) {
    out["members"].push_back({{"file", member.file}, {"sha256", member.sha256}, {"weight", member.weight}});
  }
  Json& trained = out["trained_on"];
  trained["sources"] = m.trained_on.sources;
  if (const auto& held = m.trained_on.hold_out; !held.what.empty()) {
    trained["hold_out"] = {{"what", held.what}, {"by", held.by},       {"group", held.group},
                           {"seed", held.seed}, {"label", held.label}, {"drop_copies", held.drop_copies}};
  }
  trained["rows"] = m.trained_on.rows;
  trained["seed"] = m.trained_on.seed;
  trained["command"] = m.trained_on.command;
  out["figures"] = Json::object();
  for (const auto& [on, json] : m.figures) {
    out["figures"][on] = Json::parse(json, nullptr, false);
  }
  out["schema"] = schema_json(m.schema);
  Json& reference = out["reference"];
  reference["levels"] = m.reference_levels;
  reference["quantiles"] = Json::array();
  for (const auto& column : m.reference) {
    Json list = Json::array();
    for (const double value : column) list.push_back(number_json(value));
    reference["quantiles"].push_back(std::move(list));
  }
  internal::write_baseline(m, reference);
  out["golden"] = Json::array();
  for (const auto& golden : m.golden) {
    Json row = Json::array();
    for (const float value : golden.row) row.push_back(number_json(static_cast<double>(value)));
    out["golden"].push_back({{"label", golden.label}, {"score", golden.score}, {"row", std::move(row)}});
  }
  return out.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string main_figures(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  std::string out;
  const auto number = [&](const char* key) -> const Json* {
    if (!json.is_object()) return nullptr;
    const auto found = json.find(key);
    return found == json.end() || !found->is_number() ? nullptr : &*found;
  };
  const auto comma = [&] { return out.empty() ? "" : ", "; };
  for (const char* const key : {"rows", "attacks"}) {
    if (const Json* count = number(key); count != nullptr && count->is_number_integer()) {
      out += fmt::format("{}{} {}", comma(), with_thousands(count->get<std::uint64_t>()), key);
    }
  }
  constexpr std::pair<const char*, const char*> kShares[] = {{"attack_recall", "attack recall"},
                                                             {"false_positive_rate", "false-positive rate"},
                                                             {"roc_auc", "ROC AUC"}};
  for (const auto& [key, name] : kShares) {
    if (const Json* share = number(key))
      out += fmt::format("{}{} {:.4f}", comma(), name, share->get<double>());
  }
  return out;
}

Result<Manifest> parse_manifest(std::string_view text) {
  if (text.size() > Manifest::kBytesMax) return Error{Errc::exhausted, "larger than 16 MiB"};
  if (is_too_deep(text))
    return Error{Errc::exhausted, fmt::format("nested deeper than {}", Manifest::kDepthMax)};
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) return Error{Errc::corrupt, "not a JSON object"};

  Reader in;
  Manifest m;
  const std::uint64_t format = in.whole(json, "", "format");
  if (in.ok() && format != kFormat) {
    return Error{Errc::unsupported,
                 fmt::format("format: {} is not {}, the one this nidus reads", format, kFormat)};
  }
  m.name = in.text(json, "", "name");
  m.version = in.text(json, "", "version");
  const std::string kind = in.text(json, "", "kind");
  if (const auto known = kind_from_name(kind)) {
    m.kind = *known;
  } else {
    in.fail("kind", "'" + kind + "' is none of binary, classes, anomaly");
  }
  m.labels = in.texts(json, "", "labels", Manifest::kLabelsMax);
  if (in.ok() && m.labels.size() < 2) in.fail("labels", "fewer than two");
  if (in.ok() && m.kind != Manifest::Kind::classes && m.labels.size() != 2)
    in.fail("labels", "more than two");
  for (const auto& label : m.labels) {
    if (label.empty()) in.fail("labels", "one is empty");
    if (has_control_characters(label)) in.fail("labels", "control characters");
  }
  if (has_control_characters(m.name)) in.fail("name", "control characters");
  if (has_control_characters(m.version)) in.fail("version", "control characters");

  if (const Json* threshold = in.get(json, "", "threshold", Json::value_t::object)) {
    m.threshold.value = in.number(*threshold, "threshold", "value");
    if (!std::isfinite(m.threshold.value)) in.fail("threshold.value", "is not finite");
    const std::string rule = in.text(*threshold, "threshold", "rule", false);
    if (rule == "most_likely") {
      m.threshold.rule = Manifest::Threshold::Rule::most_likely;
    } else if (!rule.empty() && rule != "line") {
      in.fail("threshold.rule", "'" + rule + "' is neither line nor most_likely", Errc::unsupported);
    }
    m.threshold.chosen_on = in.text(*threshold, "threshold", "chosen_on", false);
    m.threshold.wanted_rate = in.number(*threshold, "threshold", "wanted_rate", false);
    m.threshold.realised_rate = in.number(*threshold, "threshold", "realised_rate", false);
    m.threshold.benign_rows = in.whole(*threshold, "threshold", "benign_rows", false);
    m.threshold.resolvable = in.truth(*threshold, "threshold", "resolvable");
  }
  if (const Json* calibration = in.get(json, "", "calibration", Json::value_t::object, false)) {
    m.calibration.method = in.text(*calibration, "calibration", "method");
    m.calibration.fitted_on = in.text(*calibration, "calibration", "fitted_on", false);
    m.calibration.rows = in.whole(*calibration, "calibration", "rows", false);
    m.calibration.attacks = in.whole(*calibration, "calibration", "attacks", false);
  }
  internal::read_unknown(in, json, m);
  read_meter(in, json, m);
  read_members(in, json, m);
  if (const Json* trained = in.get(json, "", "trained_on", Json::value_t::object, false)) {
    m.trained_on.sources = in.texts(*trained, "trained_on", "sources", 1u << 20, false);
    if (const Json* held = in.get(*trained, "trained_on", "hold_out", Json::value_t::object, false)) {
      const std::string where = "trained_on.hold_out";
      Manifest::TrainedOn::HoldOut& out = m.trained_on.hold_out;
      out.what = in.texts(*held, where, "what", 1u << 20);
      out.by = in.text(*held, where, "by", false);
      out.group = in.text(*held, where, "group", false);
      out.seed = in.whole(*held, where, "seed", false);
      out.label = in.text(*held, where, "label", false);
      out.drop_copies = in.truth(*held, where, "drop_copies");
    }
    m.trained_on.seed = in.whole(*trained, "trained_on", "seed", false);
    m.trained_on.command = in.text(*trained, "trained_on", "command", false);
    if (const Json* rows = in.get(*trained, "trained_on", "rows", Json::value_t::object, false)) {
      for (const auto& [label, count] : rows->items()) {
        if (!count.is_number_unsigned()) in.fail("trained_on.rows." + label, "expected a whole number");
        if (in.ok()) m.trained_on.rows[label] = count.get<std::uint64_t>();
      }
    }
  }
  if (const Json* figures = in.get(json, "", "figures", Json::value_t::object, false)) {
    for (const auto& [on, figure] : figures->items())
      m.figures[on] = figure.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  read_schema(in, json, m.schema);
  if (const Json* reference = in.get(json, "", "reference", Json::value_t::object, false)) {
    if (const Json* levels = in.get(*reference, "reference", "levels", Json::value_t::array)) {
      m.reference_levels = in.numbers(*levels, "reference.levels", 1024);
    }
    in.each(*reference, "reference", "quantiles", Manifest::kColumnsMax, true,
            [&](const Json& entry, const std::string& where) {
              m.reference.push_back(in.numbers(entry, where, 1024));
            });
    if (in.ok() && !m.reference.empty() && m.reference.size() != m.schema.size()) {
      in.fail("reference.quantiles",
              fmt::format("{} lists for {} columns", m.reference.size(), m.schema.size()));
    }
    internal::read_baseline(in, *reference, m);
  }
  read_golden(in, json, m);
  if (!in.ok()) return in.error();
  return m;
}

}  // namespace nidus::detect
