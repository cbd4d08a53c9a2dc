// Where the units of Zstandard frames begin and end (RFC 8878 3.1): magic, frame
// header, block headers, blocks, checksum; a skippable frame's size and content.
// Finds boundaries only; what the units say is for the decoder to judge.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace vitrine {

class ZstdFrame {
 public:
  enum class Unit : uint8_t {
    magic,         // 4 bytes, of either kind of frame
    descriptor,    // 1 byte: how long the rest of the header is
    header,        // the rest of the frame header: 1 to 13 bytes
    block_header,  // 3 bytes
    raw_block,     // Raw_Block: its bytes are output as they are
    block,         // Compressed_Block (at most 2^21 - 1 bytes by its header) or the one byte of an RLE_Block
    checksum,      // 4 bytes
    skip_size,     // 4 bytes, of a skippable frame
    skipped,       // up to 2^32 - 1 bytes without meaning
    end,
  };

  void begin() { enter(Unit::magic, 4); }

  // The unit that comes next, and its size in bytes (a block's may be 0).
  Unit unit() const { return unit_; }
  uint64_t size() const { return size_; }

  // Goes past the unit. `bytes`: the unit itself; blocks, checksum and skipped content need not be given.
  // REQUIRES: bytes.size() == size() for the others; unit() != end.
  void advance(Bytes bytes);

  // Frame_Content_Size where the frame has one; valid behind `header`.
  bool declares_content() const { return declares_content_; }
  uint64_t content_size() const { return content_size_; }

 private:
  void enter(Unit unit, uint64_t size) {
    unit_ = unit;
    size_ = size;
  }
  void behind_block();

  Unit unit_ = Unit::end;
  uint64_t size_ = 0;
  uint8_t descriptor_ = 0;
  bool last_block_ = false, declares_content_ = false;
  uint64_t content_size_ = 0;
};

}  // namespace vitrine
