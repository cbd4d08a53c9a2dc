// Which part of a model stays with the host while a device computes the rest.
#pragma once

#include <cstdint>

#include "kernels/ops.h"

namespace vitrine {

struct Placement {
  Ops* host = nullptr;        // the CPU backend; null: everything is on the device
  uint32_t host_layers = 0;   // so many layers from the first on, with the embedding and their cache; less than all
  uint32_t host_experts = 0;  // of the device's layers, the routed experts of so many, from the first that has some on
};

}  // namespace vitrine
