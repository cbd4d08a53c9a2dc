// The body of one message: content codings undone as it comes, bounded, kept
// (spilled beyond body_memory) for one contiguous view at its end, and every
// wire byte accounted by its fate.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/buffer_pool.h"
#include "base/digest.h"
#include "base/file.h"
#include "capture/http/content_coding.h"
#include "capture/http/http_connection.h"
#include "capture/http/sse.h"
#include "capture/stream.h"

namespace vitrine {

class BodyReader {
 public:
  // Where the memory of contents comes from and goes back to; outlives this object.
  // REQUIRES: called before begin() and add().
  void use(BufferPool& buffers) { buffers_ = &buffers; }
  // `events` not null: the content is an event stream, and events go there.
  void begin(const HttpLimits& limits, std::vector<Decoder> decoders, SseParser::Sink* events);
  // The coding cannot be undone: content is kept as it is, all `unsupported`.
  void set_unsupported() { unsupported_ = true; }
  // Nothing is kept, all is accounted as `cause` (tunnels).
  void set_discard(Cause cause) { discard_ = cause; }

  void add(Bytes bytes, StreamSpan span);
  void hole(Cause cause);  // bytes are missing here; what follows cannot be placed
  // The bytes of add() calls so far go away: keep what is still only borrowed.
  void keep_views();
  bool has_view() const { return !view_.empty(); }
  void event_emitted() { streamed_ = true; }

  struct Outcome {
    bool streamed = false;  // given as events; no body part
    Bytes content;          // valid until release()
    Cause cause = Cause::decoded;
    const char* issue = nullptr;
    ByteCounts bytes;
  };
  // The message ended; `complete` = its framing says all of it came.
  Outcome finish(bool complete);
  std::string sha256() const { return digest_; }  // hex; after finish()
  uint64_t wire_bytes() const { return wire_; }
  uint64_t content_bytes() const { return content_bytes_; }
  const std::vector<StreamSpan>& pieces() const { return pieces_; }
  const std::vector<Decoder>& decoders() const { return decoders_; }
  // The content is not needed any more.
  void release();
  void reset();

 private:
  struct Stage {
    std::unique_ptr<Decompressor> decompressor;
    uint64_t allowed = 0;
    uint64_t produced = 0;
    bool done = false;
  };
  void decode(size_t stage, Bytes bytes);
  bool hold(Bytes bytes);
  bool keep(Bytes bytes);
  void release_held();
  bool inflate_held();
  void content(Bytes bytes, bool borrowed);
  void cut(Cause cause, uint64_t decoded_wire, const char* issue = nullptr);

  BufferPool* buffers_ = nullptr;
  HttpLimits limits_;
  std::vector<Decoder> decoders_;
  std::vector<Stage> stages_;  // outermost coding first
  std::optional<SseParser> events_;
  // A gzip or zlib body waits here for its end and is then inflated in one go;
  // one that grows too large, has a hole or ends early is decoded as it came.
  bool holding_ = false;
  std::string held_, inflated_;
  bool unsupported_ = false, streamed_ = false;
  Cause discard_ = Cause::decoded;
  uint64_t wire_ = 0, content_bytes_ = 0;
  Cause cut_ = Cause::decoded;
  const char* cut_issue_ = nullptr;
  uint64_t decoded_wire_ = 0;  // when cut: wire bytes that were good
  std::vector<StreamSpan> pieces_;
  Bytes view_;  // the whole content, still in the caller's chunk
  std::optional<SpillBuffer> kept_;
  std::optional<Sha256Stream> hash_;
  std::string digest_;
};

}  // namespace vitrine
