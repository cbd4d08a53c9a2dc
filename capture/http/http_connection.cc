#include "capture/http/http_connection.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/text.h"
#include "capture/http/exchange_builder.h"
#include "capture/http/http1.h"
#include "capture/http/http2.h"

namespace vitrine {
namespace {

enum class Verdict : uint8_t { wait, http1, http2, neither };

constexpr size_t kFirstLine = 8 << 10;   // without its end by then, a plausible request line is believed
constexpr size_t kHeldBound = 64 << 10;  // bytes held back while the protocol is open
constexpr size_t kSettingsBound = 4096;  // of an HTTP2-Settings header

// What the first bytes of one direction say. `any_frame`: an HTTP/2 stream may
// begin in its middle.
Verdict first_bytes(Direction direction, std::string_view bytes, bool any_frame) {
  if (bytes.empty()) return Verdict::wait;
  const bool client = direction == Direction::client_to_server;
  if (client) {
    const size_t n = std::min<size_t>(bytes.size(), 16);
    if (bytes.substr(0, n) == kHttp2Preface.substr(0, n)) return n == 16 ? Verdict::http2 : Verdict::wait;
  }
  const size_t blank = std::min(bytes.find_first_not_of("\r\n"), bytes.size());
  std::string_view text = bytes.substr(blank);
  if (plausible_start(text, client)) {
    if (!client && text.size() >= 9) return Verdict::http1;
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return text.size() < kFirstLine ? Verdict::wait : Verdict::http1;
    StartLine start;
    if (parse_start_line(text.substr(0, end), client, start)) return Verdict::http1;
  }
  const bool framed = bytes[0] == 0;  // frames below 64 KiB
  if (framed && bytes.size() < kFrameHeader) return Verdict::wait;
  if (framed) {
    const FrameHeader frame = parse_frame_header(reinterpret_cast<const uint8_t*>(bytes.data()));
    const bool settings = frame.type == kSettings && frame.length <= 120;
    if (plausible_frame(frame, 16384) && (settings || (any_frame && frame.type != kData))) return Verdict::http2;
  }
  return Verdict::neither;
}

CloseReason reason_of(StreamChunk::Close close) {
  switch (close) {
    case StreamChunk::Close::fin: return CloseReason::connection_closed;
    case StreamChunk::Close::reset: return CloseReason::reset;
    default: return CloseReason::end_of_capture;
  }
}

}  // namespace

struct HttpConnection::State {
  enum class Mode : uint8_t { undecided, http1, http2, unknown };
  struct Held {
    StreamChunk chunk;
    std::string bytes;
  };

  ConnectionInfo& info;
  HttpLimits limits;
  ExchangeBuilder builder;
  Mode mode = Mode::undecided;
  bool joined, named = false, finished = false;
  bool closed[2] = {false, false};
  std::unique_ptr<Http1Framer> http1;
  std::unique_ptr<Http2Framer> http2;
  std::vector<Held> held;
  std::string first[2];  // the first bytes of each direction, while undecided

  State(ConnectionInfo& i, ExchangeSink& sink, const HttpLimits& l)
      : info(i), limits(l), builder(i, sink, limits), joined(i.mid_stream) {}

  void become(Mode decided) {
    mode = decided;
    if (decided == Mode::http1) http1 = std::make_unique<Http1Framer>(builder, limits, joined);
    if (decided == Mode::http2) http2 = std::make_unique<Http2Framer>(builder, limits, joined);
    if (decided == Mode::http2) name("h2");
    if (decided == Mode::unknown) {
      name("unknown");
      builder.issue({Cause::unsupported, "http: protocol not recognised", info.first_packet, info.id});
    }
    std::vector<Held> earlier;
    earlier.swap(held);
    for (std::string& text : first) std::string().swap(text);
    for (Held& h : earlier) {
      h.chunk.bytes = as_bytes(h.bytes);
      dispatch(h.chunk);
    }
    builder.end_chunk();  // before `earlier` goes
  }

  void name(std::string_view protocol) {
    named = true;
    info.protocol = protocol;
  }

  void decide(const StreamChunk& chunk) {
    if (chunk.kind == StreamChunk::Kind::gap) joined = true;
    Held h;
    h.chunk = chunk;
    h.bytes = as_text(chunk.bytes);
    held.push_back(std::move(h));
    if (chunk.kind == StreamChunk::Kind::data) {
      std::string& text = first[static_cast<size_t>(chunk.direction)];
      text.append(as_text(chunk.bytes).substr(0, kHeldBound - std::min(kHeldBound, text.size())));
    }
    size_t total = 0;
    bool neither = false, all_neither = true;
    for (Direction d : {Direction::client_to_server, Direction::server_to_client}) {
      const std::string& text = first[static_cast<size_t>(d)];
      total += text.size();
      const Verdict verdict = first_bytes(d, text, joined);
      if (verdict == Verdict::http1) return become(Mode::http1);
      if (verdict == Verdict::http2) return become(Mode::http2);
      neither = neither || verdict == Verdict::neither;
      all_neither = all_neither && verdict == Verdict::neither;
    }
    // Joined inside a message: the HTTP/1 framer looks for a start line; until
    // it finds one the protocol stays unknown.
    if (neither && joined) return become(Mode::http1);
    if (neither) return become(Mode::unknown);
    const auto closes =
        std::count_if(held.begin(), held.end(), [](const Held& x) { return x.chunk.kind == StreamChunk::Kind::close; });
    if (closes >= 2) return become(Mode::http1);  // all that came could have been a start line
    if (total >= kHeldBound || held.size() > kHeldBound / 4) return become(joined ? Mode::http1 : Mode::unknown);
  }

  void dispatch(const StreamChunk& chunk) {
    switch (mode) {
      case Mode::undecided: decide(chunk); return;
      case Mode::unknown:
        if (chunk.kind == StreamChunk::Kind::data) {
          builder.on_bytes(chunk.direction, 0, Cause::unsupported, chunk.bytes.size());
        } else if (chunk.kind == StreamChunk::Kind::gap && !chunk.gap_accounted) {
          builder.on_bytes(chunk.direction, 0, chunk.gap_is_snaplen ? Cause::truncated : Cause::gap, chunk.gap_length);
        }
        break;
      case Mode::http1: {
        const size_t used = http1->on_chunk(chunk);
        if (!named && http1->confirmed()) name(http1->protocol() == Protocol::http10 ? "http/1.0" : "http/1.1");
        if (http1->switched()) switch_to_http2(chunk, used);
        break;
      }
      case Mode::http2: http2->on_chunk(chunk); break;
    }
    if (chunk.kind == StreamChunk::Kind::close) {
      closed[static_cast<size_t>(chunk.direction)] = true;
      builder.direction_closed(chunk.direction, reason_of(chunk.close), chunk.time, chunk.packet);
    }
  }

  void switch_to_http2(const StreamChunk& chunk, size_t used) {
    builder.upgrade_to_http2(http1->switched_message(), chunk.time, chunk.packet);
    mode = Mode::http2;
    name("h2");
    http2 = std::make_unique<Http2Framer>(builder, limits, false);
    std::string settings;  // what does not decode is left out
    decode_base64_lenient(std::string_view(http1->http2_settings()).substr(0, kSettingsBound), settings);
    http2->begin_upgraded(as_bytes(settings));
    StreamChunk early = chunk;
    early.kind = StreamChunk::Kind::data;
    early.direction = Direction::client_to_server;
    const std::string rest = http1->take_rest(early.direction, early.offset);
    early.bytes = as_bytes(rest);
    if (!rest.empty()) http2->on_chunk(early);
    StreamChunk server = chunk;
    server.offset += used;
    server.bytes = chunk.bytes.subspan(used);
    if (!server.bytes.empty()) http2->on_chunk(server);
    builder.end_chunk();  // before `rest` goes
    http1.reset();
  }
};

HttpConnection::HttpConnection(ConnectionInfo& info, ExchangeSink& sink, HttpLimits limits)
    : state_(std::make_unique<State>(info, sink, limits)) {}
HttpConnection::~HttpConnection() = default;

void HttpConnection::set_alpn(std::string_view alpn) {
  State& s = *state_;
  if (s.mode != State::Mode::undecided || !s.held.empty()) return;
  if (alpn == "h2") s.become(State::Mode::http2);
  if (alpn == "http/1.1" || alpn == "http/1.0") s.become(State::Mode::http1);
}

void HttpConnection::on_chunk(const StreamChunk& chunk) {
  State& s = *state_;
  s.dispatch(chunk);
  s.builder.end_chunk();
  if (s.closed[0] && s.closed[1] && s.mode != State::Mode::undecided && !s.finished) {
    finish(reason_of(chunk.close), chunk.time, chunk.packet);
  }
}

void HttpConnection::finish(CloseReason reason, Timestamp time, uint64_t packet) {
  State& s = *state_;
  if (s.finished) return;
  s.finished = true;
  // Never decided: too little came, all of it plausible HTTP/1 so far.
  if (s.mode == State::Mode::undecided) {
    if (s.held.empty()) return;
    s.become(State::Mode::http1);
  }
  if (s.http1) s.http1->finish(time, packet);
  if (s.http2) s.http2->finish(time, packet);
  s.builder.finish(reason, time, packet);
  if (!s.named) s.name("unknown");
}

}  // namespace vitrine
