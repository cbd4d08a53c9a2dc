// Operators that are others one after the other, for backends that gain nothing from having them as one.
#include "kernels/ops.h"

namespace vitrine {

void Ops::rope_store(KvCache& cache, const Batch& batch, const HeadParams& params, const Tensor& table, const Tensor& q,
                     const Tensor& k, const Tensor& v) {
  // Biases are of whole rows: all heads of a token.
  const auto rows = [](const Tensor& heads) {
    return Tensor{heads.type, heads.data, {heads.ne[0] * heads.ne[1], heads.ne[2], 1}, {1, heads.stride[2], 0}};
  };
  const bool queries = !q.empty();
  if (params.q_bias && queries) add_bias(*params.q_bias, rows(q));
  if (params.k_bias) add_bias(*params.k_bias, rows(k));
  if (params.v_bias) add_bias(*params.v_bias, rows(v));
  if (params.q_norm && queries) rms_norm(q, *params.q_norm, params.eps, q);
  if (params.k_norm) rms_norm(k, *params.k_norm, params.eps, k);
  if (queries) rope(q.slice(0, 0, table.ne[0]), table, params.style);
  rope(k.slice(0, 0, table.ne[0]), table, params.style);
  kv_store(cache, batch, k, v);
}

void Ops::mla_rope_store(KvCache& cache, const Batch& batch, const LatentParams& params, const Tensor& table,
                         const Tensor& q, const Tensor& latent, const Tensor& k_rope) {
  rms_norm(latent, *params.norm, params.eps, latent);
  if (!q.empty()) rope(q.slice(0, q.ne[0] - table.ne[0], table.ne[0]), table, params.style);
  rope(k_rope.heads(1), table, params.style);
  mla_store(cache, batch, latent, k_rope);
}

}  // namespace vitrine
