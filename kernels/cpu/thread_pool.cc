#include "kernels/cpu/thread_pool.h"

#if defined(VITRINE_X86)
#include <immintrin.h>
#endif

namespace vitrine::cpu {
namespace {

constexpr uint32_t kStop = 1u << 31;
// A few hundred µs: longer than the gaps between the operators of a step and most of those between two
// steps. Shorter ones cost a virtual machine a halted processor and its waking, 2 % of a step.
constexpr int kSpins = 20000;

void pause() {
#if defined(VITRINE_X86)
  _mm_pause();
#endif
}

// Waits until `value` is no longer `old`.
template <class T>
T wait_change(const std::atomic<T>& value, T old) {
  for (int i = 0; i < kSpins; ++i) {
    const T now = value.load(std::memory_order_acquire);
    if (now != old) return now;
    pause();
  }
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  for (int i = 1; i < threads; ++i) workers_.emplace_back(&ThreadPool::work, this, i);
}

ThreadPool::~ThreadPool() {
  round_.fetch_or(kStop, std::memory_order_release);
  round_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::start(Job job, void* context) {
  job_ = job;
  context_ = context;
  running_.store(static_cast<int32_t>(workers_.size()), std::memory_order_relaxed);
  const uint32_t round = round_.load(std::memory_order_relaxed);
  round_.store((round + 1) & ~kStop, std::memory_order_release);
  round_.notify_all();
  job(*this, context, 0);
  for (int32_t left = running_.load(std::memory_order_acquire); left != 0;) left = wait_change(running_, left);
}

void ThreadPool::work(int thread) {
  uint32_t seen = 0;
  for (;;) {
    seen = wait_change(round_, seen);
    if (seen & kStop) return;
    job_(*this, context_, thread);
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
  }
}

}  // namespace vitrine::cpu
