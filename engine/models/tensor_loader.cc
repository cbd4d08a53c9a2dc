#include "engine/models/tensor_loader.h"

#include <vector>

#include "engine/tensor_specs.h"
#include "kernels/quant.h"

namespace vitrine {
namespace {

std::string_view op_name(Op op) {
  switch (op) {
    case Op::embed: return "embeddings";
    case Op::norm: return "norms";
    case Op::matmul: return "matrices";
    case Op::matmul_transposed: return "matrices used transposed";
    case Op::moe_ffn: return "experts";
    case Op::kv_cache: return "the cache";
    case Op::bias: return "biases";
  }
  return "?";
}

}  // namespace

TensorLoader::TensorLoader(const Weights& weights, Ops& ops, const LoadProgress& progress)
    : weights_(weights), ops_(&ops), progress_(progress) {
  total_ = tensor_specs(weights.config(), weights.mla_layout()).size();
}

void TensorLoader::count() {
  ++done_;
  if (progress_) progress_(std::min(done_, total_), total_);
}

template <class T>
std::optional<T> TensorLoader::take(Result<T> result) {
  if (result) return std::optional<T>(std::move(*result));
  if (!error_) error_ = result.error();
  return std::nullopt;
}

bool TensorLoader::usable(const TensorView& view, const std::string& name, Op op) {
  if (ops_->supports(op, view.type)) return true;
  if (!error_) {
    error_ = Error{ErrorCode::unsupported,
                   std::string(type_name(view.type)) + " is not supported for " + std::string(op_name(op)) + " by " +
                       ops_->description(),
                   "tensor " + name};
  }
  return false;
}

Weight TensorLoader::weight(const Result<TensorView>& result, const std::string& name, Op op) {
  if (error_) return {};
  const auto view = take(result);
  if (!view || !usable(*view, name, op)) return {};
  auto uploaded = take(ops_->upload(*view));
  count();
  return uploaded.value_or(Weight());
}

Weight TensorLoader::table(const std::string& name, uint64_t n, uint64_t rows) {
  const auto view = weights_.get(name, {n, rows});
  table_ = weight(view, name, Op::embed);
  table_bytes_ = view && !error_ ? view->bytes.data() : nullptr;
  table_ops_ = ops_;
  return table_;
}
Weight TensorLoader::matrix(const std::string& name, uint64_t n_in, uint64_t n_out) {
  return weight(weights_.get(name, {n_in, n_out}), name, Op::matmul);
}
Weight TensorLoader::norm(const std::string& name, uint64_t n) {
  return weight(weights_.get(name, {n}), name, Op::norm);
}
Weight TensorLoader::bias(const std::string& name, uint64_t n) {
  return weight(weights_.get(name, {n}), name, Op::bias);
}
// A tied head is the embedding: one copy of it serves both, where one backend has both.
Weight TensorLoader::output() {
  const auto view = weights_.output();
  if (!error_ && view && view->bytes.data() == table_bytes_ && table_ops_ == ops_ &&
      usable(*view, "output.weight", Op::matmul)) {
    count();
    return table_;
  }
  return weight(view, "output.weight", Op::matmul);
}

Weight TensorLoader::experts(const std::string& name, uint64_t n_in, uint64_t n_out) {
  if (error_) return {};
  const auto views = take(weights_.experts(name, n_in, n_out, weights_.config().moe->experts));
  if (!views || !usable(views->front(), name, Op::moe_ffn)) return {};
  // One view holds all planes; or every expert is a tensor of its own.
  auto uploaded = take(views->size() == 1 ? ops_->upload(views->front()) : ops_->upload(*views));
  count();
  return uploaded.value_or(Weight());
}

TensorLoader::MlaUp TensorLoader::mla_up(uint32_t layer) {
  if (error_) return {};
  const auto views = take(weights_.mla_up_projection(layer));
  if (!views) return {};
  const std::string prefix = "blk." + std::to_string(layer) + ".";
  const bool combined = views->k_transposed;
  MlaUp up;
  up.k_transposed = views->k_transposed;
  up.k = weight(views->k, prefix + (combined ? "attn_kv_b.weight" : "attn_k_b.weight"),
                combined ? Op::matmul_transposed : Op::matmul);
  up.v = weight(views->v, prefix + (combined ? "attn_kv_b.weight" : "attn_v_b.weight"), Op::matmul);
  return up;
}

Buffer TensorLoader::upload(std::span<const float> values) {
  if (error_) return {};
  auto buffer = take(ops_->alloc(values.size_bytes()));
  if (!buffer) return {};
  ops_->copy_in(buffer->f32(0, static_cast<int64_t>(values.size())), values.data());
  take(ops_->sync().map([] { return 0; }));  // `values` may go
  return std::move(*buffer);
}

Buffer TensorLoader::floats(const std::string& name, uint64_t n) {
  if (error_) return {};
  const auto view = take(weights_.get(name, {n}));
  if (!view || !usable(*view, name, Op::bias)) return {};
  std::vector<float> values(n);
  dequantize_row(*view, 0, 0, values.data());
  count();
  return upload(values);
}

Buffer TensorLoader::rope_frequencies() {
  if (error_) return {};
  const RopeConfig& rope = weights_.config().rope;
  std::vector<float> divisors;
  if (rope.scaling == RopeConfig::Scaling::divisors) {
    const auto view = take(weights_.get("rope_freqs.weight", {rope.dimensions / 2}));
    if (!view || !usable(*view, "rope_freqs.weight", Op::bias)) return {};
    divisors.resize(rope.dimensions / 2);
    dequantize_row(*view, 0, 0, divisors.data());
    for (const float divisor : divisors) {
      if (divisor > 0) continue;  // also NaN
      error_ = Error{ErrorCode::malformed, "divisors of frequencies must be positive", "tensor rope_freqs.weight"};
      return {};
    }
  }
  return upload(vitrine::rope_frequencies(rope, divisors));
}

}  // namespace vitrine
