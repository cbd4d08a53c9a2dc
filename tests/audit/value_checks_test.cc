#include "audit/value_checks.h"

#include <gtest/gtest.h>

#include <string>

namespace vitrine {
namespace {

struct Case {
  ValueCheck check;
  std::string_view value;
  bool expected;
  ValueType type = ValueType::string;
};

TEST(ValueChecks, StrictForms) {
  using enum ValueCheck;
  static const Case kCases[] = {
      {uuid, "3f2b8c1e-6a4d-4e0f-9b77-0c5d2a1f8e63", true},
      {uuid, "{3F2B8C1E-6A4D-4E0F-9B77-0C5D2A1F8E63}", true},
      {uuid, "00000000-0000-0000-0000-000000000000", false},
      {uuid, "3f2b8c1e-6a4d-4e0f-9b77-0c5d2a1f8e6", false},
      {uuid, "3f2b8c1e-6a4d-4e0f-9b77-0c5d2a1f8e6g", false},
      {ipv4_public, "203.0.113.7", true},
      {ipv4_public, "10.0.0.1", false},
      {ipv4_public, "255.255.255.0", false},
      {ipv4_public, "127.0.0.1", false},
      {ipv4_public, "256.1.1.1", false},
      {ipv4_public, "1.2.3", false},
      {ipv4_public, "01.2.3.4", false},
      {ipv4_private, "192.168.0.12", true},
      {ipv4_private, "172.32.0.1", false},
      {ipv4_private, "100.64.1.1", true},
      {ipv6, "2001:db8::1", true},
      {ipv6, "fe80::1", false},
      {ipv6, "::1", false},
      {ipv6, "::", false},
      {ipv6, "12:34:56", false},
      {ipv6, "a::b::c", false},
      {mac, "02:00:5e:10:00:01", true},
      {mac, "02-00-5E-10-00-01", true},
      {mac, "02:00-5e:10:00:01", false},
      {mac, "00:00:00:00:00:00", false},
      {imei, "490154203237518", true},
      {imei, "490154203237519", false},
      {imei, "490154203237518", true, ValueType::number},
      {imei, "173400000012345", false, ValueType::number},
      {user_agent,
       "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36", true},
      {user_agent,
       "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 "
       "Mobile/15E148 Safari/604.1",
       true},
      {user_agent, "DeepSeek/2.5.3 Android/28", true},
      {user_agent, "Dalvik/2.1.0 (Linux; U; Android 9; SM-G991N)", true},
      {user_agent, "text/html", false},
      {user_agent, "application/json; charset=utf-8", false},
      {user_agent, "HTTP/1.1 200 OK", false},
      {timezone_iana, "Asia/Seoul", true},
      {timezone_iana, "America/Argentina/Buenos_Aires", true},
      {timezone_iana, "Asia/Pacific", false},
      {timezone_iana, "Europe/News", false},
      {timezone_offset, "+09:00", true},
      {timezone_offset, "UTC+9", true},
      {timezone_offset, "Thu Feb 13 2025 10:00:00 GMT+0900 (Korean Standard Time)", true},
      {timezone_offset, "+15:00", false},
      {timezone_offset, "-540", false},
      {timezone_offset, "+1234", false},
      {screen_size, "1920x1080", true},
      {screen_size, "390X844", true},
      {screen_size, "0x1920", false},
      {screen_size, "100x100", false},
      {screen_size, "1920x1080x24", false},
      {locale, "ko-KR", true},
      {locale, "zh-Hans-CN", true},
      {locale, "en_US.UTF-8", true},
      {locale, "ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", true},
      {locale, "es-419", true},
      {locale, "en", false},
      {locale, "xx-KR", false},
      {locale, "no-op", false},
      {locale, "is-OK", false},
      {email, "anna@mail.example", true},
      {email, "a.b+c@sub.mail.example", true},
      {email, "@user", false},
      {email, "icon@2x.png", false},
      {email, "npm@10.2", false},
      {email, "a@b@c.example", false},
      {phone_e164, "+821000000000", true},
      {phone_e164, "+82 10-0000-0000", true},
      {phone_e164, "+999123456789", false},
      {phone_e164, "+1", false},
      {phone_e164, "+3.14159265", true},  // '+31' with a point: a lead only, never certain
      {jwt, "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ0ZXN0In0.c2lnbmF0dXJl", true},
      {jwt, "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ0ZXN0In0", false},
      {jwt, "a.b.c", false},
      {high_entropy_token, "9f86d081884c7d659a2feaa0c55ad015", true},
      {high_entropy_token, "Zm9vYmFyMTIzNDU2Nzg5MGFiY2RlZg", true},
      {high_entropy_token, "fcm-APA91bHun4MxP5egoKMwt2KZFBaFUH1RYqx", true},
      {high_entropy_token, "thisIsAVeryLongCamelCaseIdentifier", false},
      {high_entropy_token, "com.example.application.module2", false},
      {high_entropy_token, "2025-02-14T10:00:00.000Z", false},
      {high_entropy_token, "/static/js/main.4f2a8c1e.chunk.js", false},
      {high_entropy_token, "user-clicked-the-blue-button-2", false},
      {high_entropy_token, "00000000000000000000000000000000", false},
      {semver, "2.5.3", true},
      {semver, "1.0.0-beta.1", true},
      {semver, "1.2", false},
      {url, "https://chat.example/c/1", true},
      {url, "/api/v1", false},
      {iso_datetime, "2025-02-14T10:00:00Z", true},
      {iso_datetime, "2025-02-14 10:00:00.123+09:00", true},
      {iso_datetime, "2025-99-14T10:00:00Z", false},
      {epoch_ms, "1739500000000", true, ValueType::number},
      {epoch_ms, "9999999999999", false, ValueType::number},
      {epoch_ms, "1739500000", false, ValueType::number},
  };
  for (const Case& c : kCases)
    EXPECT_EQ(detect(c.value, c.type).has(c.check), c.expected) << to_string(c.check) << " " << c.value;
}

TEST(ValueChecks, LenientWhereARuleAsks) {
  EXPECT_TRUE(holds(ValueCheck::locale, "en", ValueType::string));
  EXPECT_TRUE(holds(ValueCheck::timezone_offset, "-540", ValueType::number));
  EXPECT_TRUE(holds(ValueCheck::timezone_offset, "32400", ValueType::number));
  EXPECT_FALSE(holds(ValueCheck::timezone_offset, "32401", ValueType::number));
  EXPECT_TRUE(holds(ValueCheck::timezone_iana, "UTC", ValueType::string));
  EXPECT_TRUE(holds(ValueCheck::user_agent, "okhttp/4.9.0", ValueType::string));
  EXPECT_TRUE(holds(ValueCheck::phone_e164, "01000000000", ValueType::string));
  EXPECT_FALSE(holds(ValueCheck::uuid, "true", ValueType::boolean));
}

TEST(ValueChecks, MagicOfBinaryValues) {
  EXPECT_TRUE(detect("\xff\xd8\xff\xe0 rest", ValueType::binary).has(ValueCheck::image_magic));
  EXPECT_TRUE(detect("OggS\x01\x02", ValueType::binary).has(ValueCheck::audio_magic));
  EXPECT_TRUE(detect("RIFF\x01\x01\x01\x01WAVEfmt ", ValueType::binary).has(ValueCheck::audio_magic));
  EXPECT_TRUE(detect("OpenGL renderer", ValueType::string).empty());
  EXPECT_TRUE(detect("\x01\x02\x03", ValueType::binary).empty());
}

TEST(ValueChecks, NamesRoundTrip) {
  ASSERT_EQ(value_check_names().size(), kValueChecks);
  for (size_t i = 0; i < kValueChecks; ++i) {
    EXPECT_EQ(static_cast<size_t>(value_check_names()[i].second), i);
    EXPECT_EQ(to_string(static_cast<ValueCheck>(i)), value_check_names()[i].first);
  }
}

// No value of any length may read outside itself (run under ASan): every prefix
// of every sample, in exactly sized storage.
TEST(ValueChecks, EveryPrefixIsSafe) {
  const std::string samples[] = {"{3F2B8C1E-6A4D-4E0F-9B77-0C5D2A1F8E63}",
                                 "Mozilla/5.0 (X11; Linux) A/1 (b",
                                 "zh-Hans-CN,ko;q=0.9",
                                 "2025-02-14T10:00:00.123+09:00",
                                 "GMT+0900 (x)",
                                 "eyJhbGciOi.eyJzdWIi.c2ln",
                                 "RIFF\1\1\1\1WEBP...",
                                 "Bearer 9f86d081884c7d659a2feaa0c55ad015",
                                 "+82 10-0000-0000",
                                 "2001:db8::1",
                                 "UTC+09:30"};
  for (const std::string& sample : samples)
    for (size_t n = 0; n <= sample.size(); ++n) {
      const std::vector<char> exact(sample.begin(), sample.begin() + n);
      const std::string_view value(exact.data(), exact.size());
      for (ValueType type : {ValueType::string, ValueType::number, ValueType::binary}) {
        const CheckSet found = detect(value, type);
        for (size_t c = 0; c < kValueChecks; ++c) {
          const auto check = static_cast<ValueCheck>(c);
          // What is found without a rule also holds with one.
          if (found.has(check)) {
            EXPECT_TRUE(holds(check, value, type)) << to_string(check) << " " << value;
          }
          holds(check, value, type);
        }
      }
    }
}

}  // namespace
}  // namespace vitrine
