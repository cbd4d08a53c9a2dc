#include "serve/tap_observer.h"

#include <charconv>

#include "base/clock.h"
#include "capture/tls/handshake.h"
#include "capture/tls/hello_info.h"

namespace vitrine::serve {
namespace {

// "127.0.0.1:80", "[::1]:80", as the server writes them.
Endpoint endpoint(std::string_view text) {
  Endpoint out;
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return out;
  std::string_view address = text.substr(0, colon);
  if (address.starts_with('[')) address = address.substr(1, address.size() - 2);
  // An IPv4 client of a listener for both.
  if (address.starts_with("::ffff:") && address.find('.') != address.npos) address.remove_prefix(7);
  out.ip = IpAddress::parse(address);
  std::from_chars(text.data() + colon + 1, text.data() + text.size(), out.port);
  return out;
}

// What a passive reader of the same handshake would have seen.
TlsInfo tls_info(const TlsHandshake& shown) {
  TlsInfo info =
      tls::handshake_info(as_bytes(shown.client_hello), shown.version, shown.cipher, shown.protocol, shown.resumed);
  info.retry = shown.retried;
  constexpr size_t kHead = 4;
  if (shown.certificate.size() > kHead) {
    const Bytes body = as_bytes(shown.certificate).subspan(kHead);
    tls::parse_certificate_names(body, shown.version >= 0x0304, info.certificate_names);
  }
  return info;
}

}  // namespace

void TapObserver::identify(const Peer& peer, std::function<void(std::string program)> go_on) {
  if (programs_ == nullptr || !peer.loopback) return go_on({});
  programs_->find({endpoint(peer.client), endpoint(peer.server)}, std::move(go_on));
}

void TapObserver::opened(const Peer& peer, const TlsHandshake* tls) {
  TapPeer tapped;
  tapped.client = endpoint(peer.client);
  tapped.server = endpoint(peer.server);
  tapped.process = peer.program;
  tapped.tls = peer.tls;
  if (tls != nullptr) tapped.tls_info = tls_info(*tls);
  connections_.insert_or_assign(peer.connection, tap_.connection(std::move(tapped), now()));
}

void TapObserver::bytes(const Peer& peer, bool from_client, std::string_view bytes) {
  const auto found = connections_.find(peer.connection);
  if (found == connections_.end()) return;
  found->second->bytes(from_client ? Direction::client_to_server : Direction::server_to_client, as_bytes(bytes), now());
}

void TapObserver::closed(const Peer& peer) {
  const auto found = connections_.find(peer.connection);
  if (found == connections_.end()) return;
  found->second->close(now());
  connections_.erase(found);
}

ConnectionId TapObserver::tap_id(uint64_t connection) const {
  const auto found = connections_.find(connection);
  return found == connections_.end() ? 0 : found->second->id();
}

}  // namespace vitrine::serve
