#pragma once

#include <cstddef>
#include <optional>
#include <type_traits>
#include <variant>
#include <vector>

#include "model/layers.h"
#include "model/network.h"

namespace nidus::model::internal {

// Everything in a layer, one value after the other, for whoever wants to write, read, count or check it all.
// Io has number(std::size_t&), real(double&), flag(bool&), weights(std::vector<double>&), choice(enum&,
// last), layers(std::size_t&), how many stand in a branch, and kind(Layer&), which makes it one of that kind.
template <class Io>
void visit(Activation& f, Io& io) {
  io.choice(f.kind, Activation::Kind::mish);
  io.real(f.a);
  io.real(f.b);
  io.real(f.c);
}
template <class Io>
void visit(layer::Dense& l, Io& io) {
  io.number(l.inputs);
  io.number(l.units);
  io.weights(l.kernel);
  io.weights(l.bias);
}
template <class Io>
void visit(layer::Normalise& l, Io& io) {
  io.weights(l.mean);
  io.weights(l.scale);
  io.weights(l.shift);
}
template <class Io>
void visit(layer::LayerNorm& l, Io& io) {
  io.real(l.epsilon);
  io.weights(l.gamma);
  io.weights(l.beta);
}
template <class Io>
void visit(layer::Activate& l, Io& io) {
  visit(l.function, io);
}
template <class Io>
void visit(layer::Prelu& l, Io& io) {
  io.weights(l.slopes);
}
template <class Io>
void visit(layer::Conv1d& l, Io& io) {
  for (auto* value :
       {&l.inputs, &l.filters, &l.size, &l.stride, &l.dilation, &l.groups, &l.pad_before, &l.pad_after})
    io.number(*value);
  io.weights(l.kernel);
  io.weights(l.bias);
}
template <class Io>
void visit(layer::Pool& l, Io& io) {
  io.choice(l.kind, layer::Pool::Kind::average);
  for (auto* value : {&l.size, &l.stride, &l.pad_before, &l.pad_after}) io.number(*value);
  io.flag(l.average_counts_padding);
}
template <class Io>
void visit(layer::GlobalPool& l, Io& io) {
  io.choice(l.kind, layer::Pool::Kind::average);
}
template <class Io>
void visit(layer::Reshape& l, Io& io) {
  io.number(l.to.steps);
  io.number(l.to.channels);
}
template <class Io>
void visit(layer::Transpose&, Io&) {}
template <class Io>
void visit(layer::Repeat& l, Io& io) {
  io.number(l.times);
  io.flag(l.each);
}
template <class Io>
void visit(layer::Slice& l, Io& io) {
  for (auto* value : {&l.first_step, &l.steps, &l.first_channel, &l.channels}) io.number(*value);
}
template <class Io>
void visit(layer::Cell& cell, Io& io) {
  io.choice(cell.kind, layer::Cell::Kind::gru_reset_after);
  io.number(cell.inputs);
  io.number(cell.units);
  visit(cell.activation, io);
  visit(cell.gate, io);
  for (auto* values : {&cell.kernel, &cell.recurrent, &cell.bias, &cell.recurrent_bias}) io.weights(*values);
}
template <class Io>
void visit(layer::Recurrence& l, Io& io) {
  io.flag(l.sequences);
  for (auto* cell : {&l.forward, &l.backward}) {
    bool there = cell->has_value();
    io.flag(there);
    if (there && !cell->has_value()) cell->emplace();
    if (there) visit(**cell, io);
  }
}
template <std::size_t kIndex = 0>
Layer layer_of_kind(std::size_t kind) {
  if constexpr (kIndex + 1 < std::variant_size_v<Layer>) {
    if (kind != kIndex) return layer_of_kind<kIndex + 1>(kind);
  }
  return Layer(std::in_place_index<kIndex>);
}

template <class Io>
void visit(Layer& given, Io& io, std::size_t nesting = 0);

// Branches that are read become none where they are too many or too deep; no network is made of those.
template <class Io>
void visit(layer::Branches& l, Io& io, std::size_t nesting) {
  io.choice(l.join, layer::Branches::Join::minimum);
  std::size_t count = l.branches.size();
  io.number(count);
  l.branches.resize(nesting < Network::kNestingMax && count <= Network::kBranchesMax ? count : 0);
  for (layer::Branch& branch : l.branches) {
    std::size_t layers = branch.layers.size();
    io.layers(layers);
    for (std::size_t i = 0; i < layers; ++i) {
      if (i == branch.layers.size()) branch.layers.emplace_back();
      io.kind(branch.layers[i]);
      internal::visit(branch.layers[i], io, nesting + 1);
    }
  }
}
template <class Io>
void visit(Layer& given, Io& io, std::size_t nesting) {
  std::visit(
      [&](auto& l) {
        if constexpr (std::is_same_v<std::decay_t<decltype(l)>, layer::Branches>) {
          internal::visit(l, io, nesting);
        } else {
          visit(l, io);
        }
      },
      given);
}

// Ignores all but what is overridden.
struct Nothing {
  void number(std::size_t&) {}
  void layers(std::size_t&) {}
  void kind(Layer&) {}
  void real(double&) {}
  void flag(bool&) {}
  template <class E>
  void choice(E&, E) {}
  void weights(std::vector<double>&) {}
};

}  // namespace nidus::model::internal
