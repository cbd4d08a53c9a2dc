#include "capture/net/plain_packets.h"

#include <algorithm>

#include "capture/net/pcapng_blocks.h"

namespace vitrine {

PlainPackets::PlainPackets(uint64_t file_size, const ReadAt& read, unsigned threads, bool big_endian)
    : PlainPackets(file_size, read) {
  known_order_ = big_endian;
  const uint64_t parts = std::min<uint64_t>(threads, file_size / kLeastPart);
  for (uint64_t i = 1; i < parts; ++i) {
    const auto place = [&](uint64_t part) { return file_size / parts * part & ~uint64_t{3}; };
    const uint64_t begin = place(i), end = i + 1 == parts ? file_size : place(i + 1);
    parts_.push_back(
        {begin, std::async(std::launch::async, look_ahead, file_size, std::cref(read), begin, end, big_endian)});
  }
}

bool PlainPackets::load(uint64_t position) {
  window_.resize(kWindow);
  begin_ = position;
  filled_ = std::min(read_(position, window_), window_.size());
  return filled_ >= pcapng::kLeastEnhancedPacket;
}

PlainPackets::Run PlainPackets::walk(uint64_t position, uint64_t stop, bool big_endian) {
  Run run{0, position, position};
  bool loaded = false;
  while (run.end < stop) {
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
  return run;
}

uint64_t PlainPackets::length_at(uint64_t position, bool big_endian) {
  uint8_t header[8];
  if (size_ - position < 12 || read_(position, header) < sizeof header) return 0;
  const uint64_t length = load_u32(header + 4, big_endian);
  return length >= 12 && length <= size_ - position ? length : 0;
}

std::vector<PlainPackets::Run> PlainPackets::look_ahead(uint64_t file_size, const ReadAt& read, uint64_t begin,
                                                        uint64_t end, bool big_endian) {
  constexpr uint64_t kInARow = 4;  // packets that make a place believable
  PlainPackets ahead(file_size, read);
  std::vector<Run> runs;
  uint64_t position = begin;
  const uint64_t search_end = std::min(end, begin + kWindow / 2);
  while (position < search_end && ahead.walk(position, file_size, big_endian).packets < kInARow) position += 4;
  if (position >= search_end) return runs;
  while (position < end) {
    Run run{0, position, position};
    while (run.end < end) {
      const Run more = ahead.walk(run.end, end, big_endian);
      if (more.packets == 0) break;
      run.packets += more.packets;
      run.end = more.end;
    }
    position = run.end;
    if (run.packets != 0) runs.push_back(run);
    if (position >= end) break;
    const uint64_t length = ahead.length_at(position, big_endian);
    if (length == 0) break;  // damage: the reader finds its way alone
    position += length;
  }
  return runs;
}

PlainPackets::Run PlainPackets::skip(uint64_t position, bool big_endian) {
  while (next_part_ < parts_.size() && position >= parts_[next_part_].begin) {
    known_ = parts_[next_part_++].found.get();
    next_known_ = 0;
    known_end_ = UINT64_MAX;
  }
  while (next_known_ < known_.size() && known_[next_known_].begin < position) ++next_known_;
  uint64_t stop = size_;
  if (big_endian == known_order_) {
    if (position == known_end_) return {0, position, position};
    if (next_known_ < known_.size()) {
      if (known_[next_known_].begin == position) {
        known_end_ = known_[next_known_].end;
        return known_[next_known_++];
      }
      stop = known_[next_known_].begin;
    }
  }
  if (next_part_ < parts_.size()) stop = std::min(stop, parts_[next_part_].begin);
  return walk(position, stop, big_endian);
}

}  // namespace vitrine
