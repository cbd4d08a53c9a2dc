// reader → shards by connection hash → merge by (packet, sequence).
//
// The reader numbers packets and puts IP back together; each shard follows its
// connections; the merge sees the shards' output batch by batch in packet
// order. Batches end at packet numbers that do not depend on the number of
// shards: output is the same at any thread count.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "base/result.h"
#include "capture/net/packet_reader.h"
#include "capture/pipeline/issue_log.h"
#include "capture/pipeline/shard.h"
#include "capture/pipeline/shard_output.h"

namespace vitrine {

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

}  // namespace vitrine
