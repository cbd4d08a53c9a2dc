// The system's clock (base/time.h asks nobody what time it is).
#pragma once

#include "base/time.h"

namespace vitrine {

Timestamp now();

}  // namespace vitrine
