#include "detect/fingerprint.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <span>
#include <string_view>

#include "base/number.h"
#include "base/text.h"
#include "flow/features.h"

namespace nidus::detect {
namespace {

// Fewer recognised columns than this are a coincidence ("protocol", "duration"), not a flow table.
constexpr std::size_t kFeaturesMin = 20;

const data::Column* column_of(const data::Table& table, flow::Feature feature) {
  for (std::size_t i = 0; i < table.columns(); ++i) {
    if (flow::feature_from_name(table.column(i).name) == feature) return &table.column(i);
  }
  return nullptr;
}

std::size_t features_in(const data::Table& table) {
  std::array<bool, flow::kFeatures> seen{};
  for (std::size_t i = 0; i < table.columns(); ++i) {
    if (const auto feature = flow::feature_from_name(table.column(i).name)) {
      seen[static_cast<std::size_t>(*feature)] = true;
    }
  }
  return static_cast<std::size_t>(std::count(seen.begin(), seen.end(), true));
}

bool equal_numbers(const data::Table& table, flow::Feature a, flow::Feature b) {
  const auto *left = column_of(table, a), *right = column_of(table, b);
  if (left == nullptr || right == nullptr || left->kind != data::Kind::numeric) return false;
  return left->kind == right->kind && left->numbers == right->numbers;
}

bool is_zero(const data::Table& table, flow::Feature feature) {
  const auto* column = column_of(table, feature);
  return column != nullptr && column->kind == data::Kind::numeric &&
         std::all_of(column->numbers.begin(), column->numbers.end(), [](double x) { return x == 0; });
}

Fingerprint recognise(const data::Table& table);

Fingerprint from_profile_column(const data::Column& column) {
  Fingerprint print;
  print.evidence = "its column 'profile'";
  for (std::size_t row = 0; row < column.size(); ++row) {
    const std::string_view text = column.text_at(row);
    if (text.empty() || text == print.description) continue;
    if (!print.description.empty()) {
      print.evidence = fmt::format("its column 'profile' holds both '{}' and '{}'", print.description, text);
      print.profile.reset();
      return print;
    }
    print.description = text;
    print.profile = flow::profile_from_name(text.substr(0, text.find(' ')));
  }
  return print;
}

}  // namespace

std::optional<flow::MeterOptions> meter_options_from(std::string_view description) {
  const auto words = split(description, ' ');
  const auto profile = flow::profile_from_name(words.front());
  if (!profile) return std::nullopt;
  flow::MeterOptions options;
  options.profile = *profile;
  for (const auto word : std::span(words).subspan(1)) {
    const auto equals = std::min(word.find('='), word.size());
    const std::string_view name = word.substr(0, equals);
    std::string_view value = word.substr(std::min(equals + 1, word.size()));
    if (name == "vlans") {
      options.separate_vlans = true;
      continue;
    }
    std::int64_t unit = 1;
    if (value.ends_with("us")) {
      value.remove_suffix(2);
    } else if (value.ends_with("s")) {
      value.remove_suffix(1);
      unit = 1'000'000;
    }
    const auto number = parse_integer(value);
    if (!number || *number < 0 || *number > 4'294'000'000) return std::nullopt;
    const std::chrono::microseconds time(*number * unit);
    if (name == "active") options.active_timeout = time;
    if (name == "idle") options.idle_timeout = time;
    if (name == "linger") options.tcp_linger = time;
    if (name == "partial") options.partial_after_packets = static_cast<std::uint32_t>(*number);
  }
  // Whatever was not understood is missing in what the settings are called.
  if (flow::Meter(options).description() != description) return std::nullopt;
  return options;
}

Fingerprint fingerprint(const data::Table& table) {
  Fingerprint print = recognise(table);
  if (!print.description.empty()) {
    print.meter = meter_options_from(print.description);
  } else if (print.profile) {
    print.meter.emplace().profile = *print.profile;
  }
  return print;
}

namespace {

Fingerprint recognise(const data::Table& table) {
  const auto* const stated = table.get("profile");
  if (stated != nullptr && stated->kind == data::Kind::text) return from_profile_column(*stated);
  if (features_in(table) < kFeaturesMin) return {{}, {}, {}, "not the columns of a known flow table"};

  if (table.get("Total TCP Flow Time") != nullptr)
    return {flow::Profile::cns2022, {}, {}, "'Total TCP Flow Time'"};
  if (table.get("Total Connection Flow Time") != nullptr) {
    return {flow::Profile::cic_fixed, {}, {}, "'Total Connection Flow Time'"};
  }
  const bool names_of_2017 =
      table.get("Total Fwd Packets") != nullptr || table.get("Fwd Header Length.1") != nullptr;
  const bool names_of_2018 = table.get("Tot Fwd Pkts") != nullptr;
  if (table.rows() > 0 && equal_numbers(table, flow::Feature::syn_cnt, flow::Feature::fwd_psh) &&
      is_zero(table, flow::Feature::fwd_bulk_bytes_avg)) {
    if (names_of_2018)
      return {flow::Profile::cic2018, {}, {}, "2018 names, SYN count = forward PSH flags, no bulks"};
    if (names_of_2017)
      return {flow::Profile::cic2017, {}, {}, "2017 names, SYN count = forward PSH flags, no bulks"};
  }
  return {{}, {}, {}, "flow features, but of no meter we know"};
}

}  // namespace

}  // namespace nidus::detect
