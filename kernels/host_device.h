// Functions that kernels on a GPU and code on the host share.
#pragma once

#if defined(__CUDACC__)
#define VITRINE_HOST_DEVICE __host__ __device__
#else
#define VITRINE_HOST_DEVICE
#endif
