#include "kernels/cuda/emulated/device.h"

#include <algorithm>
#include <cstdio>
#include <deque>
#include <memory>
#include <vector>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

dim3 threadIdx, blockIdx, blockDim, gridDim;

const char* cudaGetErrorString(cudaError_t error) { return error == cudaSuccess ? "no error" : "out of memory"; }

// Saves the registers a call must keep and the stack pointer in *save, goes on at `load`.
#if defined(__x86_64__)
extern "C" void vitrine_switch_stack(void** save, void* load);
asm(R"(
.text
.type vitrine_switch_stack,@function
vitrine_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size vitrine_switch_stack, .-vitrine_switch_stack
)");
#endif

namespace vitrine::cuda::emulated {
namespace {

constexpr size_t kStack = 64 << 10;
constexpr size_t kSharedAlignment = 1024;

struct Context {
#if defined(__x86_64__)
  void* stack_pointer = nullptr;
#else
  ucontext_t context;
#endif
};

void change(Context& from, Context& to) {
#if defined(__x86_64__)
  vitrine_switch_stack(&from.stack_pointer, to.stack_pointer);
#else
  swapcontext(&from.context, &to.context);
#endif
}

// Threads that wait for each other: a warp or a block.
struct Meeting {
  unsigned members = 0, arrived = 0, round = 0;
};

// Work of one kind that a thread has begun and not waited for.
struct Unfinished {
  std::deque<std::vector<std::function<void()>>> groups;
  std::vector<std::function<void()>> open;
};

struct Fiber {
  Context context;
  std::unique_ptr<uint8_t[]> stack{new uint8_t[kStack]};
  bool done = false, began = false;
  Meeting* waits = nullptr;
  unsigned round = 0;  // of the meeting it waits for
  Unfinished beside[2];
};

struct Warp {
  Meeting meeting;
  alignas(64) uint8_t slots[2][32][64];  // by round: a lane can be one round ahead of another
};

struct Block {
  Context scheduler;
  std::vector<std::unique_ptr<Fiber>> fibers;  // kept for later blocks
  std::vector<std::unique_ptr<Warp>> warps;
  Meeting all;
  size_t count = 0, current = 0;
  std::vector<uint8_t> shared;
  const std::function<void()>* thread = nullptr;
  bool from_last = false, busy = false;
};

Block& block() {
  static Block one;
  return one;
}

void set_thread(size_t i) {
  threadIdx.x = static_cast<unsigned>(i) % blockDim.x;
  threadIdx.y = static_cast<unsigned>(i) / blockDim.x % blockDim.y;
  threadIdx.z = static_cast<unsigned>(i) / blockDim.x / blockDim.y;
}

void leave() { change(block().fibers[block().current]->context, block().scheduler); }

void meet(Meeting& meeting) {
  Block& b = block();
  if (++meeting.arrived == meeting.members) {
    meeting.arrived = 0;
    ++meeting.round;
    return;
  }
  Fiber& fiber = *b.fibers[b.current];
  fiber.waits = &meeting;
  fiber.round = meeting.round;
  leave();
}

// One member less; the others may be waiting for it.
void quit(Meeting& meeting) {
  --meeting.members;
  if (meeting.members > 0 && meeting.arrived == meeting.members) {
    meeting.arrived = 0;
    ++meeting.round;
  }
}

void fiber_main() {
  Block& b = block();
  (*b.thread)();
  if (!b.fibers[b.current]->began) broken("a kernel that does not wait for the launch before it");
  for (const Unfinished& one : b.fibers[b.current]->beside) {
    if (!one.open.empty() || !one.groups.empty()) broken("a thread that leaves before its copies or products are done");
  }
  b.fibers[b.current]->done = true;
  quit(b.warps[b.current / 32]->meeting);
  quit(b.all);
  leave();
  std::abort();  // nobody comes back here
}

void prepare(Fiber& fiber) {
  fiber.done = fiber.began = false;
  fiber.waits = nullptr;
#if defined(__x86_64__)
  auto top = reinterpret_cast<uintptr_t>(fiber.stack.get() + kStack) / 16 * 16;
  auto* words = reinterpret_cast<void**>(top) - 2;  // as after a call: 8 bytes off a multiple of 16
  words[0] = reinterpret_cast<void*>(fiber_main);
  words -= 6;
  std::fill_n(words, 6, nullptr);
  fiber.context.stack_pointer = words;
#else
  getcontext(&fiber.context.context);
  fiber.context.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.context.uc_stack.ss_size = kStack;
  fiber.context.context.uc_link = nullptr;
  makecontext(&fiber.context.context, fiber_main, 0);
#endif
}

void run_block(size_t shared_size) {
  Block& b = block();
  // NaN in every type: what nobody wrote shows.
  std::fill_n(b.shared.begin(), shared_size, 0xff);
  b.all = {static_cast<unsigned>(b.count), 0, 0};
  for (size_t w = 0; w * 32 < b.count; ++w) {
    b.warps[w]->meeting = {static_cast<unsigned>(std::min<size_t>(32, b.count - w * 32)), 0, 0};
  }
  for (size_t i = 0; i < b.count; ++i) prepare(*b.fibers[i]);
  for (size_t left = b.count; left > 0;) {
    bool moved = false;
    for (size_t n = 0; n < b.count; ++n) {
      const size_t i = b.from_last ? b.count - 1 - n : n;
      Fiber& fiber = *b.fibers[i];
      if (fiber.done || (fiber.waits && fiber.waits->round == fiber.round)) continue;
      fiber.waits = nullptr;
      b.current = i;
      set_thread(i);
      change(b.scheduler, fiber.context);
      moved = true;
      if (fiber.done) --left;
    }
    if (!moved) broken("threads wait for others that do not come");
  }
}

}  // namespace

void broken(const char* what) {
  std::fprintf(stderr, "emulated kernel: %s (block %u %u %u, thread %u)\n", what, blockIdx.x, blockIdx.y, blockIdx.z,
               threadIdx.x);
  std::abort();
}

namespace {
bool watching = false;
uint64_t launch_count = 0;
std::vector<Launch> watched;
}  // namespace

void start_watching() {
  watching = true;
  watched.clear();
}
std::vector<Launch> stop_watching() {
  watching = false;
  return std::move(watched);
}
uint64_t launches() { return launch_count; }
void note(const void* kernel, dim3 grid, dim3 size, size_t shared) {
  ++launch_count;
  if (!watching) return;
  Launch launch;
  std::memset(&launch, 0, sizeof(launch));
  launch.kernel = kernel;
  const unsigned all[6] = {grid.x, grid.y, grid.z, size.x, size.y, size.z};
  std::memcpy(launch.grid, all, sizeof(all));
  launch.shared_bytes = shared;
  watched.push_back(launch);
}

void note_copy(const void* to, const void* from, size_t bytes) {
  if (!watching) return;
  Launch launch;
  std::memset(&launch, 0, sizeof(launch));
  launch.kernel = to;
  launch.from = from;
  launch.shared_bytes = bytes;
  watched.push_back(launch);
}

void thread_begins() { block().fibers[block().current]->began = true; }
void start_from_last(bool yes) { block().from_last = yes; }
bool branches_run_late() { return block().from_last; }

uint8_t* shared_bytes() {
  return reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(block().shared.data()) + kSharedAlignment - 1) /
                                    kSharedAlignment * kSharedAlignment);
}

namespace {
// One kind early and the other late: so a copy that is not waited for is missed by a product, and a
// copy over what a product still reads is seen.
bool done_late(Beside kind) { return block().from_last == (kind == Beside::products); }
}  // namespace

void beside(Beside kind, std::function<void()> work) {
  Block& b = block();
  if (done_late(kind)) {
    b.fibers[b.current]->beside[static_cast<size_t>(kind)].open.push_back(std::move(work));
  } else {
    work();
  }
}

void close_group(Beside kind) {
  Block& b = block();
  if (!done_late(kind)) return;
  Unfinished& mine = b.fibers[b.current]->beside[static_cast<size_t>(kind)];
  mine.groups.push_back(std::move(mine.open));
  mine.open.clear();
}

void wait_for_groups(Beside kind, size_t left) {
  Block& b = block();
  Unfinished& mine = b.fibers[b.current]->beside[static_cast<size_t>(kind)];
  for (; mine.groups.size() > left; mine.groups.pop_front()) {
    for (const std::function<void()>& work : mine.groups.front()) work();
  }
}

const uint8_t* exchange(const void* mine, size_t bytes) {
  Block& b = block();
  Warp& warp = *b.warps[b.current / 32];
  uint8_t(&slots)[32][64] = warp.slots[warp.meeting.round % 2];
  std::memcpy(slots[b.current % 32], mine, bytes);
  const size_t me = b.current;
  if (warp.meeting.members != std::min<size_t>(32, b.count - me / 32 * 32)) broken("a lane has left its warp");
  meet(warp.meeting);
  return slots[0];
}

void run_grid(dim3 grid, dim3 size, size_t shared, const std::function<void()>& thread) {
  Block& b = block();
  if (b.busy) broken("a launch inside a launch");
  b.count = size_t{size.x} * size.y * size.z;
  if (b.count == 0 || b.count > 1024 || grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535 ||
      shared > (227u << 10)) {
    broken("a launch no device takes");
  }
  b.busy = true;
  b.thread = &thread;
  while (b.fibers.size() < b.count) b.fibers.push_back(std::make_unique<Fiber>());
  while (b.warps.size() * 32 < b.count) b.warps.push_back(std::make_unique<Warp>());
  const size_t with_slack = shared + kSharedAlignment + 128;
  if (b.shared.size() < with_slack) b.shared.resize(with_slack);
  blockDim = size;
  gridDim = grid;
  for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z) {
    for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y) {
      for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x) run_block(with_slack);
    }
  }
  b.busy = false;
}

}  // namespace vitrine::cuda::emulated

void __syncthreads() { vitrine::cuda::emulated::meet(vitrine::cuda::emulated::block().all); }
