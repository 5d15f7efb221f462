#include "learn/packet_networks.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/number.h"
#include "model/packet_steps.h"

namespace nidus::learn {
namespace {

constexpr std::size_t kStepChannels = model::PacketColumns::kChannels;

void add_convolution(std::vector<LearningLayer>& layers, std::size_t filters, std::size_t size) {
  model::layer::Conv1d convolution;
  convolution.filters = filters;
  convolution.size = size;
  convolution.pad_before = convolution.pad_after = size / 2;
  layers.emplace_back(model::Layer(std::move(convolution)));
  layers.emplace_back(BatchNorm{});
  layers.emplace_back(model::Layer(model::layer::Activate{model::Activation::relu()}));
}

void add_lstms(std::vector<LearningLayer>& layers, std::span<const std::size_t> sizes) {
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    model::layer::Cell cell;
    cell.units = sizes[i];
    layers.emplace_back(model::Layer(model::layer::Recurrence{std::move(cell), {}, i + 1 < sizes.size()}));
  }
}

}  // namespace

Result<std::shared_ptr<const model::Transform>> packet_steps_of(const model::Schema& schema) {
  struct Pair {
    std::optional<std::uint32_t> size, gap;
  };
  std::map<std::int64_t, Pair> packets;
  for (std::size_t i = 0; i < schema.size(); ++i) {
    const std::string& name = schema[i].name;
    const bool is_size = name.starts_with("seq_size_"), is_gap = name.starts_with("seq_gap_");
    const auto number = parse_integer(std::string_view(name).substr(is_size ? 9 : is_gap ? 8 : name.size()));
    if (!number) {
      return Error{Errc::invalid,
                   "column '" + name +
                       "' says nothing of a packet: this network reads seq_size_1, seq_gap_1 and so "
                       "on (--features sequence)"};
    }
    (is_size ? packets[*number].size : packets[*number].gap) = static_cast<std::uint32_t>(i);
  }
  model::PacketColumns columns;
  columns.inputs = schema.size();
  for (const auto& [number, pair] : packets) {
    if (!pair.size || !pair.gap) {
      return Error{Errc::invalid, "of packet " + std::to_string(number) + " there is no column '" +
                                      (pair.size ? "seq_gap_" : "seq_size_") + std::to_string(number) + "'"};
    }
    columns.size.push_back(*pair.size);
    columns.gap.push_back(*pair.gap);
  }
  return model::make_packet_steps(std::move(columns));
}

model::Shape packet_shape(const model::Transform& steps) {
  return {steps.outputs() / kStepChannels, kStepChannels};
}

Dataset as_steps(const model::Transform& steps, const Dataset& rows) {
  Dataset out;
  out.classes = rows.classes;
  out.labels = rows.labels;
  out.weights = rows.weights;
  for (std::size_t i = 0; i < steps.outputs(); ++i)
    out.schema.push_back(
        {"step_" + std::to_string(i / kStepChannels + 1) + "_" + std::to_string(i % kStepChannels),
         model::Column::Kind::numeric,
         {},
         ""});
  const std::size_t width = steps.inputs();
  std::vector<double> row(width), stepped(steps.outputs());
  out.values.reserve(rows.rows() * steps.outputs());
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    std::copy_n(rows.values.begin() + static_cast<std::ptrdiff_t>(i * width), width, row.begin());
    steps.apply(row, 1, stepped);
    for (const double value : stepped) out.values.push_back(static_cast<float>(value));
  }
  return out;
}

std::function<void(std::span<float>, Random&)> random_prefix(model::Shape shape) {
  return [shape](std::span<float> row, Random& random) {
    if (random.below(2) == 0) return;
    // Packets stand at the end: those that are cut off make room for as many empty steps in front.
    std::size_t first = 0;
    while (first < shape.steps && row[first * shape.channels + shape.channels - 1] == 0) ++first;
    const std::size_t packets = shape.steps - first;
    if (packets < 2) return;
    const std::size_t away = packets - 1 - random.below(packets);
    const std::size_t numbers = away * shape.channels;
    std::copy_backward(row.begin(), row.end() - static_cast<std::ptrdiff_t>(numbers), row.end());
    std::fill_n(row.begin(), numbers, 0.0f);
  };
}

std::vector<LearningLayer> packet_network(PacketNetwork kind, std::span<const std::size_t> sizes,
                                          std::size_t outputs, double dropout) {
  std::vector<LearningLayer> out;
  switch (kind) {
    case PacketNetwork::lstm:
      add_lstms(out, sizes);
      break;
    case PacketNetwork::cnn:
      for (const auto size : sizes) add_convolution(out, size, 5);
      out.emplace_back(model::Layer(model::layer::GlobalPool{model::layer::Pool::Kind::max}));
      break;
    case PacketNetwork::cnn_lstm:
      add_convolution(out, sizes.front(), 3);
      add_lstms(out, sizes);
      break;
  }
  if (dropout > 0) out.emplace_back(Dropout{dropout});
  out.emplace_back(model::Layer(model::layer::Dense{0, outputs, {}, {}}));
  return out;
}

}  // namespace nidus::learn
