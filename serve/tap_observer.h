// The server's connections -> the tap.
#pragma once

#include <memory>
#include <unordered_map>

#include "capture/tap/tap.h"
#include "serve/client_programs.h"
#include "serve/http/responder.h"

namespace vitrine::serve {

// Borrows the tap, and what finds the programs of connections on this machine (null: they are not asked for). On the
// server's thread.
class TapObserver : public TrafficObserver {
 public:
  explicit TapObserver(Tap& tap, ClientPrograms* programs = nullptr) : tap_(tap), programs_(programs) {}
  void identify(const Peer& peer, std::function<void(std::string program)> go_on) override;
  void opened(const Peer& peer, const TlsHandshake* tls) override;
  void bytes(const Peer& peer, bool from_client, std::string_view bytes) override;
  void closed(const Peer& peer) override;

  // The tap's number of a server's connection; 0 when it is not open.
  ConnectionId tap_id(uint64_t connection) const;

 private:
  Tap& tap_;
  ClientPrograms* const programs_;
  std::unordered_map<uint64_t, std::unique_ptr<TapConnection>> connections_;
};

}  // namespace vitrine::serve
