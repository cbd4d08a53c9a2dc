#include "serve/engine_service.h"

#include <algorithm>
#include <chrono>

namespace vitrine::serve {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int64_t kHeldFactor = 4;  // with held ones, so many times limits.sequences are with the engine

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

JobEvent ended(FinishReason reason) {
  JobEvent event;
  event.output.finished = reason;
  return event;
}

JobEvent ended(Error error) {
  JobEvent event;
  event.output.error = std::move(error);
  return event;
}

}  // namespace

EngineService::EngineService(Engine& engine, const ServiceLimits& limits)
    : engine_(engine), limits_(limits), thread_([this] { run(); }) {}

EngineService::~EngineService() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Result<JobId> EngineService::submit(Job job) {
  std::lock_guard lock(mutex_);
  if (failed_) return tl::make_unexpected(*failed_);
  auto& line = waiting_[job.owner];
  if (stats_.waiting >= limits_.waiting || line.size() >= limits_.waiting_per_owner) {
    ++stats_.refused;
    if (line.empty()) waiting_.erase(job.owner);
    return fail(ErrorCode::limit, "too many requests are waiting; try again later");
  }
  const JobId id = next_++;
  line.push_back({id, std::move(job), 0, false});
  ++stats_.waiting;
  ++stats_.jobs;
  changed_.notify_all();
  return id;
}

void EngineService::cancel(JobId id) {
  std::lock_guard lock(mutex_);
  cancel_.push_back(id);
  changed_.notify_all();
}

void EngineService::hold(JobId id, bool held) {
  std::lock_guard lock(mutex_);
  hold_.emplace_back(id, held);
  changed_.notify_all();
}

ServiceStats EngineService::stats() const {
  std::lock_guard lock(mutex_);
  ServiceStats stats = stats_;
  stats.running = running_.size();
  return stats;
}

std::optional<Error> EngineService::failed() const {
  std::lock_guard lock(mutex_);
  return failed_;
}

// Held sequences do not count: who reads slowly must not keep others out.
bool EngineService::has_room() const {
  if (waiting_.empty() || static_cast<int64_t>(running_.size()) >= kHeldFactor * limits_.sequences) return false;
  const auto active =
      std::count_if(running_.begin(), running_.end(), [](const auto& each) { return !each.second.held; });
  return active < limits_.sequences;
}

// Moves jobs to the engine while it has places. The owner with fewest running
// comes first; of equals, the one behind whose turn it was last.
void EngineService::admit(std::unique_lock<std::mutex>& lock) {
  while (has_room()) {
    std::map<std::string, size_t> load;
    for (const auto& [sequence, entry] : running_) ++load[entry.job.owner];
    const auto rank = [&](const std::string& owner) {
      const auto found = load.find(owner);
      return std::pair(found == load.end() ? size_t{0} : found->second, owner <= last_owner_);
    };
    auto next = waiting_.begin();
    for (auto at = waiting_.begin(); at != waiting_.end(); ++at) {
      if (rank(at->first) < rank(next->first)) next = at;
    }
    Entry entry = std::move(next->second.front());
    next->second.pop_front();
    last_owner_ = next->first;
    if (next->second.empty()) waiting_.erase(next);
    --stats_.waiting;
    const auto added = engine_.add(std::move(entry.job.request));
    if (!added) {
      lock.unlock();
      entry.job.on_event(ended(added.error()));
      lock.lock();
      continue;
    }
    entry.sequence = *added;
    if (entry.held) engine_.hold(*added, true);
    running_.emplace(*added, std::move(entry));
  }
}

void EngineService::deliver(std::vector<SequenceOutput> outputs, std::unique_lock<std::mutex>& lock) {
  for (SequenceOutput& output : outputs) {
    const auto found = running_.find(output.sequence);
    if (found == running_.end()) continue;
    JobEvent event;
    event.usage = engine_.usage(output.sequence).value_or(SequenceUsage{});
    stats_.generated_tokens += output.tokens.size();
    const bool last = output.finished.has_value() || output.error.has_value();
    if (last) {
      stats_.prompt_tokens += static_cast<uint64_t>(event.usage.prompt_tokens);
      stats_.cached_tokens += static_cast<uint64_t>(event.usage.cached_tokens);
      if (output.finished == FinishReason::cancelled) ++stats_.cancelled;
    }
    event.output = std::move(output);
    if (!last) {
      // Only this thread changes running_: the callback stays where it is.
      lock.unlock();
      found->second.job.on_event(std::move(event));
      lock.lock();
      continue;
    }
    const Entry entry = std::move(found->second);
    running_.erase(found);
    lock.unlock();
    entry.job.on_event(std::move(event));
    lock.lock();
  }
}

void EngineService::fail_all(const Error& error, std::unique_lock<std::mutex>& lock) {
  failed_ = error;
  std::vector<Entry> entries;
  for (auto& [sequence, entry] : running_) entries.push_back(std::move(entry));
  for (auto& [owner, line] : waiting_) {
    for (Entry& entry : line) entries.push_back(std::move(entry));
  }
  running_.clear();
  waiting_.clear();
  stats_.waiting = 0;
  lock.unlock();
  for (const Entry& entry : entries) entry.job.on_event(ended(error));
  lock.lock();
}

void EngineService::run() {
  std::unique_lock lock(mutex_);
  Clock::time_point idle_since = Clock::now();
  for (;;) {
    // Every running sequence may be held, or wait for pages: then a step brings nothing, and is not tried at once
    // again.
    bool idle = false;
    for (const auto& [id, held] : std::exchange(hold_, {})) {
      for (auto& [sequence, entry] : running_) {
        if (entry.id != id) continue;
        entry.held = held;
        engine_.hold(sequence, held);
      }
      for (auto& [owner, line] : waiting_) {
        for (Entry& entry : line) {
          if (entry.id == id) entry.held = held;
        }
      }
    }
    std::vector<Entry> left;
    for (const JobId id : std::exchange(cancel_, {})) {
      for (const auto& [sequence, entry] : running_) {
        if (entry.id == id) engine_.cancel(sequence);
      }
      for (auto at = waiting_.begin(); at != waiting_.end();) {
        auto& line = at->second;
        const auto entry = std::find_if(line.begin(), line.end(), [id](const Entry& e) { return e.id == id; });
        if (entry != line.end()) {
          left.push_back(std::move(*entry));
          line.erase(entry);
          --stats_.waiting;
          ++stats_.cancelled;
        }
        at = line.empty() ? waiting_.erase(at) : std::next(at);
      }
    }
    if (!left.empty()) {
      lock.unlock();
      for (const Entry& entry : left) entry.job.on_event(ended(FinishReason::cancelled));
      lock.lock();
    }
    if (stopping_) {
      fail_all({ErrorCode::limit, "the server is stopping", {}}, lock);
      return;
    }
    admit(lock);
    if (engine_.busy()) {
      stats_.other_seconds += seconds_since(idle_since);
      lock.unlock();
      const Clock::time_point start = Clock::now();
      auto outputs = engine_.step();
      const double spent = seconds_since(start);
      lock.lock();
      idle_since = Clock::now();
      stats_.step_seconds += spent;
      ++stats_.steps;
      if (!outputs) {
        fail_all(outputs.error(), lock);
        return;
      }
      idle = outputs->empty();
      deliver(std::move(*outputs), lock);
    } else {
      idle = true;
    }
    if (!idle) continue;
    stats_.other_seconds += seconds_since(idle_since);
    const auto news = [this] { return stopping_ || !cancel_.empty() || !hold_.empty(); };
    changed_.wait(lock, [&] { return news() || has_room(); });
    idle_since = Clock::now();
  }
}

}  // namespace vitrine::serve
