// Values in values: every leaf is tried against each decoder until nothing
// opens. A decoder is believed only when its result vouches for it (sniff.h):
// plain words, hex ids and random tokens must stay what they are.
#include <algorithm>

#include "base/json_writer.h"
#include "capture/fields/codecs.h"
#include "capture/fields/extraction.h"
#include "capture/http/content_coding.h"

namespace vitrine {
namespace {

using C = CharClasses;
constexpr uint16_t kAlnum = C::kDigit | C::kLower | C::kUpper | C::kHexLetter;
constexpr size_t kMinBase64 = 16;  // characters
constexpr size_t kMinHex = 24;
constexpr size_t kOpaqueBytes = 64;  // decoded bytes from which a blob is reported opaque
constexpr size_t kDenseText = 128;
constexpr size_t kExpansion = 1100;  // deflate's own maximum is 1032

std::string_view head_of(std::string_view text, size_t length) { return text.substr(0, std::min(length, text.size())); }

// Whether decoded bytes can be anything we know: text, JSON, compressed, media.
bool promising(std::string_view head) {
  const Bytes bytes = as_bytes(head);
  if (bytes.size() >= 4 && bytes[0] == 0x1f && bytes[1] == 0x8b) return true;
  if (bytes.size() >= 4 && is_zstd({bytes.data(), bytes.size()})) return true;
  if (is_zlib(bytes) || !media_type(bytes).empty()) return true;
  return is_printable_text(head, true);
}

// Base64 of random bytes has all kinds of characters, evenly; paths and words do not.
bool dense_base64(std::string_view text, CharClasses classes) {
  return classes.any(C::kDigit) && classes.any(C::kLower) && classes.any(C::kUpper) &&
         byte_entropy(as_bytes(text)) >= 4.9F;
}

bool brotli_hint(std::string_view name) {
  return name.ends_with("_br") || name.ends_with(".br") || name.find("brotli") != std::string_view::npos;
}

}  // namespace

void Extraction::value(const Value& value, Place place) {
  if (value.bytes.size() < 4) {
    leaf(value, char_classes(value.bytes), place, -1);
    return;
  }
  const CharClasses classes = char_classes(value.bytes);
  float entropy = -1;
  if (value.depth < limits_.depth && open(value, classes, place, entropy)) return;
  leaf(value, classes, place, entropy);
}

bool Extraction::open(const Value& value, CharClasses classes, Place place, float& opaque_entropy) {
  const std::string_view text = value.bytes;
  if (classes.any(C::kOther) || classes.any(C::kSpace)) {
    const size_t first = text.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos) return false;
    if ((text[first] == '{' || text[first] == '[') && is_json_container(text, limits_.json_depth, value.cut)) {
      json(value, 0, place);
      return true;
    }
    if (text[first] == '"' && open_json_string(value, place)) return true;
  }
  if (text.size() < 8) return false;
  if (classes.any(C::kAmpersand) && classes.any(C::kPad) && is_form(text)) {
    form(value, place);
    return true;
  }
  if (classes.any(C::kPercent) && !classes.any(C::kSpace) && open_percent(value, place)) return true;
  if (classes.any(C::kControl | C::kHigh) && open_compressed(value, place)) return true;
  if (text.size() < kMinBase64) return false;
  if (classes.any(C::kDot) && open_jwt(value, place)) return true;
  if (text.starts_with("data:") && open_data_url(value, place)) return true;
  Opening opening = Opening::closed;
  if (classes.only(C::kDigit | C::kLower | C::kUpper | C::kHexLetter) && classes.any(C::kHexLetter) &&
      text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos) {
    opening = open_hex(value, place, opaque_entropy);
  } else if (classes.only(kAlnum | C::kStd64 | C::kPad) || classes.only(kAlnum | C::kUrl64 | C::kPad)) {
    opening = open_base64(value, classes, place, opaque_entropy);
  }
  return opening == Opening::opened;
}

// Opens the output of one decoder at the current path.
void Extraction::descend(const Value& outer, Decoder decoder, StreamSpan span, std::string_view decoded, Place place) {
  PathMark mark(path_);
  Value inner = outer;
  inner.bytes = decoded;
  inner.origin = child(node(outer.origin), decoder, span.offset, span.length);
  inner.depth = outer.depth + 1;
  inner.cut = false;
  inner.content = false;
  const Place inside = decoder_place(place, decoder);
  if (outer.body_like) {
    content(inner, {}, inside);
  } else {
    value(inner, inside);
  }
}

// "\"{\\\"a\\\":1}\"": a JSON text that was made a JSON string once more than needed.
bool Extraction::open_json_string(const Value& value, Place place) {
  JsonTokenizer tokenizer(value.bytes, 1);
  JsonToken token, end;
  if (!tokenizer.next(token) || token.kind != JsonToken::Kind::string || token.cut) return false;
  if (tokenizer.next(end) || end.kind != JsonToken::Kind::end || end.offset != value.bytes.size()) return false;
  const std::string_view inner = unescaped(token, scratch(value.depth).decoded);
  if (!is_json_container(inner, limits_.json_depth, false) || !spend(inner.size())) return false;
  descend(value, Decoder::json, {token.offset, token.length}, inner, place);
  return true;
}

bool Extraction::open_percent(const Value& value, Place place) {
  // A URL keeps the form in which it was sent: its escapes are part of it.
  if (head_of(value.bytes, 16).find("://") != std::string_view::npos || !is_percent_encoded(value.bytes)) return false;
  std::string& decoded = scratch(value.depth).decoded;
  decoded.clear();
  percent_decode(value.bytes, false, decoded);
  if (!is_printable_text(decoded, value.cut) || !spend(decoded.size())) return false;
  descend(value, Decoder::percent, {0, value.bytes.size()}, decoded, place);
  return true;
}

// RFC 7519 in the compact form of RFC 7515: header.payload.signature.
bool Extraction::open_jwt(const Value& value, Place place) {
  const std::string_view text = value.bytes;
  if (!text.starts_with("eyJ")) return false;
  const size_t first = text.find('.');
  const size_t second = first == std::string_view::npos ? first : text.find('.', first + 1);
  if (second == std::string_view::npos || text.find('.', second + 1) != std::string_view::npos) return false;
  const std::string_view segments[2] = {text.substr(0, first), text.substr(first + 1, second - first - 1)};
  const uint64_t offsets[2] = {0, first + 1};
  std::string& decoded = scratch(value.depth).decoded;
  decoded.clear();
  if (!base64_decode(segments[0], true, decoded) || !is_json_container(decoded, limits_.json_depth, false))
    return false;
  if (decoded.find("\"alg\"") == std::string::npos) return false;
  decoded.clear();
  if (!base64_decode(segments[1], true, decoded) || !is_json_container(decoded, limits_.json_depth, false))
    return false;
  if (!spend(decoded.size() * 2)) return false;

  const OriginId whole = node(value.origin);
  PathMark mark(path_);
  const Place jwt = decoder_place(place, Decoder::jwt);
  for (size_t i = 0; i < 2; ++i) {
    PathMark segment_mark(path_);
    const Place segment = key_place(jwt.pattern, i == 0 ? "header" : "payload", 0);
    decoded.clear();
    base64_decode(segments[i], true, decoded);
    Value inner = value;
    inner.bytes = decoded;
    inner.origin = child(whole, Decoder::jwt, offsets[i], segments[i].size());
    inner.wire = share(value.wire, segments[i].size(), text.size());
    inner.depth = value.depth + 1;
    inner.content = inner.body_like = false;
    // The members stand right under the segment: jwt/payload/sub.
    const OriginId parent = node(inner.origin);
    JsonTokenizer tokenizer(inner.bytes, limits_.json_depth);
    JsonToken last;
    json_document(tokenizer, inner, parent, segment, last);
  }
  Value signature = value;
  signature.bytes = text.substr(second + 1);
  signature.origin = child(whole, Decoder::text, second + 1, signature.bytes.size());
  signature.wire = share(value.wire, signature.bytes.size(), text.size());
  signature.credential = kCredentialBytes;
  signature.content = false;
  leaf(signature, char_classes(signature.bytes), key_place(jwt.pattern, "signature", 0), -1);
  return true;
}

// RFC 2397 with base64: "data:image/png;base64,iVBOR…".
bool Extraction::open_data_url(const Value& value, Place place) {
  const std::string_view text = value.bytes;
  const size_t comma = head_of(text, 256).find(',');
  if (comma == std::string_view::npos || !text.substr(0, comma).ends_with(";base64")) return false;
  const std::string_view payload = text.substr(comma + 1);
  std::string& decoded = scratch(value.depth).decoded;
  decoded.clear();
  if (payload.size() / 4 * 3 > budget() || !base64_decode(payload, false, decoded) || !spend(decoded.size()))
    return false;
  descend(value, Decoder::base64, {comma + 1, payload.size()}, decoded, place);
  return true;
}

// RFC 9110 section 11.4: "Bearer <token>", "Basic <base64>".
bool Extraction::open_authorization(const Value& value, Place place) {
  const size_t space = value.bytes.find(' ');
  if (space == std::string_view::npos || value.bytes.find(' ', space + 1) != std::string_view::npos) return false;
  if (head_of(value.bytes, space).find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") < space)
    return false;
  Value token = value;
  token.bytes = value.bytes.substr(space + 1);
  const CharClasses classes = char_classes(token.bytes);
  // The origin of the scheme's token is a span of the header's value.
  if (classes.any(C::kDot) && token.bytes.starts_with("eyJ")) {
    // Only add the origin when it is going to be used: open_jwt tests before it emits.
    std::string probe;
    const size_t dot = token.bytes.find('.');
    if (!base64_decode(token.bytes.substr(0, dot), true, probe) || probe.find("\"alg\"") == std::string::npos)
      return false;
    token.origin = child(node(value.origin), Decoder::text, space + 1, token.bytes.size());
    return open_jwt(token, place);
  }
  std::string& decoded = scratch(value.depth).decoded;
  decoded.clear();
  if (value.bytes.substr(0, space) != "Basic" || !base64_decode(token.bytes, false, decoded)) return false;
  if (!is_printable_text(decoded) || !spend(decoded.size())) return false;
  descend(value, Decoder::base64, {space + 1, token.bytes.size()}, decoded, place);
  return true;
}

Extraction::Opening Extraction::open_base64(const Value& value, CharClasses classes, Place place, float& entropy) {
  std::string_view text = value.bytes;
  // A word in one case is a word; digits alone are a number.
  const bool mixed = classes.any(C::kLower) && classes.any(C::kUpper);
  if (!mixed && !(classes.any(C::kDigit) && classes.any(C::kLower | C::kUpper)) && !classes.any(C::kPad))
    return Opening::closed;
  const bool url = classes.any(C::kUrl64);
  const bool hint = brotli_hint(place.name);
  std::string& decoded = scratch(value.depth).decoded;
  decoded.clear();
  if (!base64_decode(head_of(text, 16), url, decoded)) return Opening::closed;
  const bool candidate = promising(decoded);
  const bool opaque_size = text.size() / 4 * 3 >= kOpaqueBytes;
  if (!candidate && !opaque_size && !hint) return Opening::closed;
  // A cut value ends anywhere: decode its whole groups.
  if (value.cut) text = text.substr(0, text.size() / 4 * 4);
  if (text.size() / 4 * 3 > budget()) {
    issue(Cause::truncated, "fields: a part decodes to more bytes than are kept");
    return Opening::closed;
  }
  decoded.clear();
  if (!base64_decode(text, url, decoded)) return Opening::closed;
  const Bytes bytes = as_bytes(decoded);
  const bool readable =
      candidate && (reads_like_text(decoded) || is_json_container(decoded, limits_.json_depth, value.cut));
  const bool known = !media_type(bytes).empty() && decoded.size() >= 32;
  if (readable || known) {
    if (!spend(decoded.size())) return Opening::closed;
    descend(value, url ? Decoder::base64url : Decoder::base64, {0, text.size()}, decoded, place);
    return Opening::opened;
  }
  if (is_gzip(bytes) || is_zlib(bytes) || is_zstd(bytes) || hint) {
    // The compressed value vouches for the base64 around it. Decompression is tried
    // one level down; only its success adds to path and origins.
    const Decoder kind = is_gzip(bytes)   ? Decoder::gzip
                         : is_zstd(bytes) ? Decoder::zstd
                         : is_zlib(bytes) ? Decoder::zlib
                                          : Decoder::br;
    const uint64_t bound = std::min<uint64_t>(budget(), decoded.size() * kExpansion);
    const Inflated inflated = decompress(kind, bytes, bound);
    if (inflated.complete && !inflated.bytes.empty() && spend(decoded.size() + inflated.bytes.size())) {
      PathMark mark(path_);
      Value inner = value;
      inner.bytes = decoded;
      inner.origin = child(node(value.origin), url ? Decoder::base64url : Decoder::base64, 0, text.size());
      inner.depth = value.depth + 1;
      inner.cut = false;
      const Place inside = decoder_place(place, url ? Decoder::base64url : Decoder::base64);
      descend(inner, kind, {0, decoded.size()}, inflated.bytes, inside);
      return Opening::opened;
    }
    if (inflated.state == Decompressor::State::bound) {
      // It is compressed, and what it holds was not looked at.
      issue(Cause::truncated, "fields: a part decodes to more bytes than are kept");
      entropy = byte_entropy(bytes);
      return Opening::opaque;
    }
  }
  if (opaque_size && decoded.size() >= kOpaqueBytes && dense_base64(text, classes) && !is_printable_text(decoded)) {
    entropy = byte_entropy(bytes);
    return Opening::opaque;
  }
  return Opening::closed;
}

Extraction::Opening Extraction::open_hex(const Value& value, Place place, float& entropy) {
  const std::string_view text = value.bytes;
  if (text.size() < kMinHex || text.size() % 2 != 0) return Opening::closed;
  std::string& decoded = scratch(value.depth).decoded;
  decoded.clear();
  if (text.size() / 2 > budget()) {
    if (hex_decode(head_of(text, 64), decoded))
      issue(Cause::truncated, "fields: a part decodes to more bytes than are kept");
    return Opening::closed;
  }
  if (!hex_decode(text, decoded)) return Opening::closed;
  if (reads_like_text(decoded) || is_json_container(decoded, limits_.json_depth, false) ||
      (!media_type(as_bytes(decoded)).empty() && decoded.size() > kOpaqueBytes)) {
    if (!spend(decoded.size())) return Opening::closed;
    descend(value, Decoder::hex, {0, text.size()}, decoded, place);
    return Opening::opened;
  }
  // 64 bytes and less are digests and ids.
  if (decoded.size() > kOpaqueBytes) {
    entropy = byte_entropy(as_bytes(decoded));
    return Opening::opaque;
  }
  return Opening::closed;
}

bool Extraction::open_compressed(const Value& value, Place place) {
  const Bytes bytes = as_bytes(value.bytes);
  if (is_gzip(bytes)) return inflate(Decoder::gzip, value, place);
  if (is_zstd(bytes)) return inflate(Decoder::zstd, value, place);
  if (is_zlib(bytes)) return inflate(Decoder::zlib, value, place);
  return brotli_hint(place.name) && inflate(Decoder::br, value, place);
}

bool Extraction::inflate(Decoder kind, const Value& value, Place place) {
  const uint64_t bound = std::min<uint64_t>(budget(), uint64_t{value.bytes.size()} * kExpansion);
  const Inflated inflated = decompress(kind, as_bytes(value.bytes), bound);
  if (inflated.state == Decompressor::State::bound)
    issue(Cause::truncated, "fields: a part decodes to more bytes than are kept");
  // A cut body may hold a cut stream: what came of it still counts, but its
  // replay must give the same bytes, which decompress() guarantees.
  const bool usable = inflated.complete || (value.cut && inflated.state == Decompressor::State::more);
  if (!usable || inflated.bytes.empty() || !spend(inflated.bytes.size())) return false;
  PathMark mark(path_);
  Value inner = value;
  inner.bytes = inflated.bytes;
  inner.origin = child(node(value.origin), kind, 0, value.bytes.size());
  inner.depth = value.depth + 1;
  inner.cut = !inflated.complete;
  inner.content = false;
  const Place inside = decoder_place(place, kind);
  if (value.body_like) {
    content(inner, {}, inside);
  } else {
    this->value(inner, inside);
  }
  return true;
}

// Nothing opens it. `opaque_entropy` >= 0: the entropy of what an encoding that
// did decode holds.
void Extraction::leaf(const Value& value, CharClasses classes, Place place, float opaque_entropy) {
  const std::string_view text = value.bytes;
  bool binary = false;
  if (classes.any(C::kHigh)) binary = !is_valid_utf8(value.cut ? text.substr(0, trim_utf8(text)) : text);
  // Control characters inside a JSON string were escaped on purpose.
  if (!binary && classes.any(C::kControl)) binary = value.origin.decoder != Decoder::json;

  if (binary && text.size() >= kOpaqueBytes && media_type(as_bytes(text)).empty()) {
    opaque_entropy = byte_entropy(as_bytes(text));
  } else if (!binary && opaque_entropy < 0 && text.size() >= kDenseText && !classes.any(C::kSpace) &&
             head_of(text, 16).find("://") == std::string_view::npos && classes.any(C::kDigit)) {
    // Dense text of both cases (base64 of another alphabet, base85), of one
    // case (base32), or nothing but digits.
    const bool lower = classes.any(C::kLower), upper = classes.any(C::kUpper);
    const float entropy = byte_entropy(as_bytes(text));
    if (entropy >= (lower && upper ? 5.5F : lower || upper ? 4.7F : 3.2F)) opaque_entropy = entropy;
  }
  if (text.size() <= value.credential) opaque_entropy = -1;
  const bool opaque = opaque_entropy >= 0;
  if (!value.content || binary || opaque) {
    emit(text, binary ? ValueType::binary : ValueType::string, value, place, node(value.origin), opaque,
         opaque_entropy);
    return;
  }
  PathMark mark(path_);
  const Place as_text_place = decoder_place(place, Decoder::text);
  emit(text, ValueType::string, value, as_text_place, node(child(node(value.origin), Decoder::text, 0, text.size())),
       false, 0);
}

}  // namespace vitrine
