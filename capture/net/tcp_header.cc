#include "capture/net/capture_formats.h"
#include "capture/net/tcp.h"

namespace vitrine {

bool parse_tcp(const Datagram& datagram, TcpHeader& out, std::string_view& why) {
  const Bytes segment = datagram.payload;
  const uint64_t header = segment.size() < 20 ? 20 : (segment[12] >> 4) * 4u;
  if (header < 20) {
    why = "data offset below 5";
    return false;
  }
  if (segment.size() < header) {
    why = datagram.missing > 0 ? "header cut by the snap length" : "header does not fit in the packet";
    return false;
  }
  const uint8_t* p = segment.data();
  out.source_port = load_u16(p, true);
  out.destination_port = load_u16(p + 2, true);
  out.sequence = load_u32(p + 4, true);
  out.acknowledgment = load_u32(p + 8, true);
  out.fin = p[13] & 0x01;
  out.syn = p[13] & 0x02;
  out.rst = p[13] & 0x04;
  out.ack = p[13] & 0x10;
  out.payload = segment.subspan(header);
  out.missing = datagram.missing;
  return true;
}

}  // namespace vitrine
