// The rest of the stream chunk a framer is reading.
#pragma once

#include "base/bytes.h"
#include "capture/types.h"

namespace vitrine {

struct StreamInput {
  Bytes bytes;          // borrowed
  uint64_t offset = 0;  // of bytes.front() in the stream
  Timestamp time;
  uint64_t packet = 0;

  void advance(size_t n) {
    bytes = bytes.subspan(n);
    offset += n;
  }
};

}  // namespace vitrine
