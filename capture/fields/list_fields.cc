// Lists that are one value cut into elements. Their elements are fields of
// their own as well: what a list is, is known at its end only.
#include "capture/fields/byte_lists.h"
#include "capture/fields/codecs.h"
#include "capture/fields/extraction.h"

namespace vitrine {
namespace {

// Texts need more here than elsewhere (reads_like_text): dwell times of keys lie
// in the range of letters.
bool is_text_of_bytes(std::string_view text) {
  if (!is_printable_text(text)) return false;
  size_t words = 0, high = 0;
  for (const char c : text) {
    words += (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == ' ';
    high += static_cast<uint8_t>(c) >= 0x80;
  }
  if (high >= 6) return true;  // valid UTF-8 of several bytes is no accident
  return words * 10 >= text.size() * 8 && text.find(' ') != std::string_view::npos;
}

bool base64_of(std::string_view text, std::string& out) {
  return base64_decode(text, false, out) || base64_decode(text, true, out);
}

bool compressed(Bytes bytes) { return is_gzip(bytes) || is_zlib(bytes) || is_zstd(bytes); }

}  // namespace

// Called at the end of a list (or an object) of enough elements. Opens it when
// its bytes say what they are; bytes that may be encrypted become a leaf, which
// is opaque from 64 bytes on.
void Extraction::json_list(const Value& whole, StreamSpan span, size_t elements, OriginId parent, Place place) {
  const std::string_view text = whole.bytes.substr(span.offset, span.length);
  const size_t first = text.find_first_not_of(" \t\r\n", 1);
  if (first == std::string_view::npos || whole.depth + 1 >= limits_.depth) return;
  const bool texts = text[first] == '"' && text[0] == '[';
  const bool numbers = !texts && (text[0] == '[' ? text[first] == '-' || (text[first] >= '0' && text[first] <= '9')
                                                 : text.substr(first).starts_with("\"0\""));
  if (!(texts && elements >= kMinListTexts) && !(numbers && elements >= kMinListedWords)) return;
  if (span.length > budget()) return issue(Cause::truncated, "fields: a part decodes to more bytes than are kept");

  std::string& out = scratch(whole.depth).decoded;
  out.clear();
  if (texts) {
    if (!text_list_join(text, out)) return;
    std::string& probe = scratch(whole.depth + 1).decoded;
    probe.clear();
    const bool hex = out.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
    const bool opens =
        base64_of(out, probe) && (is_json_container(probe, limits_.json_depth, false) || compressed(as_bytes(probe)));
    if (!hex && !opens && !looks_like_random_base64(out)) return;
  } else {
    if (!byte_list_decode(text, out)) return;
    const bool words = out.size() != elements;
    if (!words && elements < kMinListedBytes) return;
    const bool known = !words && (is_json_container(out, limits_.json_depth, false) || compressed(as_bytes(out)) ||
                                  !media_type(as_bytes(out)).empty() || is_text_of_bytes(out));
    if (!known && !looks_random(as_bytes(out))) return;
  }
  if (!spend(out.size())) return;
  Value list = whole;
  list.wire = share(whole.wire, span.length, whole.bytes.size());
  list.origin = child(parent, Decoder::json, span.offset, span.length);
  list.content = list.body_like = list.cut = false;
  descend(list, texts ? Decoder::joined : Decoder::byte_list, {0, span.length}, out, place);
}

}  // namespace vitrine
