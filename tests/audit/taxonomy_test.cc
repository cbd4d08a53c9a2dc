#include "audit/taxonomy.h"

#include <gtest/gtest.h>

namespace vitrine {
namespace {

std::string node(const std::string& id, const std::string& broader, const std::string& more = "") {
  return "  - {id: " + id + ", broader: " + broader +
         ", definition: d, positive: p, negative: n, dpv: null, fideslang: null, personal: true, sensitivity: plain" +
         more + "}\n";
}
std::string file(const std::string& nodes) { return "taxonomy: 1\nnodes:\n" + nodes; }
std::string error_of(const std::string& nodes) {
  auto taxonomy = Taxonomy::parse(file(nodes), "t.yaml");
  return taxonomy ? "" : taxonomy.error().to_string();
}

TEST(Taxonomy, ShippedFileLoadsAndCovers) {
  auto taxonomy = Taxonomy::load(VITRINE_SOURCE_DIR "/policies/taxonomy.yaml");
  ASSERT_TRUE(taxonomy) << taxonomy.error().to_string();
  const auto type = [&](std::string_view id) {
    EXPECT_NE(taxonomy->find(id), 0) << id;
    return taxonomy->find(id);
  };
  EXPECT_TRUE(taxonomy->covers(type("identifier.device"), type("identifier.imei")));
  EXPECT_TRUE(taxonomy->covers(type("identifier"), type("identifier.imei")));
  EXPECT_TRUE(taxonomy->covers(type("identifier"), type("identifier")));
  EXPECT_FALSE(taxonomy->covers(type("identifier.imei"), type("identifier.device")));
  EXPECT_FALSE(taxonomy->covers(type("device"), type("identifier.device")));
  EXPECT_FALSE(taxonomy->covers(type("content.provided"), type("content.draft")));
  EXPECT_FALSE(taxonomy->covers(type("behaviour.usage"), type("behaviour.keystroke-dynamics")));
  EXPECT_FALSE(taxonomy->covers(0, type("device")));
  EXPECT_EQ(taxonomy->node(type("network.ip-public")).sensitivity, Sensitivity::ip);
  EXPECT_EQ(taxonomy->binding(ValueCheck::timezone_iana).type, type("device.timezone"));
  EXPECT_EQ(taxonomy->binding(ValueCheck::timezone_iana).observation, Observation::certain);
  EXPECT_EQ(taxonomy->binding(ValueCheck::semver).type, 0);
  EXPECT_EQ(taxonomy->find("device.nonsense"), 0);
  EXPECT_EQ(taxonomy->id(0), "");
  // covers() against a walk along `broader`, for every pair.
  for (size_t a = 1; a <= taxonomy->size(); ++a)
    for (size_t t = 1; t <= taxonomy->size(); ++t) {
      bool above = false;
      for (TypeId at = static_cast<TypeId>(t); at != 0; at = taxonomy->node(at).broader) above |= at == a;
      ASSERT_EQ(taxonomy->covers(static_cast<TypeId>(a), static_cast<TypeId>(t)), above);
    }
}

TEST(Taxonomy, BroaderNodeMayStandLater) {
  auto taxonomy = Taxonomy::parse(file(node("a.b", "a") + node("a", "null")), "t.yaml");
  ASSERT_TRUE(taxonomy) << taxonomy.error().to_string();
  EXPECT_TRUE(taxonomy->covers(taxonomy->find("a"), taxonomy->find("a.b")));
}

TEST(Taxonomy, RefusesByFileLineAndKey) {
  EXPECT_EQ(error_of(node("a", "b")), "t.yaml:3, key nodes[0].broader: there is no node 'b'");
  EXPECT_EQ(error_of(node("a", "null") + node("a", "null")), "t.yaml:4, key nodes[1]: id 'a' stands twice");
  EXPECT_EQ(error_of(node("r", "null") + node("a", "b") + node("b", "a")),
            "t.yaml:4: 'a' is broader than itself through 'broader'");
  EXPECT_EQ(error_of(node("a", "null", ", colour: red")), "t.yaml:3, key nodes[0].colour: unknown key 'colour'");
  EXPECT_NE(
      error_of(node("a", "null", ", value_checks: [{check: uid, observation: certain}]")).find("unknown value 'uid'"),
      std::string::npos);
  EXPECT_NE(error_of(node("a", "null", ", value_checks: [{check: uuid, observation: certain}]") +
                     node("b", "null", ", value_checks: [{check: uuid, observation: certain}]"))
                .find("bound twice"),
            std::string::npos);
  EXPECT_NE(error_of(node("a", "null", ", trackhar: [x]") + node("b", "null", ", trackhar: [x]")).find("appears twice"),
            std::string::npos);
  EXPECT_NE(error_of(node("A b", "null")).find("an id is made of"), std::string::npos);
  EXPECT_NE(Taxonomy::parse("taxonomy: 2\nnodes: []\n", "t.yaml").error().to_string().find("version 1"),
            std::string::npos);
  EXPECT_FALSE(Taxonomy::load("/nonexistent/taxonomy.yaml"));
}

}  // namespace
}  // namespace vitrine
