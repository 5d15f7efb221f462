#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "serve/row_reader.h"

namespace nidus::serve::internal {

// A request of the Open Inference Protocol, version 2, and its binary tensor extension, as rows of a schema.
struct InferenceRequest {
  struct Output {
    std::string name;
    bool binary = false;
  };

  std::string id;
  std::vector<Output> outputs;  // empty: all
  bool binary_outputs = false;  // where an output does not say
  std::size_t count = 0;
  std::vector<double> rows;  // count × columns
};

// `json` is the first part of a body, `binary` the tensors behind it. Inputs are either one tensor
// [rows, columns] in the order of the schema, or one [rows] or [rows, 1] for each column by its name. False,
// with the reason, for anything else.
bool read_inference(std::string_view json, std::string_view binary, const FeatureNames& names,
                    std::size_t rows_max, InferenceRequest& request, RowFault& fault);

}  // namespace nidus::serve::internal
