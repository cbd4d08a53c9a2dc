// Packets from capture files: pcap (all magics), pcapng (sections, interfaces,
// ns times, DSB, NRB, comments). Formats: draft-ietf-opsawg-pcap,
// draft-ietf-opsawg-pcapng.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "capture/types.h"

namespace vitrine {

struct Packet {
  uint64_t number = 0;           // 1-based over the whole file, as tshark's frame.number
  Timestamp time;                // 0 when the block has none (pcapng simple packets)
  uint32_t link_type = 0;        // LINKTYPE_ value
  uint64_t file_offset = 0;      // of data.front() in the (uncompressed) file
  Bytes data;                    // borrowed from the file
  uint32_t original_length = 0;  // on the wire; > data.size() when cut by the snap length
  std::string_view comment;      // pcapng opt_comment; recorders put "vitrine-process: …" there
};

struct NameRecord {
  IpAddress ip;
  std::string name;
};

class PacketReader {
 public:
  virtual ~PacketReader() = default;
  // The next packet, or false at the end. Damaged blocks are skipped and
  // counted as issues; reading resumes at the next block that can be trusted.
  virtual bool next(Packet& packet) = 0;
  virtual uint64_t position() const = 0;  // bytes of the file consumed, for progress and page release
};

// What a whole-file pass finds besides packets. Runs before the first packet
// is handled, so that keys may stand later in the file than the data.
struct CaptureMetadata {
  std::string format;                 // "pcap", "pcapng"
  std::vector<Bytes> tls_key_logs;    // DSB TLS secrets, borrowed from the file
  std::vector<NameRecord> names;      // NRB
  std::vector<std::string> comments;  // section comments
  std::vector<std::string> interfaces;
  uint64_t dropped = 0;  // from interface statistics blocks
  uint64_t packets = 0;
};

// Copies bytes of the file from `offset` on into `out`, as many as there are;
// how many, 0 for an error.
using ReadAt = std::function<size_t(uint64_t offset, std::span<uint8_t> out)>;

bool looks_like_capture(Bytes file);  // by magic only
// Error only when no header could be read at all. `file` must outlive the reader.
Result<std::unique_ptr<PacketReader>> open_capture(Bytes file, IssueSink& issues);
// Walks block headers only (cheap): secrets, names, comments, counts. Keeps at
// most 65,536 names, 256 comments and 1,024 interface names. `progress` is
// called about every 2 MiB with the bytes consumed (for page release). With
// `read`, which must give the same bytes, packets of a pcapng file are skipped
// without touching `file`, and by several threads, which all call `read`.
CaptureMetadata scan_capture(Bytes file, const std::function<void(uint64_t)>& progress = {}, const ReadAt& read = {},
                             unsigned threads = 1);

}  // namespace vitrine
