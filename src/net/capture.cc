#include "net/capture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <variant>

#include "net/internal/reader.h"
#include "net/internal/window.h"

namespace nidus::net {

using internal::Packing;
using internal::PcapngReader;
using internal::PcapReader;
using internal::Read;
using internal::ReadFault;
using internal::Window;

namespace {

// What a file that is no capture seems to be, for the error message.
std::string describe_start(const std::uint8_t* at, std::size_t visible) {
  struct Known {
    std::string_view magic;
    std::string_view name;
  };
  static constexpr Known kKnown[] = {
      {"snoop\0", "a Solaris snoop capture"},
      {"BZh", "bzip2 data"},
      {"\xfd"
       "7zXZ",
       "xz data"},
      {"\x04\x22\x4d\x18", "lz4 data"},
      {"PK\x03\x04", "a zip file"},
      {"\x7f"
       "ELF",
       "a program"},
      {"GMBU", "a Network Monitor capture"},
      {"RTSS", "a Network Monitor capture"},
  };
  const std::string_view start(reinterpret_cast<const char*>(at), std::min<std::size_t>(visible, 16));
  for (const Known& known : kKnown) {
    if (start.starts_with(known.magic)) return "it is " + std::string(known.name);
  }
  bool text = true;
  for (const char c : start) text &= (c >= ' ' && c <= '~') || c == '\n' || c == '\r' || c == '\t';
  std::string out = text ? "it is text and begins with \"" : "it begins with bytes";
  for (const char c : start) {
    if (text && c >= ' ') {
      out += c;
    } else if (text) {
      out += ' ';
    } else {
      constexpr char kHex[] = "0123456789abcdef";
      const auto byte = static_cast<std::uint8_t>(c);
      out += {' ', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  if (text) out += '"';
  return out;
}

}  // namespace

struct Capture::Impl {
  Impl(std::string name_, Window window_, CaptureOptions options_)
      : name(std::move(name_)), window(std::move(window_)), options(options_) {}

  std::string name;
  Window window;
  CaptureOptions options;
  Packing packing = Packing::none;
  std::variant<std::monostate, PcapReader, PcapngReader> reader;  // monostate: the header has not been seen
  std::optional<std::uint64_t> size;
  std::uint64_t frames = 0;
  bool ended = false;
  ReadFault read_fault;  // what the reader said last
  std::optional<Error> fault;

  // Finds out what the capture is. Read::frame when that is done.
  Read start();
  Read read(Frame& frame);
  void stop(Read how);
};

Read Capture::Impl::start() {
  const Window::Have have = window.have(4);
  if (have == Window::Have::idle) return Read::idle;
  if (have == Window::Have::failed) return internal::out_of_bytes(window, have, "", read_fault);
  const std::uint8_t* const magic = window.at();
  if (window.visible() == 0) {
    read_fault = {Errc::corrupt, 0, packing == Packing::none ? "the file is empty" : "it unpacks to nothing"};
    return Read::fault;
  }
  if (packing == Packing::none) {
    packing = internal::recognise_packing({magic, window.visible()});
    if (packing != Packing::none) {
      window.unpack(packing, {options.inflated_bytes_max, options.inflated_ratio_max});
      return start();
    }
  }
  if (have == Window::Have::enough && PcapReader::recognises(magic)) {
    PcapReader pcap;
    const Read read = pcap.start(window, read_fault);
    if (read == Read::frame) reader = pcap;
    return read;
  }
  if (have == Window::Have::enough && PcapngReader::recognises(magic)) {
    reader.emplace<PcapngReader>();
    return Read::frame;
  }
  read_fault = {Errc::unsupported, 0, "neither pcap nor pcapng: " + describe_start(magic, window.visible())};
  return Read::fault;
}

Read Capture::Impl::read(Frame& frame) {
  if (auto* pcap = std::get_if<PcapReader>(&reader)) return pcap->next(window, frame, read_fault);
  if (auto* pcapng = std::get_if<PcapngReader>(&reader)) return pcapng->next(window, frame, read_fault);
  const Read started = start();
  return started == Read::frame ? read(frame) : started;
}

void Capture::Impl::stop(Read how) {
  ended = true;
  if (how != Read::fault) return;
  std::string where = name + ": byte " + std::to_string(read_fault.offset);
  if (packing != Packing::none) where += " of the unpacked capture";
  fault = Error{read_fault.code, where + ": " + read_fault.what};
}

Capture::Capture(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Capture::Capture(Capture&&) noexcept = default;
Capture& Capture::operator=(Capture&&) noexcept = default;
Capture::~Capture() = default;

namespace {

Error system_error(const std::string& name, const char* what) {
  const int code = errno;
  return {code == ENOENT ? Errc::not_found : Errc::io, name + ": " + what + ": " + std::strerror(code)};
}

}  // namespace

Result<Capture> Capture::open(const std::filesystem::path& path, CaptureOptions options) {
  const bool standard_input = path == "-";
  const std::string name = standard_input ? "standard input" : path.string();
  const int fd = standard_input ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return system_error(name, "cannot open");
  auto source = internal::descriptor_source(fd);
  struct stat status {};
  if (::fstat(fd, &status) != 0) return system_error(name, "cannot stat");
  if (S_ISDIR(status.st_mode)) return Error{Errc::invalid, name + ": is a folder"};
  auto impl = std::make_unique<Impl>(name, Window(std::move(source)), options);
  if (S_ISREG(status.st_mode)) {
    impl->size = static_cast<std::uint64_t>(status.st_size);
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  }
  const Read started = impl->start();
  if (started == Read::fault || started == Read::end) {
    impl->stop(started);
    if (impl->fault) return *std::move(impl->fault);
    return Error{Errc::corrupt, name + ": ends inside its header"};
  }
  return Capture(std::move(impl));
}

Result<Capture> Capture::open_descriptor(int fd, std::string name, CaptureOptions options) {
  auto impl = std::make_unique<Impl>(std::move(name), Window(internal::patient_source(fd)), options);
  const Read started = impl->start();
  if (started != Read::frame) {
    impl->stop(started);
    if (impl->fault) return *std::move(impl->fault);
    return Error{Errc::corrupt, impl->name + ": ends inside its header"};
  }
  return Capture(std::move(impl));
}

Result<Capture> Capture::open_memory(std::span<const std::uint8_t> bytes, std::string name,
                                     CaptureOptions options) {
  auto impl = std::make_unique<Impl>(std::move(name), Window(bytes), options);
  impl->size = bytes.size();
  const Read started = impl->start();
  if (started != Read::frame) {
    impl->stop(Read::fault);
    return *std::move(impl->fault);
  }
  return Capture(std::move(impl));
}

Next Capture::next(Frame& frame) {
  Impl& impl = *impl_;
  if (impl.ended) [[unlikely]]
    return Next::end;
  const Read read = impl.read(frame);
  if (read == Read::frame) [[likely]] {
    ++impl.frames;
    return Next::frame;
  }
  if (read == Read::idle) return Next::idle;
  impl.stop(read);
  return Next::end;
}

const std::optional<Error>& Capture::fault() const { return impl_->fault; }
const std::string& Capture::name() const { return impl_->name; }
std::uint64_t Capture::frames() const { return impl_->frames; }
std::uint64_t Capture::bytes_read() const { return impl_->window.consumed(); }
std::optional<std::uint64_t> Capture::size() const { return impl_->size; }

std::string Capture::format() const {
  if (std::holds_alternative<std::monostate>(impl_->reader)) return "";
  std::string out = std::holds_alternative<PcapReader>(impl_->reader) ? "pcap" : "pcapng";
  switch (impl_->packing) {
    case Packing::none:
      break;
    case Packing::gzip:
      out += ", gzip";
      break;
    case Packing::zstd:
      out += ", zstd";
      break;
  }
  return out;
}

}  // namespace nidus::net
