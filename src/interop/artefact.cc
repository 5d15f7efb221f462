#include "interop/artefact.h"
