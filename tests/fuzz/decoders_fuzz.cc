// Codecs, sniffing and the replay of single steps: no input may trouble them,
// encoding and decoding agree, and looking never writes.
#include <cstdlib>

#include "base/digest.h"
#include "capture/fields/codecs.h"
#include "capture/fields/replay.h"
#include "capture/fields/set_cookie.h"
#include "capture/fields/sniff.h"

namespace {
void require(bool condition) {
  if (!condition) std::abort();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrine;
  if (size < 2) return 0;
  const Bytes bytes(data + 2, size - 2);
  const std::string_view text = as_text(bytes);

  // data[0]: the decoder; data[1]: how the span is chosen.
  const auto decoder = static_cast<Decoder>(data[0] % 33);
  const uint64_t offset = data[1] & 0x80 ? data[1] & 0x0f : 0;
  const uint64_t length = data[1] & 0x40 ? bytes.size() : bytes.size() - std::min<uint64_t>(offset, bytes.size());
  const auto output = replay_step(decoder, bytes, offset, length, 1 << 16);
  if (output) require(output->size() <= std::max<uint64_t>(1 << 16, 2 * bytes.size()));  // a list of words: "[1,…]"

  std::string out;
  require(base64_decode(to_base64(bytes), false, out) && out == text);
  out.clear();
  require(hex_decode(to_hex(bytes), out) && out == text);
  for (const bool url : {false, true}) {
    out = "kept";
    if (!base64_decode(text, url, out)) require(out == "kept");
  }
  out = "kept";
  if (!hex_decode(text, out)) require(out == "kept");
  out.clear();
  percent_decode(text, data[1] & 1, out);
  require(out.size() <= text.size());
  out.clear();
  sse_data(text, out);
  require(out.size() <= text.size());

  const float entropy = byte_entropy(bytes);
  require(entropy >= 0 && entropy <= 8.0001F);
  require(trim_utf8(text) <= text.size() && trim_utf8(text) + 3 >= text.size());
  const bool printable = is_printable_text(text);
  if (reads_like_text(text)) require(printable);
  if (printable) require(!char_classes(text).any(CharClasses::kControl));
  is_form(text);
  is_json_container(text, 64, data[1] & 2);
  media_type(bytes);

  const SetCookie cookie = parse_set_cookie(text);
  require(text.substr(cookie.value_offset, cookie.value.size()) == cookie.value);
  for (const SetCookie::Attribute& attribute : cookie.attributes) {
    require(text.substr(attribute.value_offset, attribute.value.size()) == attribute.value);
  }
  cookie_lifetime_seconds(text.substr(0, text.size() / 2), text.substr(text.size() / 2), Timestamp{0});
  return 0;
}
