// Included before everything in the emulated build, so that both builds of the
// backend can stand in one program.
#pragma once

#define cuda cuda_emulated
#define make_cuda_ops make_emulated_cuda_ops
#define cuda_device emulated_cuda_device
