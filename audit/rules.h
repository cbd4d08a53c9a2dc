// Rules of law and of an organisation (policies/README.md, section 3): their
// files, and the test of each kind over an evaluated result.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "audit/finding.h"
#include "audit/taxonomy.h"
#include "base/result.h"

namespace vitrine {

enum class TestKind : uint8_t {
  verdict,
  declared_not_observed,
  recipient_undeclared,
  transfer,
  transfer_notice,
  transfer_recipient,
  minimisation,
  transport,
  type_beside,
  before_marker,
  after_marker,
  draft,
  gpc,
  document,
  egress_allow_list,
  planted_secret,
};
std::string_view to_string(TestKind kind);

struct RuleTest {
  TestKind kind = TestKind::document;
  std::vector<Verdict> verdicts;
  std::vector<TypeId> types, except, beside;  // each with its narrower nodes; `types` empty = all (verdict)
  TypeId type = 0;
  bool personal_only = false;
  std::string outside, adequacy;  // adequacy empty = none
  std::vector<std::string> categories, allow;
  uint64_t max_recipients = 0;
  uint16_t min_tls = 0;  // 0x0303; 0 = not tested
  bool cleartext = false, credentials_in_url = false, third_party_requests = false;
  std::string marker;
  enum class Cookies : uint8_t { none, all, non_essential } cookies = Cookies::none;
  std::string reason;
};

struct Rule {
  std::string id, reference, reference_date, evidence;
  std::vector<std::string> user_countries, services;
  Inference inference = Inference::indicator;
  RuleTest test;
  std::vector<std::string> needs, open_questions;
  std::string message_en, message_ko;
};

struct RuleFile {
  std::string file, id, title, disclaimer;
  std::vector<Rule> rules;
};

// `file` is printed in errors and becomes RuleFile::file. Strict; never throws.
Result<RuleFile> parse_rules(std::string_view text, const std::string& file, const Taxonomy& taxonomy);

}  // namespace vitrine
