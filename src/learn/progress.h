#pragma once

#include <functional>

namespace nidus::learn {

// Called after each tree or round with the part that is done, from any of the training threads but never from
// two at once; once before the first, when some came from a checkpoint. Training stops when it returns false.
using Progress = std::function<bool(double fraction)>;

}  // namespace nidus::learn
