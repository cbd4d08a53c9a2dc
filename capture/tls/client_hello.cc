#include "capture/tls/client_hello.h"

#include <algorithm>

namespace vitrine::tls {
namespace {

enum ExtensionType : uint16_t {
  server_name = 0,
  supported_groups = 10,
  ec_point_formats = 11,
  signature_algorithms = 13,
  alpn = 16,
  encrypt_then_mac = 22,
  pre_shared_key = 41,
  early_data = 42,
  supported_versions = 43,
  encrypted_client_hello = 0xfe0d,
};

std::vector<uint16_t> u16_list(Bytes bytes) {
  std::vector<uint16_t> out;
  ByteReader reader(bytes);
  while (reader.remaining() >= 2) out.push_back(reader.u16());
  return out;
}

void read_server_name(ByteReader reader, ClientHello& out) {
  ByteReader list(reader.take(reader.u16()));
  while (!list.empty() && out.sni.empty()) {
    const uint8_t type = list.u8();
    const Bytes name = list.take(list.u16());
    if (type == 0) out.sni = as_text(name);
  }
}

void read_alpn(ByteReader reader, ClientHello& out) {
  ByteReader list(reader.take(reader.u16()));
  while (!list.empty() && out.alpn.size() < kMaxAlpn) {
    const Bytes name = list.take(list.u8());
    if (list.failed()) return;
    out.alpn.emplace_back(as_text(name));
  }
}

void read_extension(uint16_t type, Bytes body, ClientHello& out) {
  ByteReader reader(body);
  switch (type) {
    case server_name: read_server_name(reader, out); break;
    case alpn: read_alpn(reader, out); break;
    case supported_groups: out.groups = u16_list(reader.take(reader.u16())); break;
    case signature_algorithms: out.signature_algorithms = u16_list(reader.take(reader.u16())); break;
    case supported_versions: out.versions = u16_list(reader.take(reader.u8())); break;
    case ec_point_formats: {
      const Bytes formats = reader.take(reader.u8());
      out.point_formats.assign(formats.begin(), formats.end());
      break;
    }
    case encrypt_then_mac: out.encrypt_then_mac = true; break;
    case pre_shared_key: out.pre_shared_key = true; break;
    case early_data: out.early_data = true; break;
    case encrypted_client_hello: out.ech = true; break;
    default: break;
  }
}

}  // namespace

bool ClientHello::offers(uint16_t version) const {
  return std::find(versions.begin(), versions.end(), version) != versions.end();
}

bool is_grease(uint16_t value) { return (value & 0x0f0f) == 0x0a0a && value >> 8 == (value & 0xff); }

bool parse_client_hello(Bytes body, ClientHello& out) {
  out = {};
  ByteReader reader(body);
  out.legacy_version = reader.u16();
  const Bytes random = reader.take(32);
  const Bytes session = reader.take(reader.u8());
  const Bytes ciphers = reader.take(reader.u16());
  reader.skip(reader.u8());  // compression methods
  if (reader.failed() || session.size() > 32 || ciphers.size() % 2 != 0) return false;
  std::copy(random.begin(), random.end(), out.random.begin());
  out.session_id.assign(session.begin(), session.end());
  out.ciphers = u16_list(ciphers);
  if (reader.empty()) return true;  // no extensions (RFC 5246)
  ByteReader extensions(reader.take(reader.u16()));
  while (!extensions.empty()) {
    const uint16_t type = extensions.u16();
    const Bytes content = extensions.take(extensions.u16());
    if (extensions.failed()) return false;
    out.extensions.push_back(type);
    read_extension(type, content, out);
  }
  return !reader.failed();
}

}  // namespace vitrine::tls
