// What every backend asks of an operator's arguments before it touches anything.
// Each function gives what the operator needs, in words, when its arguments do not
// fit, and nothing when they do. They look at shapes, types and strides alone: what
// stands in device memory (token ids, positions, pages) is the backend's to check.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "kernels/ops.h"

namespace vitrine::door {

using Need = std::string_view;  // empty: the arguments fit

bool is_f32(const Tensor& t);
bool is_i32(const Tensor& t, int64_t n0, int64_t n1 = 1);
// A vector that norms and biases take.
bool is_vector(const Weight& weight, int64_t n);

Need copy(const Tensor& t);
Need embed(const Weight& table, const Tensor& ids, const Tensor& y);
Need gather_rows(const Tensor& x, const Tensor& index, const Tensor& y);
Need add(const Tensor& x, const Tensor& y);
Need add_bias(const Weight& bias, const Tensor& y);
Need rms_norm(const Tensor& x, const Weight& weight, const Tensor& y);
Need add_rms_norm(const Tensor& x, const Tensor& delta, const Weight& weight, const Tensor& y);
Need silu_mul(const Tensor& gate, const Tensor& up, const Tensor& y);
Need sample(const Tensor& logits, const Tensor& rows, const Tensor& edits, const Tensor& ids);
Need argmax(const Tensor& x, const Tensor& ids);
Need rope_table(const Tensor& pos, const Tensor& frequency, const Tensor& table);
Need rope(const Tensor& x, const Tensor& table);

Need matmul(std::span<const Ops::Product> products, const Tensor& x, const StepShape& planned);
Need matmul_heads(const Weight& weight, const Tensor& x, const Tensor& y, const StepShape& planned);
Need matmul_heads_transposed(const Weight& weight, const Tensor& x, const Tensor& y, const StepShape& planned);
Need ffn(const Weight& gate, const Weight& up, const Weight& down, const Tensor& x, const Tensor& y,
         const StepShape& planned);
Need moe_ffn(const Weight& gate, const Weight& up, const Weight& down, const Tensor& x, const Tensor& ids,
             const Tensor& weights, const Tensor& y, const StepShape& planned);
Need moe_route(const RouteParams& params, const Tensor& logits, const Tensor& bias, const Tensor& ids,
               const Tensor& weights);

Need batch(const Batch& batch, int64_t tokens);
Need kv_store(const KvShape& shape, const Batch& batch, const Tensor& k, const Tensor& v);
Need mla_store(const KvShape& shape, const Batch& batch, const Tensor& latent, const Tensor& k_rope);
Need rope_store(const KvShape& shape, const Batch& batch, const HeadParams& params, const Tensor& table,
                const Tensor& q, const Tensor& k, const Tensor& v);
Need mla_rope_store(const KvShape& shape, const Batch& batch, const LatentParams& params, const Tensor& table,
                    const Tensor& q, const Tensor& latent, const Tensor& k_rope);
Need attention(const KvShape& shape, const Batch& batch, const Tensor& q, const Tensor& y);
Need mla_attention(const KvShape& shape, const Batch& batch, const Tensor& q_latent, const Tensor& q_rope,
                   const Tensor& y);
Need kv_copy_page(const KvShape& shape, int64_t from, int64_t to);

// Elements a cache holds per token.
int64_t kv_elements(const KvShape& shape);
// Bytes of the whole cache. unsupported, usage, malformed, limit: no cache has such a shape.
Result<uint64_t> kv_bytes(const KvShape& shape);
// limit: a bound that no step has. Otherwise the larger bounds of both.
Result<StepShape> plan(const StepShape& before, const StepShape& shape);
// malformed: the planes of an upload differ, or are larger than their bytes.
Status planes(std::span<const TensorView> planes);
// [n_in, n_out, planes] as planes of their own.
std::vector<TensorView> split_planes(const TensorView& view);

}  // namespace vitrine::door
