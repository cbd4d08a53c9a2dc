// The two readers behind open_capture(), and what they share.
#pragma once

#include <bit>

#include "capture/net/packet_reader.h"

namespace vitrine {

inline constexpr uint32_t kPcapMicroseconds = 0xa1b2c3d4;
inline constexpr uint32_t kPcapNanoseconds = 0xa1b23c4d;
inline constexpr uint32_t kPcapModified = 0xa1b2cd34;  // Kuznetzov's patched libpcap: longer records
inline constexpr uint32_t kPcapIxiaHardware = 0x1c0001ac;
inline constexpr uint32_t kPcapIxiaSoftware = 0x1c0001ab;
inline constexpr uint32_t kPcapNavtel = 0xa12b3c4d;
inline constexpr uint32_t kPcapngSection = 0x0a0d0d0a;  // the same in either byte order

// Unaligned loads without a bounds check. REQUIRES: the bytes exist.
inline uint16_t load_u16(const uint8_t* p, bool big_endian) {
  uint16_t value;
  std::memcpy(&value, p, sizeof value);
  return big_endian ? __builtin_bswap16(value) : value;
}
inline uint32_t load_u32(const uint8_t* p, bool big_endian) {
  uint32_t value;
  std::memcpy(&value, p, sizeof value);
  return big_endian ? __builtin_bswap32(value) : value;
}
static_assert(std::endian::native == std::endian::little, "load_u16 and load_u32 assume a little-endian host");

// Both borrow `file` and `issues` for the reader's life. `metadata` may be null;
// it is complete when next() has returned false.
Result<std::unique_ptr<PacketReader>> open_pcap(Bytes file, IssueSink& issues, CaptureMetadata* metadata);
// With `read` packets are counted and skipped where that is possible: next()
// then gives no packet but progress. REQUIRES: metadata.
Result<std::unique_ptr<PacketReader>> open_pcapng(Bytes file, IssueSink& issues, CaptureMetadata* metadata,
                                                  const ReadAt* read = nullptr, unsigned threads = 1);

}  // namespace vitrine
