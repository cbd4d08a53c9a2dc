#include "audit/verdict.h"

#include <algorithm>

namespace vitrine {
namespace {

// A statement that covers (type, recipient), with the node of its data that
// lies closest to the type.
struct Covering {
  const ApplicableStatement* source;
  TypeId data;
  bool exact_data;
  Match recipient;
  bool excepted = false;
};

// The narrowest node of the statement's data that covers the type; 0 = none.
TypeId closest(const Statement& statement, TypeId type, const Taxonomy& taxonomy) {
  TypeId best = 0;
  for (TypeId each : statement.types) {
    if (taxonomy.covers(each, type) && (best == 0 || taxonomy.covers(best, each))) best = each;
  }
  return best;
}

// Is recipient `a` of a statement the same as `b`, or within it? Both cover the
// same recipient, so two entities are one company or a parent and its child.
bool recipient_within(const Covering& a, const Covering& b, const RecipientDirectory& directory) {
  const std::string& left = a.source->statement->recipient;
  const std::string& right = b.source->statement->recipient;
  if (left == right || right == "any") return true;
  if (left == "any") return false;
  if (a.recipient == Match::exact) return true;
  if (b.recipient == Match::exact) return false;
  const bool left_category = directory.category(left) != nullptr, right_category = directory.category(right) != nullptr;
  if (left_category && right_category) return directory.category_within(left, right);
  return !left_category;  // a parent company is narrower than a category
}

// `a` says the same of less: within `b` in data and recipient, and not equal.
bool narrower(const Covering& a, const Covering& b, const Taxonomy& taxonomy, const RecipientDirectory& directory) {
  if (!taxonomy.covers(b.data, a.data) || !recipient_within(a, b, directory)) return false;
  return a.data != b.data || !recipient_within(b, a, directory);
}

}  // namespace

StatementRef reference_to(const ApplicableStatement& source) {
  const Statement& s = *source.statement;
  StatementRef ref;
  ref.policy = source.policy_index;
  ref.id = s.id;
  ref.action = to_string(s.action);
  ref.recipient = s.recipient;
  ref.channel = to_string(s.channel);
  ref.trigger = s.trigger;
  ref.section = s.section;
  ref.quote = s.quote;
  ref.purpose = s.purpose;
  return ref;
}

Match match_recipient(const ApplicableStatement& source, const RecipientView& recipient,
                      const RecipientDirectory& directory) {
  const std::string& wanted = source.statement->recipient;
  // "Share with anyone" and "with service providers" speak of others than the
  // publisher, whatever business it is in itself.
  const Action action = source.statement->action;
  const bool of_others = (action == Action::share || action == Action::deny_share) &&
                         (wanted == "any" || (wanted != "first-party" && directory.category(wanted) != nullptr));
  if (of_others && recipient.first_party) return Match::none;
  if (wanted == "any") return Match::broad;
  if (wanted == "self") return recipient.first_party ? Match::exact : Match::none;
  if (recipient.entity != nullptr && recipient.entity->id == wanted) return Match::exact;
  // Traffic does not tell which company of the publisher stands behind its own hosts.
  if (source.policy->has_entity(wanted)) return recipient.first_party ? Match::exact : Match::none;
  if (directory.category(wanted) != nullptr) {
    if (wanted == "first-party") return recipient.first_party ? Match::broad : Match::none;
    return recipient.entity != nullptr && directory.entity_in_category(*recipient.entity, wanted) ? Match::broad
                                                                                                  : Match::none;
  }
  return recipient.entity != nullptr && directory.entity_within_group(*recipient.entity, wanted) ? Match::broad
                                                                                                 : Match::none;
}

Judgement judge(TypeId type, const RecipientView& recipient, const std::vector<ApplicableStatement>& statements,
                bool any_text, bool complete, const Taxonomy& taxonomy, const RecipientDirectory& directory) {
  std::vector<Covering> positives, denials;
  bool category_for_others = false;  // the data are covered, for a kind of recipient this one may be of
  for (const ApplicableStatement& each : statements) {
    const Statement& s = *each.statement;
    if (s.channel == Channel::from_third_parties || (!is_positive(s.action) && !is_denial(s.action))) continue;
    const TypeId data = closest(s, type, taxonomy);
    if (data == 0) continue;
    const Match match = match_recipient(each, recipient, directory);
    if (match == Match::none) {
      category_for_others |= is_positive(s.action) && directory.category(s.recipient) != nullptr;
      continue;
    }
    (is_positive(s.action) ? positives : denials).push_back({&each, data, data == type, match});
  }
  for (auto [mine, others] : {std::pair{&positives, &denials}, std::pair{&denials, &positives}}) {
    for (Covering& each : *mine) {
      each.excepted = std::any_of(others->begin(), others->end(),
                                  [&](const Covering& other) { return narrower(other, each, taxonomy, directory); });
    }
  }

  Judgement result;
  auto publish = [&](const std::vector<Covering>& from, std::vector<StatementRef>& into) {
    for (const Covering& each : from) {
      StatementRef ref = reference_to(*each.source);
      ref.data = taxonomy.id(each.data);
      ref.exact_data = each.exact_data;
      ref.exact_recipient = each.recipient == Match::exact;
      ref.excepted = each.excepted;
      into.push_back(std::move(ref));
    }
  };
  publish(positives, result.positives);
  publish(denials, result.denials);

  auto stands = [](const Covering& each) { return !each.excepted; };
  const bool some_positive = std::any_of(positives.begin(), positives.end(), stands);
  const bool some_denial = std::any_of(denials.begin(), denials.end(), stands);
  if (some_denial) {
    result.verdict = some_positive ? Verdict::ambiguous : Verdict::contradicted;
    // A denial of one purpose proves nothing: traffic does not show purposes.
    const bool only_purposes = std::all_of(denials.begin(), denials.end(), [](const Covering& each) {
      return each.excepted || !each.source->statement->purpose.empty();
    });
    if (only_purposes) result.inference = Inference::indicator;
    return result;
  }
  if (some_positive) {
    int best = 4;  // 0 exact; 1 recipient broad; 2 data broad; 3 both
    for (const Covering& each : positives) {
      if (each.excepted) continue;
      best = std::min(best, (each.exact_data ? 0 : 2) + (each.recipient == Match::exact ? 0 : 1));
    }
    result.verdict = best == 0 ? Verdict::clear : Verdict::vague;
    result.vagueness = static_cast<Vagueness>(best == 1 ? 2 : best == 2 ? 1 : best);
    return result;
  }
  if (!any_text || !complete) {
    result.verdict = Verdict::not_testable;
    result.inference = Inference::document;
    return result;
  }
  result.verdict = Verdict::omitted;
  // A company no list knows may be one of the kind the text names.
  if (recipient.entity == nullptr && !recipient.first_party && category_for_others) {
    result.inference = Inference::indicator;
  }
  return result;
}

}  // namespace vitrine
