#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "detect/detector.h"
#include "detect/reasons.h"
#include "detect/subject.h"

namespace nidus::detect {

// table: for people, attacks only. csv, ndjson: one line for each record or row. eve: Suricata's EVE JSON,
// one `alert` event for each attack.
enum class VerdictFormat : std::uint8_t { table, csv, ndjson, eve };

struct VerdictWriterOptions {
  VerdictFormat format = VerdictFormat::csv;
  bool attacks_only = false;          // csv and ndjson; the others always are
  bool colours = false;               // table
  const Reasoner* reasons = nullptr;  // says why, if not null; must outlive the writer
};

// Verdicts as text, appended to a buffer that the caller owns. docs/formats/verdicts.md describes the lines.
//
// Not thread-safe: one for each thread.
class VerdictWriter {
 public:
  VerdictWriter(VerdictWriterOptions options, const Detector& detector);

  void header(std::string& out) const;
  // `explanation` belongs to options.reasons; null where nothing is to be explained.
  void verdict(const Subject& subject, const Verdict& verdict, std::string& out,
               const Explanation* explanation = nullptr);

  // The line by which the verdicts that follow were found, where it is another than the detector's.
  void set_threshold(double threshold) { threshold_ = threshold; }

  // Whether verdict() writes anything for it, and so whether explaining it is worth the time.
  bool writes(const Verdict& verdict) const;

 private:
  void write_table(const Subject& subject, const Verdict& verdict, const Explanation* explanation,
                   std::string& out);
  void write_csv(const Subject& subject, const Verdict& verdict, const Explanation* explanation,
                 std::string& out) const;
  void write_ndjson(const Subject& subject, const Verdict& verdict, const Explanation* explanation,
                    std::string& out) const;
  void write_eve(const Subject& subject, const Verdict& verdict, const Explanation* explanation,
                 std::string& out) const;

  VerdictWriterOptions options_;
  const Detector& detector_;
  double threshold_;
  std::size_t source_width_ = 21;  // of the table's columns: they grow with what has to stand there
  std::size_t destination_width_ = 21;
  std::size_t label_width_ = 8;
};

// 1 is the most severe, as in Suricata: by how sure the detector is.
int severity(double score);
int severity(const Verdict& verdict);
// What EVE says of a label: the nearest of Suricata's classes of attacks, and a number that is always the
// same.
std::string_view category_of(std::string_view label);
std::uint32_t signature_id(std::string_view label);

// The same number for the same flow in every run, below 2^53 so that every JSON reader keeps it.
std::uint64_t flow_number(const Subject& subject);

}  // namespace nidus::detect
