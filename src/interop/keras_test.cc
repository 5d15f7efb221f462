#include "interop/keras.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "base/file.h"
#include "interop/testing.h"
#include "model/network.h"

// Reads the files of tests/interop/make_keras.py.
namespace nidus::interop {
namespace {

using ::testing::HasSubstr;

std::vector<std::filesystem::path> folders() {
  std::vector<std::filesystem::path> out;
  for (const auto& entry : std::filesystem::directory_iterator(fixture("keras"))) out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}

std::string bytes_of(const std::filesystem::path& folder) {
  auto bytes = read_file(folder / (folder.string().ends_with("-h5") ? "model.h5" : "model.keras"));
  EXPECT_TRUE(bytes) << bytes.error().message;
  return bytes ? *bytes : "";
}

Result<Artefact> read(const std::string& bytes) { return read_keras(std::as_bytes(std::span(bytes))); }

TEST(Keras, EveryModelSaysWhatKerasSaid) {
  std::size_t count = 0;
  for (const auto& folder : folders()) {
    SCOPED_TRACE(folder.filename().string());
    const std::string bytes = bytes_of(folder);
    EXPECT_TRUE(looks_like_keras(std::as_bytes(std::span(bytes))));
    const auto artefact = read(bytes);
    ASSERT_TRUE(artefact) << artefact.error().message;
    EXPECT_EQ(artefact->kind, Artefact::Kind::model);
    EXPECT_THAT(artefact->origin, HasSubstr("Keras " + folder.filename().string().substr(0, 4)));
    expect_scores(*artefact->model, read_expected(folder));
    ++count;
  }
  EXPECT_GE(count, 25u);
}

TEST(Keras, ProbabilitiesAndAutoencodersAreToldApart) {
  const auto scale = [&](const std::string& name) {
    const auto artefact = read(bytes_of(fixture("keras/" + name)));
    EXPECT_TRUE(artefact) << artefact.error().message;
    return artefact ? artefact->model->scale() : model::Scale::error;
  };
  EXPECT_EQ(scale("3.12.0-mlp-keras"), model::Scale::probability);
  EXPECT_EQ(scale("3.12.0-lstm-h5"), model::Scale::probability);
  EXPECT_EQ(scale("2.15.0-autoencoder-h5"), model::Scale::margin);
  const auto artefact = read(bytes_of(fixture("keras/3.12.0-autoencoder-keras")));
  ASSERT_EQ(artefact->notes.size(), 1u);
  EXPECT_THAT(artefact->notes[0], HasSubstr("an autoencoder"));
  EXPECT_EQ(artefact->origin, "Keras 3.12.0 Functional");
}

// Batch normalisation behind a dense layer costs nothing; behind an activation it stays.
TEST(Keras, NormalisationIsFolded) {
  const auto artefact = read(bytes_of(fixture("keras/3.12.0-mlp-h5")));
  ASSERT_TRUE(artefact);
  const auto parts = dynamic_cast<const model::Network&>(*artefact->model).parts();
  EXPECT_EQ(
      std::count_if(parts.layers.begin(), parts.layers.end(),
                    [](const auto& layer) { return std::holds_alternative<model::layer::Normalise>(layer); }),
      1);
}

// A word of the configuration replaced by one of the same length.
std::string with(std::string bytes, const std::string& from, const std::string& to) {
  EXPECT_EQ(from.size(), to.size());
  std::size_t at = bytes.find(from);
  EXPECT_NE(at, bytes.npos) << from;
  for (; at != bytes.npos; at = bytes.find(from, at + 1)) bytes.replace(at, from.size(), to);
  return bytes;
}

TEST(Keras, ProgramsAndUnknownLayersAreRefusedByName) {
  const std::string bytes = bytes_of(fixture("keras/3.12.0-mlp-h5"));
  const auto error = [](const std::string& broken) {
    const auto artefact = read(broken);
    return artefact ? "read" : artefact.error().message;
  };
  EXPECT_THAT(error(with(bytes, "\"GaussianNoise\"", "\"Lambda\"       ")),
              HasSubstr("a Lambda layer, which is a program"));
  EXPECT_THAT(error(with(bytes, "\"GaussianNoise\"", "\"EvilBackdoor1\"")),
              HasSubstr("a layer of class EvilBackdoor1"));
  EXPECT_THAT(error(with(bytes, "\"tanh\"", "\"tanx\"")), HasSubstr("the activation 'tanx'"));
  EXPECT_THAT(error(with(bytes, "\"units\": 20", "\"units\": 21")),
              HasSubstr("a weight of the shape (7 × 20), not (7 × 21)"));
  EXPECT_THAT(error(with(bytes, "model_config", "model_confix")), HasSubstr("holds no Keras model"));
  EXPECT_EQ(read("no file of Keras at all").error().code, Errc::corrupt);
}

// Breaks what the functional model of a fixture says of itself.
std::string regraphed(const std::string& name, const std::string& from, const std::string& to) {
  std::string bytes = bytes_of(fixture("keras/" + name));
  const auto at = bytes.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  EXPECT_EQ(from.size(), to.size());
  if (at != std::string::npos) bytes.replace(at, to.size(), to);
  return bytes;
}

TEST(Keras, GraphsThatAreNoneAreRefused) {
  const std::string add = R"("class_name": "Add")";
  const auto other = read(regraphed("2.15.0-residual-h5", add, R"("class_name": "Dot")"));
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message, HasSubstr("a layer of class Dot that hears several others"));
  EXPECT_THAT(other.error().message, HasSubstr("layer 'add'"));
  // Hears a layer that is not there.
  const auto nobody = read(
      regraphed("2.15.0-wide-deep-h5", R"("inbound_nodes": [[["dense_)", R"("inbound_nodes": [[["concat)"));
  ASSERT_FALSE(nobody);
  EXPECT_THAT(nobody.error().message, HasSubstr("no layer of the name 'concat"));
}

TEST(Keras, TruncatedAndFlippedFilesAreRefusedOrHarmless) {
  for (const char* name : {"3.12.0-mlp-keras", "3.12.0-mlp-h5", "2.15.0-gru-h5", "2.15.0-autoencoder-keras",
                           "2.15.0-inputs-h5", "2.15.0-shared-h5"}) {
    SCOPED_TRACE(name);
    expect_damage_is_harmless(bytes_of(fixture(std::string("keras/") + name)), 150, 300, read);
  }
}

}  // namespace
}  // namespace nidus::interop
