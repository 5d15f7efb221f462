#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace nidus::flow {

// How flows are cut and features defined. A model only works on features computed the way its training set
// was, so the profile is part of every detector and of every table of flows.
//
//   native     ours: the corrected definitions with their remaining defects repaired. The default.
//   cic2017    CIC-IDS2017 as published, flaws included
//   cic2018    CSE-CIC-IDS2018 as published, flaws included
//   cns2022    the corrected re-release of both by Liu et al. (CNS 2022)
//   cic_fixed  the corrected fork of CICFlowMeter at its last commit (May 2024)
//   nsl_kdd    connections of KDD'99: cut by state and silence, never by age
enum class Profile : std::uint8_t { native, cic2017, cic2018, cns2022, cic_fixed, nsl_kdd };

inline constexpr Profile kProfiles[] = {Profile::native,  Profile::cic2017,   Profile::cic2018,
                                        Profile::cns2022, Profile::cic_fixed, Profile::nsl_kdd};

// As it is written on the command line and in files: "native", "cic-fixed", "nsl-kdd".
std::string_view name(Profile profile);
std::optional<Profile> profile_from_name(std::string_view name);

}  // namespace nidus::flow
