// How a route answers: at once, or piece by piece.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "serve/http/message.h"

namespace vitrine::serve {

// One per request. Called on the server's thread only. Calls after the client has
// gone do nothing.
class Responder {
 public:
  virtual ~Responder() = default;

  // The whole response. `Content-Length` and `Connection` are added here.
  virtual void send(int status, Headers headers, std::string body) = 0;

  // A response of unknown length: start(), write()…, finish().
  virtual void start(int status, Headers headers) = 0;
  // Takes the piece in any case: who makes more than the client reads watches
  // backlog() and pauses.
  virtual void write(std::string_view piece) = 0;
  virtual void finish() = 0;
  // Ends a started response so that the client sees that it is incomplete.
  virtual void abort() = 0;

  virtual size_t backlog() const = 0;  // bytes taken that the client's side has not
  virtual bool gone() const = 0;
  // Each is called once and then forgotten, as it is when the response ends.
  virtual void on_drained(std::function<void()> callback) = 0;  // backlog() fell to 0
  virtual void on_gone(std::function<void()> callback) = 0;     // the client left before the end
};

using Handler = std::function<void(HttpRequest request, std::shared_ptr<Responder> responder)>;

// Sees the plaintext of every connection, in order. The tap.
class TrafficObserver {
 public:
  virtual ~TrafficObserver() = default;
  // A connection was accepted; it waits until `go_on` is called, on the server's thread, with the program
  // at its other end, when that is known.
  virtual void identify(const Peer&, std::function<void(std::string program)> go_on) { go_on({}); }
  // `tls`: null in the clear; borrowed for the call.
  virtual void opened(const Peer& peer, const TlsHandshake* tls) = 0;
  virtual void bytes(const Peer& peer, bool from_client, std::string_view bytes) = 0;
  virtual void closed(const Peer& peer) = 0;
};

}  // namespace vitrine::serve
