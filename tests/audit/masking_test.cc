#include "audit/masking.h"

#include <gtest/gtest.h>

namespace vitrine {
namespace {

TEST(Masking, BySensitivity) {
  EXPECT_EQ(mask("hunter2", Sensitivity::secret), "[7 bytes]");
  EXPECT_EQ(mask("will it rain", Sensitivity::content), "[12 bytes]");
  EXPECT_EQ(mask("Zm9vYmFyYmF6", Sensitivity::id), "Zm…F6 [12 bytes]");
  EXPECT_EQ(mask("1234567", Sensitivity::id), "[7 bytes]");
  EXPECT_EQ(mask("203.0.113.77", Sensitivity::ip), "203.0.113.0/24");
  EXPECT_EQ(mask("2001:db8:1:2::3", Sensitivity::ip), "2001:db8:1::/48");
  EXPECT_EQ(mask("not an address", Sensitivity::ip), "no…ss [14 bytes]");
  EXPECT_EQ(mask("SM-G991N", Sensitivity::plain), "SM-G991N");
  EXPECT_EQ(mask("a\nb", Sensitivity::plain), "a b");
}

TEST(Masking, LongAndMultibyteValuesStayWhole) {
  const std::string korean = "가나다라마바사";
  EXPECT_EQ(mask(korean, Sensitivity::id), "가나…바사 [21 bytes]");
  std::string value;
  for (int i = 0; i < 100; ++i) value += "가";
  const std::string shown = mask(value, Sensitivity::plain);
  EXPECT_LT(shown.size(), 200u);
  EXPECT_EQ(shown, value.substr(0, 159) + "… [300 bytes]");
}

TEST(Masking, UnknownTypeIsMaskedAsAnId) {
  auto taxonomy = Taxonomy::load(VITRINE_SOURCE_DIR "/policies/taxonomy.yaml");
  ASSERT_TRUE(taxonomy);
  EXPECT_EQ(mask("abcdefghij", *taxonomy, 0), "ab…ij [10 bytes]");
  EXPECT_EQ(mask("abcdefghij", *taxonomy, taxonomy->find("account.password")), "[10 bytes]");
  EXPECT_EQ(mask("abcdefghij", *taxonomy, taxonomy->find("device.model")), "abcdefghij");
}

TEST(Masking, DigestsDependOnTheCase) {
  const std::string key_a(32, 'a'), key_b(32, 'b');
  auto a = CaseKey::from_bytes(as_bytes(key_a)), b = CaseKey::from_bytes(as_bytes(key_b));
  ASSERT_TRUE(a && b);
  EXPECT_EQ(a->digest("x").size(), 16u);
  EXPECT_EQ(a->digest("x"), a->digest("x"));
  EXPECT_NE(a->digest("x"), b->digest("x"));
  EXPECT_NE(a->digest("x"), a->digest("y"));
  EXPECT_FALSE(CaseKey::from_bytes(as_bytes("short")));
  auto random = CaseKey::random(), other = CaseKey::random();
  ASSERT_TRUE(random && other);
  EXPECT_NE(random->digest("x"), other->digest("x"));
}

}  // namespace
}  // namespace vitrine
