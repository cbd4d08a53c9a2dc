#include "capture/pipeline/udp_payload.h"

#include <algorithm>

#include "base/text.h"
#include "capture/net/dns.h"

namespace vitrine {
namespace {

struct KnownPort {
  uint16_t port;
  std::string_view protocol;
};
constexpr KnownPort kKnownPorts[] = {{53, "dns"},    {67, "dhcp"},    {68, "dhcp"},    {123, "ntp"},
                                     {443, "quic"},  {546, "dhcpv6"}, {547, "dhcpv6"}, {1900, "ssdp"},
                                     {3478, "stun"}, {5353, "mdns"},  {5355, "llmnr"}};

std::string_view named_port(uint16_t port) {
  for (const KnownPort& known : kKnownPorts) {
    if (known.port == port) return known.protocol;
  }
  return {};
}

// A QUIC long header (RFC 9000 section 17.2) of version 1, 2 or 0 (negotiation).
bool looks_like_quic(Bytes payload) {
  if (payload.size() < 7 || (payload[0] & 0x80) == 0) return false;
  const uint32_t version = static_cast<uint32_t>(payload[1]) << 24 | payload[2] << 16 | payload[3] << 8 | payload[4];
  return version == 1 || version == 0x6b3343cf || version == 0 || (version >> 8) == 0xff0000;
}

}  // namespace

bool is_server_port(uint16_t port) { return !named_port(port).empty(); }

std::string udp_protocol(const ConnectionInfo& info, Bytes payload) {
  if (looks_like_quic(payload)) return "quic";
  std::string_view name = named_port(info.server.port);
  if (name.empty()) name = named_port(info.client.port);
  return name.empty() ? "unknown" : std::string(name);
}

void read_udp_payload(ConnectionInfo& info, Direction direction, Bytes payload, const Datagram& datagram,
                      ExchangeSink& sink) {
  ByteCounts& bytes = info.overhead[static_cast<size_t>(direction)];
  if (info.protocol != "dns" && info.protocol != "mdns" && info.protocol != "llmnr") {
    bytes.add(Cause::unsupported, payload.size());
    if (info.protocol == "quic" && !payload.empty()) {
      sink.issue({Cause::unsupported, "quic: HTTP/3 is not read; its bytes are counted as unsupported", datagram.packet,
                  info.id});
    }
    return;
  }
  const Result<DnsMessage> message = parse_dns(payload);
  if (!message) {
    bytes.add(datagram.missing > 0 ? Cause::truncated : Cause::malformed, payload.size());
    sink.issue({Cause::malformed, "dns: " + message.error().message, datagram.packet, info.id});
    return;
  }
  bytes.add(Cause::decoded, payload.size());
  for (const DnsQuestion& question : message->questions) {
    DnsName name;
    const std::string type = to_string_dns_type(question.type);
    name.name = question.name;
    name.type = type;
    name.direction = direction;
    name.time = datagram.time;
    name.packet = datagram.packet;
    name.bytes = payload.size();
    name.span = {question.offset, question.length};
    sink.dns(info, name);
  }
  if (!message->response) return;
  for (const DnsAnswer& answer : message->answers) {
    if (answer.ip.family == 0 || message->questions.empty()) continue;
    // The name asked for, not the last alias: that is what the client wanted.
    std::string asked = message->questions.front().name;
    std::transform(asked.begin(), asked.end(), asked.begin(), [](char c) { return ascii_lower(c); });
    sink.resolved(answer.ip, asked);
  }
}

}  // namespace vitrine
