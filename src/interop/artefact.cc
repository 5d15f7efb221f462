#include "interop/artefact.h"

namespace nidus::interop {

Artefact::Artefact() = default;
Artefact::Artefact(const Artefact& other) = default;
Artefact::Artefact(Artefact&& other) noexcept = default;
Artefact& Artefact::operator=(const Artefact& other) = default;
Artefact& Artefact::operator=(Artefact&& other) noexcept = default;
Artefact::~Artefact() = default;

}  // namespace nidus::interop
