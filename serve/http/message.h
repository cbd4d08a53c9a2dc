// Requests and responses as the routes see them. No sockets here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitrine::serve {

using Headers = std::vector<std::pair<std::string, std::string>>;

// The first value of a header, whatever the case of its name; empty when it is not there.
std::string_view find_header(const Headers& headers, std::string_view name);

// Who is at the other end of a connection.
struct Peer {
  uint64_t connection = 0;     // number of the connection in this process, from 1
  std::string client, server;  // "127.0.0.1:51312", "[::1]:8080"
  bool loopback = true;        // the client's address is this machine's
  bool tls = false;
  std::string program;  // at the client's end, when it is known
};

// What a TLS handshake showed, for whom it is recorded.
struct TlsHandshake {
  std::string client_hello, certificate;  // messages with their 4-byte heads; the first ClientHello; ours
  uint16_t version = 0, cipher = 0;       // 0x0304; IANA code; selected
  std::string protocol;                   // ALPN, selected
  bool resumed = false, retried = false;  // retried: HelloRetryRequest
};

struct HttpRequest {
  std::string method;
  std::string target;  // as sent
  std::string path;    // without the query; as sent, not decoded
  std::string query;   // behind '?'; as sent
  Headers headers;     // in the order sent, repeated names repeated
  std::string body;
  Peer peer;
};

std::string_view status_text(int status);  // "OK", "Not Found"; "Status" when unknown

}  // namespace vitrine::serve
