// Drafts are found across exchanges, so behind the merge of the shards: shards
// collect samples with all that a later booking needs, this stage feeds them to
// the detector in merged order.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "audit/draft_detector.h"
#include "audit/flow.h"
#include "capture/fields/pattern_table.h"
#include "capture/pipeline/pipeline.h"

namespace vitrine::cli {

// A candidate that owns its texts; made in the shard.
struct OwnedDraftSample {
  OutputPosition position;
  Timestamp time;
  uint64_t packet = 0;
  Endpoint client;
  std::shared_ptr<const ExchangeBrief> exchange;  // shared by the candidates of one part
  std::string endpoint, pattern, path, name, value;
  Location location = Location::body;
  OriginRef origin;
  TypeId type = 0;  // as classified before, with its observation
  Observation observation = Observation::none;
};

struct DraftOutput : ShardOutput {
  using ShardOutput::ShardOutput;
  std::vector<OwnedDraftSample> drafts;
};

// Makes samples of one shard's fields.
class DraftSampler {
 public:
  // Appends to `out` when `field` is a candidate; a part gives kMaxPerPart at
  // most, so that one body of a million texts needs no memory for them all.
  void take(const Field& field, const PatternTable& patterns, OutputPosition position,
            std::vector<OwnedDraftSample>& out);
  uint64_t missed() const { return missed_; }  // candidates beyond that

 private:
  static constexpr size_t kMaxPerPart = 4096;
  ExchangeId exchange_;
  std::shared_ptr<const ExchangeBrief> brief_;
  std::string endpoint_;
  OutputPosition position_;  // of the part
  size_t taken_ = 0;         // from it
  uint64_t missed_ = 0;
};

class DraftStage : private DraftSink {
 public:
  // `found`: the observation and those of its steps that are still at hand.
  using Found = std::function<void(const DraftObservation&, std::span<const OwnedDraftSample* const>)>;
  DraftStage(const Taxonomy& taxonomy, Found found);

  // The outputs of one batch; their samples are moved out.
  void batch(std::span<std::unique_ptr<ShardOutput>> outputs);
  void finish() { detector_.finish(); }

 private:
  void draft(DraftObservation observation) override;

  static constexpr size_t kKept = 20'000;  // samples remembered for evidence
  DraftDetector detector_;
  Found found_;
  std::deque<OwnedDraftSample> kept_;
  std::map<std::pair<ExchangeId, OriginId>, const OwnedDraftSample*> by_origin_;
};

}  // namespace vitrine::cli
