// The text of an HTTP/1 head (RFC 9112 sections 2 to 5): start lines and field
// lines, read leniently and without copying.
#pragma once

#include <string_view>
#include <vector>

#include "base/text.h"
#include "capture/exchange.h"

namespace vitrine {

// One line of a text, without its end: CRLF or a bare LF (RFC 9112 2.2).
// `next` = offset after the end; false when no LF follows `from`.
bool next_line(std::string_view text, size_t from, std::string_view& line, size_t& next);

// Length of the head at the start of `text`, with the empty line that ends it;
// 0 = not complete. `from` = where an earlier call stopped looking; updated.
size_t head_length(std::string_view text, size_t& from);

struct StartLine {
  Protocol protocol = Protocol::unknown;  // http10 or http11
  bool request = false;
  std::string_view method, target;  // requests
  std::string_view status_text;     // responses: three digits
  int status = 0;
};

// Strict enough to tell HTTP/1 from anything else, lenient in white space.
bool parse_start_line(std::string_view line, bool request, StartLine& out);

// Could these first bytes still become a start line? Stops waiting for the end
// of a line that never was HTTP.
bool plausible_start(std::string_view prefix, bool request);

// Looks for a start line that ends at the end of `line` but may begin inside
// it (after a gap). npos = none.
size_t find_start(std::string_view line, bool request);

struct FieldLines {
  size_t dropped = 0;  // fields beyond the bound
  size_t dropped_bytes = 0;
  size_t malformed = 0;  // lines that are no field line
  size_t malformed_bytes = 0;
  bool folded = false;  // obs-fold was met (RFC 9112 5.2)
  bool space_before_colon = false;
};

// Appends the field lines of `text` from offset `from` to the empty line (or
// the end) to `out`, at most `bound` fields. Offsets are in `text`.
FieldLines parse_field_lines(std::string_view text, size_t from, size_t bound, std::vector<HeaderField>& out);

// Calls `visit` for every member of a comma-separated list, trimmed, not empty.
template <class Visit>
void for_each_token(std::string_view list, Visit visit) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    const std::string_view token = trim(list.substr(0, comma));
    if (!token.empty()) visit(token);
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace vitrine
