// Detectors that are uploaded: their files are read in the sandbox, and what
// comes out is served under a name when somebody activates it.
#include <fmt/format.h>

#include <filesystem>
#include <utility>

#include "base/json_writer.h"
#include "base/number.h"
#include "base/text.h"
#include "flow/profile.h"
#include "serve/application.h"
#include "serve/internal/answers.h"
#include "serve/internal/store_answers.h"
#include "serve/multipart.h"

namespace nidus::serve {
namespace {

using http::BodyReader;
using http::BodyWriter;
using http::Request;
using http::Response;

// The files of an upload: those of a form, or the body as the only one.
class UploadedFiles final : public sandbox::Sandbox::Files, private BodyReader {
 public:
  explicit UploadedFiles(BodyReader& body) : body_(body) {}

  // Before the rest, if the body is a form.
  Result<void> open_form(std::string_view content_type) {
    auto form = Multipart::open(content_type, *this);
    if (!form) return std::move(form).error();
    form_.emplace(std::move(*form));
    return {};
  }

  Result<std::optional<std::string>> next() override {
    if (!form_)
      return std::exchange(given_, true) ? std::optional<std::string>()
                                         : std::optional<std::string>("upload");
    for (;;) {
      auto part = form_->next();
      if (!part) return client_fault(std::move(part).error());
      if (!*part) return std::optional<std::string>();
      if ((*part)->file_name.empty()) continue;  // a field
      const auto slash = (*part)->file_name.find_last_of("/\\");
      std::string name = (*part)->file_name.substr(slash == std::string::npos ? 0 : slash + 1);
      // A name that leads nowhere, of bytes that anybody can print.
      for (char& c : name) {
        const auto u = static_cast<unsigned char>(c);
        if (u < 0x20 || u >= 0x7f) c = '_';
      }
      return std::optional(name.empty() ? std::string("file") : name.substr(0, 200));
    }
  }
  Result<std::span<const std::byte>> piece() override {
    auto piece = form_ ? form_->read() : read();
    if (!piece) return client_fault(std::move(piece).error());
    return piece;
  }

  bool body_failed() const { return failed_; }

 private:
  Result<std::span<const std::byte>> read() override {
    auto piece = body_.read();
    failed_ = failed_ || !piece;
    return piece;
  }
  static Error client_fault(Error error) {
    if (error.code == Errc::corrupt) error.code = Errc::invalid;
    return error;
  }

  BodyReader& body_;
  std::optional<Multipart> form_;
  bool given_ = false, failed_ = false;
};

// A name that can stand in a path of the API.
bool is_detector_name(std::string_view name) {
  if (name.empty() || name.size() > 64 || name.front() == '.') return false;
  for (const char c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!plain && c != '.' && c != '_' && c != '-') return false;
  }
  return true;
}

std::vector<std::string> names_in(const std::optional<std::string>& list) {
  std::vector<std::string> names;
  if (!list || list->empty()) return names;
  for (const auto name : split(*list, ',')) names.emplace_back(trim(name));
  return names;
}

Result<interop::ImportOptions> import_options(const Request& request) {
  interop::ImportOptions options;
  options.name = request.query("name").value_or("");
  if (!is_detector_name(options.name)) {
    return Error{Errc::invalid,
                 "name is to be that of the detector: up to 64 letters, "
                 "digits, '.', '_' and '-', not beginning with '.'"};
  }
  options.features = names_in(request.query("features"));
  options.classes = names_in(request.query("classes"));
  options.benign = request.query("benign").value_or("");
  options.read.layers = request.query("layers").value_or("");
  options.read.option_prefix = "?";
  if (const auto threshold = request.query("threshold")) {
    options.threshold = parse_number(*threshold);
    if (!options.threshold) return Error{Errc::invalid, "threshold is to be a number"};
  }
  if (const auto profile = request.query("profile")) {
    options.profile = flow::profile_from_name(*profile);
    if (!options.profile) return Error{Errc::invalid, fmt::format("no profile '{}'", *profile)};
  }
  return options;
}

void upload_detector(Application& app, const Request& request, BodyReader& reader, BodyWriter& writer) {
  const auto refuse = [&](int status, std::string_view why) {
    writer.send(http::problem(status, why, request.id));
  };
  if (!app.uploads.why_not().empty())
    return refuse(503,
                  "This server takes no uploads: the sandbox that reads "
                  "them cannot be had");
  if (app.uploads.folder().empty())
    return refuse(503, "This server keeps no uploaded detectors: uploads.folder is not set");
  const auto options = import_options(request);
  if (!options) return refuse(400, options.error().message);
  UploadedFiles files(reader);
  if (request.content_type() == "multipart/form-data") {
    if (auto opened = files.open_form(request.header("content-type")); !opened)
      return refuse(400, opened.error().message);
  }
  std::vector<std::string> notes;
  const auto folder = app.uploads.read_detector(files, *options, notes);
  if (files.body_failed()) return;
  if (!folder) {
    // Whatever the files lack, the request was understood.
    const auto code = folder.error().code;
    if (code == Errc::corrupt || code == Errc::not_found || code == Errc::unsupported)
      return refuse(422, folder.error().message);
    return writer.send(internal::failure(app, folder.error(), request));
  }
  DetectorSettings settings;
  settings.name = options->name;
  settings.path = *folder;
  const bool known = app.detectors.state()->find(options->name) != nullptr;
  const auto version = app.detectors.add(settings);
  if (!version) {
    std::error_code ec;
    std::filesystem::remove_all(*folder, ec);
    return writer.send(internal::failure(app, version.error(), request));
  }
  if (app.store()) {
    auto written =
        app.store()->write({internal::audit_entry(request, "detector.upload " + *version, options->name)});
    if (!written) return writer.send(internal::store_failure(app, written.error(), request));
  }
  const auto served = app.detectors.state()->find(options->name);
  Response response;
  response.status = 201;
  response.headers.emplace_back("Location", "/api/v1/detectors/" + options->name);
  JsonWriter json(response.body);
  json.begin_object();
  json.field("name", options->name);
  json.field("version", *version);
  json.field("active", served && served->active->version() == *version);
  json.field("new", !known);
  json.key("notes");
  json.begin_array();
  for (const auto& note : notes) json.value(note);
  json.end_array();
  json.end_object();
  writer.send(std::move(response));
}

}  // namespace

std::vector<http::Route> routes_of_uploads(Application& app) {
  http::Route upload;
  upload.method = http::Method::post;
  upload.pattern = "/api/v1/detectors";
  upload.body_bytes_max = app.settings()->limits.upload_mb * 1'000'000 + (1u << 16);
  upload.unpacks = true;
  upload.content_types = {"multipart/form-data", "application/x-tar", "application/gzip",
                          "application/octet-stream"};
  upload.scopes = kUpload;
  upload.cost = 50;
  upload.handler =
      http::StreamHandler([&app](const Request& request, BodyReader& reader, BodyWriter& writer) {
        upload_detector(app, request, reader, writer);
      });
  return {std::move(upload)};
}

}  // namespace nidus::serve
