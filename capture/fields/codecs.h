// The text codecs values hide in: percent, base64, hex. Pure functions; the
// extractor and the replay of origins both call these, so that a replayed value
// equals the extracted one by construction.
#pragma once

#include <string>
#include <string_view>

namespace vitrine {

// Percent-decoding (RFC 3986 section 2.1); `plus` also turns '+' into a space
// (HTML form encoding). A '%' without two hex digits stays as it is.
// Appends to `out`.
void percent_decode(std::string_view text, bool plus, std::string& out);
// At least one escape, and every '%' starts one.
bool is_percent_encoded(std::string_view text);

// RFC 4648 sections 4 and 5, padded or not. False (and `out` as it was) for a
// character outside the alphabet, a misplaced '=', or an impossible length.
// Bits left over in the last character are ignored, as decoders in use do.
bool base64_decode(std::string_view text, bool url, std::string& out);

// RFC 4648 section 8, either case. False for an odd length or another character.
bool hex_decode(std::string_view text, std::string& out);

// The data of one Server-Sent Event (WHATWG HTML, 9.2.6): `span` begins with the
// first data line's value and ends with the last one's; the values of all data
// lines joined by a line feed. (Part::within is such a span.)
void sse_data(std::string_view span, std::string& out);

}  // namespace vitrine
