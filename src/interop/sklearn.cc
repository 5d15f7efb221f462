#include "interop/sklearn.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "interop/internal/inflate.h"
#include "interop/internal/pickle.h"
#include "interop/internal/sklearn_reader.h"

namespace nidus::interop {
namespace {

// What the pickles of models are made of. What is named here is still not called: objects of these packages
// are refused where they are used unless a reader knows them. The list keeps out files that carry more than
// a model.
bool is_part_of_models(std::string_view name) {
  constexpr std::array<std::string_view, 11> kPackages = {
      "sklearn.",      "xgboost.",       "lightgbm.",          "catboost.",
      "imblearn.",     "scipy.sparse.",  "scipy.stats._distn", "pandas.core.",
      "pandas._libs.", "numpy.random._", "numpy.dtypes."};
  constexpr std::array<std::string_view, 62> kNames = {
      "numpy.ndarray",
      "numpy.dtype",
      "numpy.matrix",
      "numpy.memmap",
      "numpy.core.memmap.memmap",
      "numpy.core.multiarray._reconstruct",
      "numpy._core.multiarray._reconstruct",
      "numpy.core._multiarray_umath._reconstruct",
      "numpy._core._multiarray_umath._reconstruct",
      "numpy.core.multiarray.scalar",
      "numpy._core.multiarray.scalar",
      "numpy.core._multiarray_umath.scalar",
      "numpy._core._multiarray_umath.scalar",
      "numpy.core.numeric._frombuffer",
      "numpy._core.numeric._frombuffer",
      "numpy.float64",
      "numpy.float32",
      "numpy.float16",
      "numpy.int64",
      "numpy.int32",
      "numpy.int16",
      "numpy.int8",
      "numpy.uint64",
      "numpy.uint32",
      "numpy.uint16",
      "numpy.uint8",
      "numpy.bool_",
      "numpy.bool",
      "numpy.str_",
      "numpy.object_",
      "numpy.nan",
      "numpy.random.__RandomState_ctor",
      "numpy.random.bit_generator.SeedSequence",
      "numpy.random.bit_generator.__pyx_unpickle_SeedSequence",
      "numpy.random.mtrand.RandomState",
      "joblib.numpy_pickle.NumpyArrayWrapper",
      "sklearn.externals.joblib.numpy_pickle.NumpyArrayWrapper",
      "_codecs.encode",
      "functools.partial",
      "copyreg._reconstructor",
      "copy_reg._reconstructor",
      "collections.OrderedDict",
      "collections.defaultdict",
      "builtins.bytes",
      "builtins.bytearray",
      "builtins.set",
      "builtins.frozenset",
      "builtins.slice",
      "builtins.complex",
      "builtins.object",
      "builtins.list",
      "builtins.dict",
      "builtins.int",
      "builtins.float",
      "builtins.str",
      "builtins.bool",
      "__builtin__.bytes",
      "__builtin__.bytearray",
      "__builtin__.set",
      "__builtin__.object",
      "__builtin__.slice",
      "__builtin__.frozenset"};
  return std::any_of(kPackages.begin(), kPackages.end(),
                     [&](std::string_view package) { return name.starts_with(package); }) ||
         std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

}  // namespace

Result<Artefact> read_pickle(std::span<const std::byte> bytes, Reading reading) {
  std::string inflated;
  const internal::Packing packing = internal::packing_of(bytes);
  if (packing != internal::Packing::none) {
    auto unpacked = internal::inflate(bytes);
    if (!unpacked) return std::move(unpacked).error();
    inflated = std::move(*unpacked);
    bytes = std::as_bytes(std::span(inflated));
  }
  internal::PickleOptions options;
  options.accepts = is_part_of_models;
  const auto pickle = internal::Pickle::read(bytes, options);
  if (!pickle) return Error(pickle.error());
  constexpr std::size_t kRoom = std::size_t{64} << 20;
  internal::SklearnReader reader(reading == Reading::outline, kRoom + 8 * bytes.size());
  auto artefact = reader.read(pickle->root());
  if (!artefact) return artefact;
  if (packing != internal::Packing::none) {
    artefact->notes.push_back("compressed: " + std::string(internal::name(packing)));
  }
  if (pickle->end() < bytes.size()) {
    artefact->notes.push_back("behind the pickle are " + std::to_string(bytes.size() - pickle->end()) +
                              " more bytes, which are not read");
  }
  return artefact;
}

}  // namespace nidus::interop
