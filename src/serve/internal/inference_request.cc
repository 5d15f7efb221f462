#include "serve/internal/inference_request.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "serve/json_reader.h"

namespace nidus::serve::internal {
namespace {

constexpr std::size_t kTensorsMax = 4096;
constexpr double kFloatMax = std::numeric_limits<float>::max();

struct Datatype {
  const char* name;
  std::size_t bytes;
  double (*read)(const char*);
};

template <class Number>
double read_as(const char* bytes) {
  Number number;
  std::memcpy(&number, bytes, sizeof(number));
  return static_cast<double>(number);
}

constexpr Datatype kDatatypes[] = {
    {"FP32", 4, read_as<float>},           {"FP64", 8, read_as<double>},
    {"INT8", 1, read_as<std::int8_t>},     {"INT16", 2, read_as<std::int16_t>},
    {"INT32", 4, read_as<std::int32_t>},   {"INT64", 8, read_as<std::int64_t>},
    {"UINT8", 1, read_as<std::uint8_t>},   {"UINT16", 2, read_as<std::uint16_t>},
    {"UINT32", 4, read_as<std::uint32_t>}, {"UINT64", 8, read_as<std::uint64_t>},
    {"BOOL", 1, read_as<std::uint8_t>}};

struct Tensor {
  std::string name;
  std::vector<std::size_t> shape;
  const Datatype* type = nullptr;
  bool texts = false;     // BYTES
  std::string_view data;  // as JSON; empty if binary
  std::optional<std::size_t> binary_bytes;

  std::size_t elements() const {
    std::size_t product = 1;
    for (const auto length : shape) product *= length;
    return product;
  }
};

class Reader {
 public:
  Reader(std::string_view json, std::string_view binary, const FeatureNames& names, std::size_t rows_max,
         InferenceRequest& request, RowFault& fault)
      : json_(json), binary_(binary), names_(names), rows_max_(rows_max), request_(request), fault_(fault) {}

  bool read() {
    if (json_.peek() != JsonReader::Kind::object || !json_.enter_object())
      return refuse("expected a JSON object with 'inputs'");
    std::string_view key;
    while (json_.next_key(key)) {
      bool done = false;
      if (key == "id") {
        std::string_view id;
        done = read_text("id", id);
        request_.id = id;
      } else if (key == "inputs") {
        if (!tensors_.empty()) return refuse("'inputs' is there twice");
        done = read_inputs();
      } else if (key == "outputs") {
        done = read_outputs();
      } else if (key == "parameters") {
        done = read_flag("binary_data_output", request_.binary_outputs);
      } else {
        done = json_.skip();
      }
      if (!done) return malformed();
    }
    if (json_.failed() || !json_.finish()) return malformed();
    if (tensors_.empty()) return refuse("'inputs' is missing");
    return place();
  }

 private:
  bool refuse(std::string detail) {
    if (fault_.detail.empty()) fault_.detail = std::move(detail);
    return false;
  }
  bool malformed() { return refuse("malformed JSON: " + json_.problem()); }

  bool read_text(const char* what, std::string_view& text) {
    if (json_.peek() != JsonReader::Kind::text) return refuse(fmt::format("'{}' must be a text", what));
    return json_.read_text(text);
  }

  bool read_whole(const char* what, std::size_t& number) {
    double value = -1;
    if (json_.peek() != JsonReader::Kind::number)
      return refuse(fmt::format("'{}' must be whole numbers", what));
    if (!json_.read_number(value)) return false;
    constexpr double kMost = 1e9;
    if (!(value >= 0 && value <= kMost) || value != std::floor(value))
      return refuse(fmt::format("'{}' must be whole numbers from 0 to 1e9", what));
    number = static_cast<std::size_t>(value);
    return true;
  }

  // One truth value among parameters.
  bool read_flag(std::string_view wanted, bool& flag) {
    if (json_.peek() != JsonReader::Kind::object || !json_.enter_object())
      return refuse("'parameters' must be an object");
    std::string_view key;
    while (json_.next_key(key)) {
      if (key == wanted) {
        if (json_.peek() != JsonReader::Kind::truth)
          return refuse(fmt::format("'{}' must be true or false", wanted));
        if (!json_.read_truth(flag)) return false;
      } else if (!json_.skip()) {
        return false;
      }
    }
    return !json_.failed();
  }

  bool read_outputs() {
    if (json_.peek() != JsonReader::Kind::array || !json_.enter_array())
      return refuse("'outputs' must be a list");
    while (json_.next_element()) {
      if (request_.outputs.size() == kTensorsMax) return refuse("too many outputs");
      InferenceRequest::Output output;
      output.binary = request_.binary_outputs;
      if (json_.peek() != JsonReader::Kind::object || !json_.enter_object())
        return refuse("'outputs' must be objects");
      std::string_view key;
      while (json_.next_key(key)) {
        bool done = false;
        if (key == "name") {
          std::string_view name;
          done = read_text("name", name);
          output.name = name;
        } else if (key == "parameters") {
          done = read_flag("binary_data", output.binary);
        } else {
          done = json_.skip();
        }
        if (!done) return false;
      }
      if (json_.failed()) return false;
      request_.outputs.push_back(std::move(output));
    }
    return !json_.failed();
  }

  bool read_inputs() {
    if (json_.peek() != JsonReader::Kind::array || !json_.enter_array())
      return refuse("'inputs' must be a list");
    while (json_.next_element()) {
      if (tensors_.size() == kTensorsMax) return refuse("too many inputs");
      if (json_.peek() != JsonReader::Kind::object || !json_.enter_object())
        return refuse("'inputs' must be objects");
      Tensor tensor;
      if (!read_tensor(tensor)) return false;
      tensors_.push_back(std::move(tensor));
    }
    return !json_.failed();
  }

  bool read_tensor(Tensor& tensor) {
    std::string_view key;
    bool typed = false;
    while (json_.next_key(key)) {
      bool done = false;
      if (key == "name") {
        std::string_view name;
        done = read_text("name", name);
        tensor.name = name;
      } else if (key == "datatype") {
        std::string_view name;
        done = read_text("datatype", name);
        for (const auto& type : kDatatypes) {
          if (name == type.name) tensor.type = &type;
        }
        tensor.texts = name == "BYTES";
        typed = true;
        if (done && tensor.type == nullptr && !tensor.texts)
          return refuse(fmt::format("no datatype '{}' is taken", name.substr(0, 20)));
      } else if (key == "shape") {
        if (json_.peek() != JsonReader::Kind::array || !json_.enter_array())
          return refuse("'shape' must be a list");
        while (json_.next_element()) {
          std::size_t length = 0;
          if (!read_whole("shape", length)) return false;
          if (tensor.shape.size() == 3) return refuse("'shape' has too many dimensions");
          tensor.shape.push_back(length);
        }
        done = !json_.failed();
      } else if (key == "data") {
        done = json_.skip_as(tensor.data);
      } else if (key == "parameters") {
        if (json_.peek() != JsonReader::Kind::object || !json_.enter_object())
          return refuse("'parameters' must be an object");
        std::string_view parameter;
        while (json_.next_key(parameter)) {
          if (parameter == "binary_data_size") {
            std::size_t size = 0;
            if (!read_whole("binary_data_size", size)) return false;
            tensor.binary_bytes = size;
          } else if (!json_.skip()) {
            return false;
          }
        }
        done = !json_.failed();
      } else {
        done = json_.skip();
      }
      if (!done) return false;
    }
    if (json_.failed()) return false;
    if (tensor.name.empty()) return refuse("an input has no name");
    if (!typed) return refuse(fmt::format("input '{}' has no datatype", shown(tensor)));
    if (tensor.shape.empty()) return refuse(fmt::format("input '{}' has no shape", shown(tensor)));
    if (tensor.data.empty() == !tensor.binary_bytes.has_value())
      return refuse(fmt::format("input '{}' needs either data or binary_data_size", shown(tensor)));
    return true;
  }

  static std::string shown(const Tensor& tensor) { return tensor.name.substr(0, 60); }

  // Whether the tensor is rows of the whole schema, and not of one column.
  bool place() {
    const std::size_t width = names_.size();
    const Tensor& first = tensors_.front();
    const bool whole = tensors_.size() == 1 && (first.shape.size() == 2 || width != 1) &&
                       (first.shape.back() == width || !names_.find(first.name));
    request_.count = first.shape.front();
    if (request_.count == 0) return refuse("an empty batch");
    if (request_.count > rows_max_) return refuse(fmt::format("more than {} rows in one batch", rows_max_));
    request_.rows.assign(request_.count * width, 0);
    if (whole) {
      if (first.shape.size() != 2 || first.shape[1] != width) {
        return refuse(fmt::format("input '{}' must have the shape [rows, {}]: Expected {} features, got {}",
                                  shown(first), width, width, first.shape.back()));
      }
      return fill(first, 0, width, width) && leave_nothing();
    }
    std::vector<bool> seen(width);
    for (const auto& tensor : tensors_) {
      const auto match = names_.find(tensor.name);
      if (!match) return refuse(fmt::format("input '{}' is no column of this model", shown(tensor)));
      if (seen[match->column]) return refuse(fmt::format("input '{}' is there twice", shown(tensor)));
      seen[match->column] = true;
      if (tensor.shape.front() != request_.count || (tensor.shape.size() == 2 && tensor.shape[1] != 1) ||
          tensor.shape.size() > 2)
        return refuse(fmt::format("input '{}' must have the shape [{}] or [{}, 1]", shown(tensor),
                                  request_.count, request_.count));
      if (!fill(tensor, match->column, 1, width)) return false;
    }
    for (std::size_t i = 0; i < width; ++i) {
      if (!seen[i] && fault_.missing.size() < RowFault::kMissingMax)
        fault_.missing.push_back(names_.schema()[i].name);
    }
    if (!fault_.missing.empty())
      return refuse(fmt::format("Missing features: {}", fmt::join(fault_.missing, ", ")));
    return leave_nothing();
  }

  bool leave_nothing() { return binary_.empty() || refuse("binary data that belongs to no input"); }

  // Element i goes to row i / each, column first + i % each.
  bool fill(const Tensor& tensor, std::size_t first, std::size_t each, std::size_t width) {
    const auto put = [&](std::size_t i, double value) {
      request_.rows[i / each * width + first + i % each] = value;
    };
    const std::size_t elements = tensor.elements();
    if (tensor.binary_bytes) {
      if (tensor.texts || tensor.type == nullptr)
        return refuse(fmt::format("input '{}': texts are taken as JSON only", shown(tensor)));
      const std::size_t bytes = tensor.type->bytes;
      if (*tensor.binary_bytes != elements * bytes) {
        return refuse(fmt::format("input '{}': binary_data_size is {}, its shape needs {}", shown(tensor),
                                  *tensor.binary_bytes, elements * bytes));
      }
      if (binary_.size() < elements * bytes)
        return refuse(fmt::format("input '{}': {} bytes are there, {} were announced", shown(tensor),
                                  binary_.size(), elements * bytes));
      for (std::size_t i = 0; i < elements; ++i) {
        const double value = tensor.type->read(binary_.data() + i * bytes);
        if (!(std::abs(value) <= kFloatMax)) return not_finite(tensor, i);
        put(i, value);
      }
      binary_.remove_prefix(elements * bytes);
      return true;
    }
    // Flat or nested, as the protocol allows; it was found to be JSON before.
    JsonReader data(tensor.data);
    std::size_t count = 0, open = 0;
    for (;;) {
      if (open > 0 && !data.next_element()) {
        if (data.failed()) return refuse("malformed JSON: " + data.problem());
        if (--open == 0) break;
        continue;
      }
      double value = 0;
      const std::size_t column = first + count % each;
      switch (data.peek()) {
        case JsonReader::Kind::array:
          (void)data.enter_array();
          ++open;
          continue;
        case JsonReader::Kind::number:
          (void)data.read_number(value);
          value = names_.value_of(column, value);
          break;
        case JsonReader::Kind::truth: {
          bool truth = false;
          (void)data.read_truth(truth);
          value = truth ? 1 : 0;
          break;
        }
        case JsonReader::Kind::text: {
          std::string_view text;
          (void)data.read_text(text);
          const auto number = tensor.texts ? names_.value_of(column, text) : std::nullopt;
          if (!number)
            return refuse(fmt::format("input '{}': element {} is no number", shown(tensor), count));
          value = *number;
          break;
        }
        case JsonReader::Kind::object:
        case JsonReader::Kind::null:
        case JsonReader::Kind::not_finite:
        case JsonReader::Kind::none:
          return refuse(fmt::format("input '{}': element {} is no number", shown(tensor), count));
      }
      if (open == 0) return refuse(fmt::format("input '{}': data must be a list", shown(tensor)));
      if (count == elements)
        return refuse(fmt::format("input '{}': more data than its shape says", shown(tensor)));
      if (std::abs(value) > kFloatMax) return not_finite(tensor, count);
      put(count++, value);
    }
    if (count == elements) return true;
    return refuse(fmt::format("input '{}': {} numbers, its shape needs {}", shown(tensor), count, elements));
  }

  bool not_finite(const Tensor& tensor, std::size_t element) {
    return refuse(fmt::format("input '{}': element {} (row {}) is not finite or larger than a float",
                              shown(tensor), element, element / (tensor.elements() / tensor.shape.front())));
  }

  JsonReader json_;
  std::string_view binary_;
  const FeatureNames& names_;
  std::size_t rows_max_;
  InferenceRequest& request_;
  RowFault& fault_;
  std::vector<Tensor> tensors_;
};

}  // namespace

bool read_inference(std::string_view json, std::string_view binary, const FeatureNames& names,
                    std::size_t rows_max, InferenceRequest& request, RowFault& fault) {
  return Reader(json, binary, names, rows_max, request, fault).read();
}

}  // namespace nidus::serve::internal
