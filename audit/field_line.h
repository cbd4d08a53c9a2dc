// The line from exchanges to classified fields: extractor → classifier →
// keystroke detector → `last`. What every part of the program that shows fields shares.
#pragma once

#include "audit/classifier.h"
#include "audit/client_rules.h"
#include "audit/keystroke_detector.h"
#include "audit/taxonomy.h"
#include "capture/fields/field_extractor.h"

namespace vitrine {

// What is known of types. Loaded once, shared by all lines, outlives them.
struct Knowledge {
  Taxonomy taxonomy;
  ClientRules rules;
};

// One thread; everything that goes into extractor() comes out at `last`, part by part.
class FieldLine {
 public:
  FieldLine(const Knowledge& knowledge, FieldSink& last)
      : keystrokes_(knowledge.taxonomy, last),
        classifier_(knowledge.taxonomy, knowledge.rules, keystrokes_),
        extractor_(classifier_) {}
  FieldExtractor& extractor() { return extractor_; }
  uint64_t missed() const { return keystrokes_.overflow(); }

 private:
  KeystrokeDetector keystrokes_;
  Classifier classifier_;
  FieldExtractor extractor_;
};

}  // namespace vitrine
