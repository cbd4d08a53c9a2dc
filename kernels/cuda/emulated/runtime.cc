#include "kernels/cuda/runtime.h"

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace vitrine::cuda {

struct Runtime::State {
  int faults = 0;
  // What a step launched and copied when it was recorded, which must be the same every time, and the
  // host's work, of which a recording keeps the first.
  struct Recording {
    int seen = 0;
    std::vector<emulated::Launch> launches;
    std::vector<std::function<void()>> host_work;
  };
  Recording* replaying = nullptr;
  size_t next_host_work = 0;
  std::map<uint64_t, Recording> recordings;
  std::function<void()> branch;
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
  out.major = 9;
  return out;
}

Status Runtime::open(int, bool) { return {}; }
Stream Runtime::stream() const { return {}; }
int* Runtime::faults() const { return &state_->faults; }
int Runtime::take_faults() { return std::exchange(state_->faults, 0); }
bool Runtime::recording() const { return state_->replaying && state_->replaying->seen > 0; }

Result<DeviceMemory> Runtime::allocate(uint64_t bytes) {
  // What lies behind is watched by nobody but the sanitizers: no slack.
  void* data = bytes < (1ull << 40) ? std::aligned_alloc(256, (bytes + 256) / 256 * 256) : nullptr;
  if (!data) return fail(ErrorCode::limit, "no memory for " + std::to_string(bytes) + " bytes");
  std::memset(data, 0, bytes);
  return DeviceMemory(data, bytes);
}

cudaError_t Runtime::copy(void* to, const void* from, uint64_t bytes, Direction) {
  emulated::note_copy(to, from, bytes);
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
  State::Recording& recording = state_->recordings[key];
  state_->replaying = &recording;
  state_->next_host_work = 0;
  emulated::start_watching();
  enqueue();
  std::vector<emulated::Launch> launches = emulated::stop_watching();
  // Workspaces may grow the first time, which forgets all recordings, this one too.
  if (std::exchange(state_->replaying, nullptr) == nullptr) return cudaSuccess;
  if (recording.seen++ > 0 && launches != recording.launches) {
    emulated::broken("a step that was recorded came back with other launches");
  }
  recording.launches = std::move(launches);
  return cudaSuccess;
}

void Runtime::forget_recordings() {
  state_->recordings.clear();
  state_->replaying = nullptr;
}

cudaError_t Runtime::run_on_host(std::function<void()> work) {
  State::Recording* recording = state_->replaying;
  if (recording && recording->seen == 1) recording->host_work.push_back(work);
  if (recording && recording->seen > 1) {
    if (state_->next_host_work >= recording->host_work.size()) emulated::broken("more work for the host than recorded");
    recording->host_work[state_->next_host_work++]();
  } else {
    work();
  }
  return cudaSuccess;
}

// A branch may run as soon or as late as it is allowed to.
cudaError_t Runtime::fork(std::function<void()> branch) {
  if (state_->branch) emulated::broken("a branch before the last one was joined");
  state_->branch = std::move(branch);
  if (!emulated::branches_run_late()) std::exchange(state_->branch, [] {})();
  return cudaSuccess;
}

cudaError_t Runtime::join() {
  if (!state_->branch) emulated::broken("nothing to join");
  std::exchange(state_->branch, nullptr)();
  return cudaSuccess;
}

}  // namespace vitrine::cuda
