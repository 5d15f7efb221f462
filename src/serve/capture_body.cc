#include "serve/capture_body.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "base/base64.h"
#include "base/number.h"
#include "net/capture.h"
#include "serve/json_stream.h"
#include "serve/multipart.h"

namespace nidus::serve {
namespace {

// What the capture service says to a body with nothing in it.
constexpr const char* kNoData = "No JSON data provided";
constexpr std::size_t kHeldBytesMax = std::size_t{1} << 20;

class RawCapture final : public CaptureBody {
 public:
  explicit RawCapture(PieceSource source) : source_(std::move(source)) {}
  Result<std::span<const std::byte>> next() override { return source_(); }

 private:
  PieceSource source_;
};

class FormCapture final : public CaptureBody, private http::BodyReader {
 public:
  FormCapture(PieceSource source, std::string content_type)
      : source_(std::move(source)), content_type_(std::move(content_type)) {}

  Result<std::span<const std::byte>> next() override {
    if (!form_) {
      auto form = Multipart::open(content_type_, *this);
      if (!form) return std::move(form).error();
      form_.emplace(std::move(*form));
    }
    while (!found_) {
      auto part = form_->next();
      if (!part) return client_fault(std::move(part).error());
      if (!*part) return Error{Errc::invalid, "no file in the form"};
      found_ = !(*part)->file_name.empty() || (*part)->name == "file";
    }
    auto piece = form_->read();
    if (!piece) return client_fault(std::move(piece).error());
    return piece;
  }

 private:
  Result<std::span<const std::byte>> read() override { return source_(); }
  static Error client_fault(Error error) {
    if (error.code == Errc::corrupt) error.code = Errc::invalid;
    return error;
  }

  PieceSource source_;
  std::string content_type_;
  std::optional<Multipart> form_;
  bool found_ = false;
};

// What content and packets have in common: a JSON object that is read as it
// arrives, of which one value is wanted.
class JsonBody : public CaptureBody, private JsonSink {
 public:
  explicit JsonBody(PieceSource source) : source_(std::move(source)), stream_(*this) {}

  Result<std::span<const std::byte>> next() final {
    out_.clear();
    while (!ended_) {
      auto piece = source_();
      if (!piece) return std::move(piece).error();
      if (piece->empty()) {
        ended_ = true;
        if (stream_.empty()) return Error{Errc::invalid, kNoData};
        if (!stream_.finish()) return fault();
        if (auto done = finish(out_); !done) return std::move(done).error();
        break;
      }
      if (!stream_.feed({reinterpret_cast<const char*>(piece->data()), piece->size()})) return fault();
      if (give(out_)) break;
    }
    return std::span<const std::byte>(out_);
  }

 protected:
  // Members of the object and what is in them; `depth` 1 is the object's own.
  virtual bool begin_at(int depth, char bracket) = 0;
  virtual bool end_at(int depth) = 0;  // depth of what ended
  virtual bool text_at(int depth, std::string_view piece) = 0;
  virtual bool text_end_at(int depth) = 0;
  virtual bool scalar_at(int depth, std::string_view written) = 0;
  // Moves what there is to `out`; false if there is nothing yet.
  virtual bool give(std::vector<std::byte>& out) = 0;
  virtual Result<void> finish(std::vector<std::byte>& out) = 0;

  bool refuse(std::string why) {
    why_ = std::move(why);
    return false;
  }
  // The key that the value at depth 1 or 3 stands under.
  const std::string& key_at(int depth) const { return keys_[depth]; }
  bool has_members() const { return members_ > 0; }

 private:
  Error fault() const {
    if (!why_.empty()) return {Errc::invalid, why_};
    return {Errc::invalid, "not JSON: " + stream_.problem()};
  }
  bool begin(char bracket) final {
    if (depth_ == 0 && bracket != '{') return refuse(kNoData);
    ++depth_;
    return depth_ == 1 || begin_at(depth_ - 1, bracket);
  }
  bool end(char) final {
    --depth_;
    return depth_ == 0 || end_at(depth_);
  }
  bool key(std::string_view name) final {
    if (depth_ == 1) ++members_;
    if (depth_ < static_cast<int>(std::size(keys_))) keys_[depth_] = name;
    return true;
  }
  bool text(std::string_view piece) final { return depth_ == 0 ? refuse(kNoData) : text_at(depth_, piece); }
  bool text_end() final { return depth_ == 0 ? refuse(kNoData) : text_end_at(depth_); }
  bool scalar(std::string_view written) final {
    return depth_ == 0 ? refuse(kNoData) : scalar_at(depth_, written);
  }

  PieceSource source_;
  JsonStream stream_;
  std::vector<std::byte> out_;
  std::string why_;
  std::string keys_[4];
  int depth_ = 0;
  std::uint64_t members_ = 0;
  bool ended_ = false;
};

class ContentBody final : public JsonBody {
 public:
  using JsonBody::JsonBody;

 private:
  bool is_content(int depth) const { return depth == 1 && key_at(1) == "content"; }
  bool begin_at(int depth, char) override { return !is_content(depth) || not_text(); }
  bool end_at(int) override { return true; }
  bool scalar_at(int depth, std::string_view) override { return !is_content(depth) || not_text(); }
  bool not_text() { return refuse("content is to be a text, the capture in base64"); }

  bool text_at(int depth, std::string_view piece) override {
    if (!is_content(depth)) return true;
    if (seen_) return refuse("content is there twice");
    if (decoder_.feed(piece, bytes_)) return true;
    return refuse(
        fmt::format("content is not base64: character {} does not belong there", decoder_.taken() + 1));
  }
  bool text_end_at(int depth) override {
    if (!is_content(depth)) return true;
    if (std::exchange(seen_, true)) return refuse("content is there twice");
    if (!decoder_.complete()) return refuse("content is not base64: it ends too early");
    if (decoder_.taken() == 0) return refuse("content is empty");
    return true;
  }
  bool give(std::vector<std::byte>& out) override {
    out.swap(bytes_);
    bytes_.clear();
    return !out.empty();
  }
  Result<void> finish(std::vector<std::byte>& out) override {
    if (!seen_) return Error{Errc::invalid, has_members() ? "No content provided" : kNoData};
    give(out);
    return {};
  }

  Base64Decoder decoder_;
  std::vector<std::byte> bytes_;
  bool seen_ = false;
};

class PacketsBody final : public JsonBody {
 public:
  using JsonBody::JsonBody;

  bool times_absent() const override { return times_ == Times::absent; }
  std::uint64_t undecodable() const override { return undecodable_; }

 private:
  enum class Times : std::uint8_t { unknown, absent, given };

  // Where a value is: an element of `packets` at depth 2, a member of such an
  // element at depth 3.
  bool in_packets() const { return key_at(1) == "packets"; }
  bool is_data(int depth) const {
    return in_packets() && (depth == 2 || (depth == 3 && in_object_ && key_at(3) == "data"));
  }

  bool begin_at(int depth, char bracket) override {
    if (depth == 1 && key_at(1) == "linktype") return refuse("linktype is to be a number");
    if (!in_packets()) return true;
    if (depth == 1) {
      if (bracket != '[') return refuse("packets is to be a list");
      return !std::exchange(seen_, true) || refuse("packets is there twice");
    }
    if (depth == 2) {
      if (bracket != '{') return wrong("neither base64 nor an object with data and timestamp");
      start();
      in_object_ = true;
      return true;
    }
    return !is_data(depth) || wrong("data is to be a text in base64");
  }
  bool end_at(int depth) override {
    if (!in_packets() || depth != 2 || !in_object_) return true;
    in_object_ = false;
    if (!has_data_) return wrong("an object without data");
    return add();
  }
  bool text_at(int depth, std::string_view piece) override {
    if (depth == 1) return at_top();
    if (!is_data(depth)) return true;
    if (!std::exchange(in_data_, true)) {
      if (depth == 2) start();
      if (has_data_) return wrong("data is there twice");
    }
    if (!bad_) bad_ = !decoder_.feed(piece, packet_);
    if (packet_.size() > net::kFrameBytesMax)
      return wrong(fmt::format("longer than {} bytes, which no frame is", net::kFrameBytesMax));
    return true;
  }
  bool text_end_at(int depth) override {
    if (depth == 1) return at_top();
    if (!is_data(depth))
      return depth != 3 || !in_packets() || key_at(3) != "timestamp" ||
             wrong("timestamp is to be a number of seconds");
    if (!std::exchange(in_data_, false)) {  // an empty text
      if (depth == 2) start();
      if (has_data_) return wrong("data is there twice");
    }
    has_data_ = true;
    bad_ = bad_ || !decoder_.complete() || packet_.empty();
    return depth != 2 || add();
  }
  bool scalar_at(int depth, std::string_view written) override {
    if (depth == 1 && key_at(1) == "linktype") return take_linktype(written);
    if (depth == 1) return at_top();
    if (is_data(depth)) return wrong(depth == 2 ? "neither base64 nor an object" : "data is to be a text");
    if (!in_packets() || depth != 3 || !in_object_) return true;
    if (key_at(3) == "length") {
      const auto bytes = parse_integer(written);
      if (!bytes || *bytes < 0 || *bytes > UINT32_MAX) return wrong("length is to be a number of bytes");
      wire_bytes_ = static_cast<std::uint64_t>(*bytes);
      return true;
    }
    if (key_at(3) != "timestamp") return true;
    const auto seconds = parse_number(written);
    if (!seconds || !(*seconds >= 0) || *seconds >= 4294967296.0)
      return wrong("timestamp is to be a number of seconds since 1970");
    time_us_ = static_cast<std::uint64_t>(std::llround(*seconds * 1e6));
    return true;
  }

  // A text or number as a member of the body itself.
  bool at_top() {
    if (in_packets()) return refuse("packets is to be a list");
    return key_at(1) != "linktype" || refuse("linktype is to be a number");
  }
  bool wrong(const std::string& what) { return refuse(fmt::format("packets[{}]: {}", packets_, what)); }

  void start() {
    packet_.clear();
    decoder_ = {};
    bad_ = has_data_ = false;
    time_us_.reset();
    wire_bytes_ = 0;
  }
  bool add() {
    const Times now = time_us_ ? Times::given : Times::absent;
    if (times_ == Times::unknown) times_ = now;
    if (times_ != now) return wrong("packets are to have a timestamp all of them, or none");
    ++packets_;
    if (bad_) {
      ++undecodable_;
      return true;
    }
    // At the end of the last microsecond that 32 bits of seconds hold, rounding
    // may have reached the next.
    const std::uint64_t us = std::min<std::uint64_t>(time_us_.value_or(0), 4294967295999999u);
    little(us / 1'000'000);
    little(us % 1'000'000 * 1000);
    little(packet_.size());
    little(std::max<std::uint64_t>(wire_bytes_, packet_.size()));
    frames_.insert(frames_.end(), packet_.begin(), packet_.end());
    return true;
  }
  void little(std::uint64_t value) {
    for (int i = 0; i < 4; ++i) frames_.push_back(static_cast<std::byte>(value >> (8 * i) & 0xff));
  }

  bool take_linktype(std::string_view written) {
    const auto number = parse_integer(written);
    if (!number || *number < 0 || *number > 0xffff)
      return refuse("linktype is to be a number from 0 to 65535");
    if (linktype_) return refuse("linktype is there twice");
    linktype_ = static_cast<std::uint16_t>(*number);
    if (header_given_ && *linktype_ != 1) return refuse("linktype is to stand before so many packets");
    return true;
  }

  void give_all(std::vector<std::byte>& out) {
    if (!std::exchange(header_given_, true)) {
      std::vector<std::byte> frames;
      frames.swap(frames_);
      little(0xa1b23c4d);  // pcap with nanoseconds, version 2.4
      little(2 | 4 << 16);
      little(0);
      little(0);
      little(net::kFrameBytesMax);
      little(linktype_.value_or(1));
      frames_.insert(frames_.end(), frames.begin(), frames.end());
    }
    out.swap(frames_);
    frames_.clear();
  }
  bool give(std::vector<std::byte>& out) override {
    if (frames_.empty() || (!header_given_ && !linktype_ && frames_.size() < kHeldBytesMax)) return false;
    give_all(out);
    return true;
  }
  Result<void> finish(std::vector<std::byte>& out) override {
    if (!seen_) return Error{Errc::invalid, has_members() ? "No packets provided" : kNoData};
    if (packets_ == undecodable_) return Error{Errc::invalid, "No valid packets could be decoded"};
    give_all(out);
    return {};
  }

  Base64Decoder decoder_;
  std::vector<std::byte> packet_, frames_;
  std::optional<std::uint64_t> time_us_;
  std::uint64_t wire_bytes_ = 0;  // 0: it does not say
  std::optional<std::uint16_t> linktype_;
  std::uint64_t packets_ = 0, undecodable_ = 0;
  Times times_ = Times::unknown;
  bool seen_ = false, header_given_ = false, in_object_ = false;
  bool in_data_ = false, has_data_ = false,
       bad_ = false;  // of the packet that is being read
};

}  // namespace

std::unique_ptr<CaptureBody> raw_capture(PieceSource source) {
  return std::make_unique<RawCapture>(std::move(source));
}
std::unique_ptr<CaptureBody> form_capture(PieceSource source, std::string content_type) {
  return std::make_unique<FormCapture>(std::move(source), std::move(content_type));
}
std::unique_ptr<CaptureBody> json_capture(PieceSource source) {
  return std::make_unique<ContentBody>(std::move(source));
}
std::unique_ptr<CaptureBody> json_packets(PieceSource source) {
  return std::make_unique<PacketsBody>(std::move(source));
}

}  // namespace nidus::serve
