#include "capture/net/plain_packets.h"

#include <algorithm>

#include "capture/net/pcapng_blocks.h"

namespace vitrine {

bool PlainPackets::load(uint64_t position) {
  window_.resize(kWindow);
  begin_ = position;
  filled_ = std::min(read_(position, window_), window_.size());
  return filled_ >= pcapng::kLeastEnhancedPacket;
}

PlainPackets::Run PlainPackets::skip(uint64_t position, bool big_endian) {
  Run run{0, position};
  bool loaded = false;
  for (;;) {
    const uint64_t left = size_ - run.end;
    if (left < pcapng::kLeastEnhancedPacket) return run;
    const bool inside = run.end >= begin_ && run.end - begin_ < filled_;
    const size_t have = inside ? filled_ - static_cast<size_t>(run.end - begin_) : 0;
    const uint8_t* block = inside ? window_.data() + (run.end - begin_) : nullptr;
    uint64_t length = 0;
    if (have >= 8) {
      if (load_u32(block, big_endian) != pcapng::kEnhancedPacket) return run;
      length = load_u32(block + 4, big_endian);
      if (length < pcapng::kLeastEnhancedPacket || length > std::min<uint64_t>(left, kWindow)) return run;
    }
    if (have < 8 || have < length) {
      // One window a call: the caller reports how far it is in between.
      if (loaded || !load(run.end)) return run;
      loaded = true;
      continue;
    }
    if (load_u32(block + length - 4, big_endian) != length) return run;
    ++run.packets;
    run.end += length;
  }
}

}  // namespace vitrine
