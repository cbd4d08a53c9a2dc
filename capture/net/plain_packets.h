// Skips packets in the first pass over a pcapng file, which wants everything
// but packets. Their block headers are read through a small copy of the file:
// to map a gigabyte page by page for eight bytes a packet costs several times
// as much as to copy it through the processor's cache.
//
// With several threads the later parts of a large file are looked at
// beforehand, each from a place that looks like a packet's. What is found there
// is used only where the blocks from the file's start lead to the same place,
// so that it is what one thread would have found.
#pragma once

#include <future>
#include <vector>

#include "capture/net/packet_reader.h"

namespace vitrine {

class PlainPackets {
 public:
  // `read` is borrowed, and called from `threads` threads. Parts are looked at
  // beforehand in the byte order `big_endian`.
  PlainPackets(uint64_t file_size, const ReadAt& read, unsigned threads, bool big_endian);

  struct Run {
    uint64_t packets = 0;
    uint64_t begin = 0, end = 0;  // positions of the first and behind the last
  };
  // Enhanced Packet Blocks from `position` on that are whole and sound, some of
  // those that are there; none when another block stands there.
  // REQUIRES: `position` does not fall from call to call.
  Run skip(uint64_t position, bool big_endian);

 private:
  static constexpr size_t kWindow = 256 << 10;
  static constexpr uint64_t kLeastPart = 4 << 20;

  struct Part {
    uint64_t begin = 0;
    std::future<std::vector<Run>> found;
  };
  PlainPackets(uint64_t file_size, const ReadAt& read) : size_(file_size), read_(read) {}
  static std::vector<Run> look_ahead(uint64_t file_size, const ReadAt& read, uint64_t begin, uint64_t end,
                                     bool big_endian);
  bool load(uint64_t position);
  // Stops at the first block that begins at or behind `stop`.
  Run walk(uint64_t position, uint64_t stop, bool big_endian);
  // Length of the block of any type at `position`; 0 when there cannot be one.
  uint64_t length_at(uint64_t position, bool big_endian);

  uint64_t size_;
  const ReadAt& read_;
  std::vector<uint8_t> window_;
  uint64_t begin_ = 0;  // of the window in the file
  size_t filled_ = 0;   // bytes in it

  std::vector<Part> parts_;  // ahead of the position, in order
  size_t next_part_ = 0;
  std::vector<Run> known_;  // of the part before next_part_
  size_t next_known_ = 0;
  uint64_t known_end_ = UINT64_MAX;  // another block stands here
  bool known_order_ = false;
};

}  // namespace vitrine
