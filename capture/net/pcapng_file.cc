// pcapng: interfaces, packets and what surrounds them
// (draft-ietf-opsawg-pcapng section 4).
#include <algorithm>
#include <optional>

#include "capture/net/pcapng_blocks.h"
#include "capture/net/plain_packets.h"

namespace vitrine {
namespace {

constexpr size_t kMaxInterfaces = 65536;  // per section; ids are 32 bits
constexpr size_t kMaxNames = 65536, kMaxComments = 65536, kMaxInterfaceNames = 1024;
constexpr uint32_t kTlsKeyLog = 0x544c534b;

struct Interface {
  uint32_t link_type = 0;
  uint32_t snaplen = 0;    // 0 = unlimited
  uint8_t resolution = 6;  // if_tsresol: power of ten, or of two with the top bit set
  int64_t offset_seconds = 0;
  uint64_t dropped = 0;  // the largest count reported; the blocks are cumulative
};

Timestamp time_of(uint64_t ticks, const Interface& interface) {
  constexpr uint64_t kSafe = uint64_t{1} << 52;          // times 1000 still fits
  if (interface.offset_seconds == 0 && ticks < kSafe) {  // nearly every file
    if (interface.resolution == 6) return {static_cast<int64_t>(ticks * 1000)};
  }
  using Wide = __int128;
  Wide ns;
  const unsigned exponent = interface.resolution & 0x7f;
  if (interface.resolution & 0x80) {
    ns = exponent < 94 ? static_cast<Wide>(static_cast<unsigned __int128>(ticks) * 1'000'000'000 >> exponent) : 0;
  } else if (exponent <= 9) {
    ns = ticks;
    for (unsigned i = exponent; i < 9; ++i) ns *= 10;
  } else {
    uint64_t left = ticks;
    for (unsigned i = 9; i < exponent && left != 0; ++i) left /= 10;
    ns = left;
  }
  ns += static_cast<Wide>(interface.offset_seconds) * 1'000'000'000;
  return bounded_time(ns);
}

std::string_view secrets_name(uint32_t type) {
  switch (type) {
    case 0x5353484b: return "SSH key log";
    case 0x57474b4c: return "WireGuard key log";
    case 0x5a4e574b: return "ZigBee NWK key";
    case 0x5a415053: return "ZigBee APS key";
    case 0x55414b4c: return "OPC UA key log";
    default: return {};
  }
}

class PcapngReader : public PacketReader {
 public:
  PcapngReader(Bytes file, IssueSink& issues, CaptureMetadata* metadata, const ReadAt* read, unsigned threads)
      : blocks_(file, issues), issues_(issues), metadata_(metadata) {
    if (read != nullptr)
      plain_.emplace(file.size(), *read, threads, load_u32(file.data() + 8, false) != kByteOrderMagic);
  }

  bool next(Packet& packet) override {
    if (skip_plain_packets()) return true;
    PcapngBlock block;
    while (blocks_.next(block)) {
      if (block.type == kPcapngSection) {
        section(block);
        continue;
      }
      if (skip_section_) continue;
      switch (block.type) {
        case pcapng::kInterface: interface(block); break;
        case pcapng::kEnhancedPacket:
          if (enhanced(block, packet)) return true;
          break;
        case pcapng::kSimplePacket:
          if (simple(block, packet)) return true;
          break;
        case pcapng::kObsoletePacket:
          if (obsolete(block, packet)) return true;
          break;
        case pcapng::kNames: names(block); break;
        case pcapng::kStatistics: statistics(block); break;
        case pcapng::kSecrets: secrets(block); break;
        case pcapng::kSystemdJournal: skip_record("pcapng: systemd journal entries skipped"); break;
        case pcapng::kSysdigEvent:
        case pcapng::kSysdigEventFlags: skip_record("pcapng: sysdig events skipped"); break;
        case pcapng::kCustomCopy:
        case pcapng::kCustomNoCopy: custom(block); break;
        default: break;  // the format asks readers to skip what they do not know
      }
    }
    finish();
    return false;
  }

  uint64_t position() const override { return blocks_.position(); }

 private:
  bool skip_plain_packets() {
    if (!plain_ || skip_section_) return false;
    const PlainPackets::Run run = plain_->skip(blocks_.position(), big());
    if (run.packets == 0) return false;
    blocks_.skip_to(run.end);
    count(run.packets);
    return true;
  }

  bool big() const { return blocks_.big_endian(); }
  ByteReader reader(const PcapngBlock& block) const { return ByteReader(block.body, big()); }

  void section(const PcapngBlock& block) {
    close_section();
    skip_section_ = block.body.size() < 16;
    if (skip_section_) return damaged("pcapng: section header too short, section skipped");
    const uint16_t major = load_u16(block.body.data() + 4, big());
    if (major != 1) {
      skip_section_ = true;
      report(Cause::unsupported, "pcapng: section of version " + std::to_string(major) + " skipped");
      return;
    }
    if (!metadata_) return;
    PcapngOptions options(block.body.subspan(16), big());
    while (options.next()) {
      if (options.code() == 1 && metadata_->comments.size() < kMaxComments) {
        metadata_->comments.emplace_back(as_text(options.value()));
      }
    }
  }

  void interface(const PcapngBlock& block) {
    ByteReader in = reader(block);
    Interface entry;
    entry.link_type = in.u16();
    in.skip(2);
    entry.snaplen = in.u32();
    if (in.failed()) return damaged("pcapng: interface description too short");
    if (interfaces_.size() >= kMaxInterfaces) {
      return report(Cause::unsupported, "pcapng: more than 65536 interfaces in one section");
    }
    std::string_view name;
    PcapngOptions options(in.rest(), big());
    while (options.next()) {
      ByteReader value(options.value(), big());
      switch (options.code()) {
        case 2: name = as_text(options.value()); break;
        case 9: entry.resolution = options.value().size() == 1 ? value.u8() : entry.resolution; break;
        case 14:
          if (options.value().size() == 8) entry.offset_seconds = static_cast<int64_t>(value.u64());
          break;
        default: break;
      }
    }
    if (options.damaged()) damaged("pcapng: options of an interface run past their block");
    interfaces_.push_back(entry);
    if (metadata_ && metadata_->interfaces.size() < kMaxInterfaceNames) metadata_->interfaces.emplace_back(name);
  }

  bool enhanced(const PcapngBlock& block, Packet& packet) {
    const uint8_t* p = block.body.data();
    if (block.body.size() < 20) return damaged_packet(block, "pcapng: enhanced packet block too short");
    const uint32_t id = load_u32(p, big());
    const uint64_t ticks = uint64_t{load_u32(p + 4, big())} << 32 | load_u32(p + 8, big());
    return packet_at(block, packet, id, ticks, load_u32(p + 12, big()), load_u32(p + 16, big()));
  }

  bool obsolete(const PcapngBlock& block, Packet& packet) {
    const uint8_t* p = block.body.data();
    if (block.body.size() < 20) return damaged_packet(block, "pcapng: packet block too short");
    const uint16_t id = load_u16(p, big());
    const uint64_t ticks = uint64_t{load_u32(p + 4, big())} << 32 | load_u32(p + 8, big());
    return packet_at(block, packet, id, ticks, load_u32(p + 12, big()), load_u32(p + 16, big()));
  }

  bool simple(const PcapngBlock& block, Packet& packet) {
    if (block.body.size() < 4) return damaged_packet(block, "pcapng: simple packet block too short");
    count();
    if (interfaces_.empty()) {
      report(Cause::malformed, "pcapng: packet of an interface that was not declared");
      return false;
    }
    const Interface& entry = interfaces_.front();
    const uint32_t original = load_u32(block.body.data(), big());
    uint64_t captured = original;
    if (entry.snaplen != 0) captured = std::min<uint64_t>(captured, entry.snaplen);
    captured = std::min<uint64_t>(captured, block.body.size() - 4);
    packet.number = number_;
    packet.time = {};
    packet.link_type = entry.link_type;
    packet.file_offset = block.body_offset + 4;
    packet.data = block.body.subspan(4, captured);
    packet.original_length = original;
    packet.comment = {};
    report(Cause::unsupported, "pcapng: simple packet blocks carry no time");
    return true;
  }

  // Both packet blocks have 20 bytes of header, then data padded to 4, then options.
  bool packet_at(const PcapngBlock& block, Packet& packet, uint32_t id, uint64_t ticks, uint64_t captured,
                 uint32_t original) {
    const uint64_t available = block.body.size() - 20;
    if (captured > available && !block.truncated) return damaged_packet(block, "pcapng: packet longer than its block");
    count();
    if (id >= interfaces_.size()) {
      report(Cause::malformed, "pcapng: packet of an interface that was not declared");
      return false;
    }
    const Interface& entry = interfaces_[id];
    packet.number = number_;
    packet.time = time_of(ticks, entry);
    packet.link_type = entry.link_type;
    packet.file_offset = block.body_offset + 20;
    packet.data = block.body.subspan(20, std::min(captured, available));
    packet.original_length = std::max(original, static_cast<uint32_t>(captured));
    packet.comment = {};
    const uint64_t options_at = 20 + ((captured + 3) & ~uint64_t{3});
    if (options_at < block.body.size()) comment(block.body.subspan(options_at), packet);
    return true;
  }

  // A packet may have several comments, some added by hand later: the
  // recorder's own is preferred, else the first.
  void comment(Bytes bytes, Packet& packet) {
    PcapngOptions options(bytes, big());
    while (options.next()) {
      if (options.code() != 1) continue;
      const std::string_view text = as_text(options.value());
      if (packet.comment.empty()) packet.comment = text;
      if (text.starts_with("vitrine-")) {
        packet.comment = text;
        return;
      }
    }
    if (options.damaged()) damaged("pcapng: options of a packet run past their block");
  }

  void names(const PcapngBlock& block) {
    ByteReader in = reader(block);
    while (in.remaining() >= 4) {
      const uint16_t type = in.u16();
      const uint16_t length = in.u16();
      if (type == 0) return;  // nrb_record_end
      const Bytes value = in.take(length);
      if (in.failed()) break;
      in.skip(std::min<uint64_t>(in.remaining(), (4 - length % 4) % 4));
      const size_t width = type == 1 ? 4 : type == 2 ? 16 : 0;
      if (width == 0 || !metadata_) continue;
      if (value.size() < width) continue;
      const IpAddress ip = width == 4 ? IpAddress::v4(value.first(4)) : IpAddress::v6(value.first(16));
      std::string_view text = as_text(value.subspan(width));
      while (!text.empty() && metadata_->names.size() < kMaxNames) {
        const std::string_view name = text.substr(0, text.find('\0'));
        if (!name.empty() && name.size() <= 255) metadata_->names.push_back({ip, std::string(name)});
        text.remove_prefix(std::min(text.size(), name.size() + 1));
      }
    }
    if (in.failed()) damaged("pcapng: name resolution block damaged");
  }

  void statistics(const PcapngBlock& block) {
    ByteReader in = reader(block);
    const uint32_t id = in.u32();
    in.skip(8);
    if (in.failed()) return damaged("pcapng: interface statistics block too short");
    if (id >= interfaces_.size()) return;
    uint64_t dropped = 0;
    PcapngOptions options(in.rest(), big());
    while (options.next()) {
      // `vitrine record` notes flows and their processes here.
      if (options.code() == 1 && metadata_ && metadata_->comments.size() < kMaxComments) {
        metadata_->comments.emplace_back(as_text(options.value()));
      }
      // isb_ifdrop (for want of resources) and isb_osdrop (by the system).
      if ((options.code() == 5 || options.code() == 7) && options.value().size() == 8) {
        const uint64_t value = ByteReader(options.value(), big()).u64();
        dropped = value > UINT64_MAX - dropped ? UINT64_MAX : dropped + value;
      }
    }
    interfaces_[id].dropped = std::max(interfaces_[id].dropped, dropped);
  }

  void secrets(const PcapngBlock& block) {
    ByteReader in = reader(block);
    const uint32_t type = in.u32();
    const uint32_t length = in.u32();
    if (in.failed()) return damaged("pcapng: decryption secrets block too short");
    const Bytes text = in.take(std::min<uint64_t>(length, in.remaining()));
    if (text.size() < length) damaged("pcapng: decryption secrets cut short");
    if (type == kTlsKeyLog) {
      if (metadata_) metadata_->tls_key_logs.push_back(text);
    } else if (const std::string_view name = secrets_name(type); !name.empty()) {
      report(Cause::unsupported, "pcapng: decryption secrets of another kind (" + std::string(name) + ")");
    } else {
      report(Cause::unsupported, "pcapng: decryption secrets of type " + std::to_string(type));
    }
  }

  void custom(const PcapngBlock&) { skip_record("pcapng: custom blocks skipped"); }

  // Records that are no packets, but that tshark gives a frame number.
  void skip_record(const char* what) {
    count();
    report(Cause::unsupported, what);
  }

  void count(uint64_t records = 1) {
    number_ += records;
    blocks_.set_packet(number_);
    if (metadata_) metadata_->packets = number_;
  }
  // A packet block that cannot be read still takes a number.
  bool damaged_packet(const PcapngBlock& block, const char* what) {
    if (block.truncated) return false;  // said by the walker
    count();
    report(Cause::malformed, what);
    return false;
  }
  void damaged(const char* what) { report(Cause::malformed, what); }
  void report(Cause cause, std::string what) {
    issues_.issue({cause, std::move(what), std::max<uint64_t>(number_, 1), 0});
  }

  void close_section() {
    if (metadata_) {
      for (const Interface& entry : interfaces_) {
        const uint64_t room = UINT64_MAX - metadata_->dropped;
        metadata_->dropped += std::min(room, entry.dropped);
      }
    }
    interfaces_.clear();
  }

  void finish() {
    if (finished_) return;
    finished_ = true;
    close_section();
    if (blocks_.skipped() > 0) {
      report(Cause::malformed,
             "pcapng: " + std::to_string(blocks_.skipped()) + " bytes of the file skipped as damaged");
    }
  }

  PcapngBlocks blocks_;
  std::optional<PlainPackets> plain_;
  IssueSink& issues_;
  CaptureMetadata* metadata_;
  std::vector<Interface> interfaces_;
  uint64_t number_ = 0;
  bool skip_section_ = false;
  bool finished_ = false;
};

}  // namespace

Result<std::unique_ptr<PacketReader>> open_pcapng(Bytes file, IssueSink& issues, CaptureMetadata* metadata,
                                                  const ReadAt* read, unsigned threads) {
  if (file.size() < 28) return fail(ErrorCode::malformed, "the pcapng file ends inside its first section header");
  const bool little = load_u32(file.data() + 8, false) == kByteOrderMagic,
             bigger = load_u32(file.data() + 8, true) == kByteOrderMagic;
  if (!little && !bigger) return fail(ErrorCode::malformed, "the pcapng file's first section has no byte order magic");
  if (const uint16_t major = load_u16(file.data() + 12, bigger); major != 1) {
    return fail(ErrorCode::unsupported, "pcapng version " + std::to_string(major) + " is not read (1.0 is)");
  }
  if (metadata) metadata->format = "pcapng";
  return std::make_unique<PcapngReader>(file, issues, metadata, read, threads);
}

}  // namespace vitrine
