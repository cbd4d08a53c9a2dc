#include "capture/pipeline/shard.h"

#include <algorithm>
#include <vector>

#include "capture/pipeline/udp_payload.h"

namespace vitrine {
namespace {

uint16_t port_at(Bytes payload, size_t offset) {
  return static_cast<uint16_t>(payload[offset] << 8 | payload[offset + 1]);
}

// Who opened a connection that was joined in its middle: servers have the
// well-known, or else the lower, port.
bool source_looks_like_client(uint16_t source, uint16_t destination) {
  if (source == destination) return true;
  return source > destination;
}

}  // namespace

size_t FlowKeyHash::operator()(const FlowKey& key) const {
  uint64_t h = 0xcbf29ce484222325ull;
  const auto mix = [&h](uint64_t value) { h = (h ^ value) * 0x9e3779b97f4a7c15ull, h ^= h >> 29; };
  for (const Endpoint* end : {&key.low, &key.high}) {
    uint64_t words[2];
    std::memcpy(words, end->ip.bytes.data(), sizeof words);
    mix(words[0]);
    mix(words[1]);
    mix(end->port);
  }
  mix(key.protocol);
  return h;
}

FlowKey flow_key(const Datagram& datagram) {
  FlowKey key;
  key.protocol = datagram.protocol;
  key.low.ip = datagram.source;
  key.high.ip = datagram.destination;
  if ((datagram.protocol == kProtocolTcp || datagram.protocol == kProtocolUdp) && datagram.payload.size() >= 4) {
    key.low.port = port_at(datagram.payload, 0);
    key.high.port = port_at(datagram.payload, 2);
  }
  if (key.high < key.low) std::swap(key.low, key.high);
  return key;
}

// A UDP flow, or the packets of another IP protocol between two addresses.
struct Shard::UdpFlow {
  ConnectionInfo info;
  Timestamp last_seen;
};

Shard::Shard(const SecretStore& secrets, const ProcessTable& processes, PositionedSink& sink, StreamObserver* observer,
             HttpLimits http)
    : secrets_(secrets), processes_(processes), sink_(sink), observer_(observer), http_(http) {
  http_.buffers = &buffers_;
}
Shard::~Shard() = default;

void Shard::datagram(const Datagram& datagram) {
  sink_.position({datagram.packet, 0});
  const FlowKey key = flow_key(datagram);
  if (datagram.protocol == kProtocolTcp) {
    tcp(datagram, key);
  } else if (datagram.protocol == kProtocolUdp && datagram.payload.size() >= 8) {
    udp(datagram, key);
  } else {
    other(datagram, key);
  }
}

ConnectionInfo Shard::describe(const Datagram& datagram, Transport transport, bool source_is_client,
                               uint16_t source_port, uint16_t destination_port) const {
  ConnectionInfo info;
  info.id = datagram.packet;
  info.first_packet = datagram.packet;
  info.transport = transport;
  info.opened = datagram.time;
  info.client = {datagram.source, source_port};
  info.server = {datagram.destination, destination_port};
  if (!source_is_client) std::swap(info.client, info.server);
  if (const auto found = processes_.find({info.client, info.server}); found != processes_.end()) {
    info.process = found->second;
  }
  return info;
}

void Shard::tcp(const Datagram& datagram, const FlowKey& key) {
  TcpHeader tcp;
  std::string_view why;
  if (!parse_tcp(datagram, tcp, why)) {
    sink_.issue({Cause::malformed, "tcp: " + std::string(why), datagram.packet, 0});
    return;
  }
  auto& connection = tcp_[key];
  const Endpoint source{datagram.source, tcp.source_port};
  const auto direction = [&] {
    return source == connection->info().client ? Direction::client_to_server : Direction::server_to_client;
  };
  if (connection && tcp.syn && starts_new_connection(connection->tcp(), direction(), tcp)) {
    connection->finish(StreamChunk::Close::idle, CloseReason::connection_closed, datagram.time, datagram.packet);
    connection.reset();
  }
  if (!connection) {
    const bool source_is_client = tcp.syn ? !tcp.ack : source_looks_like_client(tcp.source_port, tcp.destination_port);
    connection = std::make_unique<TrafficConnection>(
        describe(datagram, Transport::tcp, source_is_client, tcp.source_port, tcp.destination_port), secrets_, sink_,
        observer_, http_);
  }
  connection->segment(direction(), tcp, datagram.time, datagram.packet);
}

void Shard::udp(const Datagram& datagram, const FlowKey& key) {
  const uint16_t source_port = port_at(datagram.payload, 0), destination_port = port_at(datagram.payload, 2);
  const size_t length = port_at(datagram.payload, 4);
  Bytes payload = datagram.payload.subspan(8);
  if (length >= 8 && length - 8 < payload.size()) payload = payload.first(length - 8);
  auto& flow = udp_[key];
  if (!flow) {
    flow = std::make_unique<UdpFlow>();
    const bool source_is_client = !is_server_port(source_port) || is_server_port(destination_port);
    flow->info = describe(datagram, Transport::udp, source_is_client, source_port, destination_port);
    flow->info.protocol = udp_protocol(flow->info, payload);
    sink_.connection(flow->info, ExchangeSink::ConnectionEvent::opened);
  }
  flow->last_seen = std::max(flow->last_seen, datagram.time);
  const Endpoint source{datagram.source, source_port};
  const Direction direction = source == flow->info.client ? Direction::client_to_server : Direction::server_to_client;
  read_udp_payload(flow->info, direction, payload, datagram, sink_);
  if (datagram.missing > 0) flow->info.overhead[static_cast<size_t>(direction)].add(Cause::truncated, datagram.missing);
}

void Shard::other(const Datagram& datagram, const FlowKey& key) {
  auto& flow = udp_[key];
  if (!flow) {
    flow = std::make_unique<UdpFlow>();
    flow->info = describe(datagram, Transport::other_ip, true, 0, 0);
    flow->info.protocol = "ip-" + std::to_string(datagram.protocol);
    sink_.connection(flow->info, ExchangeSink::ConnectionEvent::opened);
  }
  flow->last_seen = std::max(flow->last_seen, datagram.time);
  const auto d = static_cast<size_t>(datagram.source == flow->info.client.ip ? Direction::client_to_server
                                                                             : Direction::server_to_client);
  flow->info.overhead[d].add(Cause::unsupported, datagram.payload.size());
  if (datagram.missing > 0) flow->info.overhead[d].add(Cause::truncated, datagram.missing);
}

void Shard::close_udp(UdpFlow& flow) {
  sink_.connection(flow.info, ExchangeSink::ConnectionEvent::hello);
  sink_.connection(flow.info, ExchangeSink::ConnectionEvent::closed);
}

void Shard::sweep(Timestamp before, uint64_t packet) {
  // Closed connections stay until here, so that late retransmissions of their
  // last segments do not open a new one. Ordered by id, TCP and UDP together:
  // the maps are not, and shards are merged by position.
  std::vector<std::pair<ConnectionId, FlowKey>> done;
  for (const auto& [key, connection] : tcp_) {
    if (connection->last_seen() < before) done.emplace_back(connection->info().id, key);
  }
  for (const auto& [key, flow] : udp_) {
    if (flow->last_seen < before) done.emplace_back(flow->info.id, key);
  }
  std::sort(done.begin(), done.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [id, key] : done) {
    sink_.position({packet, id});
    if (const auto tcp = tcp_.find(key); tcp != tcp_.end()) {
      tcp->second->finish(StreamChunk::Close::idle, CloseReason::connection_closed, tcp->second->last_seen(), packet);
      tcp_.erase(tcp);
    } else if (const auto udp = udp_.find(key); udp != udp_.end()) {
      close_udp(*udp->second);
      udp_.erase(udp);
    }
  }
}

void Shard::finish(Timestamp time) {
  std::map<ConnectionId, std::pair<TrafficConnection*, UdpFlow*>> open;  // in the order of the merge
  for (const auto& [key, connection] : tcp_) open[connection->info().id].first = connection.get();
  for (const auto& [key, flow] : udp_) open[flow->info.id].second = flow.get();
  for (const auto& [id, ends] : open) {
    sink_.position({UINT64_MAX, id});
    const auto& [connection, flow] = ends;
    if (connection != nullptr) {
      connection->finish(StreamChunk::Close::end_of_capture, CloseReason::end_of_capture,
                         std::max(time, connection->last_seen()), 0);
    } else {
      close_udp(*flow);
    }
  }
  tcp_.clear();
  udp_.clear();
}

}  // namespace vitrine
