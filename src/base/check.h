#pragma once

#include <cstdio>
#include <cstdlib>

// Stops the program when one of our own invariants is broken. Never about input. Stays on in release builds.
#define CHECK(condition)                                                                 \
  do {                                                                                   \
    if (!(condition)) [[unlikely]] {                                                     \
      std::fprintf(stderr, "%s:%d: CHECK failed: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (false)
