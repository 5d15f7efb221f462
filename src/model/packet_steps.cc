#include "model/packet_steps.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "model/internal/columns_stream.h"
#include "model/internal/model_stream.h"

namespace nidus::model {
namespace {

constexpr std::size_t kChannels = PacketColumns::kChannels;

class PacketSteps final : public Transform {
 public:
  explicit PacketSteps(PacketColumns columns) : columns_(std::move(columns)) {}

  std::size_t inputs() const override { return columns_.inputs; }
  std::size_t outputs() const override { return columns_.size.size() * kChannels; }

  void apply(std::span<const double> rows, std::size_t count, std::span<double> out) const override {
    CHECK(rows.size() >= count * inputs() && out.size() >= count * outputs());
    const std::size_t packets = columns_.size.size();
    for (std::size_t row = 0; row < count; ++row) {
      const double* const from = rows.data() + row * inputs();
      double* const to = out.data() + row * outputs();
      std::size_t step = packets;
      for (std::size_t i = packets; i-- > 0;) {
        const double size = from[columns_.size[i]], gap = from[columns_.gap[i]];
        if (std::isnan(size)) continue;
        double* const at = to + --step * kChannels;
        at[0] = std::clamp(size, -65535.0, 65535.0) / 1500;
        at[1] = gap > 0 ? std::log1p(std::min(gap, 9007199254740992.0)) / 10 : 0;
        at[2] = std::signbit(size) ? -1 : 1;
        at[3] = 1;
      }
      std::fill(to, to + step * kChannels, 0.0);
    }
  }

  std::string describe() const override {
    return "the first " + std::to_string(columns_.size.size()) + " packets as steps";
  }

  void save(internal::FileWriter& out) const override {
    out.tag(internal::TransformTag::packet_steps);
    out.u32(static_cast<std::uint32_t>(columns_.inputs));
    out.u32(static_cast<std::uint32_t>(columns_.size.size()));
    for (std::size_t i = 0; i < columns_.size.size(); ++i) {
      out.u32(columns_.size[i]);
      out.u32(columns_.gap[i]);
    }
  }

 private:
  PacketColumns columns_;
};

}  // namespace

Result<std::shared_ptr<const Transform>> make_packet_steps(PacketColumns columns) {
  const std::size_t packets = columns.size.size();
  if (packets == 0 || packets != columns.gap.size() || packets > PacketColumns::kPacketsMax ||
      columns.inputs > Transform::kOutputsMax)
    return Error{Errc::corrupt, "packets as steps: no packets, or too many"};
  for (const auto* list : {&columns.size, &columns.gap}) {
    for (const auto column : *list) {
      if (column >= columns.inputs) return Error{Errc::corrupt, "packets as steps: a column that is none"};
    }
  }
  return std::shared_ptr<const Transform>(std::make_shared<PacketSteps>(std::move(columns)));
}

namespace internal {

Result<std::shared_ptr<const Transform>> load_packet_steps(FileReader& in) {
  PacketColumns columns;
  columns.inputs = in.u32();
  const std::size_t packets = in.count(8);
  for (std::size_t i = 0; i < packets; ++i) {
    columns.size.push_back(in.u32());
    columns.gap.push_back(in.u32());
  }
  if (!in.ok()) return in.error();
  return make_packet_steps(std::move(columns));
}

}  // namespace internal
}  // namespace nidus::model
