// Never compiled: read by the test house.layers_are_checked. Each include breaks one rule; the first two do
// not.
#include "base/time.h"
#include "net/packet.h"

#include "model/model.h"
#include "net/internal/walk.h"
#include "record.h"
