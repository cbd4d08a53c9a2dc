#include "capture/net/packet_reader.h"

#include "capture/net/capture_formats.h"

namespace vitrine {
namespace {

class NoIssues : public IssueSink {
 public:
  void issue(Issue) override {}
};

Result<std::unique_ptr<PacketReader>> open_any(Bytes file, IssueSink& issues, CaptureMetadata* metadata,
                                               const ReadAt* read = nullptr, unsigned threads = 1) {
  if (file.size() < 4) {
    return fail(ErrorCode::unreadable,
                file.empty() ? "the file is empty" : "the file is too short for a capture (fewer than 4 bytes)");
  }
  if (load_u32(file.data(), false) == kPcapngSection) return open_pcapng(file, issues, metadata, read, threads);
  return open_pcap(file, issues, metadata);
}

}  // namespace

bool looks_like_capture(Bytes file) {
  if (file.size() < 4) return false;
  for (const bool big_endian : {false, true}) {
    switch (load_u32(file.data(), big_endian)) {
      case kPcapMicroseconds:
      case kPcapNanoseconds:
      case kPcapModified:  // refused later, but by its name
      case kPcapIxiaHardware:
      case kPcapIxiaSoftware:
      case kPcapNavtel:
      case kPcapngSection: return true;
      default: break;
    }
  }
  return false;
}

Result<std::unique_ptr<PacketReader>> open_capture(Bytes file, IssueSink& issues) {
  return open_any(file, issues, nullptr);
}

CaptureMetadata scan_capture(Bytes file, const std::function<void(uint64_t)>& progress, const ReadAt& read,
                             unsigned threads) {
  // The same reader as for the packets, so that both passes agree on numbers
  // and on how damage is survived. It never touches packet bytes.
  CaptureMetadata metadata;
  NoIssues none;  // the packet pass reports them
  auto reader = open_any(file, none, &metadata, read ? &read : nullptr, threads);
  if (!reader) return metadata;
  constexpr uint64_t kStep = 2 << 20;
  uint64_t reported = 0;
  Packet packet;
  while ((*reader)->next(packet)) {
    const uint64_t position = (*reader)->position();
    if (progress && position - reported >= kStep) {
      reported = position;
      progress(position);
    }
  }
  if (progress) progress((*reader)->position());
  return metadata;
}

}  // namespace vitrine
