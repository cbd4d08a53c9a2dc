// Real OpenSSL peers in one process: a client and a server joined by memory
// BIOs, whose bytes on the wire and key log are the fixture.
#pragma once

#include <openssl/ssl.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "capture/stream.h"

namespace vitrine::test {

struct Wire {
  Direction direction;
  std::vector<uint8_t> bytes;
};

// What crossed the wire in order, and the secrets of both sides.
struct Transcript {
  std::vector<Wire> wire;
  std::string key_log;
  std::string plaintext[2];  // what each side sent as application data
  std::string error;         // empty when the peers did all they were told

  uint64_t raw_bytes(Direction direction) const;
};

struct FreeCtx {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct FreeSession {
  void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
};

struct PeerOptions {
  int version = TLS1_3_VERSION;
  std::string ciphers;  // TLS 1.2 list or TLS 1.3 suites
  std::string client_groups, server_groups;
  std::string key = "rsa";  // server certificate: rsa, ec, none (PSK, anonymous)
  bool client_certificate = false;
  bool psk = false;
  bool alpn = true;
  bool early_data = false, reject_early_data = false;
  int max_fragment = 0;    // SSL_set_max_send_fragment on both
  int padding = 0;         // TLS 1.3 record padding block
  size_t extra_names = 0;  // makes the server's certificate larger
  bool ech = false;        // the client sends an encrypted_client_hello extension
  uint64_t context_options = 0, cleared_options = 0;
  std::string sni = "chat.aster.test";
};

// A client context and a server context that outlive several connections, so
// that sessions can be resumed.
class Peers {
 public:
  explicit Peers(PeerOptions options);
  // Handshake, then `script`, then close_notify from both.
  class Connection;
  Transcript run(const std::function<void(Connection&)>& script, const std::string& early = {});
  // The key log of every run together.
  const std::string& all_keys() const { return all_keys_; }

 private:
  PeerOptions options_;
  std::unique_ptr<SSL_CTX, FreeCtx> client_, server_;
  std::unique_ptr<SSL_SESSION, FreeSession> session_;
  std::string all_keys_;
  static void log_key(const SSL* ssl, const char* line);
  friend class Connection;
};

class Peers::Connection {
 public:
  SSL* client = nullptr;
  SSL* server = nullptr;
  Transcript* transcript = nullptr;

  void send(Direction direction, const std::string& data);  // written, carried over and read
  void pump();                                              // moves what both wrote
  std::string received(Direction direction);                // reads what came out at the end of that direction
  void update_keys(Direction direction, bool ask);
  void renegotiate();
  void verify_client_again();  // TLS 1.3 post-handshake authentication
};

}  // namespace vitrine::test
