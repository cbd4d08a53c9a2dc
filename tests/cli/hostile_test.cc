// Inputs made to exhaust or confuse the real program: it ends by itself, with a
// documented exit code, says what it left out, and stays below its memory bound.
#include <gmock/gmock.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <functional>

#include "tests/cli/aster.h"
#include "tests/cli/program.h"

namespace vitrine::cli {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

// Sanitizers hold shadow and freed memory, and are slow: their builds look for
// other defects, in a tenth of the input.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kInstrumented = true;
#elif defined(__has_feature)
constexpr bool kInstrumented = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kInstrumented = false;
#endif
constexpr int kShare = kInstrumented ? 10 : 1;

std::string har_of(const std::string& request_members, const std::string& response_members = "") {
  return R"({"log":{"version":"1.2","creator":{"name":"t","version":"1"},"entries":[{)"
         R"("startedDateTime":"2025-03-01T10:00:00.000Z","time":5,"request":{"method":"POST",)"
         R"("url":"https://chat.aster.test/api/x","httpVersion":"HTTP/1.1")" +
         request_members + R"(},"response":{"status":200,"statusText":"OK","httpVersion":"HTTP/1.1")" +
         response_members + "}}]}}";
}

std::string har_with_body(const std::string& json_string, const std::string& type = "application/json") {
  return har_of(R"(,"headers":[],"postData":{"mimeType":")" + type + R"(","text":")" + json_string + "\"}");
}

std::string escaped(const std::string& json) {
  std::string out;
  for (const char c : json) out += c == '"' ? std::string("\\\"") : std::string(1, c);
  return out;
}

class Hostile : public testing::Test {
 protected:
  // Runs the program and remembers the most memory any run of this test took.
  Outcome measured(const std::vector<std::string>& arguments) {
    Outcome outcome = vitrine(arguments);
    peak_mb_ = std::max(peak_mb_, outcome.peak_mb);
    return outcome;
  }
  void expect_memory_below(long megabytes) const {
    if (!kInstrumented) {
      EXPECT_LT(peak_mb_, megabytes);
    }
  }
  Outcome audit(const std::string& path) {
    return measured({"audit", path, "--service", "aster", "--data", VITRINE_SOURCE_DIR, "--policies",
                     aster::kFolder + "/policies", "--json", folder_.path("report.json"), "--html",
                     folder_.path("report.html")});
  }
  // Every command over the file: exit code 0 or 1, nothing worse. `said`: the
  // messages of the audit and its report.
  void expect_survives(const std::string& name, const std::string& file, std::string* said = nullptr) {
    const std::string path = folder_.write(name, file);
    const Outcome audited = audit(path);
    EXPECT_THAT(audited.exit_code, AnyOf(0, 1)) << audited.err;
    if (said != nullptr) *said = audited.err + contents(folder_.path("report.json"));
    const Outcome fields = measured({"fields", path, "-o", folder_.path("fields.ndjson.zst")});
    EXPECT_EQ(fields.exit_code, 0) << fields.err;
    const Outcome exchanges = measured({"exchanges", path, "--json"});
    EXPECT_EQ(exchanges.exit_code, 0) << exchanges.err;
  }
  TempFolder folder_;
  long peak_mb_ = 0;
};

// One value of a few bytes under a path of 4 KB, many times: the lines are a
// thousand times the body.
TEST_F(Hostile, LinesFarLargerThanTheirBody) {
  std::string body = "[";
  for (int i = 0; i < 40'000 / kShare; ++i) body += "1,";
  body.back() = ']';
  for (int i = 0; i < 8; ++i) body = "{\"" + std::string(500, static_cast<char>('a' + i)) + "\":" + body + "}";
  expect_survives("paths.har", har_with_body(escaped(body)));
  expect_memory_below(150);
}

TEST_F(Hostile, CookiesWithoutEnd) {
  std::string cookies;
  for (int i = 0; i < 100'000 / kShare; ++i) cookies += "c" + std::to_string(i) + "=v; ";
  std::string said;
  expect_survives("cookies.har", har_of(R"(,"headers":[{"name":"cookie","value":")" + cookies + "\"}]"), &said);
  EXPECT_THAT(said, HasSubstr("more cookies than are kept apart"));
  expect_memory_below(200);
}

TEST_F(Hostile, SetCookiesWithoutEnd) {
  std::string headers;
  for (int i = 0; i < 100'000 / kShare; ++i) {
    headers += R"({"name":"set-cookie","value":"c)" + std::to_string(i) + R"(=v; Path=/; Max-Age=9"},)";
  }
  headers.pop_back();
  expect_survives("set.har", har_of(R"(,"headers":[])", R"(,"headers":[)" + headers + "]"));
  expect_memory_below(200);
}

TEST_F(Hostile, TextsWithoutEnd) {
  std::string body = "{";
  for (int i = 0; i < 200'000 / kShare; ++i) body += "\"key" + std::to_string(i) + "\":\"some words here\",";
  body.back() = '}';
  std::string said;
  expect_survives("texts.har", har_with_body(escaped(body)), &said);
  EXPECT_THAT(said, HasSubstr("more texts than are searched for drafts"));
  expect_memory_below(200);
}

TEST_F(Hostile, JsonAMillionDeep) {
  expect_survives("arrays.har", har_with_body(std::string(1'000'000 / kShare, '[')));
  std::string objects;
  for (int i = 0; i < 300'000 / kShare; ++i) objects += "{\\\"a\\\":";
  expect_survives("objects.har", har_with_body(objects));
  // The file itself, too deep and never closed: read as far as it goes.
  const std::string deep = R"({"log":{"version":"1.2","entries":[)" + std::string(1'000'000 / kShare, '[');
  const Outcome outcome = audit(folder_.write("deep.har", deep));
  EXPECT_THAT(outcome.exit_code, AnyOf(0, 1, 3));
  EXPECT_THAT(outcome.err, HasSubstr("deep.har"));
  expect_memory_below(150);
}

// `plain` so many times over. Never held whole: a child begins with the memory of
// its parent, and would be measured with it.
std::string gzipped(const std::string& plain, int times = 1) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out, piece(1 << 16, '\0');
  for (int i = 1; i <= times; ++i) {
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
    stream.avail_in = static_cast<uInt>(plain.size());
    do {
      stream.next_out = reinterpret_cast<Bytef*>(piece.data());
      stream.avail_out = static_cast<uInt>(piece.size());
      deflate(&stream, i == times ? Z_FINISH : Z_NO_FLUSH);
      out.append(piece, 0, piece.size() - stream.avail_out);
    } while (stream.avail_out == 0);
  }
  deflateEnd(&stream);
  return out;
}

std::string base64(const std::string& bytes) {
  static constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) group = group << 8 | (i + k < bytes.size() ? static_cast<uint8_t>(bytes[i + k]) : 0);
    for (size_t k = 0; k < 4; ++k) out += i + k <= bytes.size() ? kAlphabet[group >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

TEST_F(Hostile, BombsInBombs) {
  std::string bomb = gzipped(std::string(1 << 20, '\0'), 300);
  ASSERT_LT(bomb.size(), 1u << 20);
  std::string said;
  expect_survives("bomb.har", har_with_body(base64(bomb), "text/plain"), &said);
  EXPECT_THAT(said, HasSubstr("decodes to more bytes than are kept"));
  for (int i = 0; i < 4; ++i) bomb = gzipped(bomb);
  expect_survives("nested.har", har_with_body(base64(bomb), "text/plain"));
  expect_memory_below(320);
}

// ---- captures ------------------------------------------------------------------

// The blocks of the clean recording, changed by `change(type, block)`.
std::string with_blocks(const std::function<void(uint32_t type, std::string& block)>& change) {
  const std::string file = contents(aster::recording("clean"));
  std::string out;
  for (size_t at = 0; at + 8 <= file.size();) {
    uint32_t head[2];
    std::memcpy(head, file.data() + at, sizeof head);
    std::string block = file.substr(at, head[1]);
    at += head[1];
    change(head[0], block);
    out += block;
  }
  return out;
}
constexpr uint32_t kEnhancedPacket = 6;

void put32(std::string& block, size_t offset, uint32_t value) {
  std::memcpy(block.data() + offset, &value, sizeof value);
}

TEST_F(Hostile, PacketsOfInterfacesThatDoNotExist) {
  for (const uint32_t interface : {1u, 0xffffffffu}) {
    const std::string file = with_blocks([&](uint32_t type, std::string& block) {
      if (type == kEnhancedPacket) put32(block, 8, interface);
    });
    std::string said;
    expect_survives("interface.pcapng", file, &said);
    EXPECT_THAT(said, HasSubstr("interface.pcapng, packet 1:"));
    EXPECT_THAT(said, HasSubstr("interface"));
  }
}

TEST_F(Hostile, LengthsThatCannotBe) {
  for (const uint32_t length : {0u, 70'000u, 0xffffffffu}) {
    const std::string captured = with_blocks([&](uint32_t type, std::string& block) {
      if (type == kEnhancedPacket) put32(block, 20, length);
    });
    expect_survives("captured.pcapng", captured);
    int nth = 0;
    const std::string blocks = with_blocks([&](uint32_t type, std::string& block) {
      if (type == kEnhancedPacket && ++nth % 50 == 0) put32(block, 4, length);
    });
    std::string said;
    expect_survives("blocks.pcapng", blocks, &said);
    EXPECT_THAT(said, HasSubstr("blocks.pcapng, packet "));
  }
}

TEST_F(Hostile, EveryBlockTwiceAndTheFileThrice) {
  expect_survives("twice.pcapng", with_blocks([](uint32_t, std::string& block) { block += block; }));
  const std::string file = contents(aster::recording("clean"));
  expect_survives("thrice.pcapng", file + file + file);
}

TEST_F(Hostile, BlocksWithoutEnd) {
  std::string head, tiny(32, '\0');
  with_blocks([&](uint32_t type, std::string& block) {
    if (type != kEnhancedPacket && head.size() < 300) head += block;
  });
  put32(tiny, 0, kEnhancedPacket);
  put32(tiny, 4, 32);
  put32(tiny, 28, 32);
  std::string file = head;
  for (int i = 0; i < 300'000 / kShare; ++i) file += tiny;
  expect_survives("tiny.pcapng", file);
  expect_memory_below(100);
}

}  // namespace
}  // namespace vitrine::cli
