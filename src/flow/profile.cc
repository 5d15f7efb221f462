#include "flow/profile.h"

#include "base/text.h"

namespace nidus::flow {

std::string_view name(Profile profile) {
  switch (profile) {
    case Profile::native:
      return "native";
    case Profile::cic2017:
      return "cic2017";
    case Profile::cic2018:
      return "cic2018";
    case Profile::cns2022:
      return "cns2022";
    case Profile::cic_fixed:
      return "cic-fixed";
    case Profile::nsl_kdd:
      return "nsl-kdd";
  }
  return "";
}

std::optional<Profile> profile_from_name(std::string_view text) {
  for (const Profile profile : kProfiles) {
    if (equal_ignoring_case(name(profile), text)) return profile;
  }
  return std::nullopt;
}

}  // namespace nidus::flow
