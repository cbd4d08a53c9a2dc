#include "audit/rules.h"

#include <algorithm>
#include <set>

#include "audit/context.h"
#include "audit/date_text.h"
#include "audit/yaml_reader.h"

namespace vitrine {
namespace {

template <class T>
using Words = std::pair<std::string_view, T>;

constexpr Words<TestKind> kTests[] = {{"verdict", TestKind::verdict},
                                      {"declared-not-observed", TestKind::declared_not_observed},
                                      {"recipient-undeclared", TestKind::recipient_undeclared},
                                      {"transfer", TestKind::transfer},
                                      {"transfer-notice", TestKind::transfer_notice},
                                      {"transfer-recipient", TestKind::transfer_recipient},
                                      {"minimisation", TestKind::minimisation},
                                      {"transport", TestKind::transport},
                                      {"type-beside", TestKind::type_beside},
                                      {"before-marker", TestKind::before_marker},
                                      {"after-marker", TestKind::after_marker},
                                      {"draft", TestKind::draft},
                                      {"gpc", TestKind::gpc},
                                      {"document", TestKind::document},
                                      {"egress-allow-list", TestKind::egress_allow_list},
                                      {"planted-secret", TestKind::planted_secret}};
constexpr Words<Verdict> kVerdictWords[] = {{"ambiguous", Verdict::ambiguous},
                                            {"contradicted", Verdict::contradicted},
                                            {"clear", Verdict::clear},
                                            {"vague", Verdict::vague},
                                            {"omitted", Verdict::omitted},
                                            {"declared-not-observed", Verdict::declared_not_observed},
                                            {"not-testable", Verdict::not_testable}};
constexpr Words<Inference> kInferences[] = {
    {"textual", Inference::textual}, {"indicator", Inference::indicator}, {"document", Inference::document}};
constexpr Words<RuleTest::Cookies> kCookies[] = {{"none", RuleTest::Cookies::none},
                                                 {"all", RuleTest::Cookies::all},
                                                 {"non-essential", RuleTest::Cookies::non_essential}};
constexpr Words<uint16_t> kTlsVersions[] = {{"1.0", 0x0301}, {"1.1", 0x0302}, {"1.2", 0x0303}, {"1.3", 0x0304}};

class TestReader {
 public:
  TestReader(YamlMap& map, const Taxonomy& taxonomy, RuleTest& test) : map_(map), taxonomy_(taxonomy), test_(test) {}

  void read() {
    test_.kind = map_.choice<TestKind>("kind", kTests);
    if (map_.failed()) return;
    switch (test_.kind) {
      case TestKind::verdict:
        for (const YamlNode* node : map_.sequence("verdicts")) {
          test_.verdicts.push_back(map_.choose<Verdict>(*node, kVerdictWords));
        }
        test_.types = types("types", false);
        test_.except = types("except", false);
        test_.personal_only = map_.boolean_or("personal_only", false);
        break;
      case TestKind::transfer:
        test_.outside = map_.text("outside");
        test_.adequacy = map_.text_or_null("adequacy").value_or("");
        test_.personal_only = map_.boolean("personal_only");
        break;
      case TestKind::transfer_notice:
      case TestKind::transfer_recipient: test_.outside = map_.text("outside"); [[fallthrough]];
      case TestKind::recipient_undeclared: test_.personal_only = map_.boolean("personal_only"); break;
      case TestKind::minimisation:
        test_.types = types("types", true);
        test_.categories = map_.texts("categories");
        test_.max_recipients = count("max_recipients");
        break;
      case TestKind::transport:
        if (auto node = map_.optional_node("min_tls")) test_.min_tls = map_.choose<uint16_t>(*node, kTlsVersions);
        else if (!map_.has("min_tls")) map_.refuse("min_tls", "missing key 'min_tls'");
        test_.cleartext = map_.boolean("cleartext");
        test_.credentials_in_url = map_.boolean("credentials_in_url");
        test_.types = types("types", true);
        break;
      case TestKind::type_beside:
        test_.type = type(map_.text("type"), "type");
        test_.beside = types("beside", true);
        break;
      case TestKind::before_marker:
      case TestKind::after_marker:
        test_.marker = map_.text("marker");
        if (!map_.failed() && !is_step(test_.marker)) map_.refuse("marker", "unknown marker '" + test_.marker + "'");
        test_.types = types("types", true);
        test_.third_party_requests = map_.boolean("third_party_requests");
        test_.cookies = map_.choice<RuleTest::Cookies>("cookies", kCookies);
        break;
      case TestKind::gpc:
        test_.categories = map_.texts("categories");
        test_.types = types("types", true);
        break;
      case TestKind::document: test_.reason = map_.text("reason"); break;
      case TestKind::egress_allow_list: test_.allow = map_.texts("allow"); break;
      case TestKind::draft:
      case TestKind::declared_not_observed:
      case TestKind::planted_secret: break;
    }
  }

  static bool is_step(const std::string& name) {
    const auto& names = step_names();
    return std::find(names.begin(), names.end(), name) != names.end();
  }

 private:
  TypeId type(const std::string& id, std::string_view key) {
    const TypeId found = taxonomy_.find(id);
    if (found == 0 && !map_.failed()) map_.refuse(key, "'" + id + "' is not in the taxonomy");
    return found;
  }
  std::vector<TypeId> types(std::string_view key, bool required) {
    std::vector<TypeId> found;
    for (const std::string& id : required ? map_.texts(key) : map_.optional_texts(key)) found.push_back(type(id, key));
    return found;
  }
  uint64_t count(std::string_view key) {
    const int64_t value = map_.integer(key);
    if (value < 0 && !map_.failed()) map_.refuse(key, "is negative");
    return value < 0 ? 0 : static_cast<uint64_t>(value);
  }

  YamlMap& map_;
  const Taxonomy& taxonomy_;
  RuleTest& test_;
};

Result<Rule> read_rule(const YamlNode& node, const Taxonomy& taxonomy) {
  Rule rule;
  YamlMap map(node);
  rule.id = map.text("id");
  rule.reference = map.text("reference");
  rule.reference_date = map.text("reference_date");
  if (!map.failed() && !is_date(rule.reference_date)) map.refuse("reference_date", "expected YYYY-MM-DD");
  if (const YamlNode* child = map.node("applies_when")) {
    YamlMap when(*child);
    rule.user_countries = when.texts("user_countries");
    rule.services = when.texts("services");
    for (const std::string& service : rule.services) {
      if (service != "web" && service != "app" && service != "api" && service != "any") {
        when.refuse("services", "unknown value '" + service + "'; allowed: web, app, api, any");
      }
    }
    if (auto done = when.finish(); !done) return tl::unexpected(done.error());
  }
  rule.inference = map.choice<Inference>("inference", kInferences);
  rule.evidence = map.text("evidence");
  if (const YamlNode* child = map.node("test")) {
    YamlMap test(*child);
    TestReader(test, taxonomy, rule.test).read();
    if (auto done = test.finish(); !done) return tl::unexpected(done.error());
  }
  rule.needs = map.texts("needs");
  for (const std::string& marker : rule.needs) {
    if (!TestReader::is_step(marker)) map.refuse("needs", "unknown marker '" + marker + "'");
  }
  rule.open_questions = map.texts("open_questions");
  if (const YamlNode* child = map.node("message")) {
    YamlMap message(*child);
    rule.message_en = message.text("en");
    rule.message_ko = message.text("ko");
    if (auto done = message.finish(); !done) return tl::unexpected(done.error());
  }
  if (auto done = map.finish(); !done) return tl::unexpected(done.error());
  return rule;
}

}  // namespace

std::string_view to_string(TestKind kind) { return kTests[static_cast<size_t>(kind)].first; }

Result<RuleFile> parse_rules(std::string_view text, const std::string& file, const Taxonomy& taxonomy) {
  auto document = YamlDocument::parse(text, file);
  if (!document) return tl::unexpected(document.error());
  RuleFile rules;
  rules.file = file;
  YamlMap map(document->root());
  if (map.integer("rules_file") != 1) map.refuse("rules_file", "expected rules_file: 1");
  rules.id = map.text("id");
  rules.title = map.text("title");
  rules.disclaimer = map.text("disclaimer");
  std::set<std::string> ids;
  for (const YamlNode* node : map.sequence("rules")) {
    auto rule = read_rule(*node, taxonomy);
    if (!rule) return tl::unexpected(rule.error());
    if (!ids.insert(rule->id).second) return tl::unexpected(node->error("duplicate id '" + rule->id + "'"));
    rules.rules.push_back(std::move(*rule));
  }
  if (auto done = map.finish(); !done) return tl::unexpected(done.error());
  return rules;
}

}  // namespace vitrine
