// Makes a ReportView; one member function per section. Internal to reports/.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "audit/finding.h"
#include "reports/locale.h"
#include "reports/view.h"

namespace vitrine {

// Borrows result and locale for its life. One thread.
class ViewBuilder {
 public:
  ViewBuilder(const AuditResult& result, const Locale& locale);
  ReportView build();

 private:
  // view.cc
  void add_header();
  void add_summary();
  void add_context();
  void add_sources();
  void add_glossary();
  void add_next_steps();
  // view_findings.cc
  void add_findings();
  FindingView finding_view(const Finding& finding);
  QuoteView quote_view(const StatementRef& statement, bool with_breadth);
  void add_out_of_reach();
  std::vector<const Finding*> in_order() const;
  void choose_worst();
  // view_recipients.cc
  void add_recipients();
  void add_country_picture();
  void add_unattributed();
  // view_timeline.cc
  void add_timeline();
  // view_coverage.cc
  void add_coverage();
  // view_rules.cc
  void add_cookies();
  std::string named(std::string message, std::string_view type) const;
  void add_rules();

  // ---- words ----
  std::string t(std::string_view id) const { return locale_.text(id); }
  std::string fill(std::string_view id, const Locale::Arguments& arguments) const {
    return locale_.fill(id, arguments);
  }
  std::string type_label(std::string_view type) const { return locale_.word("type", type); }
  std::string country_label(std::string_view code) const;       // "China (CN)"; "not known" when empty
  std::string recipient_name(std::string_view key) const;       // name, else the key
  std::string declared_recipient(std::string_view word) const;  // as a statement has it
  std::string countries_line(const RecipientInfo* info) const;  // "company: Singapore, address: Germany"
  std::string policy_name(size_t policy) const;                 // "Aster Chat Privacy Notice, 2025-02-10"
  std::string volume_text(uint64_t count, uint64_t distinct, bool at_least, Timestamp first, Timestamp last) const;
  std::string transport_text(const TransportView& transport) const;
  // A sentence about somebody: the argument {recipient} by its name.
  std::string sentence(const Sentence& sentence) const;
  std::string joined(const std::vector<std::string>& items, size_t at_most) const;  // "a, b and 3 more"

  // ---- evidence ----
  // The link to the annex; adds the evidence there when it is new. `type` is
  // what it is evidence of, `sample` its masked value or empty.
  EvidenceLink link(const Evidence& evidence, std::string_view type, std::string_view sample);
  std::vector<EvidenceLink> links(const std::vector<Evidence>& list, std::string_view type);

  const RecipientInfo* recipient(std::string_view key) const;
  const Flow* flow(std::string_view id) const;

  const AuditResult& result_;
  const Locale& locale_;
  ReportView view_;
  std::unordered_map<std::string_view, const RecipientInfo*> recipients_;
  std::unordered_map<std::string_view, const Flow*> flows_;
  std::unordered_map<std::string_view, std::string> finding_anchors_;
  std::map<std::tuple<ExchangeId, OriginId, std::string_view>, size_t> evidence_;  // index in view_.evidence
  std::map<std::tuple<ExchangeId, OriginId, std::string_view>, std::string_view> samples_;
  uint64_t evidence_left_out_ = 0;
};

// Position of a verdict's symbol, shared by terminal and page.
std::string_view verdict_symbol(Verdict verdict);
std::string_view rule_symbol(RuleStatus status);

// How much of a person a type tells, for the order of the worst findings:
// 0 most (what was written, how it was typed) … 5 (the program, the choice made).
int type_weight(std::string_view type);

}  // namespace vitrine
