#include "capture/http/hpack.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>

namespace vitrine {
namespace {

constexpr uint32_t kTableBound = 1u << 20;     // of one dynamic table, whatever SETTINGS say
constexpr uint32_t kLostTableSize = 64 << 10;  // Chromium's; unknown after a late join

// RFC 7541 5.1. Returns false when cut or beyond 2^32.
bool read_integer(Bytes block, size_t& at, int prefix_bits, uint64_t& out) {
  if (at >= block.size()) return false;
  const uint8_t mask = static_cast<uint8_t>((1 << prefix_bits) - 1);
  out = block[at++] & mask;
  if (out < mask) return true;
  for (int shift = 0; shift <= 28; shift += 7) {
    if (at >= block.size()) return false;
    const uint8_t byte = block[at++];
    out += static_cast<uint64_t>(byte & 127) << shift;
    if ((byte & 128) == 0) return out <= 0xffffffffu;
  }
  return false;
}

bool skip_string(Bytes block, size_t& at) {
  uint64_t length = 0;
  if (!read_integer(block, at, 7, length) || length > block.size() - at) return false;
  at += static_cast<size_t>(length);
  return true;
}

}  // namespace

HpackInflater::HpackInflater() { reset(); }
HpackInflater::~HpackInflater() { nghttp2_hd_inflate_del(inflater_); }

void HpackInflater::reset() {
  if (inflater_ != nullptr) nghttp2_hd_inflate_del(inflater_);
  inflater_ = nullptr;
  if (nghttp2_hd_inflate_new(&inflater_) != 0) inflater_ = nullptr;
  if (inflater_ != nullptr && table_size_ > 4096) nghttp2_hd_inflate_change_table_size(inflater_, table_size_);
}

void HpackInflater::allow_table_size(uint32_t size) {
  size = std::min(size, kTableBound);
  if (size <= table_size_) return;
  table_size_ = size;
  if (inflater_ != nullptr) nghttp2_hd_inflate_change_table_size(inflater_, size);
}

void HpackInflater::lose() {
  lost_ = true;
  table_size_ = std::max(table_size_, kLostTableSize);
  reset();
  if (inflater_ == nullptr) return;
  // Take the largest table from the start: see allow_table_size().
  uint8_t update[8] = {0x3f};
  size_t n = 1;
  uint32_t rest = table_size_ - 31;
  for (; rest >= 128; rest >>= 7) update[n++] = static_cast<uint8_t>(rest | 128);
  update[n++] = static_cast<uint8_t>(rest);
  nghttp2_nv field{};
  int flags = 0;
  nghttp2_hd_inflate_hd2(inflater_, &field, &flags, update, n, 0);
  nghttp2_hd_inflate_end_headers(inflater_);
}

bool HpackInflater::feed(Bytes representation, uint32_t offset, uint32_t length, bool known_name, size_t max_fields,
                         size_t max_text, HeaderBlock& out) {
  if (inflater_ == nullptr) return false;
  nghttp2_nv field{};
  int flags = 0;
  const ssize_t used =
      nghttp2_hd_inflate_hd2(inflater_, &field, &flags, representation.data(), representation.size(), 0);
  if (used != static_cast<ssize_t>(representation.size())) return false;
  if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0) return true;
  if (out.fields.size() >= max_fields || out.text.size() + field.namelen + field.valuelen > max_text) {
    out.dropped_bytes += length;
    return true;
  }
  const std::string_view name =
      known_name ? std::string_view(reinterpret_cast<const char*>(field.name), field.namelen) : kUnresolvedName;
  places_.push_back({static_cast<uint32_t>(out.text.size()), static_cast<uint32_t>(name.size()),
                     static_cast<uint32_t>(field.valuelen)});
  out.text.append(name);
  out.text.append(reinterpret_cast<const char*>(field.value), field.valuelen);
  out.fields.push_back({{}, {}, offset, length});
  return true;
}

void HpackInflater::decode(Bytes block, size_t max_fields, size_t max_text, HeaderBlock& out) {
  out.fields.clear();
  out.text.clear();
  out.dropped_bytes = out.unresolved_bytes = out.malformed_bytes = 0;
  places_.clear();
  size_t at = 0;
  bool good = inflater_ != nullptr;
  while (good && at < block.size()) {
    const size_t start = at;
    const uint8_t first = block[at];
    uint64_t index = 0;
    const size_t entries = nghttp2_hd_inflate_get_num_table_entries(inflater_);  // static ones included
    if (first & 0x80) {                                                          // 6.1 indexed
      good = read_integer(block, at, 7, index);
      if (good && index > entries && lost_) {
        out.unresolved_bytes += at - start;
        continue;
      }
    } else if ((first & 0xe0) == 0x20) {  // 6.3 dynamic table size update
      good = read_integer(block, at, 5, index);
      // A lost table keeps its largest size. Otherwise the encoder may know of
      // a SETTINGS frame that we missed.
      if (lost_) continue;
      if (good && index > table_size_) allow_table_size(static_cast<uint32_t>(index));
    } else {  // 6.2 literal; the name indexed or literal
      good = read_integer(block, at, (first & 0x40) ? 6 : 4, index);
      const size_t value_at = at;
      if (good && index == 0) good = skip_string(block, at);
      good = good && skip_string(block, at);
      if (good && index > entries && lost_) {
        // Same field with a placeholder for the name, so that the table stays
        // aligned and the value is seen.
        scratch_.assign(1, static_cast<char>(first & 0xf0 & ((first & 0x40) ? 0x40 : 0xf0)));
        scratch_.push_back(static_cast<char>(kUnresolvedName.size()));
        scratch_.append(kUnresolvedName);
        scratch_.append(as_text(block.subspan(value_at, at - value_at)));
        good = feed(as_bytes(scratch_), static_cast<uint32_t>(start), static_cast<uint32_t>(at - start), false,
                    max_fields, max_text, out);
        out.unresolved_bytes += value_at - start;
        if (!good) at = start;
        continue;
      }
    }
    if (good) {
      good = feed(block.subspan(start, at - start), static_cast<uint32_t>(start), static_cast<uint32_t>(at - start),
                  true, max_fields, max_text, out);
    }
    if (!good) at = start;
  }
  if (inflater_ != nullptr) nghttp2_hd_inflate_end_headers(inflater_);
  if (!good) {
    out.malformed_bytes = block.size() - at;
    lose();
  }
  const std::string_view text = out.text;
  for (size_t i = 0; i < places_.size(); ++i) {
    out.fields[i].name = text.substr(places_[i].name, places_[i].name_length);
    out.fields[i].value = text.substr(places_[i].name + places_[i].name_length, places_[i].value_length);
  }
}

}  // namespace vitrine
