#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "data/table.h"
#include "flow/meter.h"
#include "flow/profile.h"

namespace nidus::detect {

// Which meter made a table of flows, and how we know.
struct Fingerprint {
  std::optional<flow::Profile> profile;
  // With all settings: those it states, or the profile's own.
  std::optional<flow::MeterOptions> meter;
  // The meter's settings as the table states them, "native active=60s"; empty unless it has a profile column.
  std::string description;
  // For a person: "its column 'profile'", "91 columns, 'Total TCP Flow Time'".
  std::string evidence;
};

// Tables that nidus wrote say it themselves. Those of the CIC tools are told apart by their columns and by
// the defects of each version: in the 2017 and 2018 files the SYN count is that of forward PSH flags, row for
// row. No profile if the columns are not those of a known flow table.
Fingerprint fingerprint(const data::Table& table);

// The settings behind a Meter::description(). Nothing if it is none.
std::optional<flow::MeterOptions> meter_options_from(std::string_view description);

}  // namespace nidus::detect
