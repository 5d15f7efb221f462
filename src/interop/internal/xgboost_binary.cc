#include "interop/internal/xgboost_binary.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json_writer.h"
#include "base/number.h"
#include "base/text.h"

namespace nidus::interop::internal {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::string_view kSnapshotMagic = "CONFIG-offset:";
// sizeof of the structures, most of which is reserved: LearnerModelParamLegacy, GBTreeModelParam, TreeParam,
// and for each node RegTree::Node and RTreeNodeStat.
constexpr std::size_t kLearnerBytes = 136, kBoosterBytes = 160, kBinaryTreeBytes = 148;
constexpr std::size_t kBinaryNodeBytes = 20, kStatBytes = 16;

// Numbers one behind the other. After a read beyond the end all that follow are zero.
class BinaryInput {
 public:
  explicit BinaryInput(std::string_view bytes) : bytes_(bytes) {}

  bool ok() const { return ok_; }
  std::size_t at() const { return at_; }
  std::size_t left() const { return bytes_.size() - at_; }

  std::string_view take(std::size_t size) {
    if (!ok_ || size > left()) {
      ok_ = false;
      return {};
    }
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }
  std::string_view peek(std::size_t size) const { return bytes_.substr(at_, size); }

  template <class T>
  T number() {
    T out{};
    const auto bytes = take(sizeof out);
    if (!bytes.empty()) std::memcpy(&out, bytes.data(), sizeof out);
    return out;
  }
  std::string_view text() {
    const auto size = number<std::uint64_t>();
    return take(size > left() ? left() + 1 : static_cast<std::size_t>(size));
  }

 private:
  std::string_view bytes_;
  std::size_t at_ = 0;
  bool ok_ = true;
};

template <class T>
T binary_field(std::string_view structure, std::size_t offset) {
  T out{};
  std::memcpy(&out, structure.data() + offset, sizeof out);
  return out;
}

// "name":[…], of `count` structures: what `value` makes of each.
template <class Value>
void add_json_list(std::string& out, std::string_view name, std::size_t count, Value value) {
  out += ",\"" + std::string(name) + "\":[";
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) out += ',';
    append_number(out, value(i));
  }
  out += ']';
}

std::string quoted_number(std::int64_t number) { return "\"" + std::to_string(number) + "\""; }

class BinaryTranslator {
 public:
  explicit BinaryTranslator(std::string_view model) : in_(model) {}

  // The object "Model".
  Result<std::string> translate() && {
    if (in_.peek(4) == "binf") in_.take(4);
    const auto learner = in_.take(kLearnerBytes);
    const auto objective = in_.text(), booster = in_.text();
    if (!in_.ok()) return cut_short();
    const auto major = binary_field<std::uint32_t>(learner, 20),
               minor = binary_field<std::uint32_t>(learner, 24);
    if (major != 1)
      return Error{Errc::unsupported,
                   "a binary model of XGBoost before 1.0: save it again as .json with one of 1.0 or newer"};
    if (booster != "gbtree" && booster != "dart")
      return Error{Errc::unsupported,
                   "booster '" + std::string(booster) + "': only gbtree and dart are read"};
    out_ = "{\"version\":[1," + std::to_string(minor) +
           "],\"learner\":{\"learner_model_param\":{\"base_score\":";
    append_number(out_, static_cast<double>(binary_field<float>(learner, 0)));
    out_ += ",\"num_feature\":" + quoted_number(binary_field<std::uint32_t>(learner, 4)) +
            ",\"num_class\":" + quoted_number(binary_field<std::int32_t>(learner, 8)) +
            "},\"objective\":{\"name\":";
    append_json_string(out_, objective);
    out_ += "},\"gradient_booster\":{\"name\":\"gbtree\",\"model\":{";
    if (auto good = add_trees(booster == "dart"); !good) return std::move(good).error();
    out_ += "},\"attributes\":{";
    if (binary_field<std::int32_t>(learner, 12) != 0) add_attributes();
    if (!in_.ok()) return cut_short();
    out_ += "}}}";
    return std::move(out_);
  }

 private:
  Error cut_short() const { return {Errc::corrupt, "the binary model ends too early"}; }

  Result<void> add_trees(bool is_dart) {
    const auto parameters = in_.take(kBoosterBytes);
    if (!in_.ok()) return cut_short();
    const auto trees = binary_field<std::int32_t>(parameters, 0);
    if (trees < 0 || static_cast<std::size_t>(trees) > in_.left() / kBinaryTreeBytes)
      return Error{Errc::corrupt,
                   "byte " + with_thousands(in_.at()) + ": " + std::to_string(trees) + " trees"};
    const auto count = static_cast<std::size_t>(trees);
    out_ += "\"gbtree_model_param\":{\"num_trees\":" + quoted_number(trees) + "},\"trees\":[";
    for (std::size_t tree = 0; tree < count; ++tree) {
      if (tree > 0) out_ += ',';
      if (auto good = add_tree(); !good) return good;
    }
    out_ += ']';
    const auto groups = in_.take(count * sizeof(std::int32_t));
    if (!in_.ok()) return cut_short();
    add_json_list(out_, "tree_info", count,
                  [&](std::size_t i) { return std::int64_t{binary_field<std::int32_t>(groups, 4 * i)}; });
    if (is_dart && count > 0) {
      const auto dropped = in_.number<std::uint64_t>();
      const auto weights =
          in_.take(dropped > count ? in_.left() + 1 : static_cast<std::size_t>(dropped) * sizeof(float));
      if (!in_.ok()) return cut_short();
      out_ += '}';  // weights stand beside the model
      add_json_list(out_, "weight_drop", static_cast<std::size_t>(dropped),
                    [&](std::size_t i) { return static_cast<double>(binary_field<float>(weights, 4 * i)); });
      return {};
    }
    out_ += '}';
    return {};
  }

  Result<void> add_tree() {
    const std::size_t begin = in_.at();
    const auto parameters = in_.take(kBinaryTreeBytes);
    if (!in_.ok()) return cut_short();
    const auto size = binary_field<std::int32_t>(parameters, 4);
    if (size < 0 || static_cast<std::size_t>(size) > in_.left() / (kBinaryNodeBytes + kStatBytes))
      return Error{Errc::corrupt,
                   "byte " + with_thousands(begin) + ": a tree of " + std::to_string(size) + " nodes"};
    const auto count = static_cast<std::size_t>(size);
    const auto nodes = in_.take(count * kBinaryNodeBytes), stats = in_.take(count * kStatBytes);
    // A node: parent, left, right, column with its highest bit for the default, value or threshold.
    constexpr std::uint32_t kDefaultLeft = 0x80000000u;
    const auto whole = [&](std::size_t offset) {
      return [&nodes, offset](std::size_t i) {
        return std::int64_t{binary_field<std::int32_t>(nodes, kBinaryNodeBytes * i + offset)};
      };
    };
    const auto column = [&](std::size_t i) {
      return binary_field<std::uint32_t>(nodes, kBinaryNodeBytes * i + 12);
    };
    out_ += "{\"tree_param\":{\"num_nodes\":" + quoted_number(size) + "}";
    add_json_list(out_, "left_children", count, whole(4));
    add_json_list(out_, "right_children", count, whole(8));
    add_json_list(out_, "split_indices", count,
                  [&](std::size_t i) { return std::int64_t{column(i) & ~kDefaultLeft}; });
    add_json_list(out_, "default_left", count,
                  [&](std::size_t i) { return std::int64_t{(column(i) & kDefaultLeft) != 0}; });
    add_json_list(out_, "split_conditions", count, [&](std::size_t i) {
      return static_cast<double>(binary_field<float>(nodes, kBinaryNodeBytes * i + 16));
    });
    add_json_list(out_, "sum_hessian", count, [&](std::size_t i) {
      return static_cast<double>(binary_field<float>(stats, kStatBytes * i + 4));
    });
    out_ += '}';
    return {};
  }

  void add_attributes() {
    const auto count = in_.number<std::uint64_t>();
    for (std::uint64_t i = 0; i < count && in_.ok(); ++i) {
      if (i > 0) out_ += ',';
      append_json_string(out_, in_.text());
      out_ += ':';
      append_json_string(out_, in_.text());
    }
  }

  BinaryInput in_;
  std::string out_;
};

}  // namespace

Result<std::string> xgboost_binary_as_json(std::span<const std::byte> snapshot) {
  BinaryInput in({reinterpret_cast<const char*>(snapshot.data()), snapshot.size()});
  if (in.take(kSnapshotMagic.size()) != kSnapshotMagic)
    return Error{Errc::unsupported, "a model in XGBoost's old binary format"};
  const auto size = in.number<std::uint64_t>();
  const auto model = in.take(size > in.left() ? in.left() + 1 : static_cast<std::size_t>(size));
  const auto config = in.take(in.left());
  if (!in.ok()) return Error{Errc::corrupt, "the binary model ends too early"};
  auto translated = BinaryTranslator(model).translate();
  if (!translated) return std::move(translated).error();
  return "{\"Config\":" + std::string(config) + ",\"Model\":" + *translated + "}";
}

}  // namespace nidus::interop::internal
