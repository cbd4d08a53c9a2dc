#include "capture/http/http1_head.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace vitrine {
namespace {

constexpr size_t kLongestMethod = 32;

constexpr std::array<bool, 256> kTokenChar = [] {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[c] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[c] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[c] = true;
  for (char c : {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'}) {
    table[static_cast<unsigned char>(c)] = true;
  }
  return table;
}();

bool token_char(char c) { return kTokenChar[static_cast<unsigned char>(c)]; }
bool digit(char c) { return c >= '0' && c <= '9'; }
bool blank(char c) { return c == ' ' || c == '\t'; }

bool version(std::string_view text, Protocol& out) {
  if (text.size() != 8 || text.substr(0, 7) != "HTTP/1." || !digit(text[7])) return false;
  out = text[7] == '0' ? Protocol::http10 : Protocol::http11;
  return true;
}

std::string_view trim_end(std::string_view text) {
  while (!text.empty() && (blank(text.back()) || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

// Methods of the IANA registry that occur; longest first where one ends another.
constexpr std::string_view kMethods[] = {"PROPPATCH", "PROPFIND", "MKCALENDAR", "MKCOL", "OPTIONS", "CONNECT", "DELETE",
                                         "REPORT",    "SEARCH",   "UNLOCK",     "PATCH", "TRACE",   "MERGE",   "LOCK",
                                         "COPY",      "MOVE",     "POST",       "HEAD",  "QUERY",   "GET",     "PUT"};

}  // namespace

bool next_line(std::string_view text, size_t from, std::string_view& line, size_t& next) {
  if (from >= text.size()) return false;
  const void* found = std::memchr(text.data() + from, '\n', text.size() - from);
  if (found == nullptr) return false;
  const size_t end = static_cast<size_t>(static_cast<const char*>(found) - text.data());
  next = end + 1;
  line = text.substr(from, end - from);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return true;
}

size_t head_length(std::string_view text, size_t& from) {
  // `from` always stands at the start of a line.
  std::string_view line;
  size_t next = 0;
  while (next_line(text, from, line, next)) {
    from = next;
    if (line.empty()) return next;
  }
  return 0;
}

bool parse_start_line(std::string_view line, bool request, StartLine& out) {
  out.request = request;
  line = trim_end(line);
  if (!request) {
    if (line.size() < 12 || !version(line.substr(0, 8), out.protocol) || line[8] != ' ') return false;
    size_t at = 9;
    while (at < line.size() && line[at] == ' ') ++at;
    if (line.size() - at < 3 || !digit(line[at]) || !digit(line[at + 1]) || !digit(line[at + 2])) return false;
    if (line.size() > at + 3 && line[at + 3] != ' ') return false;
    out.status_text = line.substr(at, 3);
    out.status = (line[at] - '0') * 100 + (line[at + 1] - '0') * 10 + (line[at + 2] - '0');
    return out.status >= 100;
  }
  if (line.size() < 12 || !version(line.substr(line.size() - 8), out.protocol) || line[line.size() - 9] != ' ')
    return false;
  const std::string_view front = trim_end(line.substr(0, line.size() - 9));
  size_t space = 0;
  while (space < front.size() && token_char(front[space])) ++space;
  if (space == 0 || space > kLongestMethod || space >= front.size() || front[space] != ' ') return false;
  out.method = front.substr(0, space);
  while (space < front.size() && front[space] == ' ') ++space;
  out.target = front.substr(space);
  return !out.target.empty();
}

bool plausible_start(std::string_view prefix, bool request) {
  if (!request) {
    static constexpr std::string_view kPrefix = "HTTP/1.";
    const size_t n = std::min(prefix.size(), kPrefix.size());
    return prefix.substr(0, n) == kPrefix.substr(0, n) && (prefix.size() < 8 || digit(prefix[7])) &&
           (prefix.size() < 9 || prefix[8] == ' ');
  }
  size_t i = 0;
  while (i < prefix.size() && token_char(prefix[i])) ++i;
  if (i == prefix.size()) return i <= kLongestMethod;
  return i > 0 && i <= kLongestMethod && prefix[i] == ' ';
}

size_t find_start(std::string_view line, bool request) {
  StartLine start;
  if (!request) {
    for (size_t at = line.rfind("HTTP/1."); at != std::string_view::npos;
         at = at ? line.rfind("HTTP/1.", at - 1) : line.npos) {
      if (parse_start_line(line.substr(at), false, start)) return at;
    }
    return std::string_view::npos;
  }
  const std::string_view text = trim_end(line);
  if (text.size() < 12 || !version(text.substr(text.size() - 8), start.protocol) || text[text.size() - 9] != ' ') {
    return std::string_view::npos;
  }
  const std::string_view front = text.substr(0, text.size() - 9);
  const size_t space = front.rfind(' ');
  if (space == std::string_view::npos || space + 1 == front.size()) return std::string_view::npos;
  const std::string_view before = front.substr(0, space);
  for (std::string_view method : kMethods) {
    if (before.size() >= method.size() && before.substr(before.size() - method.size()) == method) {
      return before.size() - method.size();
    }
  }
  return std::string_view::npos;
}

FieldLines parse_field_lines(std::string_view text, size_t from, size_t bound, std::vector<HeaderField>& out) {
  FieldLines result;
  std::string_view line;
  size_t next = 0;
  size_t fields = 0;
  bool kept = false;  // the last field line was kept, so a folded line extends it
  for (; next_line(text, from, line, next); from = next) {
    if (line.empty()) break;
    if (blank(line.front())) {
      result.folded = true;
      if (kept) {
        HeaderField& last = out.back();
        const std::string_view more = trim(line);
        if (!more.empty()) {
          // An empty first line leaves no value to extend: begin at the fold.
          const char* begin = last.value.empty() ? more.data() : last.value.data();
          last.value = {begin, static_cast<size_t>(more.data() + more.size() - begin)};
          last.offset = static_cast<uint32_t>(begin - text.data());
          last.length = static_cast<uint32_t>(last.value.size());
        }
      } else {
        result.malformed_bytes += next - from;
        ++result.malformed;
      }
      continue;
    }
    size_t colon = 0;
    while (colon < line.size() && token_char(line[colon])) ++colon;
    size_t name_end = colon;
    while (colon < line.size() && blank(line[colon])) ++colon;
    kept = false;
    if (name_end == 0 || colon >= line.size() || line[colon] != ':') {
      // Names with foreign characters still carry a value a reader wants.
      colon = line.find(':');
      if (colon == std::string_view::npos || colon == 0) {
        ++result.malformed;
        result.malformed_bytes += next - from;
        continue;
      }
      name_end = colon;
    }
    if (name_end != colon) result.space_before_colon = true;
    if (fields++ >= bound) {
      ++result.dropped;
      result.dropped_bytes += next - from;
      continue;
    }
    size_t begin = colon + 1, end = line.size();
    while (begin < end && blank(line[begin])) ++begin;
    while (end > begin && (blank(line[end - 1]) || line[end - 1] == '\r')) --end;
    HeaderField field;
    field.name = line.substr(0, name_end);
    field.value = line.substr(begin, end - begin);
    field.offset = static_cast<uint32_t>(field.value.data() - text.data());
    field.length = static_cast<uint32_t>(field.value.size());
    out.push_back(field);
    kept = true;
  }
  return result;
}

}  // namespace vitrine
