#include "engine/models/split_model.h"

namespace vitrine {

Status SplitModel::prepare(int64_t tokens) {
  if (Status status = first_->prepare(tokens); !status) return status;
  if (Status status = rest_->prepare(tokens); !status) return status;
  StepMemory memory(device_, tokens);
  between_ = memory.host_rows(config_.embedding);
  return memory.status();
}

void SplitModel::forward(const Step& step, std::span<KvCache> caches, const Tensor& logits) {
  const int64_t T = step.tokens.ne[0];
  const Tensor between = between_.f32(T);  // [embedding, T]
  const std::span<KvCache> host_caches = caches.first(placement_.host_layers);
  const Step on_host{.tokens = step.host_tokens,
                     .batch = step.host_batch,
                     .outputs = {},
                     .outputs_batch = {},
                     .host_tokens = {},
                     .host_batch = {}};
  device_.run_on_host([=, this] {
    first_->forward(on_host, host_caches, {});
    placement_.host->copy_out(between.data, first_->residual(T));
  });
  device_.copy_in(rest_->residual(T), between.data);
  rest_->forward(step, caches.subspan(placement_.host_layers), logits);
}

}  // namespace vitrine
