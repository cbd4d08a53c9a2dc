#include "capture/net/pcapng_blocks.h"

namespace vitrine {
namespace {

constexpr uint64_t kSmallestBlock = 12;

// The least length of a block of a type that scanning may find, 0 for all
// others: packet data may look like a small block of any type.
uint64_t least_length(uint32_t type) {
  switch (type) {
    case pcapng::kInterface: return 20;
    case pcapng::kObsoletePacket:
    case pcapng::kEnhancedPacket: return 32;
    case pcapng::kSimplePacket:
    case pcapng::kNames: return 16;
    case pcapng::kStatistics: return 24;
    case pcapng::kSecrets: return 20;
    case pcapng::kSystemdJournal:
    case pcapng::kCustomCopy:
    case pcapng::kCustomNoCopy: return 16;
    case kPcapngSection: return 28;
    default: return 0;
  }
}

}  // namespace

uint64_t PcapngBlocks::checked_length(uint64_t at, bool big_endian) const {
  const uint64_t left = file_.size() - at;
  if (left < kSmallestBlock) return 0;
  const uint64_t length = load_u32(file_.data() + at + 4, big_endian);
  if (length < kSmallestBlock || length > left) return 0;
  if (load_u32(file_.data() + at + length - 4, big_endian) == length) return length;
  // Some writers leave the padding out of the length.
  const uint64_t padded = (length + 3) & ~uint64_t{3};
  if (padded != length && padded <= left && load_u32(file_.data() + at + padded - 4, big_endian) == length)
    return padded;
  return 0;
}

bool PcapngBlocks::section_order(uint64_t at, bool& big_endian) const {
  if (file_.size() - at < 28) return false;
  for (const bool order : {false, true}) {
    if (load_u32(file_.data() + at + 8, order) == kByteOrderMagic) {
      big_endian = order;
      return true;
    }
  }
  return false;
}

uint64_t PcapngBlocks::found_length(uint64_t at, bool& order) const {
  if (file_.size() - at < kSmallestBlock) return 0;
  const uint32_t type = load_u32(file_.data() + at, order);
  const uint64_t least = least_length(type);
  if (least == 0 || (type == kPcapngSection && !section_order(at, order))) return 0;
  const uint64_t length = checked_length(at, order);
  return length >= least ? length : 0;
}

uint64_t PcapngBlocks::find_block(uint64_t from) const {
  for (uint64_t at = from; at < file_.size(); ++at) {
    bool order = big_endian_;
    const uint64_t length = found_length(at, order);
    if (length == 0) continue;
    // Believed when another block or the end follows; or the end inside one.
    const uint64_t after = at + length;
    if (file_.size() - after < kSmallestBlock || found_length(after, order) != 0) return at;
    if (load_u32(file_.data() + after + 4, order) > file_.size() - after) return at;
  }
  return file_.size();
}

bool PcapngBlocks::next(PcapngBlock& block) {
  while (!ended_ && position_ < file_.size()) {
    const uint64_t left = file_.size() - position_;
    const bool whole_header = left >= kSmallestBlock;
    bool order = big_endian_;
    bool bad_order = false;
    uint32_t type = 0;
    if (whole_header) {
      type = load_u32(file_.data() + position_, big_endian_);
      if (type == kPcapngSection) bad_order = !section_order(position_, order);
      if (const uint64_t length = bad_order ? 0 : checked_length(position_, order); length != 0) {
        big_endian_ = order;
        block.type = type;
        block.body_offset = position_ + 8;
        block.body = file_.subspan(block.body_offset, length - kSmallestBlock);
        block.truncated = false;
        position_ += length;
        return true;
      }
    }
    const uint64_t found = find_block(position_ + 1);
    if (found == file_.size()) {
      ended_ = true;
      const uint64_t length = whole_header ? load_u32(file_.data() + position_ + 4, order) : 0;
      if (!whole_header || length > left) {
        issues_.issue({Cause::truncated, "pcapng: the file ends inside a block", packet_ + 1, 0});
        if (!bad_order && left > 8 && type != kPcapngSection) {
          block.type = type;
          block.body_offset = position_ + 8;
          block.body = file_.subspan(block.body_offset);
          block.truncated = true;
          position_ = file_.size();
          return true;
        }
      } else {
        issues_.issue({Cause::malformed, "pcapng: damaged block, and no plausible block after it", packet_ + 1, 0});
      }
      skipped_ += left;
      position_ = file_.size();
      return false;
    }
    issues_.issue({Cause::malformed,
                   bad_order ? "pcapng: section header without a byte order, skipped to the next plausible block"
                             : "pcapng: block whose two lengths do not agree, skipped to the next plausible one",
                   packet_ + 1, 0});
    skipped_ += found - position_;
    position_ = found;
  }
  return false;
}

bool PcapngOptions::next() {
  if (left_.size() < 4) {
    damaged_ = !left_.empty();
    return false;
  }
  code_ = load_u16(left_.data(), big_endian_);
  const uint64_t length = load_u16(left_.data() + 2, big_endian_);
  if (code_ == 0) return false;  // opt_endofopt
  const auto value = slice(left_, 4, length);
  if (!value) {
    damaged_ = true;
    return false;
  }
  value_ = *value;
  const uint64_t padded = 4 + ((length + 3) & ~uint64_t{3});
  left_ = padded <= left_.size() ? left_.subspan(padded) : Bytes{};
  return true;
}

}  // namespace vitrine
