// Bytes written as lists: what opens, what is opaque, and what stays a list.
#include "capture/fields/byte_lists.h"

#include <cmath>
#include <random>

#include "base/digest.h"
#include "field_collector.h"

namespace vitrine {
namespace {

using testing::Collector;

std::string random_bytes(size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

template <class Range, class Print>
std::string list_of(const Range& items, Print print) {
  std::string out = "[";
  for (const auto& item : items) out.append(out.size() == 1 ? "" : ",").append(print(item));
  return out.append("]");
}
std::string numbers_of(std::string_view bytes, bool is_signed = false) {
  return list_of(bytes, [&](char c) {
    return std::to_string(is_signed ? static_cast<int>(static_cast<signed char>(c)) : static_cast<uint8_t>(c));
  });
}
std::string numbers_of(const std::vector<int64_t>& values) {
  return list_of(values, [](int64_t value) { return std::to_string(value); });
}
std::vector<std::string> pieces_of(const std::string& text, size_t length) {
  std::vector<std::string> pieces;
  for (size_t at = 0; at < text.size(); at += length) pieces.push_back(text.substr(at, length));
  return pieces;
}
std::string texts_of(const std::vector<std::string>& pieces) {
  return list_of(pieces, [](const std::string& piece) { return std::string(1, '"').append(piece).append(1, '"'); });
}

// Opaque client → server bytes of a body {"d": LIST}; every field is replayed.
uint64_t opaque_of(const std::string& list) {
  Collector c;
  c.body(std::string("{\"k\":1,\"d\":").append(list).append(",\"e\":\"end\"}"), "application/json");
  EXPECT_EQ(c.value("body|json/e"), "end") << "the path goes on as before";
  EXPECT_EQ(c.replayed, c.fields.size());
  return c.extractor.opaque_bytes(c.exchange, Direction::client_to_server);
}

TEST(ByteLists, EncryptedBytesAreOpaqueHoweverTheyAreListed) {
  for (unsigned seed = 1; seed <= 40; ++seed) {
    const std::string blob = random_bytes(96, seed);
    const std::string plain = numbers_of(blob);
    EXPECT_EQ(opaque_of(plain), plain.size()) << seed;
    const std::string with_sign = numbers_of(blob, true);
    EXPECT_EQ(opaque_of(with_sign), with_sign.size()) << seed;

    std::string typed = "{";  // JSON.stringify(new Uint8Array(…))
    std::vector<int64_t> words, signed_words;
    for (size_t i = 0; i < blob.size(); ++i) {
      typed.append(i ? ",\"" : "\"").append(std::to_string(i)).append("\":");
      typed.append(std::to_string(static_cast<uint8_t>(blob[i])));
      if (i % 4 == 0) {
        const Bytes at = as_bytes(blob).subspan(i, 4);
        const uint32_t word = uint32_t{at[0]} << 24 | at[1] << 16 | at[2] << 8 | at[3];
        words.push_back(word);
        signed_words.push_back(static_cast<int32_t>(word));
      }
    }
    EXPECT_GT(opaque_of(typed + "}"), 0u) << seed;
    EXPECT_GT(opaque_of(numbers_of(words)), 0u) << seed;
    EXPECT_GT(opaque_of(numbers_of(signed_words)), 0u) << seed;

    const std::string base64 = to_base64(as_bytes(blob));
    for (size_t length : {4, 10, 32, 60}) EXPECT_GT(opaque_of(texts_of(pieces_of(base64, length))), 0u) << length;
    std::string escaped;
    for (char c : base64) escaped += c == '/' ? std::string("\\/") : std::string(1, c);
    EXPECT_GT(opaque_of(texts_of({escaped.substr(0, 40), escaped.substr(40, 60), escaped.substr(100)})), 0u);
    EXPECT_GT(opaque_of(texts_of(pieces_of(to_hex(as_bytes(blob)), 50))), 0u);
  }
}

TEST(ByteLists, OpenWhatTheyHold) {
  const std::string json = R"({"model":"Pixel 8","keys":[1,2],"system":"Android 16","locale":"ko-KR"})";
  Collector c;
  c.body("{\"d\":" + numbers_of(json) + "}", "application/json");
  EXPECT_EQ(c.value("body|json/d|byte-list|json/model"), "Pixel 8") << c.paths();
  EXPECT_EQ(c.value("body|json/d/0"), "123") << "elements stay fields";
  EXPECT_EQ(c.replayed, c.fields.size());

  Collector text;
  text.body("{\"d\":" + numbers_of("please do not tell anyone about this") + "}", "application/json");
  EXPECT_EQ(text.value("body|json/d|byte-list"), "please do not tell anyone about this");
  Collector korean;
  korean.body("{\"d\":" + numbers_of("이 글은 아직 보내지 않았습니다") + "}", "application/json");
  EXPECT_EQ(korean.value("body|json/d|byte-list"), "이 글은 아직 보내지 않았습니다");

  Collector cut;
  cut.body("{\"d\":" + texts_of(pieces_of(to_base64(as_bytes(json)), 12)) + "}", "application/json");
  EXPECT_EQ(cut.value("body|json/d|joined|base64|json/model"), "Pixel 8") << cut.paths();
  EXPECT_EQ(cut.replayed, cut.fields.size());
}

// Short ones are no blobs, but bytes that were not read: audit counts them.
TEST(ByteLists, ShortOnesAreBinaryLeaves) {
  size_t found = 0;
  for (unsigned seed = 1; seed <= 40; ++seed) {
    Collector c;
    c.body("{\"d\":" + numbers_of(random_bytes(48, seed)) + "}", "application/json");
    const auto* leaf = c.find("body|json/d|byte-list");
    if (leaf == nullptr) continue;
    ++found;
    EXPECT_EQ(leaf->type, ValueType::binary);
    EXPECT_FALSE(leaf->opaque);
  }
  EXPECT_GE(found, 36u);
}

TEST(ByteLists, MeasurementsStayLists) {
  std::mt19937 random(5);
  const auto draw = [&](auto distribution, size_t count) {
    std::vector<int64_t> values(count);
    for (int64_t& value : values) value = static_cast<int64_t>(std::lround(distribution(random)));
    return values;
  };
  std::vector<int64_t> counting, wave, pixels, flags, sparse;
  for (int64_t i = 0; i < 256; ++i) {
    counting.push_back(i);
    wave.push_back(128 + std::lround(120 * std::sin(static_cast<double>(i) / 5)));
    pixels.push_back(i % 4 == 3 ? 255 : 200 + i % 7);
    flags.push_back(static_cast<int64_t>(random() % 2));
    sparse.push_back(random() % 10 == 0 ? static_cast<int64_t>(random() % 256) : 0);
  }
  size_t wrong = 0, wrong_short = 0;  // short ones are no blobs, see above
  for (int round = 0; round < 50; ++round) {
    for (size_t count : {32, 64, 200}) {
      for (const auto& values :
           {draw(std::normal_distribution<>(110, 30), count),       // dwell times
            draw(std::lognormal_distribution<>(4.8, 0.5), count),   // gaps between keys
            draw(std::uniform_real_distribution<>(0, 100), count),  // percentages
            draw(std::uniform_real_distribution<>(40, 160), count), draw(std::exponential_distribution<>(0.02), count),
            draw(std::poisson_distribution<>(6), count)}) {
        Collector c;
        c.replay = false;
        c.body("{\"d\":" + numbers_of(values) + "}", "application/json");
        (count == 32 ? wrong_short : wrong) += c.fields.size() != values.size();
      }
    }
  }
  EXPECT_LE(wrong, 2u) << "of 600";
  EXPECT_LE(wrong_short, 10u) << "of 300";
  std::vector<int64_t> times = {1'780'000'000'000}, seconds = {1'780'000'000};
  for (int i = 0; i < 100; ++i) {
    times.push_back(times.back() + 20 + random() % 300);
    seconds.push_back(seconds.back() + 20 + random() % 300);
  }
  for (const auto& values : {counting, wave, pixels, flags, sparse, times, seconds}) {
    Collector c;
    c.replay = false;
    c.body("{\"d\":" + numbers_of(values) + "}", "application/json");
    EXPECT_EQ(c.fields.size(), values.size()) << numbers_of(values).substr(0, 60);
  }
}

TEST(ByteLists, ListsOfTextsStayLists) {
  const std::vector<std::vector<std::string>> lists = {
      {"en-US", "en", "de", "ko"},
      {"EXT_color_buffer_float", "EXT_float_blend", "OES_texture_float_linear", "WEBGL_compressed_texture_s3tc",
       "WEBGL_debug_renderer_info", "WEBGL_lose_context", "KHR_parallel_shader_compile", "OVR_multiview2"},
      {"d41d8cd98f00b204e9800998ecf8427e", "0cc175b9c0f1b6a831c399e269772661", "92eb5ffee6ae2fec3ad71c777531578f",
       "4a8a08f09d37b73795649038408b5f33", "8277e0910d750195b448797616e091ad"},
      {"getUserPreferencesForAccount2", "setDefaultLanguage1", "renderConversationList", "openSettingsDialogV2",
       "trackPageViewEvent", "flushAnalyticsQueue"},
      {"550e8400-e29b-41d4-a716-446655440000", "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
       "6ba7b811-9dad-11d1-80b4-00c04fd430c8"},
      {"eyJhIjoxfQ", "eyJiIjoyfQ", "eyJjIjozfQ"},
  };
  for (const auto& texts : lists) {
    Collector c;
    c.replay = false;
    c.body("{\"d\":" + texts_of(texts) + "}", "application/json");
    for (const auto& field : c.fields) {
      EXPECT_EQ(field.path.find("joined"), std::string::npos) << field.path;
      EXPECT_FALSE(field.opaque);
    }
  }
}

TEST(ByteLists, Malformed) {
  std::string out;
  for (const char* text : {"[1,2,]", "[1,2", "[1.5,2]", "[1e2]", "[256,-1,4294967296]", "[\"1\"]", "[[1]]", "[1 2]",
                           "{\"0\":1,\"2\":3}", "{\"0\":1", "{\"0\" 1}", "[", "[]", "{}", "[99999999999999999999]"}) {
    out.clear();
    EXPECT_FALSE(byte_list_decode(text, out)) << text;
  }
  for (const char* text : {"[\"ab", "[\"ab\"", "[1]", "[\"a b\"]", "[\"a\\u0041\"]", "[\"", "[", "[]"}) {
    out.clear();
    EXPECT_FALSE(text_list_join(text, out)) << text;
  }
}

}  // namespace
}  // namespace vitrine
