#include "cmd_learn/division.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "base/number.h"
#include "base/text.h"
#include "cmd/terminal.h"

namespace nidus::cmd {
namespace {

using HoldOut = detect::Manifest::TrainedOn::HoldOut;

std::optional<double> share_of(const HoldOut& division) {
  return division.what.size() == 1 ? parse_number(division.what.front()) : std::nullopt;
}

bool same_input(const std::string& a, const std::string& b) { return a == b || is_same_file(a, b); }

}  // namespace

HoldOut division_of(const LabelArguments& labels, const std::string& label) {
  if (labels.hold_out.empty()) return {};
  return {labels.hold_out, labels.hold_out_by, labels.group, labels.hold_out_seed, labels.drop_copies, label};
}

bool divide_alike(const HoldOut& a, const std::vector<std::string>& inputs_a, const HoldOut& b,
                  const std::vector<std::string>& inputs_b) {
  if (a.what.empty() || b.what.empty()) return a.what.empty() && b.what.empty();
  const auto share_a = share_of(a), share_b = share_of(b);
  if (share_a.has_value() != share_b.has_value() || !equal_ignoring_case(a.group, b.group)) return false;
  if (!share_a) {
    // Names hold out the same groups whatever else there is.
    return a.what.size() == b.what.size() &&
           std::is_permutation(a.what.begin(), a.what.end(), b.what.begin(),
                               [](const auto& x, const auto& y) { return equal_ignoring_case(x, y); });
  }
  return *share_a == *share_b && a.by == b.by && (a.by == "time" || a.seed == b.seed) &&
         a.drop_copies == b.drop_copies && equal_ignoring_case(a.label, b.label) &&
         std::equal(inputs_a.begin(), inputs_a.end(), inputs_b.begin(), inputs_b.end(), same_input);
}

std::string words_of(const HoldOut& division) {
  if (division.what.empty()) return "no --hold-out";
  std::string out = fmt::format("--hold-out {}", fmt::join(division.what, ","));
  if (!division.group.empty()) out += " --group " + division.group;
  if (!share_of(division)) return out;
  out += division.by == "time" ? std::string(" --hold-out-by time")
                               : fmt::format(" --hold-out-seed {}", division.seed);
  if (division.drop_copies) out += " --drop-copies";
  return out;
}

LabelArguments divided_as(const HoldOut& division, LabelArguments labels) {
  labels.hold_out = division.what;
  if (division.what.empty()) return labels;
  labels.hold_out_by = division.by;
  labels.group = division.group;
  labels.hold_out_seed = division.seed;
  labels.drop_copies = division.drop_copies;
  return labels;
}

std::string warning_of_input(const std::string& input, const std::vector<std::string>& inputs,
                             const detect::Manifest::TrainedOn& learnt, const HoldOut& judged) {
  const auto& sources = learnt.sources;
  if (std::none_of(sources.begin(), sources.end(),
                   [&](const auto& source) { return same_input(source, input); }))
    return {};
  if (learnt.hold_out.what.empty())
    return input + " is what the detector learnt from: figures of it measure memory";
  if (divide_alike(learnt.hold_out, sources, judged, inputs)) return {};
  if (judged.what.empty()) {
    return fmt::format(
        "{} is what the detector learnt from, but for the rows held out: figures of all of it measure "
        "memory; {} takes those rows alone",
        input, words_of(learnt.hold_out));
  }
  const bool same_words = divide_alike(learnt.hold_out, {}, judged, {});
  std::string how = words_of(learnt.hold_out);
  if (same_words) how += fmt::format(" of {}", fmt::join(sources, " "));
  return fmt::format(
      "{}: the rows were divided otherwise when the detector learnt ({}), so it learnt from some of these: "
      "figures of them measure memory",
      input, how);
}

}  // namespace nidus::cmd
