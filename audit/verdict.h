// The decision table of the audit model, section 6: one type, one recipient,
// the statements that apply. No I/O, no capture: a function of its arguments.
#pragma once

#include <string>
#include <vector>

#include "audit/finding.h"
#include "audit/policy.h"
#include "audit/recipient.h"

namespace vitrine {

// A statement that speaks about this user, service and date.
struct ApplicableStatement {
  size_t policy_index = 0;  // in AuditResult::policies
  const Policy* policy = nullptr;
  const Statement* statement = nullptr;
};

// The recipient as statements are matched against it.
struct RecipientView {
  bool first_party = false;
  const Entity* entity = nullptr;  // nullptr: no list knows it
};

enum class Match : uint8_t { none, broad, exact };

// Does the statement's recipient take in this one? An entity (self, or by id)
// exactly; a category, a parent company and `any` broadly.
Match match_recipient(const ApplicableStatement& statement, const RecipientView& recipient,
                      const RecipientDirectory& directory);

struct Judgement {
  Verdict verdict = Verdict::not_testable;
  Vagueness vagueness = Vagueness::none;
  Inference inference = Inference::textual;
  std::vector<StatementRef> positives, denials;  // all that cover, the excepted ones marked
};

// `complete`: no text is missing that could speak about the type.
// `any_text`: at least one text is held.
Judgement judge(TypeId type, const RecipientView& recipient, const std::vector<ApplicableStatement>& statements,
                bool any_text, bool complete, const Taxonomy& taxonomy, const RecipientDirectory& directory);

StatementRef reference_to(const ApplicableStatement& statement);

}  // namespace vitrine
