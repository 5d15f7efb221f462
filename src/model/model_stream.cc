#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/digest.h"
#include "model/additive_trees.h"
#include "model/boost.h"
#include "model/calibration.h"
#include "model/distances.h"
#include "model/ensemble.h"
#include "model/forest.h"
#include "model/fusion.h"
#include "model/histogram_sums.h"
#include "model/internal/model_stream.h"
#include "model/kernel_machine.h"
#include "model/naive_bayes.h"
#include "model/network.h"
#include "model/preprocess.h"
#include "model/readout.h"
#include "model/reconstruction.h"
#include "model/tensor_program.h"

namespace nidus::model::internal {
namespace {

static_assert(std::endian::native == std::endian::little, "the file is little-endian and used in place");

// A first byte beyond ASCII and both line ends, so that a transfer in text mode is noticed at once.
constexpr std::string_view kMagic = "\x89NIDUS\r\n";
constexpr std::uint32_t kVersion = 3;  // what is written; 1 and 2 are read as well
constexpr std::size_t kHeaderBytes = 64;
constexpr std::size_t kEntryBytes = 32;
constexpr std::size_t kAlignment = 64;
constexpr std::size_t kSectionsMax = 4096;

struct Header {
  char magic[8];
  std::uint32_t version;
  std::uint32_t sections;
  std::uint64_t file_bytes;
  std::uint64_t table_checksum;
  std::uint64_t header_checksum;  // of the header with zero here
  std::uint64_t reserved[3];
};
static_assert(sizeof(Header) == kHeaderBytes);

struct Entry {
  std::uint64_t offset;
  std::uint64_t bytes;
  std::uint64_t checksum;
  std::uint32_t element;
  std::uint32_t reserved;
};
static_assert(sizeof(Entry) == kEntryBytes);

std::size_t aligned(std::size_t offset) { return (offset + kAlignment - 1) / kAlignment * kAlignment; }

template <class T>
void append_value(std::string& out, const T& value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

std::uint64_t header_checksum(Header header) {
  header.header_checksum = 0;
  return checksum64(std::as_bytes(std::span(&header, 1)));
}

Error corrupt(std::size_t offset, const std::string& what) {
  return {Errc::corrupt, "offset " + std::to_string(offset) + ": " + what};
}

}  // namespace

void FileWriter::u8(std::uint8_t value) { append_value(description_, value); }
void FileWriter::u32(std::uint32_t value) { append_value(description_, value); }
void FileWriter::f32(float value) { append_value(description_, value); }
void FileWriter::f64(double value) { append_value(description_, value); }

void FileWriter::text(std::string_view value) {
  u32(static_cast<std::uint32_t>(value.size()));
  description_ += value;
}

void FileWriter::reals(std::span<const double> values) {
  u32(static_cast<std::uint32_t>(values.size()));
  for (const double value : values) f64(value);
}

void FileWriter::add(Element element, std::span<const std::byte> bytes) {
  sections_.push_back({element, bytes});
  u32(static_cast<std::uint32_t>(sections_.size()));  // the description itself is section 0
}

std::string FileWriter::finish() const {
  std::vector<Section> all = {{Element::bytes, std::as_bytes(std::span(description_))}};
  all.insert(all.end(), sections_.begin(), sections_.end());
  std::string table, body;
  const std::size_t body_offset = kHeaderBytes + kEntryBytes * all.size();
  for (const auto& section : all) {
    body.resize(aligned(body_offset + body.size()) - body_offset, '\0');
    append_value(table, Entry{body_offset + body.size(), section.bytes.size(), checksum64(section.bytes),
                              static_cast<std::uint32_t>(section.element), 0});
    body.append(reinterpret_cast<const char*>(section.bytes.data()), section.bytes.size());
  }
  Header header{};
  std::memcpy(header.magic, kMagic.data(), kMagic.size());
  header.version = kVersion;
  header.sections = static_cast<std::uint32_t>(all.size());
  header.file_bytes = body_offset + body.size();
  header.table_checksum = checksum64(std::as_bytes(std::span(table)));
  header.header_checksum = header_checksum(header);
  std::string file;
  file.reserve(header.file_bytes);
  append_value(file, header);
  file += table;
  file += body;
  return file;
}

Result<FileReader> FileReader::open(std::shared_ptr<const void> owner, std::span<const std::byte> bytes) {
  Header header;
  if (bytes.size() < sizeof header) {
    return corrupt(bytes.size(), "the file ends inside its header of 64 bytes");
  }
  std::memcpy(&header, bytes.data(), sizeof header);
  if (std::string_view(header.magic, sizeof header.magic) != kMagic) {
    return corrupt(0, "not a nidus model: it begins with other bytes");
  }
  if (header.version == 0 || header.version > kVersion) {
    return Error{Errc::unsupported, "model file of version " + std::to_string(header.version) +
                                        ", this program reads versions 1 to " + std::to_string(kVersion)};
  }
  if (header_checksum(header) != header.header_checksum)
    return corrupt(0, "the header does not match its checksum");
  if (header.file_bytes != bytes.size()) {
    return corrupt(16, "the header says " + std::to_string(header.file_bytes) + " bytes, the file has " +
                           std::to_string(bytes.size()));
  }
  if (header.sections == 0 || header.sections > kSectionsMax) {
    return corrupt(
        12, std::to_string(header.sections) + " sections, expected 1 to " + std::to_string(kSectionsMax));
  }
  const std::size_t table_bytes = header.sections * kEntryBytes;
  if (bytes.size() - kHeaderBytes < table_bytes)
    return corrupt(kHeaderBytes, "the table of sections is cut off");
  const auto table = bytes.subspan(kHeaderBytes, table_bytes);
  if (checksum64(table) != header.table_checksum) {
    return corrupt(kHeaderBytes, "the table of sections does not match its checksum");
  }

  FileReader reader;
  reader.version_ = header.version;
  reader.owner_ = std::move(owner);
  std::size_t end = kHeaderBytes + table_bytes;
  for (std::uint32_t i = 0; i < header.sections; ++i) {
    Entry entry;
    const std::size_t at = kHeaderBytes + i * kEntryBytes;
    std::memcpy(&entry, bytes.data() + at, sizeof entry);
    const std::string noun = "section " + std::to_string(i) + " ";
    if (entry.offset != aligned(end))
      return corrupt(at, noun + "does not begin where the one before it ends");
    if (entry.offset > bytes.size() || entry.bytes > bytes.size() - entry.offset) {
      return corrupt(at + 8, noun + "ends beyond the file");
    }
    const auto padding = bytes.subspan(end, entry.offset - end);
    if (std::any_of(padding.begin(), padding.end(), [](std::byte b) { return b != std::byte{0}; })) {
      return corrupt(end, "padding that is not zero");
    }
    if (entry.reserved != 0) return corrupt(at + 28, "a reserved field that is not zero");
    const auto section = bytes.subspan(entry.offset, entry.bytes);
    if (checksum64(section) != entry.checksum)
      return corrupt(entry.offset, noun + "does not match its checksum");
    reader.sections_.push_back({static_cast<Element>(entry.element), section, false});
    end = entry.offset + entry.bytes;
  }
  if (end != bytes.size()) return corrupt(end, "bytes behind the last section");
  Section& first = reader.sections_.front();
  if (first.element != Element::bytes) return corrupt(kHeaderBytes + 24, "section 0 is not the description");
  first.used = true;
  reader.description_ = first.bytes;
  reader.description_offset_ = static_cast<std::size_t>(first.bytes.data() - bytes.data());
  return reader;
}

Error FileReader::fail(const std::string& what) {
  if (!failed_) {
    failed_ = true;
    error_ = corrupt(description_offset_ + position_, what);
  }
  return error_;
}

const std::byte* FileReader::take(std::size_t size) {
  if (failed_) return nullptr;
  if (description_.size() - position_ < size) {
    fail("the description ends early");
    return nullptr;
  }
  const std::byte* at = description_.data() + position_;
  position_ += size;
  return at;
}

namespace {

template <class T>
T value_at(const std::byte* at) {
  T value{};
  if (at != nullptr) std::memcpy(&value, at, sizeof value);
  return value;
}

}  // namespace

std::uint8_t FileReader::u8() { return value_at<std::uint8_t>(take(1)); }
std::uint32_t FileReader::u32() { return value_at<std::uint32_t>(take(4)); }
float FileReader::f32() { return value_at<float>(take(4)); }
double FileReader::f64() { return value_at<double>(take(8)); }

std::uint32_t FileReader::peek_u32() {
  const std::size_t before = position_;
  const auto value = u32();
  if (!failed_) position_ = before;
  return value;
}

std::vector<double> FileReader::reals() {
  std::vector<double> values(count(sizeof(double)));
  for (double& value : values) value = f64();
  return values;
}

std::string FileReader::text() {
  const std::size_t size = u32();
  const std::byte* at = take(size);
  return at == nullptr ? std::string() : std::string(reinterpret_cast<const char*>(at), size);
}

std::size_t FileReader::count(std::size_t bytes_each) {
  const std::size_t n = u32();
  if (!failed_ && n > (description_.size() - position_) / bytes_each) {
    position_ -= 4;
    fail("a count of " + std::to_string(n) + " does not fit into the rest of the description");
  }
  return failed_ ? 0 : n;
}

std::span<const std::byte> FileReader::section(Element element, std::size_t element_bytes) {
  const std::size_t number = u32();
  if (failed_) return {};
  if (number >= sections_.size()) {
    fail("refers to section " + std::to_string(number) + " of " + std::to_string(sections_.size()));
    return {};
  }
  Section& section = sections_[number];
  if (section.used) {
    fail("refers to section " + std::to_string(number) + " a second time");
    return {};
  }
  section.used = true;
  if (section.element != element || section.bytes.size() % element_bytes != 0) {
    fail("section " + std::to_string(number) + " holds other elements than are expected here");
    return {};
  }
  return section.bytes;
}

Result<std::shared_ptr<const Model>> FileReader::model(int nesting) {
  const auto share = [](auto made) -> Result<std::shared_ptr<const Model>> {
    if (!made) return std::move(made).error();
    using Made = std::remove_reference_t<decltype(*made)>;
    return std::shared_ptr<const Model>(std::make_shared<const Made>(std::move(*made)));
  };
  if (nesting >= kNestingMax) return fail("models nested too deeply");
  const auto kind = u32();
  if (!ok()) return error();
  switch (static_cast<ModelTag>(kind)) {
    case ModelTag::forest:
      return share(Forest::load(*this));
    case ModelTag::boost:
      return share(Boost::load(*this));
    case ModelTag::pipeline:
      return share(Pipeline::load(*this, nesting));
    case ModelTag::ensemble:
      return share(Ensemble::load(*this, nesting));
    case ModelTag::additive_trees:
      return share(AdditiveTrees::load(*this));
    case ModelTag::transformed:
      return share(TransformedModel::load(*this, nesting));
    case ModelTag::network:
      return share(Network::load(*this));
    case ModelTag::reconstruction:
      return share(Reconstruction::load(*this, nesting));
    case ModelTag::readout:
      return share(Readout::load(*this, nesting));
    case ModelTag::calibration:
      return share(Calibration::load(*this, nesting));
    case ModelTag::stack:
      return share(Stack::load(*this, nesting));
    case ModelTag::naive_bayes:
      return share(NaiveBayes::load(*this));
    case ModelTag::kernel_machine:
      return share(KernelMachine::load(*this));
    case ModelTag::tensor_program:
      return share(TensorModel::load(*this));
    case ModelTag::mahalanobis:
      return share(Mahalanobis::load(*this));
    case ModelTag::neighbours:
      return share(Neighbours::load(*this));
    case ModelTag::histogram_sums:
      return share(HistogramSums::load(*this));
    case ModelTag::fusion:
      return share(Fusion::load(*this, nesting));
  }
  return fail("a model of kind " + std::to_string(kind) + ", which this version does not know");
}

bool all_finite(std::span<const double> values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

}  // namespace nidus::model::internal
