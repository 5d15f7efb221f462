#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "sandbox/internal/jobs.h"

namespace nidus::sandbox::internal {
namespace {

// Files of a detector and their sizes, together: larger than what is uploaded, since it is not compressed.
constexpr std::uint64_t kWrittenBytesMax = std::uint64_t{8} << 30;
constexpr std::size_t kFilesMax = 128;  // Manifest::kMembersMax, the manifest, and room

// A file that is being written. Closed in the end.
class Written {
 public:
  Written() = default;
  Written(const Written&) = delete;
  Written& operator=(const Written&) = delete;
  ~Written() { close(); }

  Result<void> open(const std::filesystem::path& path) {
    close();
    path_ = path;
    fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd_ < 0) return failed();
    return {};
  }
  Result<void> write(std::span<const std::byte> bytes) {
    if (fd_ < 0 || !write_all(fd_, bytes)) return failed();
    return {};
  }

 private:
  Error failed() const { return {Errc::io, path_.string() + ": cannot write: " + std::strerror(errno)}; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

  std::filesystem::path path_;
  int fd_ = -1;
};

// Sends the files; nothing if the child takes no more, which then says why.
Result<void> send(Conversation& child, const interop::ImportOptions& options,
                  std::uint64_t unpacked_bytes_max, Sandbox::Files& files) {
  Job job;
  job.kind = Job::Kind::read_detector;
  job.features = options.features.size();
  job.classes = options.classes.size();
  job.has_threshold = options.threshold ? 1 : 0;
  job.threshold = options.threshold.value_or(0);
  job.has_profile = options.profile ? 1 : 0;
  job.profile = options.profile.value_or(flow::Profile::native);
  job.unpacked_bytes_max = unpacked_bytes_max;
  bool takes = child.say(Tag::job, std::as_bytes(std::span(&job, 1)));
  for (const auto* text : {&options.read.layers, &options.read.option_prefix, &options.name, &options.benign})
    takes = takes && child.say(Tag::text, *text);
  for (const auto* list : {&options.features, &options.classes}) {
    for (const auto& text : *list) takes = takes && child.say(Tag::text, text);
  }
  while (takes) {
    auto name = files.next();
    if (!name) return std::move(name).error();
    if (!*name) break;
    takes = child.say(Tag::file, (*name)->substr(0, kNameBytesMax));
    while (takes) {
      auto piece = files.piece();
      if (!piece) return std::move(piece).error();
      if (piece->empty()) break;
      for (auto rest = *piece; takes && !rest.empty();) {
        const auto some = rest.first(std::min(rest.size(), kPieceBytesMax));
        takes = child.say(Tag::bytes, some);
        rest = rest.subspan(some.size());
      }
    }
  }
  if (takes) child.say(Tag::end, std::string_view());
  child.end_input();
  return {};
}

}  // namespace

Result<DetectorRead> read_detector(Conversation& child, const interop::ImportOptions& options,
                                   std::uint64_t unpacked_bytes_max, Sandbox::Files& files,
                                   const std::filesystem::path& folder) {
  for (const auto* list : {&options.features, &options.classes}) {
    for (const auto& text : *list) {
      if (text.size() > kTextBytesMax) return Error{Errc::invalid, "a name of that length is none"};
    }
  }
  if (auto sent = send(child, options, unpacked_bytes_max, files); !sent) {
    child.kill();
    return std::move(sent).error();
  }
  DetectorRead read;
  Written file;
  std::size_t count = 0;
  std::uint64_t bytes = 0;
  for (;;) {
    auto message = child.next();
    if (!message) return std::move(message).error();
    switch (message->tag) {
      case Tag::note: {
        if (read.notes.size() >= kFilesMax) break;
        std::string& note = read.notes.emplace_back();
        for (const char c : message->text()) note += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
        break;
      }
      case Tag::file: {
        const std::string name(message->text());
        if (!is_file_name(name) || ++count > kFilesMax)
          return Error{Errc::io, "the sandboxed process named a file that no detector has"};
        if (auto opened = file.open(folder / name); !opened) return std::move(opened).error();
        break;
      }
      case Tag::bytes:
        bytes += message->bytes.size();
        if (count == 0 || bytes > kWrittenBytesMax)
          return Error{Errc::exhausted, "the detector is larger than any that is taken"};
        if (auto written = file.write(message->bytes); !written) return std::move(written).error();
        break;
      case Tag::end:
        return read;
      case Tag::ready:
      case Tag::job:
      case Tag::text:
      case Tag::records:
      case Tag::progress:
      case Tag::fault:
      case Tag::summary:
      case Tag::failure:
      case Tag::contexts:
      case Tag::steps:
        return Error{Errc::io, "the sandboxed process said something else than it was asked"};
    }
  }
}

}  // namespace nidus::sandbox::internal
