// Finds keystroke timing in what a client sends, by structure, one part at a
// time (shapes and thresholds: keystroke_shapes.h). For each place found it
// emits one derived Field behind the part's own fields:
//   path          of the container ("body|json/events/*/params/kd" concretely)
//   value         one sentence of this program about what was found: events,
//                 median gap, dwell; never captured content. value_type container
//   type          behaviour.keystroke-dynamics, or behaviour.activity-timing
//                 (always unconfirmed) for toggles with times
//   decided_by    "detector:keystroke"
//   observation   certain: form (down/up, ms, key; or dwell and flight) and names
//                 agree; probable; unconfirmed: a lead
//   origin, time, packet   of the first element
#pragma once

#include <memory>

#include "audit/taxonomy.h"
#include "capture/field.h"

namespace vitrine {

// One per shard, after the Classifier; one thread. Memory: at most 65,536 cells
// and 4,096 containers of a part (about 4 MB); what exceeds them is not looked
// at and counted.
class KeystrokeDetector : public FieldSink {
 public:
  KeystrokeDetector(const Taxonomy& taxonomy, FieldSink& next);
  ~KeystrokeDetector() override;

  void begin_part(const Exchange&, const Part&) override;
  void field(const Field& field) override;
  void end_part(const Exchange&, const Part&) override;

  // Cells and containers that found no room so far.
  uint64_t overflow() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vitrine
