// The printed names of capture's vocabulary (exchange.h, field.h, origin.h).
#include <algorithm>
#include <charconv>

#include "base/text.h"
#include "capture/exchange.h"
#include "capture/field.h"
#include "capture/origin.h"

namespace vitrine {

std::string_view to_string(Transport transport) {
  switch (transport) {
    case Transport::tcp: return "tcp";
    case Transport::udp: return "udp";
    case Transport::other_ip: return "ip";
    case Transport::har: return "har";
    case Transport::exchange_log: return "exchange-log";
  }
  return "?";
}

std::string_view to_string(Protocol protocol) {
  switch (protocol) {
    case Protocol::unknown: return "unknown";
    case Protocol::http10: return "HTTP/1.0";
    case Protocol::http11: return "HTTP/1.1";
    case Protocol::http2: return "HTTP/2";
    case Protocol::websocket: return "WebSocket";
  }
  return "?";
}

std::string_view to_string(CloseReason reason) {
  switch (reason) {
    case CloseReason::complete: return "complete";
    case CloseReason::reset: return "reset";
    case CloseReason::connection_closed: return "connection_closed";
    case CloseReason::gap: return "gap";
    case CloseReason::malformed: return "malformed";
    case CloseReason::end_of_capture: return "end_of_capture";
  }
  return "?";
}

std::string_view to_string(Decoder decoder) {
  switch (decoder) {
    case Decoder::stream: return "stream";
    case Decoder::http1_head: return "http1-head";
    case Decoder::hpack: return "hpack";
    case Decoder::request_target: return "request-target";
    case Decoder::gzip: return "gzip";
    case Decoder::zlib: return "zlib";
    case Decoder::deflate: return "deflate";
    case Decoder::br: return "br";
    case Decoder::zstd: return "zstd";
    case Decoder::websocket: return "websocket";
    case Decoder::permessage_deflate: return "permessage-deflate";
    case Decoder::sse: return "sse";
    case Decoder::percent: return "percent";
    case Decoder::form: return "form";
    case Decoder::query: return "query";
    case Decoder::cookie: return "cookie";
    case Decoder::set_cookie: return "set-cookie";
    case Decoder::multipart: return "multipart";
    case Decoder::json: return "json";
    case Decoder::text: return "text";
    case Decoder::latin1: return "latin1";
    case Decoder::base64: return "base64";
    case Decoder::base64url: return "base64url";
    case Decoder::hex: return "hex";
    case Decoder::jwt: return "jwt";
    case Decoder::har: return "har";
    case Decoder::exchange_log: return "exchange-log";
    case Decoder::tls_hello: return "tls-hello";
    case Decoder::dns: return "dns";
    case Decoder::connection: return "connection";
    case Decoder::grpc_web: return "grpc-web";
    case Decoder::connect_envelope: return "connect-envelope";
    case Decoder::byte_list: return "byte-list";
    case Decoder::joined: return "joined";
  }
  return "?";
}

std::string_view to_string(Location location) {
  static constexpr std::string_view kNames[] = {"connection", "tls",  "header", "cookie", "query",
                                                "path",       "body", "frame",  "dns"};
  return kNames[static_cast<size_t>(location)];
}

std::string_view to_string(ValueType type) {
  static constexpr std::string_view kNames[] = {"string", "number", "boolean", "null", "binary", "container"};
  return kNames[static_cast<size_t>(type)];
}

std::string_view to_string(Observation observation) {
  static constexpr std::string_view kNames[] = {"none", "unconfirmed", "probable", "certain"};
  return kNames[static_cast<size_t>(observation)];
}

std::string OriginRef::to_string() const { return exchange.to_string() + ":" + std::to_string(node); }

bool OriginRef::parse(std::string_view text, OriginRef& out) {
  const auto read = [&text](auto& value, char end) {
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
    if (result.ec != std::errc{}) return false;
    text.remove_prefix(static_cast<size_t>(result.ptr - text.data()));
    if (end == 0) return text.empty();
    if (text.empty() || text.front() != end) return false;
    text.remove_prefix(1);
    return true;
  };
  return read(out.exchange.connection, '.') && read(out.exchange.ordinal, ':') && read(out.node, '\0');
}

std::string host_of_authority(std::string_view authority) {
  if (const size_t at = authority.rfind('@'); at != std::string_view::npos) authority.remove_prefix(at + 1);
  if (!authority.empty() && authority.front() == '[') {
    return ascii_lower(authority.substr(1, std::min(authority.find(']'), authority.size()) - 1));
  }
  // An IPv6 address without brackets has several colons, and no port.
  const size_t colon = authority.find(':');
  return ascii_lower(authority.find(':', colon + 1) == std::string_view::npos ? authority.substr(0, colon) : authority);
}

std::string tls_version_text(uint16_t version) {
  switch (version) {
    case 0x0300: return "SSL 3.0";
    case 0x0301: return "TLS 1.0";
    case 0x0302: return "TLS 1.1";
    case 0x0303: return "TLS 1.2";
    case 0x0304: return "TLS 1.3";
    default: {
      static constexpr char kDigits[] = "0123456789abcdef";
      std::string name = "0x";
      for (int shift = 12; shift >= 0; shift -= 4) name.push_back(kDigits[version >> shift & 15]);
      return name;
    }
  }
}

}  // namespace vitrine
