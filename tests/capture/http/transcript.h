// Transcripts of connections for tests: what each side sent, in order, fed to
// an HttpConnection in any cut, and everything it said as text.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "capture/http/http_connection.h"

namespace vitrine::testing {

struct Step {
  StreamChunk::Kind kind = StreamChunk::Kind::data;
  Direction direction = Direction::client_to_server;
  std::string bytes;
  uint64_t gap = 0;
  StreamChunk::Close close = StreamChunk::Close::fin;
};

class Transcript {
 public:
  Transcript& client(std::string bytes) { return add(Direction::client_to_server, std::move(bytes)); }
  Transcript& server(std::string bytes) { return add(Direction::server_to_client, std::move(bytes)); }
  Transcript& gap(Direction d, uint64_t length) {
    steps.push_back({StreamChunk::Kind::gap, d, {}, length, StreamChunk::Close::fin});
    return *this;
  }
  Transcript& close(Direction d, StreamChunk::Close how = StreamChunk::Close::fin) {
    steps.push_back({StreamChunk::Kind::close, d, {}, 0, how});
    return *this;
  }
  Transcript& close_both() { return close(Direction::client_to_server).close(Direction::server_to_client); }
  Transcript& add(Direction d, std::string bytes) {
    steps.push_back({StreamChunk::Kind::data, d, std::move(bytes), 0, StreamChunk::Close::fin});
    return *this;
  }
  std::vector<Step> steps;
  bool mid_stream = false, tls = false;
  std::string alpn, sni;
};

// How to cut the data steps: 0 = as they are, n > 0 = n bytes at a time,
// negative = random cuts with this seed.
struct Outcome {
  std::string log;  // every callback, one line each
  std::vector<std::string> issues;
  ByteCounts counted[2];      // exchanges and overhead
  uint64_t sent[2] = {0, 0};  // stream bytes, gaps included
  std::string protocol;
  ConnectionInfo info;
};
Outcome run(const Transcript& transcript, int cut = 0, HttpLimits limits = {});

// Runs whole, byte by byte and with random cuts; the logs must agree and every
// byte must be accounted for. Returns the whole run. A message is given through
// gtest when not.
Outcome check(const Transcript& transcript, HttpLimits limits = {});

}  // namespace vitrine::testing
