#pragma once

#include <chrono>
#include <memory>

#include "http/server.h"
#include "serve/application.h"
#include "serve/row_reader.h"

namespace nidus::serve::internal {

// How the answer to one row is written.
using AnswerWriter = http::Response (*)(Application& app, const Served& served, const Judged& judged,
                                        std::size_t row, double seconds);

// The reader of this thread for a detector's rows, which knows the order of names in the last one.
RowReader& reader_of(const std::shared_ptr<const FeatureNames>& names);

// A row of one request, to be read into row() and then either judged, together with all that arrived on this
// thread, or forgotten. On the thread of the request only, and one at a time.
class SingleRow {
 public:
  SingleRow(Application& app, std::shared_ptr<const Served> served, const Wanted& wanted);
  double* row() const { return row_; }
  // The row that was read, judged in another way.
  void set_wanted(const Wanted& wanted);
  void judge(http::Responder responder, AnswerWriter write);

 private:
  Application& app_;
  std::shared_ptr<const Served> served_;
  Wanted wanted_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double* row_ = nullptr;
};

}  // namespace nidus::serve::internal
