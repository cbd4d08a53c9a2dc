#include "kernels/cuda/runtime.h"

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace vitrine::cuda {

struct Runtime::State {
  int faults = 0;
  bool recording = false;
  // What a step launched when it was recorded; replaying it must be the same launches.
  std::map<uint64_t, std::vector<emulated::Launch>> recordings;
};

Runtime::Runtime() : state_(std::make_unique<State>()) {}
Runtime::~Runtime() = default;

void free_device(void* data) { std::free(data); }
DeviceMemory::~DeviceMemory() { free_device(data_); }

Result<CudaDevice> Runtime::device(int number) {
  if (number != 0) return fail(ErrorCode::unreadable, "there is no CUDA device " + std::to_string(number) + ", of 1");
  CudaDevice out;
  out.name = "no GPU: kernels run on the host";
  out.multiprocessors = 2;
  return out;
}

Status Runtime::open(int) { return {}; }
cudaStream_t Runtime::stream() const { return nullptr; }
int* Runtime::faults() const { return &state_->faults; }
int Runtime::take_faults() { return std::exchange(state_->faults, 0); }
bool Runtime::recording() const { return state_->recording; }

Result<DeviceMemory> Runtime::allocate(uint64_t bytes) {
  // What lies behind is watched by nobody but the sanitizers: no slack.
  void* data = bytes < (1ull << 40) ? std::aligned_alloc(256, (bytes + 256) / 256 * 256) : nullptr;
  if (!data) return fail(ErrorCode::limit, "no memory for " + std::to_string(bytes) + " bytes");
  std::memset(data, 0, bytes);
  return DeviceMemory(data, bytes);
}

cudaError_t Runtime::copy(void* to, const void* from, uint64_t bytes, Direction) {
  std::memmove(to, from, bytes);
  return cudaSuccess;
}

cudaError_t Runtime::copy_rows(void* to, uint64_t to_pitch, const void* from, uint64_t from_pitch, uint64_t width,
                               uint64_t rows, Direction) {
  for (uint64_t r = 0; r < rows; ++r) {
    std::memcpy(static_cast<uint8_t*>(to) + r * to_pitch, static_cast<const uint8_t*>(from) + r * from_pitch, width);
  }
  return cudaSuccess;
}

cudaError_t Runtime::clear(void* at, uint64_t bytes) {
  std::memset(at, 0, bytes);
  return cudaSuccess;
}
cudaError_t Runtime::wait() { return cudaSuccess; }

cudaError_t Runtime::replay(uint64_t key, const std::function<void()>& enqueue) {
  const bool known = state_->recordings.count(key) != 0;
  state_->recording = known;
  emulated::start_watching();
  enqueue();
  state_->recording = false;
  std::vector<emulated::Launch> launches = emulated::stop_watching();
  if (known && state_->recordings.count(key) != 0 && launches != state_->recordings[key]) {
    emulated::broken("a step that was recorded came back with other launches");
  }
  state_->recordings[key] = std::move(launches);
  return cudaSuccess;
}

void Runtime::forget_recordings() { state_->recordings.clear(); }

}  // namespace vitrine::cuda
