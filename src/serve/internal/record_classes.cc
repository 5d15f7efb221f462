#include "serve/internal/record_classes.h"

#include <algorithm>
#include <iterator>

#include "base/text.h"
#include "data/labels.h"

namespace nidus::serve::internal {
namespace {

constexpr const char* kClassNames[] = {"Normal", "DoS", "Probe", "Privilege Escalation", "Access"};

// httptunnel is Access and worm is DoS here; papers differ on the two.
constexpr std::string_view kDos[] = {"dos", "apache2",      "back",  "land",     "neptune",  "mailbomb",
                                     "pod", "processtable", "smurf", "teardrop", "udpstorm", "worm"};
constexpr std::string_view kProbe[] = {"probe", "ipsweep", "mscan", "nmap", "portsweep", "saint", "satan"};
constexpr std::string_view kPrivilege[] = {"privilege escalation",
                                           "privilege",
                                           "u2r",
                                           "buffer_overflow",
                                           "loadmodule",
                                           "perl",
                                           "ps",
                                           "rootkit",
                                           "sqlattack",
                                           "xterm"};
constexpr std::string_view kAccess[] = {
    "access",    "access attack", "r2l",         "ftp_write",   "guess_passwd", "httptunnel",
    "imap",      "multihop",      "named",       "phf",         "sendmail",     "snmpgetattack",
    "snmpguess", "spy",           "warezclient", "warezmaster", "xlock",        "xsnoop"};

}  // namespace

std::optional<std::uint32_t> kdd_class(std::string_view label) {
  std::string word = to_lower(trim(label));
  if (word.ends_with('.')) word.pop_back();  // as KDD'99 writes them
  if (data::is_benign(word)) return 0;
  const auto among = [&](const auto& words) {
    if (std::find(std::begin(words), std::end(words), word) != std::end(words)) return true;
    std::string spaced = word;
    std::replace(spaced.begin(), spaced.end(), '_', ' ');
    return std::find(std::begin(words), std::end(words), spaced) != std::end(words);
  };
  if (among(kDos)) return 1;
  if (among(kProbe)) return 2;
  if (among(kPrivilege)) return 3;
  if (among(kAccess)) return 4;
  return std::nullopt;
}

RecordClasses::RecordClasses(const ServedDetector& detector) : outputs_(detector.outputs()) {
  const auto& labels = detector.manifest().labels;
  std::vector<std::uint32_t> classes;
  for (const auto& label : labels) {
    if (const auto known = kdd_class(label)) classes.push_back(*known);
  }
  if (classes.size() == labels.size()) {
    names_.assign(std::begin(kClassNames), std::end(kClassNames));
    of_label_ = std::move(classes);
    return;
  }
  for (std::uint32_t i = 0; i < labels.size(); ++i) {
    names_.push_back(i == 0 ? "Normal" : labels[i]);
    of_label_.push_back(i);
  }
}

RecordClasses::Answer RecordClasses::answer(const Judged& judged, std::size_t row,
                                            std::span<double> probabilities) const {
  std::fill(probabilities.begin(), probabilities.end(), 0.0);
  const auto& verdict = judged.scores.verdicts[row];
  if (outputs_ == 1) {
    probabilities[of_label_[0]] += 1 - verdict.score;
    probabilities[of_label_[1]] += verdict.score;
  } else {
    for (std::size_t i = 0; i < outputs_; ++i)
      probabilities[of_label_[i]] += judged.scores.outputs[row * outputs_ + i];
  }
  const std::uint32_t index = of_label_[verdict.label];
  return {index, probabilities[index]};
}

}  // namespace nidus::serve::internal
