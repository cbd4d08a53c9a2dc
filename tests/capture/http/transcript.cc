#include "transcript.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/digest.h"
#include "capture/origin.h"

namespace vitrine::testing {
namespace {

std::string shown(std::string_view text) {
  std::string out;
  for (char c : text.substr(0, 200)) {
    if (c == '\n') out += "\\n";
    else if (c == '\r') out += "\\r";
    else if (c < 32 || c > 126) out += "\\x" + to_hex(as_bytes(std::string_view(&c, 1)));
    else out += c;
  }
  if (text.size() > 200)
    out += "...(" + std::to_string(text.size()) + " " + to_hex(sha256(as_bytes(text))).substr(0, 8) + ")";
  return out;
}

std::string counts(const ByteCounts& bytes) {
  std::string out;
  for (size_t i = 0; i < kCauses; ++i) {
    if (bytes.by_cause[i])
      out += " " + std::string(to_string(static_cast<Cause>(i))) + "=" + std::to_string(bytes.by_cause[i]);
  }
  return out;
}

class LogSink final : public ExchangeSink {
 public:
  explicit LogSink(Outcome& out) : out_(out) {}
  std::string streams[2];  // plaintext so far, to check spans against

  void opened(const Exchange& e) override {
    line(e) += " opened " + std::string(to_string(e.protocol)) + " " + e.method + " " + e.scheme + " " + e.authority +
               " " + e.path + " host=" + e.host + (e.referer.empty() ? "" : " referer=" + e.referer) +
               (e.origin.empty() ? "" : " origin=" + e.origin);
  }
  void part(const Exchange& e, const Part& p) override {
    static constexpr const char* kKinds[] = {"headers", "body", "message", "trailers"};
    std::string& l = line(e);
    l += std::string(" ") + kKinds[static_cast<int>(p.kind)] +
         (p.direction == Direction::client_to_server ? " >" : " <");
    if (p.kind == Part::Kind::headers || p.kind == Part::Kind::trailers) {
      for (const HeaderField& f : p.headers) l += " [" + shown(f.name) + ": " + shown(f.value) + "]";
    } else {
      l += " '" + shown(as_text(p.content)) + "'";
      if (p.text) l += " text";
      if (!p.complete) l += " incomplete";
      if (p.cause != Cause::decoded) l += " cause=" + std::string(to_string(p.cause));
      if (p.within.length) l += " within=" + std::to_string(p.within.offset) + "+" + std::to_string(p.within.length);
    }
    for (Decoder d : p.decoders) l += " " + std::string(to_string(d));
    const bool compressed_events =
        p.kind == Part::Kind::message && p.decoders.size() > 1 && p.decoders.back() == Decoder::sse;
    const bool events = p.kind == Part::Kind::message && !p.decoders.empty() && p.decoders.back() == Decoder::sse;
    if (compressed_events || events) return;  // pieces: the body so far, which depends on the cut
    l += " wire=" + std::to_string(p.wire_bytes) + " pieces=";
    uint64_t total = 0;
    std::string block;
    const std::string& stream = streams[static_cast<size_t>(p.direction)];
    for (const StreamSpan& s : p.pieces) {
      l += std::to_string(s.offset) + "+" + std::to_string(s.length) + ",";
      total += s.length;
      EXPECT_LE(s.offset + s.length, stream.size());
      if (s.offset + s.length <= stream.size()) block += stream.substr(s.offset, s.length);
    }
    EXPECT_EQ(total, p.wire_bytes);
    if (p.kind == Part::Kind::body && p.decoders.empty() && p.complete) {
      EXPECT_EQ(block, as_text(p.content));
    }
    for (const HeaderField& f : p.headers) {
      const bool inside = uint64_t{f.offset} + f.length <= block.size();
      EXPECT_TRUE(inside);
      if (inside && p.decoders[0] == Decoder::http1_head) {
        EXPECT_EQ(block.substr(f.offset, f.length), f.value);
      }
      EXPECT_TRUE(p.decoders[0] != Decoder::hpack || f.length > 0);
    }
  }
  void closed(const Exchange& e, CloseReason reason) override {
    std::string& l = line(e);
    l += " closed " + std::string(to_string(reason)) + " " + std::to_string(e.status);
    for (size_t d = 0; d < 2; ++d) {
      const Message& m = e.messages[d];
      l += d == 0 ? " >{" : " <{";
      l += std::string(m.seen ? "seen " : "") + (m.complete ? "complete " : "") + "type=" + m.content_type +
           " wire=" + std::to_string(m.wire_bytes) + " content=" + std::to_string(m.content_bytes) +
           " sha=" + m.sha256.substr(0, 8) + counts(m.bytes) + "}";
      out_.counted[d] += m.bytes;
    }
    EXPECT_TRUE(open_[e.id.ordinal]);
    open_[e.id.ordinal] = false;
  }
  void issue(Issue issue) override { out_.issues.push_back(std::string(to_string(issue.cause)) + " " + issue.what); }
  void done() {
    for (const auto& [id, open] : open_) EXPECT_FALSE(open) << "exchange " << id << " never closed";
  }

 private:
  std::string& line(const Exchange& e) {
    if (!out_.log.empty()) out_.log += "\n";
    out_.log += std::to_string(e.id.ordinal);
    if (e.stream) out_.log += "/" + std::to_string(e.stream);
    if (!open_.count(e.id.ordinal)) open_[e.id.ordinal] = true;
    EXPECT_TRUE(open_[e.id.ordinal]) << "event after closed";
    return out_.log;
  }
  Outcome& out_;
  std::map<uint32_t, bool> open_;
};

}  // namespace

Outcome run(const Transcript& transcript, int cut, HttpLimits limits) {
  Outcome out;
  out.info.id = 7;
  out.info.mid_stream = transcript.mid_stream;
  out.info.tls = transcript.tls;
  out.info.tls_info.sni = transcript.sni;
  const uint8_t server[] = {203, 0, 113, 9};
  out.info.server = {IpAddress::v4(Bytes(server)), 80};
  LogSink sink(out);
  HttpConnection connection(out.info, sink, limits);
  connection.set_alpn(transcript.alpn);
  std::mt19937 random(static_cast<unsigned>(cut < 0 ? -cut : 0));
  uint64_t offsets[2] = {0, 0};
  uint64_t packet = 0;
  for (const Step& step : transcript.steps) {
    StreamChunk chunk;
    chunk.kind = step.kind;
    chunk.direction = step.direction;
    chunk.close = step.close;
    chunk.packet = ++packet;
    chunk.time = {static_cast<int64_t>(packet) * 1000};
    const size_t d = static_cast<size_t>(step.direction);
    chunk.offset = offsets[d];
    if (step.kind == StreamChunk::Kind::gap) {
      chunk.gap_length = step.gap;
      offsets[d] += step.gap;
      sink.streams[d].append(step.gap, '?');
      connection.on_chunk(chunk);
    } else if (step.kind == StreamChunk::Kind::close) {
      connection.on_chunk(chunk);
    } else {
      sink.streams[d] += step.bytes;
      for (size_t at = 0; at < step.bytes.size();) {
        size_t take = step.bytes.size() - at;
        if (cut > 0) take = std::min(take, static_cast<size_t>(cut));
        if (cut < 0) take = std::min<size_t>(take, 1 + random() % (random() % 4 == 0 ? 200 : 12));
        // A fresh copy, exactly as long: reads beyond it or later are seen by ASan.
        const std::vector<uint8_t> copy(step.bytes.begin() + static_cast<ptrdiff_t>(at),
                                        step.bytes.begin() + static_cast<ptrdiff_t>(at + take));
        chunk.bytes = copy;
        connection.on_chunk(chunk);
        at += take;
        chunk.offset = offsets[d] += take;
      }
    }
  }
  connection.finish(CloseReason::end_of_capture, {static_cast<int64_t>(packet + 1) * 1000}, packet);
  sink.done();
  for (size_t d = 0; d < 2; ++d) {
    out.counted[d] += out.info.overhead[d];
    out.sent[d] = offsets[d];
    EXPECT_EQ(out.counted[d].total(), out.sent[d]) << "direction " << d << counts(out.counted[d]) << "\n" << out.log;
    if (!out.log.empty()) out.log += "\n";
    out.log += std::string("overhead ") + (d ? "<" : ">") + counts(out.info.overhead[d]);
  }
  std::sort(out.issues.begin(), out.issues.end());
  out.issues.erase(std::unique(out.issues.begin(), out.issues.end()), out.issues.end());
  for (const std::string& issue : out.issues) out.log += "\nissue " + issue;
  out.protocol = out.info.protocol;
  return out;
}

Outcome check(const Transcript& transcript, HttpLimits limits) {
  Outcome whole = run(transcript, 0, limits);
  for (int cut : {1, 2, 7, -1, -2, -3}) {
    const Outcome other = run(transcript, cut, limits);
    EXPECT_EQ(whole.log, other.log) << "cut " << cut;
    EXPECT_EQ(whole.protocol, other.protocol) << "cut " << cut;
    if (::testing::Test::HasFailure()) break;
  }
  return whole;
}

}  // namespace vitrine::testing
