// Origin: where a value came from, as a chain of spans and decoders down to
// stream bytes, interned per exchange. `vitrine origin ID` replays a chain.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "capture/types.h"

namespace vitrine {

// Every step that turns bytes into other bytes. Stateful ones (hpack,
// permessage_deflate) are replayed by running their connection again; all
// others are pure functions of (input, span).
enum class Decoder : uint8_t {
  stream,          // root: spans of a plaintext stream
  http1_head,      // span of a header value in the head
  hpack,           // span of a header's representation in its block
  request_target,  // the path and query of a request
  gzip,
  zlib,
  deflate,
  br,
  zstd,       // content codings and compressed values ("deflate" = raw RFC 1951)
  websocket,  // unmasked payload of a message's frames
  permessage_deflate,
  sse,      // data of one event
  percent,  // percent- and plus-decoding
  form,     // application/x-www-form-urlencoded value
  query,
  cookie,
  set_cookie,
  multipart,  // one part's body
  json,       // a value in a JSON text
  text,       // the whole as text
  latin1,     // characters that stand for one byte each: ISO 8859-1
  base64,
  base64url,
  hex,
  jwt,
  har,
  exchange_log,  // root: span of a line or file
  tls_hello,     // root: span of the raw stream
  dns,
  connection,
  grpc_web,
  connect_envelope,
  byte_list,  // bytes written as a JSON list of numbers
  joined,     // the texts of a JSON list, one after the other
};
std::string_view to_string(Decoder decoder);  // as printed in paths and chains: "json", "base64", "http1-head"

using OriginId = uint32_t;  // index of a node in its exchange's table

struct OriginNode {
  OriginId parent = 0;  // < own index; node 0 is the first root
  Decoder decoder = Decoder::stream;
  Direction direction = Direction::client_to_server;
  bool root = false;    // span addresses stream pieces of the part that made it
  uint64_t offset = 0;  // span in the parent's output (roots: in the part's pieces)
  uint64_t length = 0;
};

// The nodes of one exchange, in the order fields met them: deterministic, so
// an id printed once finds the same node in a later run.
class OriginTable {
 public:
  OriginId add(const OriginNode& node) {
    nodes_.push_back(node);
    return static_cast<OriginId>(nodes_.size() - 1);
  }
  const OriginNode& operator[](OriginId id) const { return nodes_[id]; }
  size_t size() const { return nodes_.size(); }
  void clear() { nodes_.clear(); }

 private:
  std::vector<OriginNode> nodes_;
};

// "1204.3:17": exchange 1204.3, node 17.
struct OriginRef {
  ExchangeId exchange;
  OriginId node = 0;
  std::string to_string() const;
  static bool parse(std::string_view text, OriginRef& out);
};

}  // namespace vitrine
