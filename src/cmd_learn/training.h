#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cmd/arguments.h"
#include "cmd/metering.h"
#include "cmd_learn/labelled_rows.h"
#include "data/labels.h"
#include "flow/meter.h"
#include "learn/dataset.h"
#include "model/schema.h"

// What `nidus train` is told, and the rows it works on.
namespace nidus::cmd {

struct TrainArguments {
  std::vector<std::string> inputs, features, exclude;
  std::string output, validate_on, model = "forest", classes = "multi", name, version = "1",
                                   weights = "balanced", encode = "one-hot", combine = "mean", contamination,
                                   calibration, scaling = "log", schedule = "plateau", row_weight;
  std::vector<std::string> members, weights_of, layers;
  double fpr = 0.01, validation = 0.3;
  std::optional<double> unknown;
  std::uint64_t seed = 1, trees = 0, depth = 0, min_leaf = 1, split_features = 0, nodes_max = 0, rounds = 200,
                early_stopping = 0, rows_per_class = 0, candidates = 27, bins = 10, neighbours = 5,
                sample = 5000, epochs = 30, batch = 256, patience = 8;
  double learning_rate = 0, min_child_weight = 1, subsample = 1, columns = 1, lambda = 1, gamma = 0,
         scale_positive = 1, search_minutes = 10, dropout = 0.2, noise = 0;
  bool json = false, out_of_bag = false, search = false, no_checkpoint = false, name_anomalies = false;
  LabelArguments labels;
  MeteringArguments metering;

  void declare(Arguments& arguments);
  // Whether nothing is learnt from attacks, nor needed of them.
  bool is_of_benign_rows() const;
};

// Of --model or --members: what of them learns from benign rows alone, what is a network, and
// which of these read the first packets of a flow.
bool is_network(std::string_view family);
bool reads_packets(std::string_view family);
bool is_of_benign_rows(std::string_view family);

// What training works on, wherever it came from.
struct Material {
  LabelledRows rows;
  std::vector<float> weights;  // one for each row; none: all the same
  model::Schema schema;
  std::optional<flow::MeterOptions> meter;
  std::string meter_description;
};

// All inputs must be captures, or all tables. `status` becomes kBadInput when a capture broke off.
Result<Material> read_material(const TrainArguments& given, int& status);

struct Parts {
  learn::Dataset training, validation;
  std::vector<std::size_t> validation_rows;    // which rows of the material they are
  std::vector<std::uint32_t> training_groups;  // one for each row, different for rows without one; or none
};

// Takes the values out of the material. Says what in the rows is odd but no hindrance.
Result<Parts> split_material(Material& material, const data::Labels& labels, const TrainArguments& given);

// Says how much memory training will take if that is much. Errc::exhausted if there is less.
Result<void> check_memory(const learn::Dataset& training, const TrainArguments& given);

}  // namespace nidus::cmd
