#include "base/time.h"

#include <gtest/gtest.h>

namespace vitrine {
namespace {

TEST(Time, ReadsAndWrites) {
  for (const char* text : {"2026-11-23T10:00:00.123Z", "1950-01-01T00:00:00.000Z", "2199-12-31T23:59:59.999999999Z"}) {
    const auto time = parse_rfc3339(text);
    ASSERT_TRUE(time) << text;
    EXPECT_EQ(to_rfc3339(*time), text);
  }
  EXPECT_EQ(parse_rfc3339("2026-11-23T10:00:00+09:00"), parse_rfc3339("2026-11-23T01:00:00Z"));
  for (const char* text :
       {"", "2026", "2026-02-29", "1949-12-31", "2200-01-01", "2026-11-23T24:00:00Z", "2026-11-23T10:00:00"}) {
    EXPECT_FALSE(parse_rfc3339(text)) << text;
  }
}

TEST(Time, NoTwoTimesOverflow) {
  EXPECT_EQ(to_rfc3339(kEarliestTime), "1950-01-01T00:00:00.000Z");
  EXPECT_EQ(to_rfc3339(kLatestTime), "2200-01-01T00:00:00.000Z");
  const __int128 far = static_cast<__int128>(INT64_MAX) * 1000;
  EXPECT_EQ(bounded_time(far), kLatestTime);
  EXPECT_EQ(bounded_time(-far), kEarliestTime);
  EXPECT_EQ(bounded_time(42).ns, 42);
  EXPECT_GT(kLatestTime.ns - kEarliestTime.ns, 0);
  // An offset moves a time over the edge.
  EXPECT_EQ(parse_rfc3339("1950-01-01T00:00:00+14:00"), kEarliestTime);
  EXPECT_EQ(parse_rfc3339("2199-12-31T23:59:59-14:00"), kLatestTime);
}

}  // namespace
}  // namespace vitrine
