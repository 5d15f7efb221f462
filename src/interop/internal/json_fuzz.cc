#include "interop/internal/json.h"

#include <cstdint>
#include <cstdlib>

namespace {

using nidus::interop::internal::JsonDocument;
using nidus::interop::internal::JsonValue;

// Asks every value for everything; what it is in one type, it is in others.
void ask(const JsonValue& value) {
  const auto text = value.text();
  const auto number = value.number();
  if (value.integer() && !number) std::abort();
  if (number && (text || !value.number_as_float())) std::abort();
  const auto elements = value.elements();
  const auto members = value.members();
  if (elements.size() + members.size() != value.size()) std::abort();
  if (const auto doubles = value.doubles(); doubles && doubles->size() != elements.size()) std::abort();
  if (const auto floats = value.floats(); floats && floats->size() != elements.size()) std::abort();
  if (const auto integers = value.integers(); integers && integers->size() != elements.size()) std::abort();
  for (const auto& element : elements) ask(element);
  for (const auto& [name, member] : members) {
    if (!value.find(name)) std::abort();
    ask(member);
  }
}

}  // namespace

// Whatever the bytes: refused, or a document all of whose values can be asked for, in either notation.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 4096) return 0;
  const auto bytes = std::as_bytes(std::span(data, size));
  if (const auto text = JsonDocument::read_text(bytes)) ask(text->root());
  if (const auto binary = JsonDocument::read_ubjson(bytes)) ask(binary->root());
  return 0;
}
