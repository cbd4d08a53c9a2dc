#include "capture/input/request_line.h"

#include <algorithm>
#include <charconv>

#include "base/text.h"
#include "capture/media_type.h"

namespace vitrine {

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
  exchange.scheme = ascii_lower(scheme);
  exchange.authority = authority;
  exchange.host = host_of_authority(authority);
  std::string_view rest = url.substr(path);
  rest = rest.substr(0, rest.find('#'));
  exchange.path = rest.empty() || rest.front() != '/' ? "/" + std::string(rest) : std::string(rest);
  return true;
}

void note_header(Exchange& exchange, Direction direction, std::string_view name, std::string_view value) {
  Message& message = exchange.message(direction);
  if (equals_ignoring_case(name, "content-type")) assign_media_type(message.content_type, value);
  if (direction != Direction::client_to_server) return;
  if (equals_ignoring_case(name, "referer")) exchange.referer = value;
  if (equals_ignoring_case(name, "origin")) exchange.origin = value;
}

Protocol protocol_named(std::string_view text) {
  const std::string name = ascii_lower(text);
  if (name == "h2" || name == "http/2" || name == "http/2.0" || name == "http2") return Protocol::http2;
  if (name == "http/1.1") return Protocol::http11;
  if (name == "http/1.0") return Protocol::http10;
  if (name == "websocket") return Protocol::websocket;
  return Protocol::unknown;
}

}  // namespace vitrine
