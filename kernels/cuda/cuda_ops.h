// The CUDA backend: the operators of kernels/ops.h on one NVIDIA GPU (compute
// capability 8.0, 9.0 and newer). In a build without CUDA the functions are there
// and say so.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "kernels/ops.h"

namespace vitrine {

// How steps of more than 64 tokens (prompts) meet weights.
enum class PromptProducts : uint8_t {
  // BF16 and FP8 ones with activations rounded to bf16, FP8 rounded too; weights in blocks as single tokens do.
  warp,
  // Compute capability 9.0, on wgmma: BF16 ones likewise; weights in blocks rounded to bf16.
  warpgroup,
  // And FP8 weights meet activations rounded to e4m3 with a factor per token and 128 of them, as DeepSeek-V3 was
  // trained (arXiv 2412.19437, 3.3).
  warpgroup_e4m3
};

struct CudaOptions {
  int device = 0;
  // A token's result has the same bits whatever else is in its batch: prompts are computed the way
  // single tokens are.
  bool deterministic = false;
  PromptProducts prompts = PromptProducts::warpgroup_e4m3;  // at most, and what the device has
  // Large dense BF16 products of prompts by cuBLAS, where the loader finds it.
  bool library = true;
  // A kernel's start overlaps with the end of the one before it, on devices from 9.0 on. Off until it
  // has been seen to work on one.
  bool overlap_launches = false;
  // upload() ignores the bytes and makes random weights on the device (around 1 for vectors), of the
  // same type, or of `random_type` where the bytes are BF16: for measuring, with files that are all holes.
  std::optional<uint64_t> random_weights = {};
  std::optional<Type> random_type = {};
};

struct CudaDevice {
  std::string name;           // "NVIDIA H200"
  uint64_t memory_total = 0;  // bytes
  uint64_t memory_free = 0;
  int multiprocessors = 0;
  int major = 0, minor = 0;  // compute capability
};

// unsupported: this build has no CUDA; unreadable: no device, or the driver's word.
Result<CudaDevice> cuda_device(int device = 0);

Result<std::unique_ptr<Ops>> make_cuda_ops(const CudaOptions& options = {});

// Host memory that a GPU reads and writes in place where there is one (page-locked), ordinary
// memory elsewhere; zeros. Null without memory.
std::shared_ptr<void> pinned_memory(uint64_t bytes);

}  // namespace vitrine
