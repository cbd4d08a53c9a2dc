// HPACK (RFC 7541) for an observer: nghttp2's inflater, walked one
// representation at a time so that every field has its bytes, and kept going
// when the dynamic table is not known because the connection was joined late.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "capture/exchange.h"

struct nghttp2_hd_inflater;

namespace vitrine {

// The name of a field whose name stood in a table entry that was lost.
inline constexpr std::string_view kUnresolvedName = "?";

// The fields of one head; names and values lie in `text`. Reused between heads.
struct HeaderBlock {
  std::vector<HeaderField> fields;
  uint64_t dropped_bytes = 0;     // block bytes of fields beyond the bounds
  uint64_t unresolved_bytes = 0;  // block bytes of fields that point into a lost table
  uint64_t malformed_bytes = 0;   // from the first byte that is no HPACK
  std::string text;
};

class HpackInflater {
 public:
  HpackInflater();
  ~HpackInflater();
  HpackInflater(const HpackInflater&) = delete;
  HpackInflater& operator=(const HpackInflater&) = delete;

  // The decoding peer announced SETTINGS_HEADER_TABLE_SIZE. Only ever raises
  // the bound: an observer cannot tell when the encoder obeys, and a table that
  // evicts late resolves every index the encoder may still use.
  void allow_table_size(uint32_t size);
  // Header blocks were missed: entries older than from now on are unknown.
  void lose();
  bool lost() const { return lost_; }

  // Decodes one complete header block into `out` (cleared first). At most
  // `max_fields` fields and `max_text` bytes of names and values are kept; the
  // table is kept up to date regardless.
  void decode(Bytes block, size_t max_fields, size_t max_text, HeaderBlock& out);

 private:
  void reset();
  bool feed(Bytes representation, uint32_t offset, uint32_t length, bool known_name, size_t max_fields, size_t max_text,
            HeaderBlock& out);

  nghttp2_hd_inflater* inflater_ = nullptr;
  uint32_t table_size_ = 4096;  // RFC 9113 6.5.2
  bool lost_ = false;
  std::string scratch_;
  struct Place {
    uint32_t name, name_length, value_length;
  };
  std::vector<Place> places_;
};

}  // namespace vitrine
