// Handshake messages: reassembly over records, and the few that matter to a
// reader from outside.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "capture/stream.h"
#include "capture/tls/secrets.h"

namespace vitrine::tls {

enum HandshakeType : uint8_t {
  hello_request = 0,
  client_hello = 1,
  server_hello = 2,
  new_session_ticket = 4,
  end_of_early_data = 5,
  encrypted_extensions = 8,
  certificate = 11,
  finished = 20,
  key_update = 24,
  compressed_certificate = 25,
};

// Longest message kept. Certificate chains are the longest real ones.
inline constexpr size_t kMaxHandshakeMessage = 256 << 10;

struct HandshakeMessage {
  uint8_t type = 0;
  Bytes body;       // valid until the next call
  StreamSpan span;  // in the raw stream, from its first byte to its last (record headers between them included)
};

// Messages of one direction, which may span records or share one.
// Memory: at most kMaxHandshakeMessage + one record.
class HandshakeBuffer {
 public:
  // `content` lies at raw stream offset `offset` (of the record's fragment).
  // False: a part of it was dropped, because its message exceeds the bound.
  bool add(Bytes content, uint64_t offset);
  bool next(HandshakeMessage& out);
  bool empty() const { return buffer_.size() == read_ && skip_ == 0; }
  void clear();

 private:
  std::vector<uint8_t> buffer_;
  size_t read_ = 0;
  uint64_t skip_ = 0;        // bytes of an oversized message still to drop
  uint64_t start_ = 0;       // raw offset of the message at read_
  size_t record_begin_ = 0;  // index in buffer_ where the last record begins
  uint64_t record_offset_ = 0;
};

struct ServerHello {
  uint16_t version = 0;  // selected, from supported_versions where present
  ClientRandom random{};
  std::vector<uint8_t> session_id;
  uint16_t cipher = 0;
  std::string alpn;    // TLS 1.2
  bool retry = false;  // HelloRetryRequest (RFC 8446, 4.1.3)
  bool pre_shared_key = false, encrypt_then_mac = false;
};
bool parse_server_hello(Bytes body, ServerHello& out);

struct EncryptedExtensions {
  std::string alpn;
  bool early_data = false;  // accepted
};
bool parse_encrypted_extensions(Bytes body, EncryptedExtensions& out);

// Subject CN and SANs (DNS names, IP addresses) of the leaf; at most 256.
// False: the message or the certificate does not parse.
bool parse_certificate_names(Bytes body, bool tls13, std::vector<std::string>& out);
std::vector<std::string> names_of_certificate(Bytes der, bool& ok);

// CompressedCertificate (RFC 8879: zlib, brotli, zstd) → the Certificate message's
// body. False: malformed, another algorithm, or longer than kMaxHandshakeMessage.
bool decompress_certificate(Bytes body, std::vector<uint8_t>& out);

}  // namespace vitrine::tls
