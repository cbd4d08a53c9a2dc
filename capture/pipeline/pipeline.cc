#include "capture/pipeline/pipeline.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <thread>

namespace vitrine {
namespace {

// A batch and what is made of it (about four times its bytes) should still be
// near the processor when the merge writes it. The batches in flight let one
// shard run ahead of another while its connections are the busy ones: with
// 12 MB two shards wait for each other for 2 % of the time.
constexpr size_t kBatchPackets = 1024;
constexpr uint64_t kBatchBytes = 256 << 10;
constexpr size_t kBatchesInFlight = 48;
// A connection without a packet for this long (capture time) is closed; TCP
// keep-alives default to 45-75 s in browsers, long polls to a few minutes.
constexpr int64_t kIdleNs = 600ll * 1'000'000'000;

struct Batch {
  std::vector<std::vector<Datagram>> shards;
  uint64_t last_packet = 0;
  uint64_t position = 0;  // of the reader behind this batch
  Timestamp sweep_before;
  bool sweep = false;
  bool last = false;
  Timestamp last_time;

  std::mutex mutex;
  std::condition_variable done;
  size_t pending = 0;
  std::vector<std::unique_ptr<ShardOutput>> outputs;
};

struct Worker {
  std::unique_ptr<ShardConsumer> consumer;
  std::unique_ptr<Shard> shard;
  std::thread thread;
  std::mutex mutex;
  std::condition_variable ready;
  std::deque<std::shared_ptr<Batch>> queue;
  bool stop = false;

  void run(Batch& batch, size_t index) {
    for (const Datagram& datagram : batch.shards[index]) shard->datagram(datagram);
    if (batch.sweep) shard->sweep(batch.sweep_before, batch.last_packet);
    if (batch.last) shard->finish(batch.last_time);
    batch.outputs[index] = consumer->take();
  }

  void loop(size_t index) {
    for (;;) {
      std::shared_ptr<Batch> batch;
      {
        std::unique_lock lock(mutex);
        ready.wait(lock, [this] { return stop || !queue.empty(); });
        if (queue.empty()) return;
        batch = std::move(queue.front());
        queue.pop_front();
      }
      run(*batch, index);
      std::lock_guard lock(batch->mutex);
      if (--batch->pending == 0) batch->done.notify_one();
    }
  }
};

// Fills batches from the reader: the only place that sees packets.
class Reader {
 public:
  Reader(PacketReader& packets, IssueLog& issues, PipelineSummary& summary, size_t shards)
      : packets_(packets),
        ip_(issues),
        summary_(summary),
        shards_(shards),
        load_(shards),
        shard_of_(kBuckets, kUnassigned) {}

  std::shared_ptr<Batch> next() {
    auto batch = std::make_shared<Batch>();
    batch->shards.resize(shards_);
    batch->outputs.resize(shards_);
    batch->pending = shards_;
    uint64_t bytes = 0;
    size_t count = 0;
    Packet packet;
    while (count < kBatchPackets && bytes < kBatchBytes) {
      if (!packets_.next(packet)) {
        ip_.finish();  // counts fragments whose datagram never became whole
        batch->last = true;
        break;
      }
      ++count;
      bytes += packet.data.size();
      ++summary_.packets;
      if (summary_.packets == 1) summary_.first = packet.time;
      summary_.last = std::max(summary_.last, packet.time);
      batch->last_packet = packet.number;
      Datagram datagram;
      if (!ip_.decode(packet, datagram)) continue;
      ++summary_.datagrams;
      batch->shards[shard_of(datagram)].push_back(std::move(datagram));
    }
    batch->position = packets_.position();
    batch->last_time = summary_.last;
    if (summary_.last.ns - last_sweep_.ns > kIdleNs / 4) {
      batch->sweep = last_sweep_.ns != 0;
      batch->sweep_before = Timestamp{summary_.last.ns - kIdleNs};
      last_sweep_ = summary_.last;
    }
    return batch;
  }

 private:
  static constexpr size_t kBuckets = 1 << 14;
  static constexpr uint16_t kUnassigned = UINT16_MAX;

  // Flows whose hashes share a bucket share a shard; a bucket goes to the shard
  // that had the fewest bytes when it was first met. Only speed depends on it.
  size_t shard_of(const Datagram& datagram) {
    if (shards_ == 1) return 0;
    uint16_t& shard = shard_of_[FlowKeyHash{}(flow_key(datagram)) % kBuckets];
    if (shard == kUnassigned) {
      shard = static_cast<uint16_t>(std::min_element(load_.begin(), load_.end()) - load_.begin());
      load_[shard] += kNewBucket;  // handshakes of many flows at once: go round
    }
    load_[shard] += datagram.payload.size();
    return shard;
  }
  static constexpr uint64_t kNewBucket = 64 << 10;

  PacketReader& packets_;
  IpReassembler ip_;
  PipelineSummary& summary_;
  size_t shards_;
  std::vector<uint64_t> load_;
  std::vector<uint16_t> shard_of_;
  Timestamp last_sweep_;
};

}  // namespace

Result<PipelineSummary> run_pipeline(PacketReader& packets, const SecretStore& secrets, const ProcessTable& processes,
                                     IssueLog& issues, const PipelineOptions& options) {
  PipelineSummary summary;
  const size_t shards = std::max(1u, options.threads);
  std::vector<std::unique_ptr<Worker>> workers;
  for (size_t i = 0; i < shards; ++i) {
    Worker* worker = workers.emplace_back(std::make_unique<Worker>()).get();
    const auto make = [&, worker, i] {
      worker->consumer = options.consumer(static_cast<unsigned>(i));
      worker->shard = std::make_unique<Shard>(secrets, processes, *worker->consumer, options.observer, options.http);
    };
    if (shards == 1) {
      make();
      break;
    }
    // Made on its own thread: two shards' state made on one thread lies in the
    // same cache lines, and each write of one would take them from the other.
    std::promise<void> made;
    const std::future<void> ready = made.get_future();
    worker->thread = std::thread([make, worker, i, made = std::move(made)]() mutable {
      make();
      made.set_value();
      worker->loop(i);
    });
    ready.wait();
  }
  Reader reader(packets, issues, summary, shards);
  std::deque<std::shared_ptr<Batch>> in_flight;
  Status status;
  const auto retire = [&] {
    Batch& batch = *in_flight.front();
    if (shards > 1) {
      std::unique_lock lock(batch.mutex);
      batch.done.wait(lock, [&] { return batch.pending == 0; });
    }
    if (status) status = options.merge(batch.outputs);
    for (size_t i = 0; i < shards; ++i) {
      if (batch.outputs[i]) workers[i]->consumer->recycle(std::move(batch.outputs[i]));
    }
    if (options.progress) options.progress(batch.position);
    if (options.release) options.release(batch.position);
    in_flight.pop_front();
  };
  for (bool last = false; !last && status;) {
    std::shared_ptr<Batch> batch = reader.next();
    last = batch->last;
    in_flight.push_back(batch);
    if (shards == 1) {
      workers[0]->run(*batch, 0);
      retire();
      continue;
    }
    for (auto& worker : workers) {
      std::lock_guard lock(worker->mutex);
      worker->queue.push_back(batch);
      worker->ready.notify_one();
    }
    if (in_flight.size() >= kBatchesInFlight) retire();
  }
  while (!in_flight.empty()) retire();
  for (auto& worker : workers) {
    if (!worker->thread.joinable()) continue;
    {
      std::lock_guard lock(worker->mutex);
      worker->stop = true;
      worker->ready.notify_one();
    }
    worker->thread.join();
  }
  if (!status) return tl::unexpected(status.error());
  return summary;
}

}  // namespace vitrine
