// The plaintext of one connection → exchanges. Finds out which protocol is
// spoken (HTTP/1.x, HTTP/2 with or without its preface, h2c by Upgrade or prior
// knowledge), follows upgrades (WebSocket), and survives joining mid-stream.
#pragma once

#include <memory>
#include <string_view>

#include "base/buffer_pool.h"
#include "capture/exchange.h"
#include "capture/stream.h"

namespace vitrine {

struct HttpLimits {
  uint64_t body_bytes = 256ull << 20;     // content per message after decoding; more is cut (truncated)
  uint64_t body_memory = 4ull << 20;      // beyond: spilled to an unlinked file
  uint32_t expansion = 1100;              // content bytes per wire byte (deflate's own maximum is 1032) …
  uint64_t expansion_floor = 1ull << 20;  // … not applied below this many content bytes
  uint32_t header_bytes = 1u << 20;       // one head
  uint32_t headers = 2000;                // fields kept of one head; the rest is counted
  uint32_t streams = 10000;               // concurrently open HTTP/2 streams followed
  bool digests = true;                    // Message::sha256; false: left empty
  // Where the memory of bodies comes from: connections of one thread that share
  // it keep what one of them needs, not what each has ever needed. Outlives
  // them; without it each has its own.
  BufferPool* buffers = nullptr;
};

class HttpConnection : public StreamSink {
 public:
  // `info` is owned by the caller, outlives this object; `protocol` in it is
  // set when known. Exchange ordinals start at 1.
  HttpConnection(ConnectionInfo& info, ExchangeSink& sink, HttpLimits limits = {});
  ~HttpConnection() override;
  // A hint from ALPN before the first byte ("h2", "http/1.1"), may be empty.
  void set_alpn(std::string_view alpn);
  // Plaintext chunks; every byte ends in Exchange.messages[].bytes or in
  // info.overhead[]. After both closes all exchanges are closed.
  void on_chunk(const StreamChunk& chunk) override;
  // End of capture: closes what is open with this reason.
  void finish(CloseReason reason, Timestamp time, uint64_t packet);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vitrine
