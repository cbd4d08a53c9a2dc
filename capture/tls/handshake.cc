#include "capture/tls/handshake.h"

#include <algorithm>

namespace vitrine::tls {

bool HandshakeBuffer::add(Bytes content, uint64_t offset) {
  bool whole = true;
  if (skip_ != 0) {
    const uint64_t dropped = std::min<uint64_t>(skip_, content.size());
    skip_ -= dropped;
    content = content.subspan(dropped);
    offset += dropped;
    whole = false;
  }
  if (content.empty()) return whole;
  if (read_ == buffer_.size()) {
    buffer_.clear();
    read_ = 0;
  } else if (read_ != 0) {
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(read_));
    read_ = 0;
  }
  if (buffer_.empty()) start_ = offset;
  record_begin_ = buffer_.size();
  record_offset_ = offset;
  buffer_.insert(buffer_.end(), content.begin(), content.end());
  // An oversized message is dropped as it comes; bytes of it already held too.
  if (buffer_.size() >= 4) {
    const size_t length = ByteReader(Bytes(buffer_).subspan(1, 3)).u24();
    if (length > kMaxHandshakeMessage) {
      const uint64_t total = uint64_t{length} + 4;
      const uint64_t dropped = std::min<uint64_t>(total, buffer_.size());
      skip_ = total - dropped;
      buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(dropped));
      record_begin_ = 0;
      record_offset_ = offset + (content.size() - buffer_.size());
      start_ = record_offset_;
      whole = false;
    }
  }
  return whole;
}

bool HandshakeBuffer::next(HandshakeMessage& out) {
  const Bytes held = Bytes(buffer_).subspan(read_);
  if (held.size() < 4) return false;
  const size_t length = ByteReader(held.subspan(1, 3)).u24();
  if (length > kMaxHandshakeMessage) {  // behind another message of the same record
    skip_ = uint64_t{length} + 4 - std::min<uint64_t>(uint64_t{length} + 4, held.size());
    buffer_.clear();
    read_ = 0;
    return false;
  }
  if (held.size() < 4 + length) return false;
  out.type = held[0];
  out.body = held.subspan(4, length);
  read_ += 4 + length;
  const uint64_t end = record_offset_ + (read_ - std::min(read_, record_begin_));
  out.span = {start_, end - start_};
  start_ = end;
  return true;
}

void HandshakeBuffer::clear() {
  buffer_.clear();
  read_ = 0;
  skip_ = 0;
}

namespace {

// RFC 8446, 4.1.3: SHA-256("HelloRetryRequest").
constexpr ClientRandom kRetryRandom = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c,
                                       0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb,
                                       0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};

std::string selected_alpn(Bytes body) {
  ByteReader reader(body);
  ByteReader list(reader.take(reader.u16()));
  return std::string(as_text(list.take(list.u8())));
}

// Calls each(type, body) for every extension; false when the list is cut.
template <class Each>
bool for_each_extension(ByteReader& reader, Each each) {
  ByteReader extensions(reader.take(reader.u16()));
  while (!extensions.empty()) {
    const uint16_t type = extensions.u16();
    const Bytes content = extensions.take(extensions.u16());
    if (extensions.failed()) return false;
    each(type, content);
  }
  return !reader.failed();
}

}  // namespace

bool parse_server_hello(Bytes body, ServerHello& out) {
  out = {};
  ByteReader reader(body);
  out.version = reader.u16();
  const Bytes random = reader.take(32);
  const Bytes session = reader.take(reader.u8());
  out.cipher = reader.u16();
  reader.skip(1);  // compression
  if (reader.failed() || session.size() > 32) return false;
  std::copy(random.begin(), random.end(), out.random.begin());
  out.session_id.assign(session.begin(), session.end());
  out.retry = out.random == kRetryRandom;
  if (reader.empty()) return true;
  return for_each_extension(reader, [&](uint16_t type, Bytes content) {
    switch (type) {
      case 16: out.alpn = selected_alpn(content); break;
      case 22: out.encrypt_then_mac = true; break;
      case 41: out.pre_shared_key = true; break;
      case 43: out.version = ByteReader(content).u16(); break;
      default: break;
    }
  });
}

bool parse_encrypted_extensions(Bytes body, EncryptedExtensions& out) {
  out = {};
  ByteReader reader(body);
  return for_each_extension(reader, [&](uint16_t type, Bytes content) {
    if (type == 16) out.alpn = selected_alpn(content);
    if (type == 42) out.early_data = true;
  });
}

bool parse_certificate_names(Bytes body, bool tls13, std::vector<std::string>& out) {
  ByteReader reader(body);
  if (tls13) reader.skip(reader.u8());  // certificate_request_context
  ByteReader list(reader.take(reader.u24()));
  if (reader.failed()) return false;
  if (list.empty()) return true;  // a client without a certificate
  const Bytes leaf = list.take(list.u24());
  if (list.failed()) return false;
  bool ok = false;
  out = names_of_certificate(leaf, ok);
  return ok;
}

}  // namespace vitrine::tls
