// A connection as a fuzz input, and the two properties every one must have:
// each stream byte is counted once, and what is said does not depend on how
// the bytes were cut into chunks.
//
//   input   = flags u8, record*
//   record  = head u8, length u16 (little endian), data
//   head    : bit 0 direction; bits 1-2 kind (1 gap of `length`, 2 close, else data)
//   flags   : bit 0 mid_stream, bit 1 ALPN h2, bit 2 ALPN http/1.1
// tests/golden/http/*.script are connections in the same form.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "capture/http/http_connection.h"
#include "capture/origin.h"

namespace vitrine::fuzz {

struct Record {
  StreamChunk::Kind kind;
  Direction direction;
  uint64_t length;
  Bytes bytes;
};

struct Script {
  uint8_t flags = 0;
  std::vector<Record> records;
};

inline Script read_script(Bytes input) {
  Script script;
  if (input.empty()) return script;
  script.flags = input[0];
  input = input.subspan(1);
  while (input.size() >= 3 && script.records.size() < 4096) {
    const uint8_t head = input[0];
    const size_t length = static_cast<size_t>(input[1] | input[2] << 8);
    input = input.subspan(3);
    Record record{
        StreamChunk::Kind::data, head & 1 ? Direction::server_to_client : Direction::client_to_server, length, {}};
    if ((head >> 1 & 3) == 1) {
      record.kind = StreamChunk::Kind::gap;
      if (length == 0) continue;
    } else if ((head >> 1 & 3) == 2) {
      record.kind = StreamChunk::Kind::close;
    } else {
      record.bytes = input.first(std::min(length, input.size()));
      input = input.subspan(record.bytes.size());
      if (record.bytes.empty()) continue;
    }
    script.records.push_back(record);
  }
  return script;
}

// Everything a connection says, folded into one string per exchange.
class Digest final : public ExchangeSink {
 public:
  std::string log;
  ByteCounts counted[2];
  void opened(const Exchange& e) override {
    begin(e, "opened");
    for (const std::string* text : {&e.method, &e.scheme, &e.authority, &e.path, &e.host}) log += *text + "|";
  }
  void part(const Exchange& e, const Part& p) override {
    begin(e, "part");
    log += std::to_string(static_cast<int>(p.kind)) + std::to_string(static_cast<int>(p.direction)) +
           std::to_string(p.complete) + std::to_string(static_cast<int>(p.cause)) + " " +
           std::to_string(p.within.offset) + "+" + std::to_string(p.within.length) + " ";
    for (const HeaderField& f : p.headers) {
      log.append(f.name).append("=").append(f.value).append("@" + std::to_string(f.offset) + "+" +
                                                            std::to_string(f.length) + ";");
    }
    log.append(as_text(p.content));
    if (!p.decoders.empty() && p.decoders.back() == Decoder::sse) return;  // pieces: the body so far
    uint64_t total = 0;
    for (const StreamSpan& s : p.pieces) {
      log += std::to_string(s.offset) + "+" + std::to_string(s.length) + ",";
      total += s.length;
    }
    if (total != p.wire_bytes) std::abort();
  }
  void closed(const Exchange& e, CloseReason reason) override {
    begin(e, "closed");
    log += std::string(to_string(reason)) + std::to_string(e.status);
    for (size_t d = 0; d < 2; ++d) {
      const Message& m = e.messages[d];
      counted[d] += m.bytes;
      log += " " + std::to_string(m.seen) + std::to_string(m.complete) + m.sha256 + "," + std::to_string(m.wire_bytes) +
             "," + std::to_string(m.content_bytes);
      for (uint64_t n : m.bytes.by_cause) log += "," + std::to_string(n);
    }
  }

 private:
  void begin(const Exchange& e, const char* what) { log += "\n" + e.id.to_string() + " " + what + " "; }
};

inline std::string replay(const Script& script, size_t cut, HttpLimits limits) {
  ConnectionInfo info;
  info.id = 1;
  info.mid_stream = (script.flags & 1) != 0;
  Digest digest;
  uint64_t sent[2] = {0, 0};
  {
    HttpConnection connection(info, digest, limits);
    if (script.flags & 2) connection.set_alpn("h2");
    else if (script.flags & 4) connection.set_alpn("http/1.1");
    uint64_t packet = 0;
    bool closed[2] = {false, false};
    for (const Record& record : script.records) {
      const size_t d = static_cast<size_t>(record.direction);
      if (closed[d]) continue;
      StreamChunk chunk;
      chunk.kind = record.kind;
      chunk.direction = record.direction;
      chunk.packet = ++packet;
      chunk.offset = sent[d];
      if (record.kind == StreamChunk::Kind::gap) {
        chunk.gap_length = record.length;
        sent[d] += record.length;
        connection.on_chunk(chunk);
      } else if (record.kind == StreamChunk::Kind::close) {
        closed[d] = true;
        chunk.close = static_cast<StreamChunk::Close>(record.length % 4);
        connection.on_chunk(chunk);
      } else {
        const size_t step = cut == 0 ? record.bytes.size() : cut;
        for (size_t at = 0; at < record.bytes.size(); at += step) {
          const Bytes piece = record.bytes.subspan(at, std::min(step, record.bytes.size() - at));
          const std::vector<uint8_t> copy(piece.begin(), piece.end());
          chunk.bytes = copy;
          chunk.offset = sent[d];
          connection.on_chunk(chunk);
          sent[d] += piece.size();
        }
      }
    }
    connection.finish(CloseReason::end_of_capture, {}, packet);
  }
  std::string out = std::move(digest.log);
  for (size_t d = 0; d < 2; ++d) {
    ByteCounts all = digest.counted[d];
    all += info.overhead[d];
    if (all.total() != sent[d]) {
      std::fprintf(stderr, "direction %zu: counted %llu of %llu\n%s\n", d, static_cast<unsigned long long>(all.total()),
                   static_cast<unsigned long long>(sent[d]), out.c_str());
      std::abort();
    }
    for (uint64_t n : info.overhead[d].by_cause) out += "," + std::to_string(n);
  }
  return out + info.protocol;
}

inline void check_script(const Script& script) {
  HttpLimits limits;
  limits.body_bytes = 1 << 20;
  limits.body_memory = 4 << 10;
  limits.header_bytes = 4 << 10;
  limits.headers = 50;
  limits.streams = 20;
  // The ratio is judged as bytes come, so it alone may depend on the cut.
  limits.expansion = 1u << 31;
  const std::string whole = replay(script, 0, limits);
  for (size_t cut : {size_t{1}, size_t{5}}) {
    const std::string other = replay(script, cut, limits);
    if (whole != other) {
      std::fprintf(stderr, "cut %zu differs\n--- whole%s\n--- cut%s\n", cut, whole.c_str(), other.c_str());
      std::abort();
    }
  }
}

}  // namespace vitrine::fuzz
