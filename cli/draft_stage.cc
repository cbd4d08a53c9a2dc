#include "cli/draft_stage.h"

#include <algorithm>

namespace vitrine::cli {

void DraftSampler::take(const Field& field, const PatternTable& patterns, OutputPosition position,
                        std::vector<OwnedDraftSample>& out) {
  if (!is_draft_candidate(field)) return;
  const Exchange& exchange = *field.exchange;
  const bool same_exchange = brief_ != nullptr && exchange.id == exchange_;
  if (!same_exchange || position != position_) {
    position_ = position;
    taken_ = 0;
  }
  if (taken_++ >= kMaxPerPart) {
    ++missed_;
    return;
  }
  if (!same_exchange) {
    exchange_ = exchange.id;
    brief_ = std::make_shared<const ExchangeBrief>(brief_of(exchange));
    endpoint_ = endpoint_path(exchange.path);
  }
  OwnedDraftSample sample;
  sample.position = position;
  sample.time = field.time;
  sample.packet = field.packet;
  if (exchange.connection != nullptr) sample.client = exchange.connection->client;
  sample.exchange = brief_;
  sample.endpoint = endpoint_;
  sample.pattern = field.pattern != 0 ? patterns.text(field.pattern) : std::string(field.path);
  sample.path = field.path;
  sample.name = field.name;
  sample.value = field.value;
  sample.location = field.location;
  sample.origin = {exchange.id, field.origin};
  sample.type = field.type;
  sample.observation = field.observation;
  out.push_back(std::move(sample));
}

DraftStage::DraftStage(const Taxonomy& taxonomy, Found found)
    : detector_(taxonomy, static_cast<DraftSink&>(*this)), found_(std::move(found)) {}

void DraftStage::batch(std::span<std::unique_ptr<ShardOutput>> outputs) {
  std::vector<OwnedDraftSample> samples;
  for (const auto& output : outputs) {
    auto& drafts = static_cast<DraftOutput&>(*output).drafts;
    std::move(drafts.begin(), drafts.end(), std::back_inserter(samples));
    drafts.clear();
  }
  // Each shard's samples are in order already; equal positions are of one connection.
  std::stable_sort(samples.begin(), samples.end(),
                   [](const OwnedDraftSample& a, const OwnedDraftSample& b) { return a.position < b.position; });
  for (OwnedDraftSample& owned : samples) {
    kept_.push_back(std::move(owned));
    const OwnedDraftSample& kept = kept_.back();
    by_origin_[{kept.origin.exchange, kept.origin.node}] = &kept;
    if (kept_.size() > kKept) {
      by_origin_.erase({kept_.front().origin.exchange, kept_.front().origin.node});
      kept_.pop_front();
    }
    DraftSample sample;
    sample.time = kept.time;
    sample.packet = kept.packet;
    sample.client = kept.client.ip;
    sample.host = kept.exchange->context.host;
    sample.method = kept.exchange->method;
    sample.endpoint = kept.endpoint;
    sample.pattern = kept.pattern;
    sample.value = kept.value;
    sample.origin = kept.origin;
    detector_.sample(sample);
  }
}

void DraftStage::draft(DraftObservation observation) {
  std::vector<const OwnedDraftSample*> steps;
  for (const OriginRef& origin : observation.evidence) {
    const auto found = by_origin_.find({origin.exchange, origin.node});
    if (found != by_origin_.end()) steps.push_back(found->second);
  }
  if (!steps.empty()) found_(observation, steps);
}

}  // namespace vitrine::cli
