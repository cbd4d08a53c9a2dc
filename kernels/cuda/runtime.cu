#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>

#include "kernels/cuda/runtime.h"

namespace vitrine {

std::shared_ptr<void> pinned_memory(uint64_t bytes) {
  void* data = nullptr;
  if (cudaHostAlloc(&data, bytes + 1, cudaHostAllocMapped) == cudaSuccess) {
    std::memset(data, 0, bytes);
    return std::shared_ptr<void>(data, [](void* p) { cudaFreeHost(p); });
  }
  (void)cudaGetLastError();  // no device: the host's own memory
  return std::shared_ptr<void>(std::calloc(bytes + 1, 1), std::free);
}

namespace cuda {
namespace {

Error driver_error(cudaError_t error, const std::string& what) {
  return {ErrorCode::unreadable, what + ": " + cudaGetErrorString(error), "CUDA"};
}

}  // namespace

struct Runtime::State {
  struct Recording {
    int seen = 0;
    cudaGraphExec_t graph = nullptr;
    std::deque<std::function<void()>> host_work;  // stays where it is: the graph calls it
  };
  cudaStream_t stream = nullptr, branch = nullptr;
  cudaEvent_t forked = nullptr, joined = nullptr;
  bool in_branch = false, overlaps = false;
  int* faults = nullptr;           // pinned: kernels write it only when something is wrong
  int* device_faults = nullptr;    // the same word as the device addresses it
  Recording* recording = nullptr;  // the one being made
  std::map<uint64_t, Recording> recordings;
};

Runtime::Runtime() : state_(std::make_unique<State>()) {}

Runtime::~Runtime() {
  for (const cudaStream_t stream : {state_->branch, state_->stream}) {
    if (stream) cudaStreamSynchronize(stream);
  }
  forget_recordings();
  for (const cudaEvent_t event : {state_->forked, state_->joined}) {
    if (event) cudaEventDestroy(event);
  }
  for (const cudaStream_t stream : {state_->branch, state_->stream}) {
    if (stream) cudaStreamDestroy(stream);
  }
  if (state_->faults) cudaFreeHost(state_->faults);
}

void free_device(void* data) {
  if (data) cudaFree(data);
}
DeviceMemory::~DeviceMemory() { free_device(data_); }

Result<CudaDevice> Runtime::device(int number) {
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess) {
    return tl::unexpected(driver_error(error, "no usable GPU"));
  }
  if (number < 0 || number >= count) {
    return fail(ErrorCode::unreadable,
                "there is no CUDA device " + std::to_string(number) + ", of " + std::to_string(count));
  }
  cudaDeviceProp properties{};
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, number); error != cudaSuccess) {
    return tl::unexpected(driver_error(error, "the GPU does not answer"));
  }
  CudaDevice out;
  out.name = properties.name;
  out.memory_total = properties.totalGlobalMem;
  out.multiprocessors = properties.multiProcessorCount;
  out.major = properties.major;
  out.minor = properties.minor;
  size_t free_bytes = 0, total = 0;
  if (cudaSetDevice(number) == cudaSuccess && cudaMemGetInfo(&free_bytes, &total) == cudaSuccess) {
    out.memory_free = free_bytes;
  }
  return out;
}

Status Runtime::open(int number, bool overlap_launches) {
  cudaError_t error = cudaSetDevice(number);
  if (error == cudaSuccess) error = cudaStreamCreateWithFlags(&state_->stream, cudaStreamNonBlocking);
  if (error == cudaSuccess) error = cudaStreamCreateWithFlags(&state_->branch, cudaStreamNonBlocking);
  for (cudaEvent_t* event : {&state_->forked, &state_->joined}) {
    if (error == cudaSuccess) error = cudaEventCreateWithFlags(event, cudaEventDisableTiming);
  }
  if (error == cudaSuccess) error = cudaHostAlloc(&state_->faults, sizeof(int), cudaHostAllocMapped);
  if (error == cudaSuccess) error = cudaHostGetDevicePointer(&state_->device_faults, state_->faults, 0);
  if (error != cudaSuccess) return tl::unexpected(driver_error(error, "the GPU could not be opened"));
  *state_->faults = 0;
  int major = 0;
  error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, number);
  state_->overlaps = overlap_launches && error == cudaSuccess && major >= 9;
  return {};
}

Stream Runtime::stream() const { return {state_->in_branch ? state_->branch : state_->stream, state_->overlaps}; }
int* Runtime::faults() const { return state_->device_faults; }
bool Runtime::recording() const { return state_->recording != nullptr; }

int Runtime::take_faults() {
  const int faults = *state_->faults;
  *state_->faults = 0;
  return faults;
}

Result<DeviceMemory> Runtime::allocate(uint64_t bytes) {
  void* data = nullptr;
  const uint64_t size = bytes == 0 ? 16 : bytes;
  cudaError_t error = size < (1ull << 46) ? cudaMalloc(&data, size) : cudaErrorMemoryAllocation;
  if (error == cudaSuccess) error = cudaMemsetAsync(data, 0, size, state_->stream);
  if (error != cudaSuccess) {
    (void)cudaGetLastError();  // this one is told here
    if (data) cudaFree(data);
    size_t free_bytes = 0, total = 0;
    (void)cudaMemGetInfo(&free_bytes, &total);
    return fail(ErrorCode::limit, "no memory on the GPU for " + std::to_string(bytes) + " bytes; " +
                                      std::to_string(free_bytes) + " of " + std::to_string(total) + " are free");
  }
  return DeviceMemory(data, bytes);
}

cudaError_t Runtime::copy(void* to, const void* from, uint64_t bytes, Direction) {
  return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream().handle);
}

cudaError_t Runtime::copy_rows(void* to, uint64_t to_pitch, const void* from, uint64_t from_pitch, uint64_t width,
                               uint64_t rows, Direction) {
  return cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, width, rows, cudaMemcpyDefault, stream().handle);
}

cudaError_t Runtime::clear(void* at, uint64_t bytes) { return cudaMemsetAsync(at, 0, bytes, state_->stream); }

cudaError_t Runtime::wait() { return cudaStreamSynchronize(state_->stream); }

cudaError_t Runtime::replay(uint64_t key, const std::function<void()>& enqueue) {
  State::Recording& recording = state_->recordings[key];
  if (recording.graph) return cudaGraphLaunch(recording.graph, state_->stream);
  if (recording.seen++ == 0) {
    enqueue();
    return cudaSuccess;
  }
  cudaError_t error = cudaStreamBeginCapture(state_->stream, cudaStreamCaptureModeThreadLocal);
  if (error != cudaSuccess) return error;
  state_->recording = &recording;
  enqueue();
  state_->recording = nullptr;
  cudaGraph_t graph = nullptr;
  error = cudaStreamEndCapture(state_->stream, &graph);
  if (error == cudaSuccess) error = cudaGraphInstantiate(&recording.graph, graph, 0);
  if (graph) cudaGraphDestroy(graph);
  return error == cudaSuccess ? cudaGraphLaunch(recording.graph, state_->stream) : error;
}

void Runtime::forget_recordings() {
  for (auto& [key, recording] : state_->recordings) {
    if (recording.graph) cudaGraphExecDestroy(recording.graph);
  }
  state_->recordings.clear();
}

cudaError_t Runtime::run_on_host(std::function<void()> work) {
  if (state_->recording) {
    state_->recording->host_work.push_back(std::move(work));
    const cudaHostFn_t call = [](void* kept) { (*static_cast<std::function<void()>*>(kept))(); };
    return cudaLaunchHostFunc(stream().handle, call, &state_->recording->host_work.back());
  }
  auto once = std::make_unique<std::function<void()>>(std::move(work));
  const cudaHostFn_t call = [](void* own) {
    const std::unique_ptr<std::function<void()>> function(static_cast<std::function<void()>*>(own));
    (*function)();
  };
  const cudaError_t error = cudaLaunchHostFunc(stream().handle, call, once.get());
  if (error == cudaSuccess) (void)once.release();
  return error;
}

// In a recording the events become edges of the graph.
cudaError_t Runtime::fork(std::function<void()> branch) {
  cudaError_t error = cudaEventRecord(state_->forked, state_->stream);
  if (error == cudaSuccess) error = cudaStreamWaitEvent(state_->branch, state_->forked, 0);
  if (error != cudaSuccess) return error;
  state_->in_branch = true;
  branch();
  state_->in_branch = false;
  return cudaEventRecord(state_->joined, state_->branch);
}

cudaError_t Runtime::join() { return cudaStreamWaitEvent(state_->stream, state_->joined, 0); }

}  // namespace cuda
}  // namespace vitrine
