#include "capture/http/zstd_frame.h"

namespace vitrine {
namespace {

constexpr uint8_t kZstandardMagic = 0x28;  // first byte of 0xFD2FB528, least significant first

// Frame_Header_Descriptor, RFC 8878 3.1.1.1.1.
constexpr bool single_segment(uint8_t descriptor) { return (descriptor & 0x20) != 0; }
constexpr bool has_checksum(uint8_t descriptor) { return (descriptor & 0x04) != 0; }
constexpr size_t dictionary_id_size(uint8_t descriptor) {
  constexpr size_t kSizes[] = {0, 1, 2, 4};
  return kSizes[descriptor & 3];
}
constexpr size_t content_size_size(uint8_t descriptor) {
  const int flag = descriptor >> 6;
  return flag == 0 ? (single_segment(descriptor) ? 1 : 0) : size_t{1} << flag;
}
constexpr size_t window_size(uint8_t descriptor) { return single_segment(descriptor) ? 0 : 1; }

uint64_t little_endian(Bytes bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | bytes[i];
  return value;
}

}  // namespace

void ZstdFrame::advance(Bytes bytes) {
  switch (unit_) {
    case Unit::magic:
      if (bytes[0] == kZstandardMagic) enter(Unit::descriptor, 1);
      else enter(Unit::skip_size, 4);
      return;
    case Unit::descriptor:
      descriptor_ = bytes[0];
      enter(Unit::header, window_size(descriptor_) + dictionary_id_size(descriptor_) + content_size_size(descriptor_));
      return;
    case Unit::header: {
      const size_t width = content_size_size(descriptor_);
      declares_content_ = width > 0;
      content_size_ = little_endian(bytes.last(width)) + (width == 2 ? 256 : 0);
      enter(Unit::block_header, 3);
      return;
    }
    case Unit::block_header: {
      const auto header = static_cast<uint32_t>(little_endian(bytes));
      enum : uint32_t { kRaw, kRle };
      const uint32_t type = header >> 1 & 3, size = header >> 3;
      last_block_ = (header & 1) != 0;
      if (size == 0 && type != kRle) behind_block();
      else enter(type == kRaw ? Unit::raw_block : Unit::block, type == kRle ? 1 : size);
      return;
    }
    case Unit::raw_block:
    case Unit::block: behind_block(); return;
    case Unit::skip_size: {
      const uint64_t size = little_endian(bytes);
      enter(size > 0 ? Unit::skipped : Unit::end, size);
      return;
    }
    case Unit::checksum:
    case Unit::skipped:
    case Unit::end: enter(Unit::end, 0); return;
  }
}

void ZstdFrame::behind_block() {
  if (!last_block_) enter(Unit::block_header, 3);
  else if (has_checksum(descriptor_)) enter(Unit::checksum, 4);
  else enter(Unit::end, 0);
}

}  // namespace vitrine
