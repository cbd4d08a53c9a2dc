// Views of bytes and a bounds-checked reader over them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

namespace vitrine {

using Bytes = std::span<const uint8_t>;  // borrowed; never owns

inline Bytes as_bytes(std::string_view text) { return {reinterpret_cast<const uint8_t*>(text.data()), text.size()}; }
inline std::string_view as_text(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

// [offset, offset + length) of `bytes`, or nothing when any part lies outside;
// safe for every 64-bit offset and length.
inline std::optional<Bytes> slice(Bytes bytes, uint64_t offset, uint64_t length) {
  if (offset > bytes.size() || length > bytes.size() - offset) return std::nullopt;
  return bytes.subspan(offset, length);
}

// Reads integers and slices from the front of a buffer. The first read past the
// end sets failed() and returns zero or empty from then on, so that a parser
// checks once per structure instead of once per read.
class ByteReader {
 public:
  explicit ByteReader(Bytes bytes, bool big_endian = true) : bytes_(bytes), big_endian_(big_endian) {}

  bool failed() const { return failed_; }
  size_t position() const { return position_; }
  size_t remaining() const { return failed_ ? 0 : bytes_.size() - position_; }
  bool empty() const { return remaining() == 0; }

  uint8_t u8() { return static_cast<uint8_t>(integer(1)); }
  uint16_t u16() { return static_cast<uint16_t>(integer(2)); }
  uint32_t u24() { return static_cast<uint32_t>(integer(3)); }
  uint32_t u32() { return static_cast<uint32_t>(integer(4)); }
  uint64_t u64() { return integer(8); }

  Bytes take(uint64_t length) {
    if (failed_ || length > bytes_.size() - position_) {
      failed_ = true;
      return {};
    }
    Bytes taken = bytes_.subspan(position_, length);
    position_ += length;
    return taken;
  }
  void skip(uint64_t length) { take(length); }
  Bytes rest() { return take(remaining()); }

 private:
  uint64_t integer(size_t width) {
    Bytes taken = take(width);
    uint64_t value = 0;
    if (taken.empty()) return 0;
    for (size_t i = 0; i < width; ++i) value = value << 8 | taken[big_endian_ ? i : width - 1 - i];
    return value;
  }

  Bytes bytes_;
  size_t position_ = 0;
  bool big_endian_;
  bool failed_ = false;
};

}  // namespace vitrine
