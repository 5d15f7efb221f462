#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "http/server.h"
#include "serve/application.h"
#include "serve/internal/answers.h"
#include "serve/row_reader.h"

namespace nidus::serve::internal {

// Rows of one request with all its answer needs. Reused by a thread from batch to batch.
struct BatchRows {
  std::vector<double> rows;
  std::size_t count = 0;
  Judged judged;
  double seconds = 0;         // from reading the body to the last verdict
  std::string configuration;  // that the body asks for; empty: that of the settings
};

// What is wrong with a batch: with a row, or with all of it.
struct BatchFault {
  RowFault row;
  int status = 400;  // of a row that makes no sense, too many rows, …
};

// Reads {"<key>": [row, …]} where each row is an object or a list.
bool read_batch(std::string_view body, std::string_view key, const ServedDetector& detector,
                std::size_t rows_max, BatchRows& batch, BatchFault& fault);

// Judges a batch, here if it is small and on a thread of the pool if not, and sends what `write` makes of it.
// `read` fills the rows.
using BatchReader = std::function<bool(std::string_view body, const ServedDetector& detector,
                                       BatchRows& batch, BatchFault& fault)>;
using BatchWriter = std::function<http::Response(const Served& served, const BatchRows& batch)>;
void judge_batch(Application& app, std::shared_ptr<const Served> served, const http::Request& request,
                 http::Responder responder, BatchReader read, BatchWriter write);

}  // namespace nidus::serve::internal
