// A few threads that run the parts of one call together and then wait for the
// next. Who runs which part never changes a result: parts write apart.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace vitrine::cpu {

class ThreadPool {
 public:
  // `threads` counts the caller of run(); >= 1.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls f(task, next, thread) for each task in [0, tasks), on any thread, and
  // returns when all are done. `next` is the task this thread takes afterwards,
  // or -1: so that it can fetch its data early. One caller at a time.
  template <class Function>
  void run(int64_t tasks, Function f) {
    if (tasks <= 0) return;
    if (tasks == 1 || workers_.empty()) {
      for (int64_t i = 0; i < tasks; ++i) f(i, i + 1 < tasks ? i + 1 : -1, 0);
      return;
    }
    tasks_ = tasks;
    next_.store(0, std::memory_order_relaxed);
    start(
        [](ThreadPool& pool, void* function, int thread) {
          const auto claim = [&pool] {
            const int64_t task = pool.next_.fetch_add(1, std::memory_order_relaxed);
            return task < pool.tasks_ ? task : -1;
          };
          for (int64_t task = claim(); task >= 0;) {
            const int64_t next = claim();
            (*static_cast<Function*>(function))(task, next, thread);
            task = next;
          }
        },
        &f);
  }

 private:
  using Job = void (*)(ThreadPool&, void*, int);
  void start(Job job, void* context);
  void work(int thread);

  Job job_ = nullptr;
  void* context_ = nullptr;
  int64_t tasks_ = 0;
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<uint32_t> round_{0};  // counts jobs; bit 31: stop
  alignas(64) std::atomic<int32_t> running_{0};
  std::vector<std::thread> workers_;
};

}  // namespace vitrine::cpu
