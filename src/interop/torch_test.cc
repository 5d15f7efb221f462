#include "interop/torch.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>

#include "base/file.h"
#include "interop/testing.h"

// Reads the files of tests/interop/make_torch.py.
namespace nidus::interop {
namespace {

using ::testing::HasSubstr;

std::string bytes_in(const std::filesystem::path& folder) {
  const bool is_safe = std::filesystem::exists(folder / "model.safetensors");
  auto bytes = read_file(folder / (is_safe ? "model.safetensors" : "model.pt"));
  EXPECT_TRUE(bytes) << bytes.error().message;
  return bytes ? *bytes : "";
}
std::string bytes_of(const std::string& name) { return bytes_in(fixture("torch/" + name)); }

Result<Artefact> read(const std::string& text, const std::string& architecture = "") {
  const auto bytes = std::as_bytes(std::span(text));
  return looks_like_safetensors(bytes) ? read_safetensors(bytes, {architecture})
                                       : read_torch(bytes, {architecture});
}
std::string error(const std::string& bytes, const std::string& architecture = "") {
  const auto artefact = read(bytes, architecture);
  return artefact ? "read" : artefact.error().message;
}

// The architecture that a refusal asks to confirm.
std::string suggested(const std::string& refusal) {
  const std::string_view before = "(--layers): ";
  const auto at = refusal.find(before);
  return at == std::string::npos ? "" : refusal.substr(at + before.size());
}

TEST(Torch, EveryModelSaysWhatPyTorchSaid) {
  std::size_t count = 0;
  std::vector<std::filesystem::path> folders;
  for (const auto& entry : std::filesystem::directory_iterator(fixture("torch")))
    folders.push_back(entry.path());
  std::sort(folders.begin(), folders.end());
  for (const auto& folder : folders) {
    SCOPED_TRACE(folder.filename().string());
    const std::string bytes = bytes_in(folder);
    EXPECT_NE(looks_like_torch(std::as_bytes(std::span(bytes))),
              looks_like_safetensors(std::as_bytes(std::span(bytes))));
    const auto text = read_file(folder / "expected.json");
    ASSERT_TRUE(text);
    const std::string architecture = nlohmann::json::parse(*text).at("architecture");
    auto artefact = read(bytes, architecture);
    if (!artefact) artefact = read(bytes, suggested(artefact.error().message));
    ASSERT_TRUE(artefact) << artefact.error().message;
    expect_scores(*artefact->model, read_expected(folder));
    ++count;
  }
  EXPECT_GE(count, 70u);
}

TEST(Torch, WhatNamesDoNotTellIsToBeConfirmed) {
  const std::string refusal = error(bytes_of("2.6.0-numbered"));
  EXPECT_EQ(
      refusal,
      "torch: the file does not say which function stands between fc1 and fc2 and in 1 more places, often "
      "ReLU. Say or confirm it with an architecture (--layers): linear 6 9 relu linear 9 5 relu linear 5 2");
  const auto named = read(bytes_of("2.6.0-numbered"), suggested(refusal));
  ASSERT_TRUE(named) << named.error().message;
  EXPECT_EQ(named->model->scale(), model::Scale::probability);
  EXPECT_THAT(named->notes, ::testing::ElementsAre("its outputs are taken as logits, through a softmax"));
  const auto other = read(bytes_of("2.6.0-numbered"), "linear tanh linear tanh linear");
  ASSERT_TRUE(other) << other.error().message;
  const std::vector<float> row = {1, -1, 2, 0.5f, 0, 1};
  EXPECT_NE(model::all_scores(*named->model, row, 1), model::all_scores(*other->model, row, 1));
  EXPECT_THAT(error(bytes_of("2.6.0-lstm")), HasSubstr("begin the architecture with 'input STEPS NUMBERS'"));
  EXPECT_THAT(error(bytes_of("2.6.0-lstm")), HasSubstr("lstm 4 6 bidirectional layers 2 last linear 12 3"));
}

TEST(Torch, ArchitecturesThatDoNotFitAreRefused) {
  const std::string bytes = bytes_of("2.6.0-numbered");
  EXPECT_EQ(error(bytes, "linear 6 9 relu linear 9 6"),
            "architecture: 'linear 9 6' where the file has linear 9 5 (fc2)");
  EXPECT_EQ(error(bytes, "linear 6 9 relu linear 9 5"),
            "architecture: the file has more layers, the next being linear 5 2 (out)");
  EXPECT_EQ(error(bytes, "linear linear linear linear"),
            "architecture: 'linear' finds no more weights in the file");
  EXPECT_EQ(error(bytes, "linear rellu"), "architecture: 'rellu' is no layer, did you mean 'relu'?");
  EXPECT_EQ(error(bytes, "maxpool relu"), "architecture: 'maxpool' needs a size");
  EXPECT_EQ(error(bytes, "linear input 3"), "architecture: 'input' stands first or not at all");
}

TEST(Torch, CheckpointsBringNamesAndThresholds) {
  const std::string bytes = bytes_of("2.6.0-checkpoint");
  const auto artefact = read(bytes, suggested(error(bytes)));
  ASSERT_TRUE(artefact);
  EXPECT_EQ(artefact->origin, "PyTorch checkpoint");
  EXPECT_EQ(artefact->threshold, 0.25);
  ASSERT_EQ(artefact->columns.size(), 7u);
  EXPECT_EQ(artefact->columns[6].name, "f6");
}

TEST(Torch, WhatHoldsNoModelIsRefusedInASentence) {
  // What services publish in place of a model: {"state": "placeholder"}, saved by torch.save.
  const std::string bytes = bytes_in(fixture("torch_placeholder"));
  EXPECT_EQ(error(bytes),
            "torch: a file of PyTorch that holds no model: a dict of the text 'state': the text "
            "'placeholder'; it may "
            "be a placeholder");
  EXPECT_THAT(error("no file of anybody"), HasSubstr("a file that PyTorch did not write"));
}

TEST(Torch, SafetensorsThatContradictThemselvesAreRefused) {
  const auto file = [](const std::string& header, std::size_t data) {
    std::string out(8, '\0');
    const std::uint64_t size = header.size();
    std::memcpy(out.data(), &size, 8);
    return out + header + std::string(data, '\0');
  };
  const std::string tensor = R"("0.weight":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]})";
  EXPECT_EQ(error(file("{" + tensor + "}", 8)), "read");
  EXPECT_THAT(error(file("{" + tensor + "}", 7)), HasSubstr("beyond the file"));
  EXPECT_THAT(
      error(file("{" + tensor + R"(,"1.bias":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 12)),
      HasSubstr("overlap"));
  EXPECT_THAT(
      error(file(R"({"a.weight":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0)),
      HasSubstr("larger than the file"));
  EXPECT_THAT(error(file(R"({"a.weight":{"dtype":"F8","shape":[1],"data_offsets":[0,1]}})", 1)),
              HasSubstr("holds F8"));
  EXPECT_THAT(error(file("{\"a\":7}", 8)), HasSubstr("is no tensor"));
  EXPECT_THAT(error(file("{" + tensor, 8)), HasSubstr("no JSON"));
}

TEST(Torch, TruncatedAndFlippedFilesAreRefusedOrHarmless) {
  for (const char* name : {"2.6.0-state", "1.13.0-state-legacy", "2.6.0-whole", "2.6.0-script",
                           "2.6.0-safetensors", "2.6.0-views"}) {
    SCOPED_TRACE(name);
    expect_damage_is_harmless(bytes_of(name), 200, 500, [](const std::string& bytes) { return read(bytes); });
  }
}

}  // namespace
}  // namespace nidus::interop
