// The part of CUDA's runtime that the backend uses: memory, one stream with a branch
// beside it, work for the host, recorded graphs. runtime.cu asks the driver; emulated/runtime.cc is the host itself.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/device.h"

namespace vitrine::cuda {

// Device memory with one owner. Zeros at first.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(void* data, uint64_t bytes) : data_(data), bytes_(bytes) {}
  DeviceMemory(DeviceMemory&& other) noexcept { *this = std::move(other); }
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~DeviceMemory();

  uint64_t bytes() const { return bytes_; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  void* release() {
    bytes_ = 0;
    return std::exchange(data_, nullptr);
  }

 private:
  void* data_ = nullptr;
  uint64_t bytes_ = 0;
};

void free_device(void* data);

// What a kernel found wrong in device memory, as bits of one word that the host reads.
enum Fault : int {
  kFaultToken = 1,     // a token id outside the vocabulary
  kFaultIndex = 2,     // a row that does not exist
  kFaultExpert = 4,    // an expert that does not exist
  kFaultPosition = 8,  // a position outside the block table
  kFaultPage = 16,     // a page outside the cache
};

enum class Direction : uint8_t { to_device, to_host, on_device };

class Runtime {
 public:
  Runtime();
  ~Runtime();
  Runtime(const Runtime&) = delete;

  static Result<CudaDevice> device(int number);
  Status open(int number, bool overlap_launches);

  Stream stream() const;  // inside a branch: the branch's
  // limit: no memory; says how much is free.
  Result<DeviceMemory> allocate(uint64_t bytes);
  // Enqueue. Of `rows` rows of `width` bytes, `to_pitch` and `from_pitch` bytes apart.
  cudaError_t copy(void* to, const void* from, uint64_t bytes, Direction direction);
  cudaError_t copy_rows(void* to, uint64_t to_pitch, const void* from, uint64_t from_pitch, uint64_t width,
                        uint64_t rows, Direction direction);
  cudaError_t clear(void* at, uint64_t bytes);
  cudaError_t wait();

  int* faults() const;  // one word that kernels and the host see
  int take_faults();    // after wait(): what kernels found since the last call

  // The first call with a key runs `enqueue` (workspaces grow), the second records it, later
  // ones replay the recording.
  cudaError_t replay(uint64_t key, const std::function<void()>& enqueue);
  bool recording() const;
  void forget_recordings();

  // As in kernels/ops.h.
  cudaError_t run_on_host(std::function<void()> work);
  cudaError_t fork(std::function<void()> branch);
  cudaError_t join();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vitrine::cuda
