// Capture files, pcap and pcapng, down to IP datagrams. Both passes must agree,
// and whatever is handed out must lie inside the file.
#include <algorithm>
#include <cstdlib>

#include "capture/net/dns.h"
#include "capture/net/ip.h"
#include "capture/net/tcp.h"

namespace {

class NoIssues : public vitrine::IssueSink {
 public:
  void issue(vitrine::Issue) override {}
};

void check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrine;
  const Bytes file(data, size);
  NoIssues issues;
  auto reader = open_capture(file, issues);
  const CaptureMetadata metadata = scan_capture(file);
  if (!reader) {
    check(metadata.packets == 0);
    return 0;
  }
  check(looks_like_capture(file));
  IpReassembler ip(issues);
  Packet packet;
  Datagram datagram;
  uint64_t last = 0, position = 0, packets = 0;
  while ((*reader)->next(packet)) {
    check(packet.number > last);
    check(packet.file_offset <= size && packet.data.size() <= size - packet.file_offset);
    check(packet.data.empty() || packet.data.data() == data + packet.file_offset);
    check((*reader)->position() >= position && (*reader)->position() <= size);
    last = packet.number;
    position = (*reader)->position();
    ++packets;
    if (!ip.decode(packet, datagram)) continue;
    check(datagram.owner || datagram.payload.size() <= packet.data.size());
    TcpHeader tcp;
    std::string_view why;
    if (datagram.protocol == kProtocolTcp) check(parse_tcp(datagram, tcp, why) || !why.empty());
    if (datagram.protocol == kProtocolUdp && datagram.payload.size() > 8) (void)parse_dns(datagram.payload.subspan(8));
  }
  ip.finish();
  check(metadata.packets >= packets);
  // Packets skipped through a small window, and read in pieces of any size: the same is found.
  const ReadAt some = [&](uint64_t offset, std::span<uint8_t> out) -> size_t {
    if (offset >= size) return 0;
    const size_t piece = std::min<size_t>({out.size(), size - offset, 16 + size % 200});
    std::copy_n(data + offset, piece, out.data());
    return piece;
  };
  const CaptureMetadata skipped = scan_capture(file, {}, some);
  check(skipped.packets == metadata.packets && skipped.dropped == metadata.dropped);
  check(skipped.comments == metadata.comments && skipped.interfaces == metadata.interfaces);
  check(skipped.names.size() == metadata.names.size());
  check(skipped.tls_key_logs.size() == metadata.tls_key_logs.size());
  for (const Bytes log : metadata.tls_key_logs) {
    check(log.empty() || (log.data() >= data && log.data() + log.size() <= data + size));
  }
  return 0;
}
