// reader → shards by connection hash → merge by (packet, sequence).
//
// The reader numbers packets and puts IP back together; each shard follows its
// connections; the merge sees the shards' output batch by batch in packet
// order. Batches end at packet numbers that do not depend on the number of
// shards: output is the same at any thread count.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "capture/net/packet_reader.h"
#include "capture/pipeline/issue_log.h"
#include "capture/pipeline/shard.h"

namespace vitrine {

// What a shard's consumer produced during one batch: text whose pieces carry
// their position. Consumers that produce more derive from it.
struct ShardOutput {
  virtual ~ShardOutput() = default;
  struct Mark {
    OutputPosition position;
    uint64_t end = 0;  // of the piece in the whole text; it begins where the one before ends
  };
  std::string bytes;  // the text, behind what was spilled
  std::vector<Mark> marks;

  uint64_t size() const { return spilled_.size() + bytes.size(); }
  void clear() {
    bytes.clear();
    marks.clear();
    spilled_.clear();
  }
  // Text appended to bytes since the last call belongs to `position`.
  void mark(OutputPosition position) {
    if (!marks.empty() && marks.back().position == position) {
      marks.back().end = size();
    } else if (size() > (marks.empty() ? 0 : marks.back().end)) {
      marks.push_back({position, size()});
    }
  }
  // One part can say a thousand times its bytes. To be called as text is
  // appended: beyond kSpill it waits in a file for the merge, not in memory.
  void bound_memory() {
    if (bytes.size() >= kSpill) spill();
  }
  Status write(uint64_t begin, uint64_t end, const std::function<Status(std::string_view)>& each) const;

 private:
  static constexpr size_t kSpill = 32 << 20;
  void spill();
  SpillBuffer spilled_{0};
  bool no_room_ = false;  // on the disk: the rest stays in memory
};

// Outputs between a shard's thread, which fills them, and the merge's thread,
// which empties them: a few buffers go round instead of one a batch.
template <class Output>
class OutputPool {
 public:
  std::unique_ptr<Output> get() {
    std::lock_guard lock(mutex_);
    if (spare_.empty()) return std::make_unique<Output>();
    std::unique_ptr<Output> output = std::move(spare_.back());
    spare_.pop_back();
    return output;
  }
  // A buffer that one rich batch made large is not kept.
  void put(std::unique_ptr<ShardOutput> output) {
    if (output->bytes.capacity() > kKept) return;
    output->clear();
    std::lock_guard lock(mutex_);
    if (spare_.size() < kSpare) spare_.emplace_back(static_cast<Output*>(output.release()));
  }

 private:
  static constexpr size_t kKept = 6 << 20, kSpare = 4;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Output>> spare_;
};

// One per shard; called from the shard's thread.
class ShardConsumer : public PositionedSink {
 public:
  // Hands over everything produced since the last call.
  virtual std::unique_ptr<ShardOutput> take() = 0;
  // An output that the merge has done with, from the merge's thread: its
  // buffers can serve again. The default frees them.
  virtual void recycle(std::unique_ptr<ShardOutput>) {}
};

struct PipelineOptions {
  unsigned threads = 1;  // shards; 1 runs on the caller's thread alone
  // Called for one shard after the other, on the thread that will use it.
  std::function<std::unique_ptr<ShardConsumer>(unsigned shard)> consumer;
  // Merge stage, on the caller's thread: outputs of all shards for one batch.
  std::function<Status(std::span<std::unique_ptr<ShardOutput>>)> merge;
  std::function<void(uint64_t bytes_done)> progress;  // between batches
  std::function<void(uint64_t position)> release;     // input before it is not needed any more
  StreamObserver* observer = nullptr;                 // REQUIRES threads == 1
  HttpLimits http;
};

struct PipelineSummary {
  uint64_t packets = 0;
  uint64_t datagrams = 0;
  Timestamp first, last;
};

Result<PipelineSummary> run_pipeline(PacketReader& reader, const SecretStore& secrets, const ProcessTable& processes,
                                     IssueLog& issues, const PipelineOptions& options);

// Hands the outputs' text to `write` piece by piece in merged order; stops at
// the first that fails.
Status write_in_order(std::span<std::unique_ptr<ShardOutput>> outputs,
                      const std::function<Status(std::string_view)>& write);
// The same, appended to `out`.
void append_in_order(std::span<std::unique_ptr<ShardOutput>> outputs, std::string& out);

}  // namespace vitrine
