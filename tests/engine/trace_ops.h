// A backend that keeps what every operator of another one has written, so that two
// backends can be held against each other tensor by tensor: the first that differs
// is where they part.
#pragma once

#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "kernels/ops.h"

namespace vitrine {

struct Traced {
  std::string op;
  Type type = Type::f32;
  std::array<int64_t, 3> ne = {0, 0, 0};
  std::vector<uint32_t> bits;
};

class TraceOps : public Ops {
 public:
  explicit TraceOps(Ops& inner) : inner_(inner) {}

  std::vector<Traced> trace;

  std::string description() const override { return inner_.description(); }
  bool supports(Op op, Type type) const override { return inner_.supports(op, type); }
  Result<Weight> upload(const TensorView& view) override { return inner_.upload(view); }
  Result<Weight> upload(std::span<const TensorView> planes) override { return inner_.upload(planes); }
  Result<Buffer> alloc(uint64_t bytes) override { return inner_.alloc(bytes); }
  Result<KvCache> alloc_kv(const KvShape& shape) override { return inner_.alloc_kv(shape); }
  uint64_t kv_page_bytes(const KvShape& shape) const override { return inner_.kv_page_bytes(shape); }
  Status plan(const StepShape& shape) override { return inner_.plan(shape); }
  void copy_in(const Tensor& to, const void* from) override { inner_.copy_in(to, from); }
  void copy_out(void* to, const Tensor& from) override { inner_.copy_out(to, from); }
  Status sync() override { return inner_.sync(); }

  void prepare_for(const Tensor& y, std::span<const Weight* const> readers) override { inner_.prepare_for(y, readers); }
  void rope_store(KvCache& cache, const Batch& batch, const HeadParams& params, const Tensor& rope, const Tensor& q,
                  const Tensor& k, const Tensor& v) override {
    inner_.rope_store(cache, batch, params, rope, q, k, v), keep("rope_store", q);
  }
  void mla_rope_store(KvCache& cache, const Batch& batch, const LatentParams& params, const Tensor& rope,
                      const Tensor& q, const Tensor& latent, const Tensor& k_rope) override {
    inner_.mla_rope_store(cache, batch, params, rope, q, latent, k_rope), keep("mla_rope_store", q);
  }
  void moe_router(const RouteParams& params, const Weight& router, const Tensor& x, const Tensor& bias,
                  const Tensor& logits, const Tensor& ids, const Tensor& weights) override {
    inner_.moe_router(params, router, x, bias, logits, ids, weights);
    keep("moe_router", logits), keep("moe_router", ids), keep("moe_router", weights);
  }
  void embed(const Weight& table, const Tensor& ids, const Tensor& y) override {
    inner_.embed(table, ids, y), keep("embed", y);
  }
  void gather_rows(const Tensor& x, const Tensor& index, const Tensor& y) override {
    inner_.gather_rows(x, index, y), keep("gather_rows", y);
  }
  void add(const Tensor& x, const Tensor& y) override { inner_.add(x, y), keep("add", y); }
  void add_bias(const Weight& bias, const Tensor& y) override { inner_.add_bias(bias, y), keep("add_bias", y); }
  void rms_norm(const Tensor& x, const Weight& weight, float eps, const Tensor& y) override {
    inner_.rms_norm(x, weight, eps, y), keep("rms_norm", y);
  }
  void add_rms_norm(const Tensor& x, const Tensor& delta, const Weight& weight, float eps, const Tensor& y) override {
    inner_.add_rms_norm(x, delta, weight, eps, y), keep("add_rms_norm", x), keep("add_rms_norm", y);
  }
  void silu_mul(const Tensor& gate, const Tensor& up, const Tensor& y) override {
    inner_.silu_mul(gate, up, y), keep("silu_mul", y);
  }
  void argmax(const Tensor& x, const Tensor& ids) override { inner_.argmax(x, ids), keep("argmax", ids); }
  void rope_table(const Tensor& pos, const Tensor& frequency, float magnitude, const Tensor& table) override {
    inner_.rope_table(pos, frequency, magnitude, table), keep("rope_table", table);
  }
  void rope(const Tensor& x, const Tensor& table, RopeStyle style) override {
    inner_.rope(x, table, style), keep("rope", x);
  }
  void matmul(const Weight& weight, const Tensor& x, const Tensor& y) override {
    inner_.matmul(weight, x, y), keep("matmul", y);
  }
  void matmul(std::span<const Product> products, const Tensor& x) override {
    inner_.matmul(products, x);
    for (const Product& product : products) keep("matmul", product.y);
  }
  void matmul_heads(const Weight& weight, const Tensor& x, const Tensor& y) override {
    inner_.matmul_heads(weight, x, y), keep("matmul_heads", y);
  }
  void matmul_heads_transposed(const Weight& weight, const Tensor& x, const Tensor& y) override {
    inner_.matmul_heads_transposed(weight, x, y), keep("matmul_heads_transposed", y);
  }
  void ffn(const Weight& gate, const Weight& up, const Weight& down, const Tensor& x, const Tensor& y,
           bool accumulate) override {
    inner_.ffn(gate, up, down, x, y, accumulate), keep("ffn", y);
  }
  void moe_route(const RouteParams& params, const Tensor& logits, const Tensor& bias, const Tensor& ids,
                 const Tensor& weights) override {
    inner_.moe_route(params, logits, bias, ids, weights), keep("moe_route", ids), keep("moe_route", weights);
  }
  void moe_ffn(const Weight& gate, const Weight& up, const Weight& down, const Tensor& x, const Tensor& ids,
               const Tensor& weights, const Tensor& y, bool accumulate) override {
    inner_.moe_ffn(gate, up, down, x, ids, weights, y, accumulate), keep("moe_ffn", y);
  }
  void moe_ffn_shared(const Weight& gate, const Weight& up, const Weight& down, const SharedExpert& shared,
                      const Tensor& x, const Tensor& ids, const Tensor& weights, const Tensor& y) override {
    inner_.moe_ffn_shared(gate, up, down, shared, x, ids, weights, y), keep("moe_ffn_shared", y);
  }
  void kv_store(KvCache& cache, const Batch& batch, const Tensor& k, const Tensor& v) override {
    inner_.kv_store(cache, batch, k, v);
  }
  void mla_store(KvCache& cache, const Batch& batch, const Tensor& latent, const Tensor& k_rope) override {
    inner_.mla_store(cache, batch, latent, k_rope);
  }
  void attention(const AttentionParams& params, const Tensor& q, const KvCache& cache, const Batch& batch,
                 const Tensor& y) override {
    inner_.attention(params, q, cache, batch, y), keep("attention", y);
  }
  void mla_attention(const AttentionParams& params, const Tensor& q_latent, const Tensor& q_rope, const KvCache& cache,
                     const Batch& batch, const Tensor& y) override {
    inner_.mla_attention(params, q_latent, q_rope, cache, batch, y), keep("mla_attention", y);
  }
  void kv_copy_page(KvCache& cache, int64_t from, int64_t to) override { inner_.kv_copy_page(cache, from, to); }

 private:
  void keep(const char* op, const Tensor& y) {
    Traced one{op, y.type, y.ne, std::vector<uint32_t>(static_cast<size_t>(y.elements()))};
    if (!y.empty()) inner_.copy_out(one.bits.data(), y);
    if (const Status status = inner_.sync(); !status) one.op += ": " + status.error().to_string();
    trace.push_back(std::move(one));
  }
  Ops& inner_;
};

// The first tensor in which two runs of a model differ by more than `tolerance` of its largest
// number, in words; empty when there is none.
inline std::string first_difference(const std::vector<Traced>& found, const std::vector<Traced>& expected,
                                    double tolerance) {
  for (size_t i = 0; i < expected.size(); ++i) {
    const std::string place = "operator " + std::to_string(i) + " of " + std::to_string(expected.size()) + ", ";
    if (i >= found.size()) return place + expected[i].op + ": not there";
    const Traced &a = found[i], &b = expected[i];
    if (a.op != b.op || a.ne != b.ne || a.type != b.type) return place + b.op + ": found " + a.op;
    double largest = 0, worst = 0;
    size_t at = 0;
    for (size_t n = 0; n < b.bits.size(); ++n) {
      if (b.type == Type::i32) {
        if (a.bits[n] != b.bits[n]) worst = INFINITY, at = n;
        continue;
      }
      const float x = std::bit_cast<float>(a.bits[n]), y = std::bit_cast<float>(b.bits[n]);
      const double difference = std::isfinite(x) && std::isfinite(y) ? std::fabs(double{x} - y) : INFINITY;
      largest = std::max(largest, std::fabs(double{y}));
      if (difference > worst) worst = difference, at = n;
    }
    if (worst > tolerance * largest) {
      return place + b.op + " [" + std::to_string(b.ne[0]) + ", " + std::to_string(b.ne[1]) + ", " +
             std::to_string(b.ne[2]) + "]: element " + std::to_string(at) + " is off by " + std::to_string(worst) +
             ", the largest number is " + std::to_string(largest);
    }
  }
  return "";
}

}  // namespace vitrine
