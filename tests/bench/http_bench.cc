// HTTP framing and exchange building, without fields: HTTP/2 with large DATA
// frames, and small requests of both versions. Prints one JSON object last.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "capture/http/http2.h"
#include "capture/http/http2_frame.h"
#include "capture/http/http_connection.h"

namespace {
using namespace vitrine;

struct Counter final : ExchangeSink {
  uint64_t exchanges = 0, parts = 0, content = 0;
  void part(const Exchange&, const Part& part) override {
    ++parts;
    content += part.content.size();
  }
  void closed(const Exchange&, CloseReason) override { ++exchanges; }
};
struct Framing final : HttpEventSink {
  uint64_t bytes = 0;
  void on_http(const HttpEvent& event) override { bytes += event.data.size(); }
  void on_bytes(Direction, uint64_t, Cause, uint64_t n) override { bytes += n; }
  void issue(Issue) override {}
};

std::string frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string out;
  for (int shift : {16, 8, 0}) out.push_back(static_cast<char>(payload.size() >> shift));
  out.push_back(static_cast<char>(type));
  out.push_back(static_cast<char>(flags));
  for (int shift : {24, 16, 8, 0}) out.push_back(static_cast<char>(stream >> shift));
  return out.append(payload);
}

struct Turn {
  Direction direction;
  std::string bytes;
};

template <class Target>
void feed(Target& target, const std::vector<Turn>& turns, size_t chunk_bytes) {
  uint64_t offsets[2] = {0, 0}, packet = 0;
  for (const Turn& turn : turns) {
    for (size_t at = 0; at < turn.bytes.size(); at += chunk_bytes) {
      StreamChunk chunk;
      chunk.direction = turn.direction;
      chunk.bytes = as_bytes(std::string_view(turn.bytes).substr(at, chunk_bytes));
      chunk.offset = offsets[static_cast<size_t>(turn.direction)];
      chunk.packet = ++packet;
      offsets[static_cast<size_t>(turn.direction)] += chunk.bytes.size();
      target.on_chunk(chunk);
    }
  }
}

uint64_t total(const std::vector<Turn>& turns) {
  uint64_t n = 0;
  for (const Turn& turn : turns) n += turn.bytes.size();
  return n;
}

template <class Run>
double best(Run run) {
  double seconds = 1e9;
  for (int i = 0; i < 5; ++i) {
    const std::clock_t start = std::clock();  // processor time: one thread, nothing waits
    run();
    seconds = std::min(seconds, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  return seconds;
}

std::vector<Turn> large_frames() {
  const std::string request = std::string(kHttp2Preface) + frame(kSettings, 0, 0, {});
  std::string up = request, down = frame(kSettings, 0, 0, {});
  const std::string data(16384, 'd');
  for (uint32_t id = 1; id < 64; id += 2) {
    up += frame(kHeaders, kEndHeaders | kEndStream, id,
                "\x82\x87\x84\x41\x06"
                "a.test");
    down += frame(kHeaders, kEndHeaders, id, "\x88");
    for (int i = 0; i < 64; ++i) down += frame(kData, i == 63 ? kEndStream : 0, id, data);
  }
  return {{Direction::client_to_server, up}, {Direction::server_to_client, down}};
}

std::vector<Turn> small_requests(size_t count) {
  const std::string request =
      "GET /api/v0/chat/history?cursor=1204 HTTP/1.1\r\nHost: chat.aster.test\r\nUser-Agent: Aster/2.5 (X11; Linux "
      "x86_64)\r\n"
      "Accept: application/json\r\nAccept-Encoding: gzip, br\r\nX-Client-Version: 2.5.3\r\nX-Device-Id: "
      "0123456789abcdef0123456789abcdef0123456789abcdef\r\nCookie: session=0123456789abcdef\r\n\r\n";
  const std::string response = "HTTP/1.1 204 No Content\r\nServer: test\r\n\r\n";
  std::vector<Turn> turns;
  for (size_t i = 0; i < count; ++i) {
    turns.push_back({Direction::client_to_server, request});
    turns.push_back({Direction::server_to_client, response});
  }
  return turns;
}

std::vector<Turn> small_requests2(size_t count) {
  std::vector<Turn> turns;
  const std::string literal = std::string("\x82\x87\x04\x14/api/v0/chat/history", 24) +
                              std::string(
                                  "\x41\x0f"
                                  "chat.aster.test") +
                              std::string("\x40\x0bx-device-id\x30") + std::string(48, 'a') +
                              std::string(
                                  "\x40\x06"
                                  "cookie\x18session=0123456789abcdef");
  const std::string indexed = std::string("\x82\x87\x04\x14/api/v0/chat/history\xc0\xbf\xbe", 27) +
                              std::string(
                                  "\x00\x06"
                                  "x-body\x7f\x49",
                                  10) +
                              std::string(200, 'b');
  std::string up =
      std::string(kHttp2Preface) + frame(kSettings, 0, 0, {}) + frame(kHeaders, kEndHeaders | kEndStream, 1, literal);
  turns.push_back({Direction::client_to_server, up});
  turns.push_back(
      {Direction::server_to_client, frame(kSettings, 0, 0, {}) + frame(kHeaders, kEndHeaders | kEndStream, 1, "\x89")});
  for (size_t i = 1; i < count; ++i) {
    const uint32_t id = static_cast<uint32_t>(2 * i + 1);
    turns.push_back({Direction::client_to_server, frame(kHeaders, kEndHeaders | kEndStream, id, indexed)});
    turns.push_back({Direction::server_to_client, frame(kHeaders, kEndHeaders | kEndStream, id, "\x89")});
  }
  return turns;
}

}  // namespace

int main() {
  const std::vector<Turn> large = large_frames();
  double framing = best([&] {
    Framing sink;
    Http2Framer framer(sink, HttpLimits{}, false);
    feed(framer, large, 64 << 10);
    if (sink.bytes != total(large)) std::abort();
  });
  const auto connection = [](const std::vector<Turn>& turns, const char* alpn, size_t chunk, uint64_t expected) {
    return best([&] {
      ConnectionInfo info;
      info.id = 1;
      Counter sink;
      HttpConnection http(info, sink);
      http.set_alpn(alpn);
      feed(http, turns, chunk);
      http.finish(CloseReason::end_of_capture, {}, 0);
      if (sink.exchanges != expected) std::abort();
    });
  };
  const double whole = connection(large, "h2", 64 << 10, 32);
  constexpr size_t kRequests = 200000;
  const std::vector<Turn> http1 = small_requests(kRequests), http2 = small_requests2(kRequests);
  const double one = connection(http1, "http/1.1", 16 << 10, kRequests);
  const double two = connection(http2, "h2", 16 << 10, kRequests);
  std::printf(
      "{\"http2_framing_gb_s\": %.2f, \"http2_bodies_gb_s\": %.2f, \"http1_requests_s\": %.0f, \"http1_mb_s\": %.0f, "
      "\"http2_requests_s\": %.0f, \"http2_mb_s\": %.0f}\n",
      static_cast<double>(total(large)) / framing / 1e9, static_cast<double>(total(large)) / whole / 1e9,
      static_cast<double>(kRequests) / one, static_cast<double>(total(http1)) / one / 1e6,
      static_cast<double>(kRequests) / two, static_cast<double>(total(http2)) / two / 1e6);
}
