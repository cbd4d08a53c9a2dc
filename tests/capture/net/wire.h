// Builders of capture files and packets for the tests of this folder.
#pragma once

#include <string>
#include <vector>

#include "capture/net/ip.h"
#include "capture/net/packet_reader.h"
#include "capture/net/tcp.h"

namespace vitrine::wire {

class Out {
 public:
  explicit Out(bool big_endian = true) : big_(big_endian) {}
  Out& u8(uint64_t v) { return integer(v, 1); }
  Out& u16(uint64_t v) { return integer(v, 2); }
  Out& u32(uint64_t v) { return integer(v, 4); }
  Out& u64(uint64_t v) { return integer(v, 8); }
  Out& raw(std::string_view text) {
    bytes_.append(text);
    return *this;
  }
  Out& zeros(size_t count) {
    bytes_.append(count, '\0');
    return *this;
  }
  Out& pad4() { return zeros((4 - bytes_.size() % 4) % 4); }
  size_t size() const { return bytes_.size(); }
  const std::string& str() const { return bytes_; }
  operator const std::string&() const { return bytes_; }

 private:
  Out& integer(uint64_t v, int width) {
    for (int i = 0; i < width; ++i) bytes_.push_back(static_cast<char>(v >> 8 * (big_ ? width - 1 - i : i)));
    return *this;
  }
  bool big_;
  std::string bytes_;
};

// ---- pcap
inline std::string pcap_header(bool big = false, bool ns = false, uint32_t link = 1, uint32_t snaplen = 262144) {
  return Out(big).u32(ns ? 0xa1b23c4d : 0xa1b2c3d4).u16(2).u16(4).u32(0).u32(0).u32(snaplen).u32(link).str();
}
inline std::string pcap_record(std::string_view data, uint32_t seconds = 1'700'000'000, uint32_t fraction = 5,
                               bool big = false, uint32_t original = 0) {
  return Out(big).u32(seconds).u32(fraction).u32(data.size()).u32(original ? original : data.size()).raw(data).str();
}

// ---- pcapng
inline std::string option(bool big, uint16_t code, std::string_view value) {
  return Out(big).u16(code).u16(value.size()).raw(value).pad4().str();
}
inline std::string block(bool big, uint32_t type, std::string body) {
  body.append((4 - body.size() % 4) % 4, '\0');
  const uint32_t length = static_cast<uint32_t>(body.size()) + 12;
  return Out(big).u32(type).u32(length).raw(body).u32(length).str();
}
inline std::string section(bool big, const std::string& options = "", uint16_t major = 1) {
  return block(big, 0x0a0d0d0a, Out(big).u32(0x1a2b3c4d).u16(major).u16(0).u64(~0ull).raw(options).str());
}
inline std::string interface(bool big, uint16_t link, const std::string& options = "", uint32_t snaplen = 0) {
  return block(big, 1, Out(big).u16(link).u16(0).u32(snaplen).raw(options).str());
}
inline std::string enhanced(bool big, uint32_t id, uint64_t ticks, std::string_view data,
                            const std::string& options = "", uint32_t original = 0) {
  return block(big, 6,
               Out(big)
                   .u32(id)
                   .u32(ticks >> 32)
                   .u32(ticks & 0xffffffff)
                   .u32(data.size())
                   .u32(original ? original : data.size())
                   .raw(data)
                   .pad4()
                   .raw(options)
                   .str());
}

// ---- packets
inline std::string ethernet(uint16_t type, std::string_view payload) {
  return Out().raw("\x02\x01\x01\x01\x01\x01\x02\x02\x02\x02\x02\x02").u16(type).raw(payload).str();
}
struct V4 {
  uint8_t protocol = 6;
  uint16_t id = 1;
  uint32_t offset = 0;
  bool more = false;
  std::string options;
  int total = -1;  // -1: right
  std::string_view source = "\xcb\x00\x71\x07", destination = "\xc6\x33\x64\x05";
};
inline std::string ipv4(std::string_view payload,
                        const V4& v = {.options = "", .source = std::string_view("\xcb\0\x71\x07", 4)}) {
  const size_t header = 20 + v.options.size();
  const size_t total = v.total >= 0 ? static_cast<size_t>(v.total) : header + payload.size();
  const std::string_view source = v.source.size() == 4 ? v.source : std::string_view("\xcb\0\x71\x07", 4);
  return Out()
      .u8(0x40 | header / 4)
      .u8(0)
      .u16(total)
      .u16(v.id)
      .u16((v.more ? 0x2000 : 0) | v.offset / 8)
      .u8(64)
      .u8(v.protocol)
      .u16(0)
      .raw(source)
      .raw(v.destination)
      .raw(v.options)
      .raw(payload)
      .str();
}
inline std::string ipv6(uint8_t next, std::string_view payload, int length = -1) {
  const std::string address("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0", 15);
  return Out()
      .u32(0x60000000)
      .u16(length >= 0 ? length : static_cast<int>(payload.size()))
      .u8(next)
      .u8(64)
      .raw(address)
      .u8(1)
      .raw(address)
      .u8(2)
      .raw(payload)
      .str();
}
inline constexpr uint8_t kFin = 1, kSyn = 2, kRst = 4, kAck = 16;
inline std::string tcp(uint32_t seq, uint32_t ack, uint8_t flags, std::string_view payload, uint16_t source = 40000,
                       uint16_t destination = 443) {
  return Out()
      .u16(source)
      .u16(destination)
      .u32(seq)
      .u32(ack)
      .u8(0x50)
      .u8(flags)
      .u16(65535)
      .u16(0)
      .u16(0)
      .raw(payload)
      .str();
}

// ---- collectors
class Issues : public IssueSink {
 public:
  void issue(Issue issue) override { all.push_back(std::move(issue)); }
  bool has(std::string_view part) const {
    for (const Issue& i : all)
      if (i.what.find(part) != std::string::npos) return true;
    return false;
  }
  std::vector<Issue> all;
};

struct ReadPacket {
  Packet packet;
  std::string data;
};
inline std::vector<ReadPacket> read_all(std::string_view file, Issues& issues) {
  std::vector<ReadPacket> packets;
  auto reader = open_capture(as_bytes(file), issues);
  if (!reader) return packets;
  Packet packet;
  while ((*reader)->next(packet)) packets.push_back({packet, std::string(as_text(packet.data))});
  return packets;
}

}  // namespace vitrine::wire
