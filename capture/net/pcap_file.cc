// The classic format (draft-ietf-opsawg-pcap): a 24-byte header, then records
// of 16 header bytes and data, with nothing that marks a record's start.
#include <algorithm>

#include "capture/net/capture_formats.h"

namespace vitrine {
namespace {

constexpr uint64_t kFileHeader = 24;
constexpr uint64_t kRecordHeader = 16;
constexpr uint32_t kMaximumSnaplen = 262144;      // libpcap's MAXIMUM_SNAPLEN
constexpr uint32_t kMaximumDeclared = 128 << 20;  // the largest snap length a header is believed
constexpr uint32_t kNearSeconds = 86400;          // how far in time a record found by scanning may lie

struct RecordHeader {
  uint32_t seconds, fraction, captured, original;
};

class PcapReader : public PacketReader {
 public:
  PcapReader(Bytes file, bool big_endian, bool nanoseconds, uint16_t minor, IssueSink& issues,
             CaptureMetadata* metadata)
      : file_(file),
        big_endian_(big_endian),
        nanoseconds_(nanoseconds),
        minor_(minor),
        issues_(issues),
        metadata_(metadata) {
    const uint32_t snaplen = load_u32(file.data() + 16, big_endian);
    // Some writers put more into a record than the snap length they declare,
    // so it only ever raises the bound.
    limit_ = std::max(kMaximumSnaplen, snaplen <= kMaximumDeclared ? snaplen : 0);
    link_type_ = load_u32(file.data() + 20, big_endian) & 0x03ffffff;  // above: frame check sequence length
  }

  bool next(Packet& packet) override {
    while (!ended_) {
      const uint64_t left = file_.size() - position_;
      if (left == 0) return end();
      if (left < kRecordHeader) {
        report(Cause::truncated, "pcap: the file ends inside a record header");
        skipped_ += left;
        position_ = file_.size();
        return end();
      }
      const RecordHeader header = read(position_);
      if (!acceptable(header, position_)) {
        resynchronise();
        continue;
      }
      uint64_t available = left - kRecordHeader;
      if (header.captured > available) {
        // Either the file was cut here or the length is damaged and records
        // follow: believe the second only when they reach to the file's end.
        if (const uint64_t found = find_record(position_ + 1, true); found != file_.size()) {
          skip_to(found);
          continue;
        }
        report(Cause::truncated, "pcap: the file ends inside a packet");
      }
      available = std::min<uint64_t>(available, header.captured);
      packet.number = ++number_;
      packet.time = time_of(header);
      packet.link_type = link_type_;
      packet.file_offset = position_ + kRecordHeader;
      packet.data = file_.subspan(packet.file_offset, available);
      packet.original_length = std::max(header.original, header.captured);
      packet.comment = {};
      position_ += kRecordHeader + available;
      last_seconds_ = header.seconds;
      seen_ = true;
      if (metadata_) metadata_->packets = number_;
      return true;
    }
    return false;
  }

  uint64_t position() const override { return position_; }

 private:
  RecordHeader read(uint64_t at) const {
    const uint8_t* p = file_.data() + at;
    RecordHeader header{load_u32(p, big_endian_), load_u32(p + 4, big_endian_), load_u32(p + 8, big_endian_),
                        load_u32(p + 12, big_endian_)};
    // Before version 2.3 the two lengths stood the other way round; 2.3 writers did both.
    if (minor_ < 3 || (minor_ == 3 && header.captured > header.original)) std::swap(header.captured, header.original);
    return header;
  }

  Timestamp time_of(const RecordHeader& header) const {
    return {int64_t{header.seconds} * 1'000'000'000 + int64_t{header.fraction} * (nanoseconds_ ? 1 : 1000)};
  }

  bool sane(const RecordHeader& header) const {
    const bool zeros =
        (header.seconds | header.fraction | header.captured | header.original) == 0;  // a hole in the file
    return !zeros && header.captured <= limit_ && header.captured <= header.original &&
           header.fraction < (nanoseconds_ ? 1'000'000'000u : 1'000'000u);
  }

  // An odd header (fraction too large, original shorter than captured) is taken
  // when what follows it is a sane record or the end of the file.
  bool acceptable(const RecordHeader& header, uint64_t at) const {
    if (sane(header)) return true;
    if (header.captured > limit_ || (header.seconds | header.fraction | header.captured | header.original) == 0)
      return false;
    const uint64_t left = file_.size() - at - kRecordHeader;
    if (header.captured > left) return false;
    if (header.captured == left) return true;
    return left - header.captured >= kRecordHeader && sane(read(at + kRecordHeader + header.captured));
  }

  // The first offset from `from` on that starts a chain of plausible records:
  // three of them, or fewer that end exactly with the file; the file's size when
  // there is none. Each offset is judged in constant time.
  uint64_t find_record(uint64_t from, bool to_the_end) const {
    for (uint64_t at = from; file_.size() - at >= kRecordHeader; ++at) {
      uint64_t next = at;
      for (int records = 0;; ++records) {
        if (next == file_.size() && records > 0) return at;
        if (records == 3 && !to_the_end) return at;
        if (records == 64) return at;  // bounds the work when the chain has to reach the end
        if (file_.size() - next < kRecordHeader) {
          if (records > 0 && !to_the_end) return at;
          break;
        }
        const RecordHeader header = read(next);
        if (!sane(header) || !near(header) || header.original > kMaximumDeclared) break;
        const uint64_t left = file_.size() - next - kRecordHeader;
        if (header.captured > left) {
          if (records > 0 && !to_the_end) return at;
          break;
        }
        next += kRecordHeader + header.captured;
      }
    }
    return file_.size();
  }

  bool near(const RecordHeader& header) const {
    if (!seen_) return true;
    const uint32_t distance =
        header.seconds > last_seconds_ ? header.seconds - last_seconds_ : last_seconds_ - header.seconds;
    return distance <= kNearSeconds;
  }

  void resynchronise() { skip_to(find_record(position_ + 1, false)); }

  void skip_to(uint64_t found) {
    report(Cause::malformed, found == file_.size() ? "pcap: damaged record, and no plausible record after it"
                                                   : "pcap: damaged record, skipped to the next plausible one");
    skipped_ += found - position_;
    position_ = found;
  }

  bool end() {
    ended_ = true;
    // One issue per file, so its number cannot multiply it.
    if (skipped_ > 0)
      report(Cause::malformed, "pcap: " + std::to_string(skipped_) + " bytes of the file skipped as damaged");
    return false;
  }

  void report(Cause cause, std::string what) { issues_.issue({cause, std::move(what), number_ + 1, 0}); }

  Bytes file_;
  bool big_endian_;
  bool nanoseconds_;
  uint16_t minor_;
  IssueSink& issues_;
  CaptureMetadata* metadata_;
  uint32_t limit_ = kMaximumSnaplen;
  uint32_t link_type_ = 0;
  uint64_t position_ = kFileHeader;
  uint64_t number_ = 0;
  uint64_t skipped_ = 0;
  uint32_t last_seconds_ = 0;
  bool seen_ = false;
  bool ended_ = false;
};

}  // namespace

Result<std::unique_ptr<PacketReader>> open_pcap(Bytes file, IssueSink& issues, CaptureMetadata* metadata) {
  // REQUIRES: at least 4 bytes, checked by the caller.
  bool big_endian = false, nanoseconds = false, known = false;
  for (const bool order : {false, true}) {
    const uint32_t magic = load_u32(file.data(), order);
    if (magic == kPcapModified) {
      return fail(ErrorCode::unsupported,
                  "modified pcap (magic a1b2cd34, Kuznetzov) is not read; convert it with: editcap -F pcapng IN OUT");
    }
    if (magic == kPcapIxiaHardware || magic == kPcapIxiaSoftware || magic == kPcapNavtel) {
      return fail(ErrorCode::unsupported,
                  "a vendor's variant of pcap (IXIA or Navtel) is not read; convert it with: editcap -F pcapng IN OUT");
    }
    if (magic != kPcapMicroseconds && magic != kPcapNanoseconds) continue;
    known = true;
    big_endian = order;
    nanoseconds = magic == kPcapNanoseconds;
  }
  if (!known)
    return fail(ErrorCode::unreadable, "not a capture file: it starts with neither a pcap nor a pcapng magic number");
  if (file.size() < kFileHeader) return fail(ErrorCode::malformed, "the pcap file ends inside its header");
  const uint16_t major = load_u16(file.data() + 4, big_endian), minor = load_u16(file.data() + 6, big_endian);
  if (major != 2 || minor > 4) {
    return fail(ErrorCode::unsupported,
                "pcap version " + std::to_string(major) + "." + std::to_string(minor) + " is not read (2.4 is)");
  }
  if (metadata) metadata->format = "pcap";
  return std::make_unique<PcapReader>(file, big_endian, nanoseconds, minor, issues, metadata);
}

}  // namespace vitrine
