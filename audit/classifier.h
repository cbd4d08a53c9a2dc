// Gives every field its type: rule files first, then the form of the value.
// All knowledge of types comes from policies/ (taxonomy and client rules).
//
// Order: the deciding rule (audit/client_rules.h); without one, the value check
// with the strongest binding. A rule that is only probable becomes certain when
// the value satisfies a check that the taxonomy binds to the same type as
// certain, and where an address equals the connection's own client address.
#pragma once

#include <memory>

#include "audit/client_rules.h"
#include "audit/taxonomy.h"
#include "capture/field.h"

namespace vitrine {

// One per shard, between the extractor and the next sink; one thread.
// `taxonomy` and `rules` are borrowed and outlive it; decided_by of the fields
// passed on points into them.
class Classifier : public FieldSink {
 public:
  Classifier(const Taxonomy& taxonomy, const ClientRules& rules, FieldSink& next);

  void begin_part(const Exchange&, const Part&) override;
  void field(const Field& field) override;
  void end_part(const Exchange&, const Part&) override;

 private:
  void enter(const Exchange* exchange);
  void by_form(Field& field) const;
  void confirm(Field& field) const;

  const Taxonomy& taxonomy_;
  FieldSink& next_;
  RuleMatcher matcher_;
  RuleMatcher::RuleSet set_ = 0;
  const Exchange* exchange_ = nullptr;  // that `set_` is for; compared with id, never kept beyond a part
  ExchangeId exchange_id_;
  bool entered_ = false;
};

}  // namespace vitrine
