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

// Held sequences do not count: who reads slowly must not keep others out. Of those with room, the owner with fewest
// running comes first; of equals, the one behind whose turn it was last.
EngineService::Lines::iterator EngineService::next_line() {
  if (waiting_.empty()) return waiting_.end();
  struct Load {
    int64_t active = 0, all = 0;
  };
  std::map<std::string, Load> loads;
  Load total;
  for (const auto& [sequence, entry] : running_) {
    for (Load* load : {&total, &loads[entry.job.owner]}) {
      ++load->all;
      load->active += entry.held ? 0 : 1;
    }
  }
  if (total.active >= limits_.sequences || total.all >= kHeldFactor * limits_.sequences) return waiting_.end();
  auto next = waiting_.end();
  std::pair<int64_t, bool> best;
  for (auto at = waiting_.begin(); at != waiting_.end(); ++at) {
    const Load load = loads[at->first];
    // Others find a place whatever one owner holds.
    if (load.all >= (kHeldFactor - 1) * limits_.sequences) continue;
    const std::pair rank(load.active, at->first <= last_owner_);
    if (next != waiting_.end() && rank >= best) continue;
    next = at;
    best = rank;
  }
  return next;
}

// Moves jobs to the engine while it has places.
void EngineService::admit(std::unique_lock<std::mutex>& lock) {
  for (auto next = next_line(); next != waiting_.end(); next = next_line()) {
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

std::optional<Clock::time_point> EngineService::end_of_patience() const {
  std::optional<Clock::time_point> first;
  bool somebody_waits = false;
  for (const auto& [sequence, entry] : running_) {
    if (!entry.held) somebody_waits = true;
    if (entry.held && (!first || entry.held_since < *first)) first = entry.held_since;
  }
  if (!somebody_waits || !first) return std::nullopt;
  return *first + limits_.held;
}

void EngineService::end_longest_held(std::unique_lock<std::mutex>& lock) {
  auto longest = running_.end();
  for (auto at = running_.begin(); at != running_.end(); ++at) {
    if (!at->second.held) continue;
    if (longest == running_.end() || at->second.held_since < longest->second.held_since) longest = at;
  }
  if (longest == running_.end()) return;
  engine_.cancel(longest->first);
  const Entry entry = std::move(longest->second);
  running_.erase(longest);
  ++stats_.cancelled;
  lock.unlock();
  entry.job.on_event(ended(Error{ErrorCode::limit, "it was read too slowly while others waited for its place", {}}));
  lock.lock();
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
        entry.held_since = Clock::now();
        engine_.hold(sequence, held);
      }
      for (auto& [owner, line] : waiting_) {
        for (Entry& entry : line) {
          if (entry.id != id) continue;
          entry.held = held;
          entry.held_since = Clock::now();
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
    const auto wake = [&] { return news() || next_line() != waiting_.end(); };
    if (const auto end = end_of_patience()) {
      if (!changed_.wait_until(lock, *end, wake)) end_longest_held(lock);
    } else {
      changed_.wait(lock, wake);
    }
    idle_since = Clock::now();
  }
}

}  // namespace vitrine::serve
