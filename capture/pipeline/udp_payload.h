// What travels in UDP: DNS is read; QUIC, NTP, DHCP, mDNS … are named, so that
// the ledger and an egress rule can say what was there.
#pragma once

#include <string>

#include "capture/exchange.h"
#include "capture/net/ip.h"

namespace vitrine {

bool is_server_port(uint16_t port);  // a port that only servers answer from (53, 123, 443 …)
// "dns", "mdns", "quic", "ntp", "dhcp", "stun", "ssdp", "unknown": by port and by first bytes.
std::string udp_protocol(const ConnectionInfo& info, Bytes payload);
// Reads one payload, accounts each of its bytes in info.overhead, reports DNS
// names to the sink.
void read_udp_payload(ConnectionInfo& info, Direction direction, Bytes payload, const Datagram& datagram,
                      ExchangeSink& sink);

}  // namespace vitrine
