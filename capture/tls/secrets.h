// TLS secrets by client random, from SSLKEYLOGFILE text (RFC 9850 "The
// SSLKEYLOGFILE Format for TLS") and pcapng Decryption Secrets Blocks.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "capture/types.h"

namespace vitrine {

using ClientRandom = std::array<uint8_t, 32>;

enum class SecretLabel : uint8_t {
  client_random,  // TLS 1.2 master secret
  client_early_traffic,
  client_handshake_traffic,
  server_handshake_traffic,
  client_traffic_0,
  server_traffic_0,
  exporter,
  early_exporter,
  client_traffic_n,
  server_traffic_n,  // QUIC_/N>0 lines are kept with their number
};

struct Secret {
  SecretLabel label;
  std::vector<uint8_t> bytes;
};

// Read-only once loaded; shared by all shards. Several different secrets under
// one (random, label) are all kept, to be tried in order.
class SecretStore {
 public:
  // Skips and counts bad lines; RSA-session-id lines of old files too.
  void load(std::string_view key_log, IssueSink& issues);
  std::vector<const Secret*> find(const ClientRandom& random, SecretLabel label) const;
  bool knows(const ClientRandom& random) const;
  size_t size() const { return count_; }
  // For ECH: the key log carries the inner random, which never shows outside;
  // secrets whose random matched no ClientHello are tried by trial decryption.
  std::vector<const Secret*> all(SecretLabel label) const;
  // The same with the random each secret stands under, until `each` returns false.
  void for_each(SecretLabel label, const std::function<bool(const ClientRandom&, const Secret&)>& each) const;

 private:
  std::map<ClientRandom, std::vector<Secret>> secrets_;
  size_t count_ = 0;
};

}  // namespace vitrine
