// Skips packets in the first pass over a pcapng file, which wants everything
// but packets. Their block headers are read through a small copy of the file:
// to map a gigabyte page by page for eight bytes a packet costs several times
// as much as to copy it through the processor's cache.
#pragma once

#include <vector>

#include "capture/net/packet_reader.h"

namespace vitrine {

class PlainPackets {
 public:
  PlainPackets(uint64_t file_size, const ReadAt& read) : size_(file_size), read_(read) {}

  struct Run {
    uint64_t packets = 0;
    uint64_t end = 0;  // position behind them
  };
  // The Enhanced Packet Blocks from `position` on that are whole and sound, up
  // to about a window of them; none when another block stands there.
  Run skip(uint64_t position, bool big_endian);

 private:
  static constexpr size_t kWindow = 256 << 10;
  bool load(uint64_t position);

  uint64_t size_;
  const ReadAt& read_;
  std::vector<uint8_t> window_;
  uint64_t begin_ = 0;  // of the window in the file
  size_t filled_ = 0;   // bytes in it
};

}  // namespace vitrine
