// The connections of one shard: datagrams in, exchanges out. All datagrams of a
// connection meet the same shard, whatever their number.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "capture/net/ip.h"
#include "capture/pipeline/traffic_connection.h"

namespace vitrine {

// Which process a flow belonged to, as the recorder noted it.
using ProcessTable = std::map<std::pair<Endpoint, Endpoint>, std::string>;  // (client, server), also reversed

struct FlowKey {
  Endpoint low, high;  // ordered, so that both directions have one key
  uint8_t protocol = 0;
  bool operator==(const FlowKey&) const = default;
};
struct FlowKeyHash {
  size_t operator()(const FlowKey& key) const;
};
// False for datagrams too short to have ports (they go by addresses alone).
FlowKey flow_key(const Datagram& datagram);

// Position in the merged order of all shards' output: events of one packet
// stand together; events of a sweep or of the end are ordered by connection.
struct OutputPosition {
  uint64_t packet = 0;
  uint64_t connection = 0;
  auto operator<=>(const OutputPosition&) const = default;
};

class PositionedSink : public ExchangeSink {
 public:
  virtual void position(OutputPosition position) = 0;
};

class Shard {
 public:
  Shard(const SecretStore& secrets, const ProcessTable& processes, PositionedSink& sink, StreamObserver* observer,
        HttpLimits http = {});
  ~Shard();

  void datagram(const Datagram& datagram);
  // Closes connections without a packet since `before`; called at positions
  // that do not depend on the number of shards.
  void sweep(Timestamp before, uint64_t packet);
  void finish(Timestamp time);

 private:
  struct UdpFlow;
  void tcp(const Datagram& datagram, const FlowKey& key);
  void udp(const Datagram& datagram, const FlowKey& key);
  void other(const Datagram& datagram, const FlowKey& key);
  ConnectionInfo describe(const Datagram& datagram, Transport transport, bool source_is_client, uint16_t source_port,
                          uint16_t destination_port) const;
  void close_udp(UdpFlow& flow);

  const SecretStore& secrets_;
  const ProcessTable& processes_;
  PositionedSink& sink_;
  StreamObserver* observer_;
  BufferPool buffers_;  // of the bodies; outlives the connections
  HttpLimits http_;
  std::unordered_map<FlowKey, std::unique_ptr<TrafficConnection>, FlowKeyHash> tcp_;
  std::unordered_map<FlowKey, std::unique_ptr<UdpFlow>, FlowKeyHash> udp_;  // also other IP protocols
};

}  // namespace vitrine
