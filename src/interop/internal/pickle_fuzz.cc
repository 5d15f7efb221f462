#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "interop/internal/pickle.h"

namespace {

using nidus::interop::internal::PickleType;
using nidus::interop::internal::PickleValue;

// Looks at everything once, as far as 10,000 values.
void look(PickleValue root) {
  std::vector<PickleValue> open = {root};
  for (std::size_t looked = 0; !open.empty() && looked < 10000; ++looked) {
    const PickleValue value = open.back();
    open.pop_back();
    if (value.describe().empty()) std::abort();
    (void)value.number();
    (void)value.name();
    (void)value.bytes();
    (void)value.find("dtype");
    for (std::size_t i = 0; i < value.size() && i < 100; ++i) {
      open.push_back(value[i]);
      open.push_back(value.key(i));
    }
    open.push_back(value.args());
    open.push_back(value.state());
    if (const auto array = value.array()) {
      const std::size_t some = array->size() < 1000 ? array->size() : 1000;
      if (const auto numbers = array->numbers()) {
        for (std::size_t i = 0; i < some; ++i)
          (void)(numbers->real(array->size() - 1 - i) + numbers->integer(i));
      }
      for (const auto& field : array->dtype().fields) {
        if (const auto numbers = array->field(field.name)) {
          for (std::size_t i = 0; i < some; ++i) (void)numbers->real(array->size() - 1 - i);
        }
      }
      for (std::size_t i = 0; i < some; ++i) (void)array->text(i);
      if (some != 0) open.push_back(array->item(some - 1));
    }
  }
}

}  // namespace

// Whatever the bytes: refused with a byte, or values that can all be looked at.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  nidus::interop::internal::PickleOptions options;
  options.persistent = size % 2 == 0;
  const auto pickle = nidus::interop::internal::Pickle::read(std::as_bytes(std::span(data, size)), options);
  if (!pickle) {
    if (pickle.error().message.rfind("byte ", 0) != 0) std::abort();
    return 0;
  }
  look(pickle->root());
  return 0;
}
