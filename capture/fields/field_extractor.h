// Exchange parts → Fields. Opens values in values until nothing more opens.
#pragma once

#include <memory>
#include <string_view>

#include "capture/exchange.h"
#include "capture/field.h"
#include "capture/fields/pattern_table.h"

namespace vitrine {

struct ExtractLimits {
  uint32_t depth = 16;  // nested decoders per value
  uint64_t fields_per_exchange = 4'000'000;
  uint64_t decoded_bytes_per_part = 256ull << 20;  // sum of all decoder outputs
  uint32_t json_depth = 512;
  uint32_t value_bytes = 1u << 20;  // of one emitted value; longer ones are cut (Field::cut)
  uint32_t patterns = 200'000;      // interned path patterns per shard
};

// One per shard. Fields of the connection itself (addresses, SNI, JA3/JA4,
// ALPN offered, DNS names) are emitted under exchange ordinal 0, with an
// Exchange that has id, host, connection, opened and process only.
//
// Paths (grammar: capture/field.h). A leaf is emitted where nothing opens any
// more; its path is the chain that led there. Repeated names get [1], [2] …
//   connection:client-ip, :client-port (sent), :server-ip, :server-port (received)
//   tls:sni, :alpn-offered (comma-joined), :ech ("true"), :ja3, :ja3-text, :ja4 (sent);
//       :version, :cipher, :alpn, :certificate-name (received; when the connection closes)
//   dns:name, dns:type (of a question)
//   path:method; path (the target without its query); path:0 … (its segments, pattern path:*)
//   query:NAME; query (one bare word)
//   header:NAME, lower case; header::authority (HTTP/2 without Host), header::status
//   cookie:NAME   of Cookie; of Set-Cookie with direction server_to_client, beside
//       header:set-cookie|set-cookie/NAME/{expires,max-age,domain,path,secure,httponly,samesite,…}
//       (flags have an empty value; lifetime: capture/fields/set_cookie.h)
//   body|json/…, body|form/NAME, body|multipart/NAME (and /filename, /content-type below it),
//   body|grpc-web…, body|connect-envelope…, body|sse (one event; Server-Sent Events), body|text, body (binary)
//   frame|json/…, frame|text, frame (a WebSocket message)
//   …|base64 |base64url |hex |percent |form |json |gzip |zlib |zstd |br, in any order;
//   …|jwt/header/…, …|jwt/payload/…, …|jwt/signature
// JSON documents in a row are |json, |json[1] …; envelopes likewise.
// Pointer segments and names escape ~ / | as ~0 ~1 ~2; segments over 512 bytes
// and paths over 4 KiB are cut with "…". Pattern ids ignore [n] and array indices.
class FieldExtractor : public ExchangeSink {
 public:
  FieldExtractor(FieldSink& fields, ExtractLimits limits = {});
  ~FieldExtractor() override;
  void connection(const ConnectionInfo&, ConnectionEvent) override;
  void opened(const Exchange&) override;
  void part(const Exchange&, const Part&) override;
  void closed(const Exchange&, CloseReason) override;
  void dns(const ConnectionInfo&, const DnsName&) override;

  // Bytes of the exchange's stream (per direction) that ended opaque so far;
  // subset of Message::bytes[decoded]. Valid from part() until after closed()
  // of that exchange (until the next exchange closes).
  uint64_t opaque_bytes(const Exchange&, Direction) const;
  // Nodes of the exchange's origins; valid as long as opaque_bytes().
  const OriginTable* origins(const ExchangeId&) const;

  // What Field::pattern means; owned by this extractor.
  const PatternTable& patterns() const;
  // Where limits and malformed contents are reported; nobody when not set. Borrowed.
  void set_issues(IssueSink* issues);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vitrine
