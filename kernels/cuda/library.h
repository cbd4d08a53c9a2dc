// cuBLAS, where the loader finds it (toolkit, or Python's nvidia packages in
// LD_LIBRARY_PATH): for large dense BF16 products of prompts. Its own interface
// (cublas_api.h) is stable between versions; no header of it is needed to build.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/cuda/device.h"

namespace vitrine::cuda {

class ProductLibrary {
 public:
  static constexpr int kLeastTokens = 256;  // below, a launch of our own costs less

  // Null: not found, or it refuses this device.
  static std::unique_ptr<ProductLibrary> open();
  ~ProductLibrary();
  ProductLibrary(const ProductLibrary&) = delete;
  ProductLibrary& operator=(const ProductLibrary&) = delete;

  // y [tokens][y_row] = (accumulate ? y : 0) + w x: w bf16 [n_out][n_in], x bf16 [tokens][n_in], sums in float32.
  // False: refused, nothing was enqueued.
  bool product(const uint8_t* w, const uint16_t* x, float* y, int n_in, int n_out, int tokens, int64_t y_row,
               bool accumulate, Stream stream);

 private:
  ProductLibrary() = default;
  struct Calls;
  std::unique_ptr<Calls> calls_;
};

}  // namespace vitrine::cuda
