// Which of the texts held speak about this use of the service, and what may be
// said about them: in force, latest known, chosen by the user, no text held.
#pragma once

#include <string>
#include <vector>

#include "audit/finding.h"
#include "audit/policy.h"
#include "audit/regions.h"

namespace vitrine {

struct SelectionQuery {
  std::string publisher;                   // service id
  std::string platform;                    // web | app | api; empty = any
  std::string country, language, account;  // empty = not known
  std::string date;                        // YYYY-MM-DD of the capture, or the user's choice
};

struct SelectedPolicy {
  const Policy* policy = nullptr;
  PolicyStatus status = PolicyStatus::no_text;
  Sentence sentence;
};

// One version of each kind of document (privacy, cookies …; several of kinds
// that come in pieces: regional, sdk-list, terms): the edition made for the
// user's country before that of a region before the world's; the user's
// language where there is a choice; the last version that counts on `date`.
// In force: version date ≤ date, and either the record still holds the text on
// that day or a later version is known that begins after it. Otherwise the
// text is the latest known one, recorded on its last day. Sorted by kind, title.
std::vector<SelectedPolicy> select_policies(const std::vector<Policy>& held, const Regions& regions,
                                            const SelectionQuery& query);

// Exactly these files, in the order given; unknown names are skipped.
std::vector<SelectedPolicy> choose_policies(const std::vector<Policy>& held, const std::vector<std::string>& files);

// Does the statement speak about this user and service? Statements with a
// `scope` never do. A user whose country is not known is not in any region; a
// denial for some services or accounts only needs to know the user's.
bool statement_applies(const Policy& policy, const Statement& statement, const Regions& regions,
                       const SelectionQuery& query);

// Was the clause in the text on `date`?
bool statement_stood(const Statement& statement, const std::string& date);

// Is a text missing that could speak about `type`? A user whose country is not
// known might be in every region. Appends the documents' names.
bool texts_missing(const Policy& policy, TypeId type, const Taxonomy& taxonomy, const Regions& regions,
                   const std::string& country, std::vector<std::string>& names);

}  // namespace vitrine
