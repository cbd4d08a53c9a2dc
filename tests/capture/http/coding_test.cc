// Content codings, event streams and WebSockets: on the wire and alone.
#include <brotli/encode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include "capture/http/content_coding.h"
#include "transcript.h"

namespace vitrine::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr Direction kClient = Direction::client_to_server, kServer = Direction::server_to_client;

std::string deflated(std::string_view text, int window_bits, int flush = Z_FINISH) {
  z_stream z{};
  deflateInit2(&z, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY);
  std::string out(compressBound(text.size()) + 64, '\0');
  z.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<uint8_t*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, flush);
  out.resize(out.size() - z.avail_out);
  deflateEnd(&z);
  return out;
}
std::string gzip(std::string_view text) { return deflated(text, 31); }

std::string brotli(std::string_view text) {
  size_t size = BrotliEncoderMaxCompressedSize(text.size()) + 64;
  std::string out(size, '\0');
  BrotliEncoderCompress(5, 22, BROTLI_MODE_TEXT, text.size(), reinterpret_cast<const uint8_t*>(text.data()), &size,
                        reinterpret_cast<uint8_t*>(out.data()));
  out.resize(size);
  return out;
}

// Encoders of streams that flush after every piece, as an event stream does.
std::string brotli_pieces(const std::vector<std::string>& pieces) {
  BrotliEncoderState* e = BrotliEncoderCreateInstance(nullptr, nullptr, nullptr);
  std::string out(64 << 10, '\0');
  size_t room = out.size();
  uint8_t* next_out = reinterpret_cast<uint8_t*>(out.data());
  for (const std::string& piece : pieces) {
    size_t n = piece.size();
    const uint8_t* next = reinterpret_cast<const uint8_t*>(piece.data());
    BrotliEncoderCompressStream(e, BROTLI_OPERATION_FLUSH, &n, &next, &room, &next_out, nullptr);
  }
  out.resize(out.size() - room);
  BrotliEncoderDestroyInstance(e);
  return out;
}

std::string zstd(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

std::string sample(size_t size = 300000) {
  std::string text;
  uint32_t x = 1;
  while (text.size() < size) {
    x = x * 1664525 + 1013904223;
    text += "{\"event\":" + std::to_string(x >> 20) + ",\"t\":" + std::to_string(text.size()) + "},";
  }
  return text;
}

struct Fed {
  std::string out;
  Decompressor::State state = Decompressor::State::more;
  uint64_t accepted = 0;
};
Fed feed(Decoder kind, std::string_view input, size_t step, uint64_t bound = 1 << 30) {
  Fed fed;
  auto d = Decompressor::create(kind, bound);
  for (size_t at = 0; at < input.size();) {
    size_t used = 0;
    const std::string_view piece = input.substr(at, step);
    fed.state = d->feed(as_bytes(piece), fed.out, used);
    at += used;
    if (used < piece.size() || fed.state == Decompressor::State::malformed || fed.state == Decompressor::State::bound)
      break;
  }
  fed.accepted = d->accepted();
  return fed;
}

struct Format {
  Decoder kind;
  std::string (*encode)(std::string_view);
};
const Format kFormats[] = {{Decoder::gzip, gzip},
                           {Decoder::zlib, [](std::string_view t) { return deflated(t, 15); }},
                           {Decoder::zlib, [](std::string_view t) { return deflated(t, -15); }},
                           {Decoder::deflate, [](std::string_view t) { return deflated(t, -15); }},
                           {Decoder::br, brotli},
                           {Decoder::zstd, zstd}};

TEST(ContentCoding, EveryFormatWholeAndByteByByte) {
  const std::string text = sample();
  for (const Format& f : kFormats) {
    const std::string packed = f.encode(text);
    for (size_t step : {packed.size(), size_t{1}, size_t{1000}}) {
      const Fed fed = feed(f.kind, packed, step);
      EXPECT_EQ(fed.state, Decompressor::State::done) << to_string(f.kind) << step;
      EXPECT_TRUE(fed.out == text) << to_string(f.kind) << step;
      EXPECT_EQ(fed.accepted, packed.size()) << to_string(f.kind) << step;
    }
  }
}

TEST(ContentCoding, DamageGivesTheSamePrefixInEveryCut) {
  const std::string text = sample(60000);
  for (const Format& f : kFormats) {
    std::string packed = f.encode(text);
    for (size_t at : {size_t{0}, size_t{3}, packed.size() / 3, packed.size() / 2, packed.size() - 2}) {
      std::string damaged = packed;
      for (size_t i = at; i < std::min(at + 8, damaged.size()); ++i) damaged[i] = static_cast<char>(damaged[i] ^ 0xff);
      const Fed whole = feed(f.kind, damaged, damaged.size());
      for (size_t step : {1, 5, 777}) {
        const Fed cut = feed(f.kind, damaged, step);
        EXPECT_EQ(cut.state, whole.state) << to_string(f.kind) << " at " << at << " step " << step;
        EXPECT_EQ(cut.out.size(), whole.out.size()) << to_string(f.kind) << " at " << at << " step " << step;
        EXPECT_EQ(cut.accepted, whole.accepted) << to_string(f.kind) << " at " << at << " step " << step;
      }
    }
  }
}

TEST(ContentCoding, TheBoundIsExact) {
  const std::string text = sample(100000);
  for (const Format& f : kFormats) {
    const std::string packed = f.encode(text);
    EXPECT_EQ(feed(f.kind, packed, packed.size(), text.size()).state, Decompressor::State::done) << to_string(f.kind);
    const Fed cut = feed(f.kind, packed, packed.size(), text.size() - 1);
    EXPECT_EQ(cut.state, Decompressor::State::bound) << to_string(f.kind);
    EXPECT_EQ(cut.out.size(), text.size() - 1);
  }
}

TEST(ContentCoding, GzipMembersAndTrailingBytes) {
  Inflated two = decompress(Decoder::gzip, as_bytes(gzip("ab") + gzip("cd")), 100);
  EXPECT_EQ(two.bytes, "abcd");
  EXPECT_TRUE(two.complete);
  Inflated trailing = decompress(Decoder::gzip, as_bytes(gzip("ab") + "xx"), 100);
  EXPECT_EQ(trailing.bytes, "ab");
  EXPECT_FALSE(trailing.complete);
  EXPECT_EQ(decompress(Decoder::json, as_bytes("x"), 10).state, Decompressor::State::malformed);
}

TEST(ContentCoding, WholeBodiesTheQuickWay) {
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += "value " + std::to_string(i * 7919) + "\n";
  for (const auto& [kind, coded] :
       {std::pair{Decoder::gzip, gzip(text)}, std::pair{Decoder::zlib, deflated(text, 15)}}) {
    std::string out;
    ASSERT_TRUE(inflate_whole(kind, as_bytes(coded), text.size(), out));
    EXPECT_EQ(out, text);
    EXPECT_FALSE(inflate_whole(kind, as_bytes(coded), text.size() - 1, out)) << "the bound";
    EXPECT_FALSE(inflate_whole(kind, as_bytes(coded.substr(0, coded.size() - 1)), text.size(), out)) << "cut";
    EXPECT_FALSE(inflate_whole(kind, as_bytes(coded + "x"), text.size(), out)) << "bytes behind the end";
    EXPECT_FALSE(inflate_whole(kind, as_bytes(coded + coded), 2 * text.size(), out)) << "a second member";
    std::string damaged = coded;
    damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 0x10);
    EXPECT_FALSE(inflate_whole(kind, as_bytes(damaged), text.size(), out));
  }
  std::string out;
  EXPECT_FALSE(inflate_whole(Decoder::zlib, as_bytes(deflated(text, -15)), text.size(), out))
      << "raw deflate is left to the Decompressor";
  EXPECT_FALSE(inflate_whole(Decoder::br, as_bytes(brotli(text)), text.size(), out));
  EXPECT_FALSE(inflate_whole(Decoder::gzip, {}, text.size(), out));
}

TEST(ContentCoding, Tokens) {
  Decoder d{};
  EXPECT_TRUE(content_coding("X-GZip", d));
  EXPECT_EQ(d, Decoder::gzip);
  EXPECT_TRUE(content_coding("deflate", d));
  EXPECT_EQ(d, Decoder::zlib);
  EXPECT_FALSE(content_coding("compress", d));
}

std::string post(const std::string& coding, const std::string& body) {
  return "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Encoding: " + coding +
         "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

TEST(Coded, RequestsOfEveryCoding) {
  for (const auto& [name, body] :
       std::vector<std::pair<std::string, std::string>>{{"gzip", gzip("hello world")},
                                                        {"deflate", deflated("hello world", 15)},
                                                        {"br", brotli("hello world")},
                                                        {"zstd", zstd("hello world")},
                                                        {"gzip, br", brotli(gzip("hello world"))},
                                                        {"identity", "hello world"}}) {
    const Outcome out = check(Transcript().client(post(name, body)).close_both());
    EXPECT_THAT(out.log, HasSubstr("1 body > 'hello world'")) << name;
    EXPECT_TRUE(out.issues.empty()) << name;
  }
}

TEST(Coded, UnknownCodingIsGivenUndecoded) {
  const Outcome out = check(Transcript().client(post("compress", "!!")).close_both());
  EXPECT_THAT(out.log, HasSubstr("1 body > '!!' cause=unsupported"));
  EXPECT_THAT(out.log, HasSubstr("unsupported=2"));
  EXPECT_THAT(out.issues, Contains("unsupported http: unknown content coding compress"));
}

TEST(Coded, DamagedAndCutBodies) {
  std::string body = gzip(sample(2000));
  for (size_t i = 200; i < 210; ++i) body[i] = static_cast<char>(body[i] ^ 0x55);
  const Outcome damaged = check(Transcript().client(post("gzip", body)).close_both());
  EXPECT_THAT(damaged.log, HasSubstr("incomplete cause=malformed gzip"));
  EXPECT_THAT(damaged.log, HasSubstr("malformed="));
  const Outcome early = check(Transcript().client(post("gzip", gzip("hello").substr(0, 16))).close_both());
  EXPECT_THAT(early.issues, Contains("malformed http: content coding ends early"));
  const Outcome behind = check(Transcript().client(post("br", brotli("hello") + "trash")).close_both());
  EXPECT_THAT(behind.log, HasSubstr("1 body > 'hello' incomplete cause=malformed"));
  EXPECT_THAT(behind.log, HasSubstr("malformed=5"));
}

TEST(Coded, BombsStopAtTheBound) {
  HttpLimits limits;
  limits.body_bytes = 1 << 20;
  const std::string zeros(64 << 20, '\0');
  for (const auto& [name, body] : std::vector<std::pair<std::string, std::string>>{
           {"gzip", gzip(zeros)}, {"br", brotli(zeros)}, {"zstd", zstd(zeros)}, {"gzip, gzip", gzip(gzip(zeros))}}) {
    const Outcome out = run(Transcript().client(post(name, body)).close_both(), 0, limits);
    EXPECT_THAT(out.log, HasSubstr("cause=truncated")) << name;
    EXPECT_THAT(out.log, HasSubstr("content=1048576")) << name;
  }
  HttpLimits ratio;
  ratio.expansion = 10;
  ratio.expansion_floor = 1000;
  const Outcome out = run(Transcript().client(post("gzip", gzip(zeros))).close_both(), 0, ratio);
  EXPECT_THAT(out.issues, Contains("truncated http: content coding expands beyond the bound"));
}

TEST(Coded, LargeBodiesSpillAndStayWhole) {
  HttpLimits limits;
  limits.body_memory = 1000;
  const std::string text = sample(50000);
  const Outcome plain =
      check(Transcript()
                .client("POST / HTTP/1.1\r\nContent-Length: " + std::to_string(text.size()) + "\r\n\r\n" + text)
                .close_both(),
            limits);
  EXPECT_THAT(plain.log, HasSubstr("content=" + std::to_string(text.size())));
  limits.body_bytes = 777;
  const Outcome cut =
      check(Transcript()
                .client("POST / HTTP/1.1\r\nContent-Length: " + std::to_string(text.size()) + "\r\n\r\n" + text)
                .close_both(),
            limits);
  EXPECT_THAT(cut.log, HasSubstr("content=777"));
  EXPECT_THAT(cut.log, HasSubstr("incomplete cause=truncated"));
}

const std::string kSse = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
const std::string kGet = "GET /events HTTP/1.1\r\nHost: a.test\r\n\r\n";

TEST(Sse, EventsPartByPart) {
  const std::string body =
      "\xef\xbb\xbf: comment\n\nevent: x\ndata: one\ndata:two\r\nid: 1\r\n\r\ndata\n\ndata: {\"a\":1}\r\rretry: "
      "5\n\ndata: last";
  const Outcome out = check(Transcript().client(kGet).server(kSse + "\r\n" + body).close_both());
  EXPECT_THAT(out.log, HasSubstr("message < 'one\\ntwo' text within=29+12 sse"));
  EXPECT_THAT(out.log, HasSubstr("message < '' text sse"));
  EXPECT_THAT(out.log, HasSubstr("message < '{\"a\":1}' text within="));
  EXPECT_THAT(out.log, HasSubstr("message < 'last' text incomplete cause=truncated"));
  EXPECT_THAT(out.log, Not(HasSubstr("body <")));
  EXPECT_EQ(body.substr(29, 12), "one\ndata:two");
}

TEST(Sse, AnEventIsGivenBeforeTheNextArrives) {
  Transcript t;
  t.client(kGet).server(kSse + "Content-Encoding: br\r\n\r\n");
  const std::string two = brotli_pieces({"data: one\n\n", "data: two\n\n"});
  const std::string one = brotli_pieces({"data: one\n\n"});
  ASSERT_EQ(two.substr(0, one.size()), one);
  t.server(one);
  EXPECT_THAT(check(t).log, HasSubstr("message < 'one' text within=6+3 br sse"));
  t.server(two.substr(one.size()));
  EXPECT_THAT(check(t).log, HasSubstr("message < 'two' text within=17+3 br sse"));
}

TEST(Sse, WithoutEventsItIsABody) {
  const Outcome out = check(Transcript().client(kGet).server(kSse + "Content-Length: 5\r\n\r\nplain").close_both());
  EXPECT_THAT(out.log, HasSubstr("1 body < 'plain'"));
}

const std::string kUpgrade =
    "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: "
    "13\r\nSec-WebSocket-Key: AAAA\r\n";
const std::string kSwitch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";

std::string ws(uint8_t first, std::string_view payload, bool mask = false) {
  std::string out(1, static_cast<char>(first));
  const char bit = mask ? '\x80' : 0;
  if (payload.size() < 126) {
    out.push_back(static_cast<char>(bit | static_cast<char>(payload.size())));
  } else {
    out.push_back(static_cast<char>(bit | 126));
    out.push_back(static_cast<char>(payload.size() >> 8));
    out.push_back(static_cast<char>(payload.size()));
  }
  if (!mask) return out.append(payload);
  const char key[] = {0x11, 0x22, 0x33, 0x44};
  out.append(key, 4);
  for (size_t i = 0; i < payload.size(); ++i) out.push_back(static_cast<char>(payload[i] ^ key[i & 3]));
  return out;
}

TEST(WebSocket, FragmentsControlFramesBothDirections) {
  const Outcome out = check(Transcript()
                                .client(kUpgrade + "\r\n")
                                .server(kSwitch + "\r\n" + ws(0x81, "welcome"))
                                .client(ws(0x01, "hel", true) + ws(0x89, "ping", true) + ws(0x80, "lo", true) +
                                        ws(0x82, std::string(200, 'b'), true))
                                .server(ws(0x8a, "ping") + ws(0x02, "x") + ws(0x80, ""))
                                .client(ws(0x88, "\x03\xe8", true))
                                .server(ws(0x88, "\x03\xe8"))
                                .close_both());
  EXPECT_THAT(out.log, HasSubstr("1 headers < [:status: 101]"));
  EXPECT_THAT(out.log, HasSubstr("message < 'welcome' text websocket wire=9"));
  EXPECT_THAT(out.log, HasSubstr("message > 'hello' text websocket wire=17"));
  EXPECT_THAT(out.log, HasSubstr("message < 'x' websocket wire=5"));
  EXPECT_THAT(out.log, HasSubstr("closed complete 101"));
  EXPECT_TRUE(out.issues.empty());
}

struct Deflater {
  z_stream z{};
  Deflater() { deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY); }
  ~Deflater() { deflateEnd(&z); }
  std::string message(std::string_view text) {
    std::string out(1000 + text.size(), '\0');
    z.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
    z.avail_in = static_cast<uInt>(text.size());
    z.next_out = reinterpret_cast<uint8_t*>(out.data());
    z.avail_out = static_cast<uInt>(out.size());
    deflate(&z, Z_SYNC_FLUSH);
    out.resize(out.size() - z.avail_out - 4);
    return out;
  }
};

TEST(WebSocket, PermessageDeflate) {
  for (bool takeover : {true, false}) {
    Deflater shared;
    const auto pack = [&](const char* text) { return takeover ? shared.message(text) : Deflater().message(text); };
    const std::string a = pack("typing typing typing"), b = pack("typing typing typing again");
    const Outcome out =
        check(Transcript()
                  .client(kUpgrade + "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n")
                  .server(kSwitch + "Sec-WebSocket-Extensions: permessage-deflate" +
                          (takeover ? "" : "; client_no_context_takeover") + "\r\n\r\n")
                  .client(ws(0xc1, a, true) + ws(0x41, b.substr(0, 3), true) + ws(0x80, b.substr(3), true) +
                          ws(0x81, "plain", true))
                  .close_both());
    EXPECT_THAT(out.log, HasSubstr("message > 'typing typing typing' text websocket permessage-deflate"));
    EXPECT_THAT(out.log, HasSubstr("message > 'typing typing typing again' text websocket permessage-deflate"));
    EXPECT_THAT(out.log, HasSubstr("message > 'plain' text websocket wire"));
    EXPECT_TRUE(out.issues.empty());
  }
}

TEST(WebSocket, MalformedAndGaps) {
  Transcript t;
  t.client(kUpgrade + "\r\n").server(kSwitch + "\r\n");
  Transcript bad = t, inside = t, across = t;
  const Outcome malformed = check(bad.client(ws(0x81, "good", true) + ws(0x83, "bad", true)).close_both());
  EXPECT_THAT(malformed.log, HasSubstr("'good'"));
  EXPECT_THAT(malformed.issues, Contains("malformed websocket: reserved opcode"));
  const Outcome kept = check(inside
                                 .server("\x81\x05"
                                         "ab")
                                 .gap(kServer, 2)
                                 .server("e" + ws(0x81, "next"))
                                 .close_both());
  EXPECT_THAT(kept.log, HasSubstr("'ab' text incomplete cause=gap"));
  EXPECT_THAT(kept.log, HasSubstr("'next' text websocket"));
  const Outcome lost = check(across
                                 .server("\x81\x05"
                                         "ab")
                                 .gap(kServer, 20)
                                 .server(ws(0x81, "next"))
                                 .close_both());
  EXPECT_THAT(lost.issues, Contains("gap websocket: frame boundaries lost in a gap"));
}

TEST(WebSocket, EveryCutAccountsForEveryByte) {
  const std::string frames = ws(0x01, "hel", true) + ws(0x89, "p", true) + ws(0x80, "lo", true) +
                             ws(0x82, std::string(130, 'b'), true) + ws(0x88, "", true);
  for (size_t length = 0; length <= frames.size(); ++length) {
    for (size_t missing : {0, 1, 7}) {
      Transcript t;
      t.client(kUpgrade + "\r\n").server(kSwitch + "\r\n").client(frames.substr(0, length));
      if (missing > 0) t.gap(kClient, missing).client(frames.substr(std::min(length + missing, frames.size())));
      check(t.close_both());
      ASSERT_FALSE(HasFailure()) << length << " " << missing;
    }
  }
}

}  // namespace
}  // namespace vitrine::testing
