#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/json_writer.h"
#include "base/number.h"
#include "base/text.h"
#include "cmd_learn/fitting.h"
#include "data/split.h"
#include "learn/fusion_trainer.h"
#include "learn/packet_networks.h"
#include "model/fusion.h"

namespace nidus::cmd {
namespace {

constexpr double kScaleShare = 0.2;  // of the rows to learn from, where scores must be brought to one scale

struct Order {
  bool learnt = false;  // the weights
  std::vector<double> weights;
  bool plain = false;  // a mean of probabilities, which are on one scale already
};

Result<Order> order_of(const TrainArguments& given) {
  Order out;
  const std::set<std::string> different(given.members.begin(), given.members.end());
  if (different.size() < given.members.size())
    return Error{Errc::invalid, "--members: one stands there twice"};
  if (given.members.size() < 2 || given.members.size() > model::Fusion::kMembersMax)
    return Error{Errc::invalid, "--members: an ensemble has two members at least"};
  for (const auto& member : given.members) {
    if (member == "ensemble" || member == "any")
      return Error{Errc::invalid, fmt::format("--members: '{}' is no member", member)};
  }
  out.learnt = given.weights_of.size() == 1 && given.weights_of.front() == "learnt";
  if (!given.weights_of.empty() && given.combine != "mean")
    return Error{Errc::invalid,
                 fmt::format("--weights-of weighs a mean; --combine {} has no use for it", given.combine)};
  for (const auto& text : given.weights_of) {
    const auto weight = parse_number(text);
    if (out.learnt) break;
    if (!weight || !(*weight >= 0 && *weight <= 1e6))
      return Error{Errc::invalid, fmt::format("--weights-of: '{}' is no weight", text)};
    out.weights.push_back(*weight);
  }
  if (!out.weights.empty() && out.weights.size() != given.members.size()) {
    return Error{Errc::invalid, fmt::format("--weights-of: {} weights for {} members", out.weights.size(),
                                            given.members.size())};
  }
  if (out.weights.empty()) out.weights.assign(given.members.size(), 1.0);
  out.plain = given.combine == "mean" && !out.learnt &&
              std::none_of(given.members.begin(), given.members.end(),
                           [](const auto& member) { return is_of_benign_rows(member); });
  return out;
}

// All members read the same columns. That a network over packets cannot is told before another member has
// been fitted.
Result<void> check_columns(const TrainArguments& given, const model::Schema& schema) {
  for (const auto& member : given.members) {
    if (!reads_packets(member)) continue;
    if (const auto steps = learn::packet_steps_of(schema); !steps) {
      return Error{Errc::invalid, fmt::format("--members: all members read the same columns, and '{}' reads "
                                              "packets only: {}",
                                              member, steps.error().message)};
    }
  }
  return {};
}

// The rows that members learn from, and those that their scores are brought to one scale by.
struct Shares {
  learn::Dataset members, scale;
  std::vector<std::uint32_t> groups;  // of the former
};

Result<Shares> divide(const Lesson& lesson) {
  data::SplitOptions shares;
  shares.train = 1 - kScaleShare;
  shares.validation = kScaleShare;
  shares.test = 0;
  shares.seed = lesson.given.seed;
  const auto by_rows = [&] { return data::stratified_split(lesson.training.labels, shares); };
  auto parts =
      lesson.groups.empty() ? by_rows() : data::grouped_split(lesson.training.labels, lesson.groups, shares);
  if (!parts) return std::move(parts).error();
  const auto has_benign = [&](const std::vector<std::size_t>& rows) {
    return std::any_of(rows.begin(), rows.end(), [&](auto row) { return lesson.training.labels[row] == 0; });
  };
  if (!lesson.groups.empty() && !(has_benign(parts->train) && has_benign(parts->validation))) {
    say("too few groups to keep whole ones aside for the members' scales: rows are drawn one by one");
    parts = by_rows();
    if (!parts) return std::move(parts).error();
  }
  Shares out{learn::take(lesson.training, parts->train), learn::take(lesson.training, parts->validation), {}};
  for (const auto row : parts->train) {
    if (!lesson.groups.empty()) out.groups.push_back(lesson.groups[row]);
  }
  if (!has_benign(parts->train) || !has_benign(parts->validation))
    return Error{Errc::invalid, "too few benign rows to keep a fifth aside for the members' scales"};
  return out;
}

Result<ModelPointer> fit_member(const Lesson& lesson, const std::string& name, Learnt& learnt) {
  TrainArguments given = lesson.given;
  given.model = name;
  given.members.clear();
  auto fitted = fit({lesson.training, lesson.groups, given, lesson.checkpoints});
  if (!fitted) return std::move(fitted).error().within(name);
  for (auto& [what, json] : fitted->figures) learnt.figures[what] = std::move(json);
  if (fitted->models.size() != 1)
    return Error{Errc::invalid, fmt::format("--members: '{}' is no single model", name)};
  return std::move(fitted->models.front());
}

// Sets curves and weights by rows that the members did not learn from.
Result<void> bring_to_scale(const learn::Dataset& rows, const TrainArguments& given, const Order& order,
                            model::Fusion::Parts& parts) {
  const std::size_t members = parts.members.size();
  std::vector<double> scores(rows.rows() * members);
  for (std::size_t m = 0; m < members; ++m) {
    auto& member = parts.members[m];
    const auto said = model::attack_scores(*member.model, rows.values, rows.rows());
    std::vector<double> benign;
    for (std::size_t row = 0; row < rows.rows(); ++row) {
      if (rows.labels[row] == 0) benign.push_back(said[row]);
    }
    auto curve = learn::rarity_curve(benign);
    if (!curve) return std::move(curve).error().within(given.members[m]);
    member.curve = std::move(*curve);
    for (std::size_t row = 0; row < rows.rows(); ++row)
      scores[row * members + m] = member.curve.at(said[row]);
  }
  if (given.combine != "stack" && !order.learnt) return {};
  std::vector<std::uint8_t> is_attack;
  for (const auto label : rows.labels) is_attack.push_back(label != 0);
  const auto found = learn::learn_weights(scores, members, is_attack);
  if (!found) return found.error();
  for (std::size_t m = 0; m < members; ++m) parts.members[m].weight = found->weights[m];
  parts.bias = found->bias;
  return {};
}

std::string fusion_json(const model::Fusion::Parts& parts, const TrainArguments& given, std::size_t rows) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.field("combine", given.combine);
  json.field("rows_for_scales", rows);
  json.key("weights");
  json.begin_object();
  for (std::size_t m = 0; m < parts.members.size(); ++m)
    json.field(given.members[m], parts.members[m].weight);
  json.end_object();
  json.end_object();
  return out;
}

}  // namespace

Result<void> fit_ensemble(const Lesson& lesson, Learnt& learnt) {
  const TrainArguments& given = lesson.given;
  const auto order = order_of(given);
  if (!order) return order.error();
  if (auto fit = check_columns(given, lesson.training.schema); !fit) return fit;
  std::optional<Shares> shares;
  if (!order->plain) {
    auto divided = divide(lesson);
    if (!divided) return std::move(divided).error();
    shares = std::move(*divided);
    say(fmt::format("{} rows bring the members' scores to one scale, {} are learnt from",
                    with_thousands(shares->scale.rows()), with_thousands(shares->members.rows())));
  }
  const Lesson own{shares ? shares->members : lesson.training,
                   shares ? std::span<const std::uint32_t>(shares->groups) : lesson.groups, given,
                   lesson.checkpoints};
  model::Fusion::Parts parts;
  for (std::size_t m = 0; m < given.members.size(); ++m) {
    auto member = fit_member(own, given.members[m], learnt);
    if (!member) return std::move(member).error();
    parts.members.push_back({std::move(*member), {}, order->weights[m]});
  }
  if (order->plain) {
    for (auto& member : parts.members) learnt.models.push_back(std::move(member.model));
    learnt.weights = order->weights;
    return {};
  }
  using Rule = model::Fusion::Rule;
  parts.rule = given.combine == "mean"    ? Rule::mean
               : given.combine == "stack" ? Rule::logistic
                                          : Rule::quorum;
  if (given.combine == "vote") parts.quorum = static_cast<std::uint32_t>(parts.members.size() / 2 + 1);
  if (auto done = bring_to_scale(shares->scale, given, *order, parts); !done) return done;
  learnt.figures["fusion"] = fusion_json(parts, given, shares->scale.rows());
  std::string weights;
  for (std::size_t m = 0; m < parts.members.size(); ++m)
    weights += fmt::format("{}{} {:.3g}", m == 0 ? "" : ", ", given.members[m], parts.members[m].weight);
  if (given.combine == "stack" || order->learnt) say("weights learnt: " + weights);
  auto fusion = model::Fusion::make(std::move(parts));
  if (!fusion) return std::move(fusion).error();
  learnt.models.push_back(std::make_shared<model::Fusion>(std::move(*fusion)));
  return {};
}

}  // namespace nidus::cmd
