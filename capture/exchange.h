// Exchange: one request and its response as a lifecycle, version-neutral.
//
//   connection(opened) → exchange opened → part* → exchange closed → connection(closed)
//
// Every source (packets, HAR, exchange log, later proxy and tap) ends in an
// ExchangeSink; everything after (fields, audit) starts there. Views inside the
// arguments are valid for the call only. One sink is called from one thread.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "capture/stream.h"
#include "capture/types.h"

namespace vitrine {

enum class Transport : uint8_t { tcp, udp, other_ip, har, exchange_log };
std::string_view to_string(Transport transport);

// What a TLS (or QUIC) hello shows without any key.
struct TlsInfo {
  bool client_hello_seen = false, server_hello_seen = false;
  std::string sni;  // RFC 6066; may be empty
  std::vector<std::string> alpn_offered;
  std::string alpn;                            // selected
  uint16_t version = 0;                        // 0x0303, 0x0304 …; selected
  uint16_t cipher = 0;                         // IANA suite; selected
  std::string cipher_name;                     // IANA name or "0x1301"
  bool ech_offered = false;                    // extension 0xfe0d present; may be GREASE
  std::vector<std::string> certificate_names;  // subject CN and SANs of the leaf, when it was readable
  std::string ja3, ja3_text, ja4;              // of the ClientHello
  bool early_data = false, resumed = false, retry = false;
  bool decrypted = false;   // at least one application record opened
  StreamSpan client_hello;  // handshake message in the client's raw TCP stream
};

std::string tls_version_text(uint16_t version);  // "TLS 1.3"; "0x7f1c" for one without a name

struct ConnectionInfo {
  ConnectionId id = 0;
  Transport transport = Transport::tcp;
  Endpoint client, server;
  Timestamp opened;  // first packet
  uint64_t first_packet = 0;
  bool mid_stream = false;  // joined without a SYN
  std::string process;      // when the recorder tied it to one, else empty
  // full: every value stands for itself; else some are withheld (capture/withheld.h).
  RecordedContent content = RecordedContent::full;
  bool tls = false;
  TlsInfo tls_info;
  std::string protocol;  // "http/1.1", "h2", "dns", "quic", "ntp", "unknown" …
  // Bytes of the transport streams, per direction, not belonging to one
  // exchange (handshake, framing, undecrypted). Final when closed is emitted.
  ByteCounts overhead[2];
};

enum class Protocol : uint8_t { unknown, http10, http11, http2, websocket };
std::string_view to_string(Protocol protocol);  // "HTTP/1.0", "HTTP/1.1", "HTTP/2", "WebSocket"

// One header as it was sent. `offset`/`length` address its origin in the
// header block (Part::pieces): HTTP/1 → the value's bytes; HTTP/2 → its HPACK
// representation.
struct HeaderField {
  std::string_view name;   // as on the wire (HTTP/2: lower case); ":method" etc. are pseudo-headers
  std::string_view value;  // HTTP/1: optional white space trimmed, obs-fold kept
  uint32_t offset = 0;
  uint32_t length = 0;
};

struct Message {
  bool seen = false;                         // its head was seen
  bool complete = false;                     // its end was seen and nothing was cut
  std::string content_type;                  // value of the header, lower-cased, parameters kept
  std::vector<std::string> content_codings;  // in the order applied: {"gzip"}
  uint64_t wire_bytes = 0;                   // body after transfer framing, before content decoding
  uint64_t content_bytes = 0;                // body after content decoding
  std::string sha256;                        // hex of the content (decoded body) seen; empty until closed
  ByteCounts bytes;                          // stream bytes of this message by cause
};

struct Exchange {
  ExchangeId id;
  const ConnectionInfo* connection = nullptr;
  Protocol protocol = Protocol::unknown;
  uint64_t stream = 0;                          // HTTP/2 stream id, else 0
  std::string method, scheme, authority, path;  // path with its query, as sent
  std::string host;                             // authority without port, lower case; else SNI, else server IP
  int status = 0;                               // 0 = no response seen
  std::string referer, origin;                  // request headers, for attribution
  std::string initiator;                        // HAR _initiator URL
  std::string process;
  Timestamp opened, closed;
  uint64_t first_packet = 0, last_packet = 0;
  Message messages[2];  // indexed by Direction

  Message& message(Direction d) { return messages[static_cast<size_t>(d)]; }
  const Message& message(Direction d) const { return messages[static_cast<size_t>(d)]; }
  std::string url() const { return scheme + "://" + authority + path; }
};

// How a part's `content` was made from stream bytes, outermost step first:
// e.g. {gzip} for a compressed body, {sse} for one event, {websocket,
// permessage_deflate} for a message. `Decoder` is in capture/origin.h.
enum class Decoder : uint8_t;

struct Part {
  enum class Kind : uint8_t {
    headers,   // `headers`; for requests the start line is in Exchange
    body,      // `content`: the whole body, or as much as came (complete == false)
    message,   // one WebSocket message or one Server-Sent Event in `content`
    trailers,  // `headers`
  };
  Kind kind = Kind::headers;
  Direction direction = Direction::client_to_server;
  Timestamp time;
  uint64_t first_packet = 0, last_packet = 0;
  std::span<const HeaderField> headers;
  Bytes content;                       // after content decoding
  bool text = false;                   // message: WebSocket text frame / SSE event
  bool complete = true;                // false: cut, see `cause`
  Cause cause = Cause::decoded;        // why content is cut or could not be decoded
  uint64_t wire_bytes = 0;             // stream bytes this part's content came from
  std::span<const StreamSpan> pieces;  // the part's bytes in the plaintext stream, in order
  std::span<const Decoder> decoders;   // steps from pieces to content
  // SSE: span of the event inside the decoded body. Zero otherwise.
  StreamSpan within;
};

// The host of an authority (RFC 3986 section 3.2): without user information and
// port, lower case, brackets kept off IPv6.
std::string host_of_authority(std::string_view authority);

enum class CloseReason : uint8_t { complete, reset, connection_closed, gap, malformed, end_of_capture };
std::string_view to_string(CloseReason reason);

// A question in a DNS message: which name the client looked up.
struct DnsName {
  std::string_view name;  // presentation form without the last dot
  std::string_view type;  // "A", "AAAA", "HTTPS" …
  Direction direction = Direction::client_to_server;
  Timestamp time;
  uint64_t packet = 0;
  uint64_t bytes = 0;  // of the whole message
  StreamSpan span;     // of the encoded name in the message
};

class ExchangeSink : public IssueSink {
 public:
  // The connection became known, its hello was read, it ended.
  enum class ConnectionEvent : uint8_t { opened, hello, closed };
  virtual void connection(const ConnectionInfo&, ConnectionEvent) {}
  virtual void opened(const Exchange&) {}
  virtual void part(const Exchange&, const Part&) {}
  virtual void closed(const Exchange&, CloseReason) {}
  virtual void dns(const ConnectionInfo&, const DnsName&) {}
  // A name was resolved in the capture (DNS answer, pcapng name resolution block).
  virtual void resolved(const IpAddress&, std::string_view /*name*/) {}
  void issue(Issue) override {}
};

}  // namespace vitrine
