#include <cstdint>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <span>
#include <string>

#include "interop/internal/hdf5.h"

// Whatever the bytes: no crash, and arrays that are as large as their shape says.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using nidus::interop::internal::Hdf5;
  const auto hdf5 = Hdf5::open(std::as_bytes(std::span(data, size)));
  if (!hdf5) return 0;
  int left = 64;  // a group may contain itself
  const std::function<void(const std::string&, int)> look = [&](const std::string& path, int depth) {
    if (--left < 0) return;
    (void)hdf5->texts(path, "list");
    if (const auto numbers = hdf5->numbers(path)) {
      const auto count =
          std::accumulate(numbers->shape.begin(), numbers->shape.end(), std::size_t{1}, std::multiplies<>());
      if (count != numbers->values.size()) std::abort();
    }
    const auto links = hdf5->links(path);
    if (!links || depth == 0) return;
    for (const auto& link : *links) look(path + "/" + link, depth - 1);
  };
  look("", 3);
  return 0;
}
