#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "learn/dataset.h"
#include "learn/network_trainer.h"
#include "model/layers.h"
#include "model/schema.h"
#include "model/transform.h"

// Networks that read the first packets of a flow one after the other. See model/packet_steps.h for a step.
namespace nidus::learn {

// The steps that a row of the columns seq_size_I and seq_gap_I becomes, in the order of I. Errc::invalid
// names a column that is neither, or without its counterpart.
Result<std::shared_ptr<const model::Transform>> packet_steps_of(const model::Schema& schema);
// Steps × channels behind it.
model::Shape packet_shape(const model::Transform& steps);
// The rows behind it, in a schema of its outputs.
Dataset as_steps(const model::Transform& steps, const Dataset& rows);

// For NetworkOptions::change: half of the flows are cut to their first packets, each number of packets from 1
// to all being as likely, so that a flow can be judged before it has ended.
std::function<void(std::span<float>, Random&)> random_prefix(model::Shape shape);

enum class PacketNetwork : std::uint8_t { lstm, cnn, cnn_lstm };

// lstm: an LSTM for each size, the last of which says what it remembers after the last packet. cnn: for each
// size a convolution over five packets, with batch normalisation and ReLU, then the largest numbers of all
// steps. cnn_lstm: one such convolution over three packets, of the first size, then an LSTM for each size.
// Then dropout and `outputs` numbers.
std::vector<LearningLayer> packet_network(PacketNetwork kind, std::span<const std::size_t> sizes,
                                          std::size_t outputs, double dropout);

}  // namespace nidus::learn
