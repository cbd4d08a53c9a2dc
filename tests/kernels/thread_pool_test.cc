// The threads operators run on: each part once, its writes seen by the caller.
// Small enough for ThreadSanitizer, which sees an order that is missing.
#include "kernels/cpu/thread_pool.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

namespace vitrine::cpu {
namespace {

TEST(ThreadPool, RunsEachTaskOnceAndItsWritesAreSeen) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (const int64_t tasks : {0, 1, 2, 7, 1000}) {
      // Plain memory on purpose: run() is what orders it between threads.
      std::vector<int> times(tasks, 0), by(tasks, -1);
      pool.run(tasks, [&](int64_t task, int64_t, int thread) {
        ++times[task];
        by[task] = thread;
      });
      for (int64_t i = 0; i < tasks; ++i) {
        ASSERT_EQ(times[i], 1) << "task " << i << " of " << tasks << ", " << threads << " threads";
        ASSERT_TRUE(by[i] >= 0 && by[i] < threads);
      }
    }
  }
}

TEST(ThreadPool, SaysWhatAThreadTakesNext) {
  ThreadPool pool(3);
  constexpr int64_t kTasks = 200;
  std::vector<int64_t> next(kTasks, -2);
  std::vector<int> by(kTasks, -1);
  pool.run(kTasks, [&](int64_t task, int64_t after, int thread) {
    next[task] = after;
    by[task] = thread;
  });
  int last = 0;
  for (int64_t i = 0; i < kTasks; ++i) {
    if (next[i] == -1) {
      ++last;
      continue;
    }
    ASSERT_TRUE(next[i] > i && next[i] < kTasks);
    EXPECT_EQ(by[next[i]], by[i]);
  }
  EXPECT_GE(last, 1);
  EXPECT_LE(last, 3);
}

// Rounds in a row find the workers spinning, rounds after a pause asleep.
TEST(ThreadPool, ManyRoundsReadWhatTheRoundBeforeWrote) {
  ThreadPool pool(4);
  constexpr int64_t kTasks = 16;
  std::vector<int64_t> values(kTasks, 0);
  for (int round = 0; round < 500; ++round) {
    std::vector<int64_t> made(kTasks);
    pool.run(kTasks, [&](int64_t task, int64_t, int) { made[task] = values[(task + 1) % kTasks] + 1; });
    values = made;
    if (round % 100 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  for (const int64_t value : values) EXPECT_EQ(value, 500);
}

TEST(ThreadPool, EndsWhateverItsWorkersDo) {
  for (int i = 0; i < 50; ++i) {
    ThreadPool never_run(3);
    ThreadPool pool(3);
    int64_t sum[3] = {};
    pool.run(3, [&](int64_t task, int64_t, int) { sum[task] = task; });
    EXPECT_EQ(sum[0] + sum[1] + sum[2], 3);
  }
}

}  // namespace
}  // namespace vitrine::cpu
