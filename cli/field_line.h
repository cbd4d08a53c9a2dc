// The line from exchanges to classified fields, as one shard's consumer:
// extractor → classifier → keystroke detector → `last`. What fields and audit share.
#pragma once

#include <memory>

#include "audit/classifier.h"
#include "audit/client_rules.h"
#include "audit/draft_detector.h"
#include "audit/keystroke_detector.h"
#include "audit/taxonomy.h"
#include "capture/fields/field_extractor.h"
#include "capture/pipeline/pipeline.h"

namespace vitrine::cli {

// Loaded once, shared by all shards.
struct Knowledge {
  Taxonomy taxonomy;
  ClientRules rules;
};
// policies/taxonomy.yaml and policies/clients under `data`; further folders
// (an organisation's own, an example's) hold clients/ too.
Result<std::unique_ptr<Knowledge>> load_knowledge(const std::string& data, const std::vector<std::string>& extra);

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

}  // namespace vitrine::cli
