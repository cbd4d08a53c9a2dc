#include "capture/input/request_line.h"

#include <algorithm>
#include <charconv>

namespace vitrine {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}

bool iequals(std::string_view left, std::string_view right) {
  return left.size() == right.size() && lower(left) == lower(right);
}

std::string lower_media_type(std::string_view value) {
  std::string out = lower(value);
  size_t at = out.find("boundary=");
  if (at == std::string::npos) return out;
  at += 9;
  const bool quoted = at < out.size() && out[at] == '"';
  const size_t end = std::min(out.find(quoted ? '"' : ';', at + (quoted ? 1 : 0)), out.size());
  return out.replace(at, end - at, value.substr(at, end - at));
}

std::string host_of_authority(std::string_view authority) {
  if (!authority.empty() && authority.front() == '[') {
    const size_t close = authority.find(']');
    return lower(authority.substr(1, close == std::string_view::npos ? close : close - 1));
  }
  return lower(authority.substr(0, authority.find(':')));
}

uint16_t port_of_authority(std::string_view authority, uint16_t fallback) {
  const size_t colon = authority.rfind(':');
  if (colon == std::string_view::npos || authority.find(']', colon) != std::string_view::npos) return fallback;
  const std::string_view digits = authority.substr(colon + 1);
  uint16_t port = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  return result.ec == std::errc{} && result.ptr == digits.data() + digits.size() && port != 0 ? port : fallback;
}

bool split_url(std::string_view url, Exchange& exchange) {
  const size_t colon = url.find("://");
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view scheme = url.substr(0, colon);
  url.remove_prefix(colon + 3);
  const size_t path = std::min(url.find_first_of("/?#"), url.size());
  std::string_view authority = url.substr(0, path);
  if (const size_t at = authority.rfind('@'); at != std::string_view::npos) authority.remove_prefix(at + 1);
  if (authority.empty()) return false;
  exchange.scheme = lower(scheme);
  exchange.authority = authority;
  exchange.host = host_of_authority(authority);
  std::string_view rest = url.substr(path);
  rest = rest.substr(0, rest.find('#'));
  exchange.path = rest.empty() || rest.front() != '/' ? "/" + std::string(rest) : std::string(rest);
  return true;
}

void note_header(Exchange& exchange, Direction direction, std::string_view name, std::string_view value) {
  Message& message = exchange.message(direction);
  if (iequals(name, "content-type")) message.content_type = lower_media_type(value);
  if (direction != Direction::client_to_server) return;
  if (iequals(name, "referer")) exchange.referer = value;
  if (iequals(name, "origin")) exchange.origin = value;
}

Protocol protocol_named(std::string_view text) {
  const std::string name = lower(text);
  if (name == "h2" || name == "http/2" || name == "http/2.0" || name == "http2") return Protocol::http2;
  if (name == "http/1.1") return Protocol::http11;
  if (name == "http/1.0") return Protocol::http10;
  if (name == "websocket") return Protocol::websocket;
  return Protocol::unknown;
}

bool decode_base64(std::string_view text, std::string& out) {
  out.clear();
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    int value = 0;
    if (c >= 'A' && c <= 'Z') value = c - 'A';
    else if (c >= 'a' && c <= 'z') value = c - 'a' + 26;
    else if (c >= '0' && c <= '9') value = c - '0' + 52;
    else if (c == '+' || c == '-') value = 62;
    else if (c == '/' || c == '_') value = 63;
    else if (c == '=') break;
    else if (c == '\n' || c == '\r' || c == ' ' || c == '\t') continue;
    else return false;
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out.push_back(static_cast<char>(bits >> count));
    }
  }
  return true;
}

}  // namespace vitrine
