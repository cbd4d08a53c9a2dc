// The outer structure of pcapng: blocks with their length at both ends, in
// sections that each choose a byte order (draft-ietf-opsawg-pcapng sections 3, 4.1).
#pragma once

#include "capture/net/capture_formats.h"

namespace vitrine {

namespace pcapng {
inline constexpr uint32_t kInterface = 1, kObsoletePacket = 2, kSimplePacket = 3, kNames = 4, kStatistics = 5,
                          kEnhancedPacket = 6, kSystemdJournal = 9, kSecrets = 10, kSysdigEvent = 0x204,
                          kSysdigEventFlags = 0x208, kCustomCopy = 0xbad, kCustomNoCopy = 0x40000bad;
inline constexpr uint64_t kLeastEnhancedPacket = 32;  // length of the block of an empty packet
}  // namespace pcapng

inline constexpr uint32_t kByteOrderMagic = 0x1a2b3c4d;

struct PcapngBlock {
  uint32_t type = 0;
  uint64_t body_offset = 0;  // in the file
  Bytes body;                // between the two lengths; borrowed from the file
  bool truncated = false;    // the file ends inside the block; body is what there is
};

// Walks blocks; resynchronises after damage. Borrows `file` and `issues`.
class PcapngBlocks {
 public:
  PcapngBlocks(Bytes file, IssueSink& issues) : file_(file), issues_(issues) {}

  // The next block, or false at the end. A section header sets big_endian().
  bool next(PcapngBlock& block);
  bool big_endian() const { return big_endian_; }
  uint64_t position() const { return position_; }
  uint64_t skipped() const { return skipped_; }
  // REQUIRES: whole, sound blocks end at `position`.
  void skip_to(uint64_t position) { position_ = position; }
  void set_packet(uint64_t number) { packet_ = number; }  // for the place of issues

 private:
  // Length of the whole block at `at` including padding, or 0 when the two
  // lengths do not agree or it does not fit.
  uint64_t checked_length(uint64_t at, bool big_endian) const;
  bool section_order(uint64_t at, bool& big_endian) const;
  uint64_t found_length(uint64_t at, bool& order) const;
  uint64_t find_block(uint64_t from) const;

  Bytes file_;
  IssueSink& issues_;
  bool big_endian_ = false;
  uint64_t position_ = 0;
  uint64_t skipped_ = 0;
  uint64_t packet_ = 0;
  bool ended_ = false;
};

// Options at the end of a block: (code, length, value padded to 4).
class PcapngOptions {
 public:
  PcapngOptions(Bytes options, bool big_endian) : left_(options), big_endian_(big_endian) {}
  bool next();
  uint16_t code() const { return code_; }
  Bytes value() const { return value_; }
  bool damaged() const { return damaged_; }

 private:
  Bytes left_;
  bool big_endian_;
  uint16_t code_ = 0;
  Bytes value_;
  bool damaged_ = false;
};

}  // namespace vitrine
