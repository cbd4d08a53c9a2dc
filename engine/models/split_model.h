// A model whose first layers the host computes, the others and the head a device.
#pragma once

#include <memory>

#include "engine/models/decoder.h"

namespace vitrine {

class SplitModel final : public Model {
 public:
  SplitModel(std::unique_ptr<Decoder> first, std::unique_ptr<Decoder> rest, Ops& device)
      : Model(rest->config(), rest->placement()), first_(std::move(first)), rest_(std::move(rest)), device_(device) {}

  Status prepare(int64_t tokens) override;
  void forward(const Step& step, std::span<KvCache> caches, const Tensor& logits) override;

 private:
  std::unique_ptr<Decoder> first_, rest_;
  Ops& device_;
  HostRows between_;  // [embedding, T]: the residual stream on its way
};

}  // namespace vitrine
