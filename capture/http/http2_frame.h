// HTTP/2 frame headers (RFC 9113 section 4.1) and what a plausible one is.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"

namespace vitrine {

inline constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
inline constexpr size_t kFrameHeader = 9;

enum FrameType : uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kRstStream = 3,
  kSettings = 4,
  kPushPromise = 5,
  kPing = 6,
  kGoaway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
  kAltSvc = 10,          // RFC 7838
  kOrigin = 12,          // RFC 8336
  kPriorityUpdate = 16,  // RFC 9218
};
enum FrameFlag : uint8_t { kEndStream = 1, kAck = 1, kEndHeaders = 4, kPadded = 8, kPriorityFlag = 32 };

struct FrameHeader {
  uint32_t length = 0;
  uint8_t type = 0, flags = 0;
  bool reserved = false;
  uint32_t stream = 0;
};

// REQUIRES: bytes.size() >= kFrameHeader.
inline FrameHeader parse_frame_header(const uint8_t* b) {
  FrameHeader h;
  h.length = static_cast<uint32_t>(b[0] << 16 | b[1] << 8 | b[2]);
  h.type = b[3];
  h.flags = b[4];
  h.reserved = (b[5] & 0x80) != 0;
  h.stream = static_cast<uint32_t>((b[5] & 0x7f) << 24 | b[6] << 16 | b[7] << 8 | b[8]);
  return h;
}

inline bool frame_size_allowed(const FrameHeader& h) {
  switch (h.type) {
    case kPriority: return h.length == 5;
    case kRstStream:
    case kWindowUpdate: return h.length == 4;
    case kSettings: return h.length % 6 == 0 && ((h.flags & kAck) == 0 || h.length == 0);
    case kPing: return h.length == 8;
    case kGoaway: return h.length >= 8;
    case kPushPromise: return h.length >= 4;
    default: return true;
  }
}

// Could these nine bytes be a frame header? Used where framing is unknown (late
// join, after a gap), so it is stricter than a receiver has to be.
inline bool plausible_frame(const FrameHeader& h, uint32_t max_frame) {
  if (h.length > max_frame || h.reserved || !frame_size_allowed(h)) return false;
  switch (h.type) {
    case kData: return h.stream != 0 && (h.flags & ~(kEndStream | kPadded)) == 0;
    case kHeaders:
      return h.stream != 0 && h.length > 0 && (h.flags & ~(kEndStream | kEndHeaders | kPadded | kPriorityFlag)) == 0;
    case kPriority:
    case kRstStream: return h.stream != 0 && h.flags == 0;
    case kSettings: return h.stream == 0 && (h.flags & ~kAck) == 0;
    case kPushPromise: return h.stream % 2 == 1 && (h.flags & ~(kEndHeaders | kPadded)) == 0;
    case kPing: return h.stream == 0 && (h.flags & ~kAck) == 0;
    case kGoaway: return h.stream == 0 && h.flags == 0;
    case kWindowUpdate: return h.flags == 0;
    case kContinuation: return h.stream != 0 && (h.flags & ~kEndHeaders) == 0;
    default: return false;
  }
}

}  // namespace vitrine
