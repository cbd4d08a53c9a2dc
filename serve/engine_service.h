// The engine on a thread of its own, shared by everybody who asks.
//
// Jobs wait per owner (API key), not in one line: whoever has fewest running is
// next, of equals in turn, and within an owner who came first. So a thousand
// requests of one key keep another waiting for no more than one place to become
// free. What is held (a slow reader) takes no place, its owner's own included, but
// no owner may hold so many that none are left for others, and who is held for long
// gives up the cache that others need. What waits is bounded;
// beyond, submit() refuses.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/engine.h"

namespace vitrine::serve {

using JobId = uint64_t;

struct JobEvent {
  SequenceOutput output;
  SequenceUsage usage;  // so far
};

struct Job {
  Request request;
  std::string owner;
  // Called on the engine's thread, in order, until an event is finished or an error.
  // Must not block and must not call the service.
  std::function<void(JobEvent)> on_event;
};

struct ServiceLimits {
  size_t waiting = 256;           // jobs in all
  size_t waiting_per_owner = 64;  // of one owner
  int64_t sequences = 8;          // EngineOptions::sequences
  // So long a held one keeps its part of the cache while somebody waits for room in it; then it ends with an error.
  std::chrono::milliseconds held{10'000};
};

struct ServiceStats {
  uint64_t running = 0, waiting = 0, jobs = 0, refused = 0, cancelled = 0;
  uint64_t prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;
  uint64_t steps = 0;
  double step_seconds = 0;   // in Engine::step()
  double other_seconds = 0;  // of this thread while it was not waiting: what serving costs
};

class EngineService {
 public:
  // Borrows the engine, which nobody else may step.
  EngineService(Engine& engine, const ServiceLimits& limits);
  ~EngineService();  // cancels what runs

  // limit: too much waits already. What Engine::add() refuses comes as an event.
  Result<JobId> submit(Job job);
  // An event with FinishReason::cancelled follows; none, when the job has ended already.
  void cancel(JobId id);
  void hold(JobId id, bool held);  // as Engine::hold()
  ServiceStats stats() const;
  // When the device failed: why. Every job ends with this error from then on.
  std::optional<Error> failed() const;

 private:
  struct Entry {
    JobId id = 0;
    Job job;
    SequenceId sequence = 0;  // 0: not with the engine yet
    bool held = false;
    std::chrono::steady_clock::time_point held_since{};
  };
  void run();
  using Lines = std::map<std::string, std::deque<Entry>>;  // by owner
  // The line whose first job is next; end() when none may start now.
  Lines::iterator next_line();
  void admit(std::unique_lock<std::mutex>& lock);
  void deliver(std::vector<SequenceOutput> outputs, std::unique_lock<std::mutex>& lock);
  // Nobody gets on, though somebody is not held: they wait for the cache. When the one held for longest is to end.
  std::optional<std::chrono::steady_clock::time_point> end_of_patience() const;
  void end_longest_held(std::unique_lock<std::mutex>& lock);
  void fail_all(const Error& error, std::unique_lock<std::mutex>& lock);

  Engine& engine_;
  const ServiceLimits limits_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Lines waiting_;
  std::map<SequenceId, Entry> running_;
  std::vector<JobId> cancel_;
  std::vector<std::pair<JobId, bool>> hold_;
  std::string last_owner_;  // whose turn it was
  std::optional<Error> failed_;
  ServiceStats stats_;
  JobId next_ = 1;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace vitrine::serve
