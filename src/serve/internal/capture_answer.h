#pragma once

#include <memory>
#include <string>

#include "detect/summary.h"
#include "detect/verdict_writer.h"
#include "http/message.h"
#include "serve/served_detector.h"
#include "serve/spool.h"
#include "serve/uploads.h"

namespace nidus::serve::internal {

// How verdicts are wanted, as `format`, `explain`, `attacks_only` and `name` of a request say.
struct AnswerWish {
  detect::VerdictFormat format = detect::VerdictFormat::ndjson;
  bool summary = false;  // and no line for each flow
  bool attacks_only = false;
  std::size_t reasons = 0;
  std::string name = "upload";

  // Errc::invalid says what makes no sense.
  static Result<AnswerWish> of(const http::Request& request);

  const char* content_type() const;
};

// All verdicts on a capture in one of our formats.
class CaptureAnswer {
 public:
  // Written into `text`. Errc::unsupported: what is wanted cannot be had of this detector.
  static Result<CaptureAnswer> make(const AnswerWish& wish, std::shared_ptr<const ServedDetector> detector,
                                    Spool text);

  const CaptureQuestion& question() const { return question_; }
  Result<void> add(const detect::Subject& subject, const detect::Verdict& verdict,
                   const detect::Explanation* why);
  Result<void> finish(const sandbox::Metered& metered);

  const std::string& content_type() const { return content_type_; }
  const Spool& text() const { return text_; }
  Spool take_text() && { return std::move(text_); }
  bool says_whether_complete() const { return summary_only_ || ndjson_; }
  const detect::VerdictSummary& summary() const { return *summary_; }

 private:
  static constexpr std::size_t kHeldBytes = std::size_t{1} << 16;

  CaptureAnswer(std::shared_ptr<const ServedDetector> detector, Spool text)
      : detector_(std::move(detector)), text_(std::move(text)) {}
  Result<void> flush();

  std::shared_ptr<const ServedDetector> detector_;
  CaptureQuestion question_;
  std::unique_ptr<detect::VerdictWriter> writer_;
  std::unique_ptr<detect::VerdictSummary> summary_;
  Spool text_;
  std::string held_, content_type_;
  bool summary_only_ = false, ndjson_ = false;
};

}  // namespace nidus::serve::internal
