// Properties of TLS handshakes, parsed once more.
#include <algorithm>
#include <functional>

#include "capture/pipeline/replay_packets.h"
#include "capture/tls/cipher_suites.h"
#include "capture/tls/client_hello.h"

namespace vitrine {
namespace {

using Handshake = PlaintextCollector::Handshake;

std::string of_client_hello(const tls::ClientHello& hello, std::string_view path) {
  if (path == "tls:sni") return hello.sni;
  if (path == "tls:ech") return hello.ech ? "true" : "";
  if (path == "tls:ja3") return tls::ja3(hello);
  if (path == "tls:ja3-text") return tls::ja3_text(hello);
  if (path == "tls:ja4") return tls::ja4(hello);
  std::string out;
  if (path == "tls:alpn-offered") {
    for (const std::string& protocol : hello.alpn) out += (out.empty() ? "" : ",") + protocol;
  }
  return out;
}

// Which of the names is the field's: a certificate lists several.
std::string certificate_name(const Handshake& message, bool tls13, const std::function<bool(const std::string&)>& is) {
  std::vector<std::string> names;
  std::vector<uint8_t> inflated;
  const bool compressed = message.type == tls::compressed_certificate;
  if (compressed && !tls::decompress_certificate(message.body, inflated)) return {};
  tls::parse_certificate_names(compressed ? inflated : message.body, compressed || tls13, names);
  const auto found = std::find_if(names.begin(), names.end(), is);
  return found == names.end() ? std::string() : *found;
}

std::string of_message(const Handshake& message, const Replay& replay,
                       const std::function<bool(const std::string&)>& is) {
  switch (message.type) {
    case tls::client_hello: {
      tls::ClientHello hello;
      return tls::parse_client_hello(message.body, hello) ? of_client_hello(hello, replay.path) : std::string();
    }
    case tls::server_hello: {
      tls::ServerHello hello;
      if (!tls::parse_server_hello(message.body, hello)) return {};
      if (replay.path == "tls:version") return tls_version_text(hello.version);
      if (replay.path == "tls:cipher") return tls::suite_name(hello.cipher);
      return replay.path == "tls:alpn" ? hello.alpn : std::string();
    }
    case tls::encrypted_extensions: {
      tls::EncryptedExtensions extensions;
      if (replay.path != "tls:alpn" || !tls::parse_encrypted_extensions(message.body, extensions)) return {};
      return extensions.alpn;
    }
    case tls::certificate:
    case tls::compressed_certificate:
      if (!replay.path.starts_with("tls:certificate-name")) return {};
      return certificate_name(message, replay.connection.tls_info.version == 0x0304, is);
    default: return {};
  }
}

}  // namespace

bool replay_handshake(const std::vector<Handshake>& messages, const OriginNode& node, Replay& replay,
                      StreamSpan& span) {
  const auto is = [&replay](const std::string& read) {
    return !read.empty() && (replay.value_cut ? read.starts_with(replay.value) : read == replay.value);
  };
  for (const Handshake& message : messages) {
    if (node.decoder == Decoder::tls_hello && message.span != StreamSpan{node.offset, node.length}) continue;
    std::string read = of_message(message, replay, is);
    if (!is(read)) continue;
    span = message.span;
    const bool tls13 = replay.connection.tls_info.version == 0x0304;
    const std::string step = node.decoder == Decoder::tls_hello           ? "tls-hello"
                             : tls13 && message.type != tls::server_hello ? "tls-protected-handshake"
                                                                          : "tls-handshake";
    replay.steps.push_back({step, span.offset, span.length, std::move(read), ""});
    replay.verified = true;
    return true;
  }
  return false;
}

}  // namespace vitrine
