// One rule of a rule file, tested over an evaluated result. Internal to audit/:
// build_rules.cc (does it apply, can it be tested, what is printed),
// rule_texts.cc (against what the texts say), rule_traffic.cc (what was sent).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "audit/evaluation.h"

namespace vitrine {

class RuleTester {
 public:
  // REQUIRES: all references outlive this.
  RuleTester(Evaluation& e, const RuleFile& file, const Rule& rule);
  RuleResult run();

 private:
  bool applies();
  bool testable();
  bool refuse(RuleStatus status, Sentence why);  // false
  void evaluate_test();
  void look_again();
  void publish();

  // rule_texts.cc
  void verdict(const std::vector<Verdict>& verdicts);
  void recipient_undeclared();
  void transfer();
  std::string missing_names() const;
  // Adequacy on the day of the capture: 0 none, 1 limited (words in `note`), 2 full.
  int adequacy(const std::string& country, std::string& note) const;
  bool country_named(const std::string& country) const;
  bool entity_named(const std::string& recipient) const;

  // rule_traffic.cc
  void minimisation();
  void transport();
  void type_beside();
  void marker();
  void third_party_requests(Timestamp at, bool before);
  void draft();
  void gpc();
  void egress();
  void secret();
  // Values of the flow on one side of a time, with the observation they have.
  std::optional<RuleHit> hit_on_side(const Flow& flow, Timestamp at, bool before) const;

  // ---- over flows ----
  TypeId type_of(const Flow& flow) const { return e_.taxonomy().find(flow.type); }
  bool in(const std::vector<TypeId>& types, TypeId type) const;
  bool personal(TypeId type) const { return !test_.personal_only || (type != 0 && e_.taxonomy().node(type).personal); }
  const RecipientInfo& info(const std::string& key) const { return e_.recipients->at(key); }
  bool first_party(const std::string& key) const { return info(key).role == RecipientRole::first_party; }
  bool in_categories(const std::string& key) const;
  RuleHit hit_of(const Flow& flow) const;
  // A hit, or a lead when what it rests on is unconfirmed: leads are counted, not told as evidence.
  void add(RuleHit hit);
  template <class Use>
  void each_flow(Use use) {
    for (const Flow& flow : e_.result.flows) {
      const TypeId type = type_of(flow);
      if (personal(type)) use(flow, type);
    }
  }

  Evaluation& e_;
  const Rule& rule_;
  const RuleTest& test_;
  RuleResult out_;
  std::vector<RuleHit> hits_;
};

std::string join_words(const std::vector<std::string>& parts);

}  // namespace vitrine
