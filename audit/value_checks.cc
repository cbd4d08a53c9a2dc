#include "audit/value_checks.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>

#include "audit/value_tables.h"
#include "base/time.h"

namespace vitrine {
namespace {

constexpr std::pair<std::string_view, ValueCheck> kNames[] = {
    {"uuid", ValueCheck::uuid},
    {"ipv4_public", ValueCheck::ipv4_public},
    {"ipv4_private", ValueCheck::ipv4_private},
    {"ipv6", ValueCheck::ipv6},
    {"mac", ValueCheck::mac},
    {"imei", ValueCheck::imei},
    {"user_agent", ValueCheck::user_agent},
    {"timezone_iana", ValueCheck::timezone_iana},
    {"timezone_offset", ValueCheck::timezone_offset},
    {"screen_size", ValueCheck::screen_size},
    {"locale", ValueCheck::locale},
    {"email", ValueCheck::email},
    {"phone_e164", ValueCheck::phone_e164},
    {"jwt", ValueCheck::jwt},
    {"high_entropy_token", ValueCheck::high_entropy_token},
    {"image_magic", ValueCheck::image_magic},
    {"audio_magic", ValueCheck::audio_magic},
    {"semver", ValueCheck::semver},
    {"url", ValueCheck::url},
    {"iso_datetime", ValueCheck::iso_datetime},
    {"epoch_ms", ValueCheck::epoch_ms},
};
static_assert(std::size(kNames) == kValueChecks);

bool digit(char c) { return c >= '0' && c <= '9'; }
bool lower(char c) { return c >= 'a' && c <= 'z'; }
bool upper(char c) { return c >= 'A' && c <= 'Z'; }
bool alpha(char c) { return lower(c) || upper(c); }
bool alnum(char c) { return digit(c) || alpha(c); }
bool hex(char c) { return digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
char to_lower(char c) { return upper(c) ? static_cast<char>(c + 32) : c; }
bool all_digits(std::string_view s) { return !s.empty() && std::all_of(s.begin(), s.end(), digit); }

// Length of the run of digits at the front.
size_t digits_at(std::string_view s) {
  size_t n = 0;
  while (n < s.size() && digit(s[n])) ++n;
  return n;
}

bool is_uuid(std::string_view s) {
  if (s.size() == 38 && s.front() == '{' && s.back() == '}') s = s.substr(1, 36);
  if (s.size() != 36) return false;
  bool nil = true;
  for (size_t i = 0; i < 36; ++i) {
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (s[i] != '-') return false;
    } else {
      if (!hex(s[i])) return false;
      nil &= s[i] == '0';
    }
  }
  return !nil;
}

bool read_ipv4(std::string_view s, uint8_t out[4]) {
  if (s.size() < 7 || s.size() > 15) return false;
  for (int part = 0; part < 4; ++part) {
    const size_t n = digits_at(s);
    if (n == 0 || n > 3 || (n > 1 && s[0] == '0')) return false;
    int value = 0;
    for (size_t i = 0; i < n; ++i) value = value * 10 + (s[i] - '0');
    if (value > 255) return false;
    out[part] = static_cast<uint8_t>(value);
    s.remove_prefix(n);
    if (part == 3) return s.empty();
    if (s.empty() || s[0] != '.') return false;
    s.remove_prefix(1);
  }
  return false;
}

enum class Ipv4Kind { none, open, closed };
Ipv4Kind ipv4_kind(std::string_view s) {
  uint8_t a[4];
  if (!read_ipv4(s, a)) return Ipv4Kind::none;
  if (a[0] == 0 || a[0] == 127 || a[0] >= 224) return Ipv4Kind::none;  // "this network", loopback, multicast, masks
  const bool closed = a[0] == 10 || (a[0] == 172 && a[1] >= 16 && a[1] < 32) || (a[0] == 192 && a[1] == 168) ||
                      (a[0] == 169 && a[1] == 254) || (a[0] == 100 && a[1] >= 64 && a[1] < 128);
  return closed ? Ipv4Kind::closed : Ipv4Kind::open;
}

bool is_ipv6(std::string_view s, bool global_only) {
  if (s.size() < 3 || s.size() > 45) return false;
  const IpAddress ip = IpAddress::parse(s);
  return ip.family == 6 && (!global_only || (!ip.is_private() && ip.bytes[0] != 0xff && ip.bytes[0] != 0));
}

bool is_mac(std::string_view s) {
  if (s.size() != 17 || (s[2] != ':' && s[2] != '-')) return false;
  bool zero = true, ones = true;
  for (size_t i = 0; i < 17; ++i) {
    if (i % 3 == 2) {
      if (s[i] != s[2]) return false;
    } else {
      if (!hex(s[i])) return false;
      zero &= s[i] == '0';
      ones &= to_lower(s[i]) == 'f';
    }
  }
  return !zero && !ones;
}

bool is_imei(std::string_view s) {
  if (s.size() != 15 || !all_digits(s)) return false;
  // Reporting bodies of the GSMA; keeps most other numbers of 15 digits out.
  static constexpr uint8_t kBodies[] = {1, 10, 30, 31, 33, 35, 44, 45, 49, 50, 51, 52, 53, 54, 86, 91, 97, 98, 99};
  const int body = (s[0] - '0') * 10 + (s[1] - '0');
  if (std::find(std::begin(kBodies), std::end(kBodies), body) == std::end(kBodies)) return false;
  int sum = 0;
  bool same = true;
  for (size_t i = 0; i < 15; ++i) {
    int d = s[i] - '0';
    same &= s[i] == s[0];
    if (i % 2 == 1) d = d * 2 > 9 ? d * 2 - 9 : d * 2;
    sum += d;
  }
  return !same && sum % 10 == 0;
}

// "Product/1.2": a token of RFC 9110, then a version that begins with a digit.
size_t product_at(std::string_view s) {
  size_t n = 0;
  if (s.empty() || !alpha(s[0])) return 0;
  while (n < s.size() && (alnum(s[n]) || s[n] == '-' || s[n] == '_' || s[n] == '.')) ++n;
  if (n < 2 || n + 1 >= s.size() || s[n] != '/') return 0;
  size_t v = n + 1;
  if (!digit(s[v])) return 0;
  while (v < s.size() && (alnum(s[v]) || s[v] == '.' || s[v] == '-' || s[v] == '_' || s[v] == '+')) ++v;
  return v;
}

bool is_user_agent(std::string_view s, bool lenient) {
  if (s.size() < 8 || s.size() > 1024) return false;
  size_t products = 0, comments = 0;
  const bool known = s.starts_with("Mozilla/") || s.starts_with("Dalvik/") || s.starts_with("okhttp/");
  std::string_view rest = s;
  while (!rest.empty()) {
    if (rest[0] == ' ') {
      rest.remove_prefix(1);
    } else if (rest[0] == '(') {
      const size_t end = rest.find(')');
      if (end == std::string_view::npos || products == 0) return false;
      ++comments;
      rest.remove_prefix(end + 1);
    } else if (const size_t n = product_at(rest); n != 0) {
      if (n < rest.size() && rest[n] != ' ') return false;
      ++products;
      rest.remove_prefix(n);
    } else {
      // Browsers append bare words ("Mobile", "like Gecko)"): only after a known start.
      if (!known || products == 0) return false;
      const size_t end = rest.find(' ');
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end);
    }
  }
  return known || products >= 2 || (products >= 1 && (comments >= 1 || lenient));
}

bool is_timezone(std::string_view s) {
  return s.size() >= 7 && s.size() <= 32 && std::binary_search(std::begin(kTimeZones), std::end(kTimeZones), s);
}

bool is_timezone_offset(std::string_view s, bool lenient) {
  if (lenient) {
    int value = 0;
    std::string_view t = s;
    if (t.starts_with('+')) t.remove_prefix(1);
    const auto read = std::from_chars(t.data(), t.data() + t.size(), value);
    if (read.ec == std::errc{} && read.ptr == t.data() + t.size()) {
      // Hours, minutes or seconds, in either sign convention; zones differ by quarter hours.
      if (value >= -14 && value <= 14) return true;
      if (value >= -840 && value <= 840) return value % 15 == 0;
      return value >= -50400 && value <= 50400 && value % 900 == 0;
    }
  }
  bool prefixed = false;
  if (const size_t at = s.find("GMT"); at != std::string_view::npos && (at == 0 || s.size() > 24)) {
    s.remove_prefix(at + 3);
    prefixed = true;
    if (const size_t space = s.find(' '); space != std::string_view::npos && s.find('(') == space + 1)
      s = s.substr(0, space);
  } else if (s.starts_with("UTC")) {
    s.remove_prefix(3);
    prefixed = true;
  }
  if (s.size() < 2 || (s[0] != '+' && s[0] != '-')) return false;
  s.remove_prefix(1);
  const size_t n = digits_at(s);
  int hours = 0, minutes = 0;
  if (n == 4 && s.size() == 4) {
    if (!prefixed && !lenient) return false;
    hours = (s[0] - '0') * 10 + (s[1] - '0');
    minutes = (s[2] - '0') * 10 + (s[3] - '0');
  } else if (n == 1 || n == 2) {
    hours = n == 1 ? s[0] - '0' : (s[0] - '0') * 10 + (s[1] - '0');
    if (s.size() == n) {
      if (!prefixed) return false;
    } else {
      if (s.size() != n + 3 || s[n] != ':' || !digit(s[n + 1]) || !digit(s[n + 2])) return false;
      if (n == 1 && !prefixed) return false;
      minutes = (s[n + 1] - '0') * 10 + (s[n + 2] - '0');
    }
  } else {
    return false;
  }
  return hours <= 14 && minutes % 15 == 0 && minutes < 60;
}

bool is_screen_size(std::string_view s) {
  if (s.size() < 7 || s.size() > 13) return false;
  const size_t w = digits_at(s);
  if (w < 3 || w > 5 || w >= s.size() || (s[w] != 'x' && s[w] != 'X' && s[w] != '*')) return false;
  const std::string_view right = s.substr(w + 1);
  const size_t h = digits_at(right);
  if (h < 3 || h > 5 || h != right.size() || s[0] == '0' || right[0] == '0') return false;
  int width = 0, height = 0;
  std::from_chars(s.data(), s.data() + w, width);
  std::from_chars(right.data(), right.data() + h, height);
  return width >= 200 && width <= 16384 && height >= 200 && height <= 16384;
}

bool in_packed(std::string_view table, char a, char b) {
  for (size_t i = 0; i + 1 < table.size(); i += 3)
    if (table[i] == a && table[i + 1] == b) return true;
  return false;
}

// language[-Script][-REGION]; '_' for '-'. Without a region only when lenient.
bool is_locale_tag(std::string_view s, bool lenient) {
  if (s.size() < 2 || s.size() > 16) return false;
  if (lenient && s == "*") return true;
  const bool two = lower(s[0]) && lower(s[1]) && (s.size() == 2 || s[2] == '-' || s[2] == '_');
  if (!two || !in_packed(kLanguages, s[0], s[1])) return false;
  s.remove_prefix(2);
  if (s.empty()) return lenient;
  s.remove_prefix(1);
  if (s.size() >= 4 && alpha(s[0]) && alpha(s[1]) && alpha(s[2]) && alpha(s[3]) &&
      (s.size() == 4 || s[4] == '-' || s[4] == '_')) {
    if (!upper(s[0]) || !lower(s[1])) return false;
    if (s.size() == 4) return true;
    s.remove_prefix(5);
  }
  if (s.size() == 3) return all_digits(s);  // UN M.49: "es-419"
  if (s.size() == 2 && upper(s[0]) && upper(s[1])) return in_packed(kRegions, s[0], s[1]);
  return lenient && s.size() == 2 && lower(s[0]) && lower(s[1]) &&
         in_packed(kRegions, static_cast<char>(s[0] - 32), static_cast<char>(s[1] - 32));
}

// One tag, or a list as in Accept-Language ("ko-KR,ko;q=0.9").
bool is_locale(std::string_view s, bool lenient) {
  if (s.size() < 2 || s.size() > 200) return false;
  if (const size_t dot = s.find(".UTF-8"); dot != std::string_view::npos && dot + 6 == s.size()) s = s.substr(0, dot);
  if (s.find(',') == std::string_view::npos && s.find(';') == std::string_view::npos) return is_locale_tag(s, lenient);
  bool first = true;
  while (!s.empty()) {
    const size_t comma = std::min(s.find(','), s.size());
    std::string_view item = s.substr(0, comma);
    s.remove_prefix(std::min(comma + 1, s.size()));
    while (item.starts_with(' ')) item.remove_prefix(1);
    if (const size_t q = item.find(";q="); q != std::string_view::npos) item = item.substr(0, q);
    if (!is_locale_tag(item, lenient || !first)) return false;
    first = false;
  }
  return !first;
}

bool is_email(std::string_view s) {
  const size_t at = s.find('@');
  if (s.size() < 6 || s.size() > 254 || at == 0 || at == std::string_view::npos || at > 64) return false;
  for (char c : s.substr(0, at))
    if (!alnum(c) && std::string_view(".!#$%&'*+-/=?^_`{|}~").find(c) == std::string_view::npos) return false;
  const std::string_view domain = s.substr(at + 1);
  size_t label = 0, dots = 0, last = 0;
  for (size_t i = 0; i < domain.size(); ++i) {
    if (domain[i] == '.') {
      if (label == 0) return false;
      ++dots;
      label = 0;
      last = i + 1;
    } else if (alnum(domain[i]) || domain[i] == '-') {
      ++label;
    } else {
      return false;
    }
  }
  const std::string_view top = domain.substr(last);
  if (dots == 0 || top.size() < 2 || !std::all_of(top.begin(), top.end(), alpha)) return false;
  // Names of pictures at double density: "icon@2x.png".
  const bool picture = top == "png" || top == "jpg" || top == "jpeg" || top == "svg" || top == "webp" || top == "gif";
  return !(picture && domain.size() > 2 && digit(domain[0]) && domain[1] == 'x');
}

bool is_phone(std::string_view s, bool lenient) {
  if (s.size() < 8 || s.size() > 24) return false;
  const bool plus = s[0] == '+';
  if (!plus && !lenient) return false;
  char digits[16];
  size_t n = 0;
  char before = 0;
  for (char c : s.substr(plus ? 1 : 0)) {
    if (digit(c)) {
      if (n == 15) return false;
      digits[n++] = c;
    } else if (c == ' ' || c == '-' || c == '.' || c == '(' || c == ')') {
      if (c == before && c != ' ') return false;
    } else {
      return false;
    }
    before = c;
  }
  if (n < (plus ? 8u : 7u)) return false;
  if (!plus) return true;
  int code = 0;
  for (size_t i = 0; i < 3; ++i) {
    code = code * 10 + (digits[i] - '0');
    if (std::binary_search(std::begin(kCallingCodes), std::end(kCallingCodes), code)) return true;
  }
  return false;
}

bool base64url_char(char c) { return alnum(c) || c == '-' || c == '_'; }

bool is_jwt(std::string_view s) {
  if (s.starts_with("Bearer ")) s.remove_prefix(7);
  if (s.size() < 30 || s.size() > 16384 || !s.starts_with("eyJ")) return false;
  size_t dots = 0, run = 0;
  for (char c : s) {
    if (c == '.') {
      if (run < 4) return false;
      ++dots;
      run = 0;
    } else if (base64url_char(c)) {
      ++run;
    } else {
      return false;
    }
  }
  return dots == 2;
}

// Random text, as against words, versions, dates and paths: looks at classes of
// characters first, entropy last.
bool is_token(std::string_view s, bool lenient) {
  if (s.starts_with("Bearer ")) s.remove_prefix(7);
  if (s.size() < (lenient ? 8u : 20u) || s.size() > 4096) return false;
  size_t digits = 0, lowers = 0, uppers = 0, hexes = 0, marks = 0, changes = 0;
  int before = -1;
  for (char c : s) {
    int kind = 0;
    if (digit(c)) ++digits, kind = 1;
    else if (lower(c)) ++lowers, kind = 2;
    else if (upper(c)) ++uppers, kind = 3;
    else if (c == '-' || c == '_' || c == '+' || c == '/' || c == '=' || c == '.' || c == '%' || c == '~' || c == ':')
      ++marks, kind = 4;
    else return false;
    hexes += hex(c);
    changes += before != -1 && before != kind;
    before = kind;
  }
  const size_t letters = lowers + uppers;
  if (hexes == s.size()) {
    if (digits < 3 || letters < 3) return false;
    return (lenient || s.size() == 24 || s.size() >= 32) && shannon_entropy(s) >= 2.8;
  }
  if (digits < 2 || letters < 4 || marks * 5 > s.size()) return false;
  // Words joined by marks change class only at the marks.
  if (changes * (lenient ? 8 : 5) < s.size()) return false;
  if (s.find("://") != std::string_view::npos || s.front() == '/') return false;
  return shannon_entropy(s.substr(0, 256)) >= (lenient ? 3.0 : 3.6);
}

bool is_semver(std::string_view s) {
  if (s.size() < 5 || s.size() > 64) return false;
  if (s[0] == 'v' || s[0] == 'V') s.remove_prefix(1);
  for (int part = 0; part < 3; ++part) {
    const size_t n = digits_at(s);
    if (n == 0 || n > 9) return false;
    s.remove_prefix(n);
    if (part == 2) break;
    if (s.empty() || s[0] != '.') return false;
    s.remove_prefix(1);
  }
  if (s.empty()) return true;
  return (s[0] == '-' || s[0] == '+') && s.size() > 1 &&
         std::all_of(s.begin() + 1, s.end(), [](char c) { return alnum(c) || c == '.' || c == '-' || c == '+'; });
}

bool is_url(std::string_view s) {
  const size_t colon = s.substr(0, 8).find("://");
  if (colon == std::string_view::npos || s.size() < colon + 5) return false;
  const std::string_view scheme = s.substr(0, colon);
  return (scheme == "http" || scheme == "https" || scheme == "ws" || scheme == "wss") &&
         s.find(' ') == std::string_view::npos;
}

bool is_iso_datetime(std::string_view s) {
  if (s.size() < 16 || s.size() > 35 || s[4] != '-' || s[7] != '-' || (s[10] != 'T' && s[10] != ' ' && s[10] != 't'))
    return false;
  char text[40];
  size_t n = s.copy(text, s.size());
  text[10] = 'T';
  const char last = text[n - 1];
  const bool zoned = last == 'Z' || last == 'z' || (n > 19 && s.find_first_of("+-", 19) != std::string_view::npos);
  if (!zoned) {
    if (n == 16) text[n++] = ':', text[n++] = '0', text[n++] = '0';
    text[n++] = 'Z';
  }
  return parse_rfc3339({text, n}).has_value();
}

bool is_epoch_ms(std::string_view s) {
  return s.size() == 13 && all_digits(s) && s >= "0978307200000" && s < "4102444800000";
}

bool is_image(std::string_view s) {
  return s.starts_with("\xff\xd8\xff") || s.starts_with("\x89PNG\r\n\x1a\n") || s.starts_with("GIF87a") ||
         s.starts_with("GIF89a") || (s.size() > 12 && s.starts_with("RIFF") && s.substr(8, 4) == "WEBP") ||
         (s.size() > 12 && s.substr(4, 4) == "ftyp" &&
          (s.substr(8, 4) == "heic" || s.substr(8, 4) == "mif1" || s.substr(8, 4) == "avif"));
}

bool is_audio(std::string_view s) {
  if (s.starts_with("OggS") || s.starts_with("fLaC")) return true;
  if (s.size() > 12 && s.starts_with("RIFF") && s.substr(8, 4) == "WAVE") return true;
  if (s.size() > 10 && s.starts_with("ID3") && static_cast<uint8_t>(s[3]) < 5) return true;
  if (s.size() > 12 && s.substr(4, 4) == "ftyp" && s.substr(8, 4) == "M4A ") return true;
  return s.starts_with("\x1a\x45\xdf\xa3") && s.substr(0, 1024).find("A_OPUS") != std::string_view::npos;
}

}  // namespace

std::string_view to_string(ValueCheck check) { return kNames[static_cast<size_t>(check)].first; }

std::span<const std::pair<std::string_view, ValueCheck>> value_check_names() { return kNames; }

double shannon_entropy(std::string_view value) {
  if (value.empty()) return 0;
  std::array<uint32_t, 256> counts{};
  for (char c : value) ++counts[static_cast<uint8_t>(c)];
  double bits = 0;
  const double total = static_cast<double>(value.size());
  for (uint32_t count : counts)
    if (count != 0) bits -= count / total * std::log2(count / total);
  return bits;
}

bool holds(ValueCheck check, std::string_view value, ValueType type) {
  if (type == ValueType::null || type == ValueType::container || type == ValueType::boolean) return false;
  switch (check) {
    case ValueCheck::uuid: return is_uuid(value);
    case ValueCheck::ipv4_public: return ipv4_kind(value) == Ipv4Kind::open;
    case ValueCheck::ipv4_private: return ipv4_kind(value) == Ipv4Kind::closed;
    case ValueCheck::ipv6: return is_ipv6(value, false);
    case ValueCheck::mac: return is_mac(value);
    case ValueCheck::imei: return is_imei(value);
    case ValueCheck::user_agent: return is_user_agent(value, true);
    case ValueCheck::timezone_iana: return is_timezone(value) || value == "UTC" || value == "GMT";
    case ValueCheck::timezone_offset: return is_timezone_offset(value, true);
    case ValueCheck::screen_size: return is_screen_size(value);
    case ValueCheck::locale: return is_locale(value, true);
    case ValueCheck::email: return is_email(value);
    case ValueCheck::phone_e164: return is_phone(value, true);
    case ValueCheck::jwt: return is_jwt(value);
    case ValueCheck::high_entropy_token: return is_token(value, true);
    case ValueCheck::image_magic: return is_image(value);
    case ValueCheck::audio_magic: return is_audio(value);
    case ValueCheck::semver: return is_semver(value);
    case ValueCheck::url: return is_url(value);
    case ValueCheck::iso_datetime: return is_iso_datetime(value);
    case ValueCheck::epoch_ms: return is_epoch_ms(value);
  }
  return false;
}

CheckSet detect(std::string_view s, ValueType type) {
  CheckSet found;
  if (type == ValueType::number) {
    if (s.size() == 15 && is_imei(s)) found.add(ValueCheck::imei);
    if (s.size() == 13 && is_epoch_ms(s)) found.add(ValueCheck::epoch_ms);
    return found;
  }
  if (s.size() < 3 || (type != ValueType::string && type != ValueType::binary)) return found;
  const uint8_t first = static_cast<uint8_t>(s[0]);
  if (type == ValueType::binary || first >= 0x80 || first < 0x20 || first == 'R' || first == 'O' || first == 'G' ||
      first == 'I' || first == 'f') {
    if (is_image(s)) found.add(ValueCheck::image_magic);
    if (is_audio(s)) found.add(ValueCheck::audio_magic);
    if (type == ValueType::binary || !found.empty()) return found;
  }
  if (first == ' ' || s.size() > 16384) return found;

  // Separators of the first bytes decide which forms are still possible.
  size_t dashes = 0, dots = 0, colons = 0, slashes = 0, spaces = 0, ats = 0;
  const size_t looked = std::min<size_t>(s.size(), 64);
  for (size_t i = 0; i < looked; ++i) {
    switch (s[i]) {
      case '-': ++dashes; break;
      case '.': ++dots; break;
      case ':': ++colons; break;
      case '/': ++slashes; break;
      case ' ': ++spaces; break;
      case '@': ++ats; break;
      default: break;
    }
  }
  const size_t n = s.size();
  if ((n == 36 && dashes == 4) || (n == 38 && first == '{')) {
    if (is_uuid(s)) {
      found.add(ValueCheck::uuid);
      return found;
    }
  }
  if (digit(s[0])) {
    if (n <= 15 && dots == 3) {
      const Ipv4Kind kind = ipv4_kind(s);
      if (kind == Ipv4Kind::open) found.add(ValueCheck::ipv4_public);
      if (kind == Ipv4Kind::closed) found.add(ValueCheck::ipv4_private);
    }
    if (n == 15 && is_imei(s)) found.add(ValueCheck::imei);
    if (n == 13 && is_epoch_ms(s)) found.add(ValueCheck::epoch_ms);
    if (n <= 13 && is_screen_size(s)) found.add(ValueCheck::screen_size);
    if (dots >= 2 && is_semver(s)) found.add(ValueCheck::semver);
    if (n >= 16 && dashes >= 2 && is_iso_datetime(s)) found.add(ValueCheck::iso_datetime);
  }
  if (n == 17 && (colons == 5 || dashes == 5) && is_mac(s)) found.add(ValueCheck::mac);
  if (colons >= 2 && n <= 45 && (hex(s[0]) || first == ':') && is_ipv6(s, true)) found.add(ValueCheck::ipv6);
  if (ats == 1 && is_email(s)) found.add(ValueCheck::email);
  if (first == '+' && n <= 24 && is_phone(s, false)) found.add(ValueCheck::phone_e164);
  if ((first == '+' || first == '-' || first == 'U' || first == 'G' || spaces >= 4) && n <= 80 &&
      is_timezone_offset(s, false))
    found.add(ValueCheck::timezone_offset);
  if (slashes >= 1 && upper(s[0]) && n <= 32 && is_timezone(s)) found.add(ValueCheck::timezone_iana);
  if (lower(s[0]) && n >= 5 && n <= 200 && (s[2] == '-' || s[2] == '_') && is_locale(s, false))
    found.add(ValueCheck::locale);
  if (slashes >= 1 && alpha(s[0])) {
    if (is_url(s)) {
      found.add(ValueCheck::url);
      return found;
    }
    if (is_user_agent(s, false)) found.add(ValueCheck::user_agent);
  }
  if (dots >= 1 || n > 64) {
    if (is_jwt(s)) found.add(ValueCheck::jwt);
  }
  if (found.empty() && n >= 20 && n <= 4096 && spaces == 0 && is_token(s, false))
    found.add(ValueCheck::high_entropy_token);
  return found;
}

}  // namespace vitrine
