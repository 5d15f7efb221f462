#include "sandbox/child.h"

#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <new>
#include <optional>
#include <vector>

#include "base/digest.h"
#include "base/number.h"
#include "detect/detector.h"
#include "detect/pipeline.h"
#include "interop/import.h"
#include "net/capture.h"
#include "sandbox/internal/lock_down.h"
#include "sandbox/internal/tar.h"
#include "sandbox/internal/wire.h"

namespace nidus::sandbox {
namespace {

using namespace internal;

constexpr int kIn = 0, kOut = 1;

std::atomic<bool> offered = false;

// Whoever cannot speak any more need not live on.
void must(bool written) {
  if (!written) ::_exit(0);
}

void fail(const Error& error) { must(write_message(kOut, Tag::failure, error_bytes(error))); }

Result<void> read_exactly(std::span<std::byte> into) {
  while (!into.empty()) {
    const ssize_t got = ::read(kIn, into.data(), into.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Error{Errc::io, "nobody is there"};
    into = into.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

// Records as messages of at most kRecordsAtOnce.
class RecordSender {
 public:
  void send(std::span<const flow::FlowRecord* const> records) {
    for (const auto* record : records) {
      flow::FlowRecord& copy = buffer_.emplace_back(*record);
      if (record->context != nullptr) contexts_.push_back(*record->context);
      if (record->steps != nullptr)
        std::copy_n(record->steps, record->sequence_packets, steps_.emplace_back().begin());
      copy.context = nullptr;
      copy.steps = nullptr;
      if (buffer_.size() == kRecordsAtOnce) flush();
    }
    flush();
  }

 private:
  void flush() {
    if (buffer_.empty()) return;
    if (!contexts_.empty()) must(write_message(kOut, Tag::contexts, std::as_bytes(std::span(contexts_))));
    if (!steps_.empty()) must(write_message(kOut, Tag::steps, std::as_bytes(std::span(steps_))));
    must(write_message(kOut, Tag::records, std::as_bytes(std::span(buffer_))));
    buffer_.clear();
    contexts_.clear();
    steps_.clear();
  }
  std::vector<flow::FlowRecord> buffer_;
  std::vector<flow::FlowContext> contexts_;
  std::vector<Steps> steps_;
};

void meter_capture(const Job& job) {
  net::CaptureOptions capture_options;
  capture_options.inflated_bytes_max = job.inflated_bytes_max;
  capture_options.inflated_ratio_max = job.inflated_ratio_max;
  auto capture = net::Capture::open_descriptor(kIn, "the capture", capture_options);
  if (!capture) return fail(capture.error());

  detect::PipelineOptions options;
  options.meter = job.meter;
  options.threads = job.threads;
  // Nobody waits for records of a slow stretch: blocks are as large as those of a file.
  options.stream_block_span = std::chrono::hours(24 * 365);
  detect::Pipeline pipeline(options);
  RecordSender sender;
  std::atomic<bool> stop = false;
  std::optional<Error> limit;
  std::uint64_t flows = 0;
  const auto statistics = pipeline.run(
      *capture,
      [&](std::span<const flow::FlowRecord* const> records) {
        flows += records.size();
        if (flows > job.flows_max) {
          limit =
              Error{Errc::exhausted, fmt::format("more than {} flows, which is the limit", job.flows_max)};
          return false;
        }
        sender.send(records);
        return true;
      },
      [&](std::uint64_t bytes_read, std::optional<std::uint64_t>) {
        if (capture->frames() > job.packets_max) {
          limit = Error{Errc::exhausted,
                        fmt::format("more than {} packets, which is the limit", job.packets_max)};
          stop = true;
        }
        must(write_plain(kOut, Tag::progress, WireProgress{bytes_read, capture->frames(), flows}));
      },
      &stop);
  if (limit) return fail(*limit);
  if (capture->fault()) must(write_message(kOut, Tag::fault, error_bytes(*capture->fault())));
  must(write_plain(kOut, Tag::summary, to_wire(statistics)));
  must(write_message(kOut, Tag::end, std::string_view()));
}

struct HeldFile {
  std::string name;
  std::vector<std::byte> bytes;
};

// What follows the job up to Tag::end.
Result<std::vector<HeldFile>> receive_files(MessageReader& reader) {
  std::vector<HeldFile> files;
  for (;;) {
    auto message = reader.next();
    if (!message) return std::move(message).error();
    if (message->tag == Tag::end) return files;
    if (message->tag == Tag::file) {
      files.push_back({std::string(message->text()), {}});
    } else if (message->tag == Tag::bytes && !files.empty()) {
      auto& bytes = files.back().bytes;
      bytes.insert(bytes.end(), message->bytes.begin(), message->bytes.end());
    } else {
      return Error{Errc::io, "no file of a detector"};
    }
  }
}

// One archive stands for what is in it.
Result<void> open_archive(std::vector<HeldFile>& files, std::uint64_t unpacked_bytes_max) {
  if (files.size() != 1) return {};
  std::vector<std::byte>& bytes = files[0].bytes;
  if (bytes.size() > 2 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b}) {
    // A pickle may be packed like that too, and has its own reader.
    auto unpacked = gunzip(bytes, unpacked_bytes_max);
    if (!unpacked && unpacked.error().code == Errc::exhausted) return unpacked.error();
    if (!unpacked || !is_tar(*unpacked)) return {};
    bytes = std::move(*unpacked);
  }
  if (!is_tar(bytes)) return {};
  const auto archive = std::move(bytes);
  const auto members = read_tar(archive);
  if (!members) return members.error();
  files.clear();
  for (const auto& member : *members)
    files.push_back({member.name, {member.bytes.begin(), member.bytes.end()}});
  return {};
}

void send_detector(detect::Manifest manifest, std::span<const std::shared_ptr<const model::Model>> members) {
  const auto sink = [](const std::string& name, std::string_view bytes) -> Result<void> {
    must(write_message(kOut, Tag::file, name));
    for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), kPieceBytesMax)))
      must(write_message(kOut, Tag::bytes, bytes.substr(0, kPieceBytesMax)));
    return {};
  };
  for (auto& member : manifest.members) {
    if (!is_file_name(member.file)) member.file.clear();
  }
  if (auto written = detect::Detector::write(std::move(manifest), members, sink); !written)
    return fail(written.error());
  must(write_message(kOut, Tag::end, std::string_view()));
}

void read_detector(const Job& job, MessageReader& reader) {
  interop::ImportOptions options;
  const auto read_text = [&] {
    auto message = reader.next();
    if (!message || message->tag != Tag::text) ::_exit(1);
    return std::string(message->text());
  };
  options.read.layers = read_text();
  options.read.option_prefix = read_text();
  options.name = read_text();
  options.benign = read_text();
  for (std::uint64_t i = 0; i < job.features; ++i) options.features.push_back(read_text());
  for (std::uint64_t i = 0; i < job.classes; ++i) options.classes.push_back(read_text());
  if (job.has_threshold != 0) options.threshold = job.threshold;
  if (job.has_profile != 0) options.profile = job.profile;

  auto files = receive_files(reader);
  if (!files) return fail(files.error());
  const bool archive = files->size() == 1;
  if (auto opened = open_archive(*files, job.unpacked_bytes_max); !opened) return fail(opened.error());

  const bool ours =
      std::any_of(files->begin(), files->end(), [](const HeldFile& f) { return f.name == "detector.json"; });
  if (ours) {
    std::vector<detect::Detector::File> held;
    for (const auto& file : *files) held.push_back({file.name, file.bytes});
    const auto detector = detect::Detector::load_files(held);
    if (!detector) return fail(detector.error());
    detect::Manifest manifest = detector->manifest();
    if (!options.name.empty()) manifest.name = options.name;
    return send_detector(std::move(manifest), detector->members());
  }
  std::vector<interop::FileInMemory> held;
  for (const auto& file : *files) held.push_back({file.name, file.bytes});
  auto imported = interop::import_files(held, held.size() > 1 || !archive, options);
  if (!imported) return fail(imported.error());
  for (const auto& note : imported->notes)
    must(write_message(kOut, Tag::note, std::string_view(note).substr(0, kTextBytesMax)));
  send_detector(imported->detector.manifest(), imported->members);
}

}  // namespace

void offer_this_program() { offered = true; }
bool is_this_program_offered() { return offered; }

int run_child(std::span<const std::string> words) {
  const auto memory = words.size() == 3 ? parse_integer(words[0]) : std::nullopt;
  const auto cpu = words.size() == 3 ? parse_integer(words[1]) : std::nullopt;
  if (!memory || !cpu || *memory <= 0 || *cpu <= 0) return 2;
  const bool filter_required = words[2] != "any";

  // Each thread's own arena would reserve 64 MiB of the address space.
  ::mallopt(M_ARENA_MAX, 4);
  // Also where a worker thread runs out of it, which could say nothing in order.
  std::set_new_handler([] { ::_exit(kChildOutOfMemory); });
  if (auto limited = limit_resources({static_cast<std::uint64_t>(*memory), static_cast<std::uint64_t>(*cpu)});
      !limited) {
    fail(limited.error());
    return 1;
  }
  // OpenSSL reads its configuration when it is first used.
  (void)sha256_hex({});
  const auto filtered = filter_system_calls();
  if (!filtered && filter_required) {
    fail(filtered.error());
    return 1;
  }
  // From here on: only read, write, memory, threads.
  const std::byte held{static_cast<unsigned char>(filtered ? 1 : 0)};
  must(write_message(kOut, Tag::ready, std::span(&held, 1)));

  MessageReader reader(read_exactly);
  const auto first = reader.next();
  if (!first || first->tag != Tag::job) ::_exit(0);  // nobody has a job
  Job job;
  std::memcpy(static_cast<void*>(&job), first->bytes.data(), sizeof job);
  try {
    switch (job.kind) {
      case Job::Kind::meter_capture:
        meter_capture(job);
        break;
      case Job::Kind::read_detector:
        read_detector(job, reader);
        break;
    }
  } catch (const std::bad_alloc&) {  // of what takes memory without operator new
    ::_exit(kChildOutOfMemory);
  }
  ::_exit(0);  // nothing is to be tidied up, and atexit handlers make system calls that are not allowed
}

}  // namespace nidus::sandbox
