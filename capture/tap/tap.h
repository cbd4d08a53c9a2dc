// The tap: the plaintext of a server's (or proxy's) connections, teed into the
// same passive parsers that read captures. It writes an exchange log
// (docs/exchange-log.md) that `vitrine audit` reads and `vitrine fields --live`
// follows, and hands the exchanges to subscribers in this process.
//
//   auto tap = Tap::open({.path = "tap.ndjson", .content = TapContent::hash});
//   auto connection = (*tap)->connection({.client = client, .server = server}, now);
//   connection->bytes(Direction::client_to_server, request, now);   // what was read from the socket
//   connection->bytes(Direction::server_to_client, answer, now);    // what was written to it
//   connection->close(Direction::client_to_server, now);            // a FIN; the destructor closes the rest
//
// It knows nothing of sockets. Everything is called from one thread (the
// server's I/O thread). A thread of its own writes the file, so that a slow disk does not stop the caller at once:
// lines are written in batches, at most 100 ms late.
//
// Memory: bodies spill to a file beyond HttpLimits::body_memory; lines waiting
// for the disk are bounded (16 MiB); content hash holds one body at a time. A caller that is faster than the disk for
// long waits, two seconds at most; then the log counts as failing.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "capture/exchange.h"
#include "capture/http/http_connection.h"
#include "capture/tap/content_mode.h"

namespace vitrine {

struct TapOptions {
  std::string path = {};                  // of the log; empty: no log, subscribers only
  bool append = false;                    // to a log that is there; false: refused when the path exists
  TapContent content = TapContent::full;  // how much of the content the log keeps; subscribers see all
  bool simulated = false;
  std::string comment = {};
  // Contents beyond body_bytes are cut in the log and said to be.
  HttpLimits http = {.body_bytes = 64ull << 20};
  // Called on the caller's thread, in the next call after the log began to fail
  // (`what` says why) and after it works again (`what` is empty).
  std::function<void(std::string_view what)> on_trouble = {};
};

// What is known of a connection when it is accepted.
struct TapPeer {
  Endpoint client, server;
  std::string process;  // the program at the other end, when known
  bool tls = false;
  // tls: what the handshake showed. tls::handshake_info (capture/tls/hello_info.h)
  // makes it of the ClientHello and the selected values.
  TlsInfo tls_info;
};

struct TapStatus {
  uint64_t connections = 0;     // opened so far
  uint64_t exchanges = 0;       // opened so far
  uint64_t bytes = 0;           // of plaintext, both directions
  uint64_t log_bytes = 0;       // written to the file
  uint64_t dropped_lines = 0;   // made while the log was failing
  uint64_t write_failures = 0;  // times it began to fail
  bool failing = false;         // now
  std::string error;            // of the last failure
};

class Tap;

// One connection. Owner: the caller. After Tap::close() calls do nothing.
class TapConnection {
 public:
  ~TapConnection();  // close(now of the last event)
  TapConnection(const TapConnection&) = delete;
  TapConnection& operator=(const TapConnection&) = delete;

  // The next plaintext bytes of one direction, cut anywhere; borrowed for the call.
  void bytes(Direction direction, Bytes bytes, Timestamp time);
  // No more bytes in this direction (FIN). Both closed: the connection is over.
  void close(Direction direction, Timestamp time);
  // The connection is over; what is open on it ends with `reason`. Idempotent.
  void close(Timestamp time, CloseReason reason = CloseReason::connection_closed);

  // 1, 2, 3 … in this process, the log's number too; ExchangeId::connection of what subscribers see.
  ConnectionId id() const;

 private:
  friend class Tap;
  struct State;
  explicit TapConnection(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

class Tap {
 public:
  // Creates the log (mode 0600) and writes its head. Error: the path exists
  // (without append), is no regular file, belongs to or can be read by others,
  // is being written by another tap, or cannot be written.
  static Result<std::unique_ptr<Tap>> open(TapOptions options);
  ~Tap();  // close()
  Tap(const Tap&) = delete;
  Tap& operator=(const Tap&) = delete;

  std::unique_ptr<TapConnection> connection(TapPeer peer, Timestamp time);

  // `sink` gets every exchange that opens from now on, unredacted: connection
  // (opened, hello) before the first one of a connection, opened, part*, closed,
  // connection closed. A FieldExtractor is such a sink, so fields of live
  // exchanges are `tap.subscribe(extractor)`; typed ones with audit's Classifier
  // behind it (audit/field_line.h). Borrowed until unsubscribe(), which must not
  // be called from within a callback. Costs nothing while nobody subscribes.
  void subscribe(ExchangeSink& sink);
  void unsubscribe(ExchangeSink& sink);

  // The log is failing: nothing is recorded now (a full disk, a write error, a
  // disk that does not keep up). One atomic read: a server that must not serve
  // unrecorded refuses requests while it is true. Tried again every second; what was
  // open meanwhile is missing in the log, which says so.
  bool failing() const;
  TapStatus status() const;
  // For log rotation, which has given the file another name: what begins from
  // now on goes to a new file at the log's path (appended to, when it is there);
  // an exchange that has begun stays whole in the old one, which is closed when
  // the last of them ends, or cut at the next rotation, and says so. Nothing
  // happens when the path still names the file. Error: no file can be had there;
  // the log goes on in the old one.
  Status reopen(Timestamp time);
  // Waits until the file holds what was said so far (not for the disk itself).
  void flush();
  // Writes the log's last line and closes the file; its error when something is
  // missing. Connections that are still open are closed first. Idempotent.
  Status close(Timestamp time);

 private:
  friend class TapConnection;
  struct State;
  explicit Tap(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace vitrine
