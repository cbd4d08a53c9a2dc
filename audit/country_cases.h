// A user whose country is not known might be in any of those the texts speak of
// apart. What would be said differently there is not testable; what would be
// said the same everywhere stands.
#pragma once

#include <string>
#include <vector>

#include "audit/evaluate.h"
#include "audit/policy_select.h"
#include "audit/verdict.h"

namespace vitrine {

// The texts for a user in one country or region.
struct CountryCase {
  std::string name;  // as the texts name it: "KR", "EEA"
  SelectionQuery query;
  std::vector<SelectedPolicy> selected;
  std::vector<ApplicableStatement> statements;
};

// One for each country and region that texts of the publisher, or statements in
// them, name; sorted by name. Empty when the user's country is known.
std::vector<CountryCase> country_cases(const AuditInputs& inputs, const SelectionQuery& query);

// Texts as chosen by the user, or else selected for the query.
std::vector<SelectedPolicy> texts_for(const AuditInputs& inputs, const SelectionQuery& query);

// The query for one statement of a text. A text that the user chose is read as
// of the day of its record, unless a day was chosen as well.
SelectionQuery query_for(const AuditInputs& inputs, const SelectedPolicy& use, SelectionQuery query);

// Names of missing texts that could speak about the type; empty = complete.
std::vector<std::string> missing_texts(const AuditInputs& inputs, const std::vector<SelectedPolicy>& selected,
                                       const std::string& country, TypeId type);

}  // namespace vitrine
