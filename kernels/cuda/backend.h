// The class behind make_cuda_ops(), for the files of this folder.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/library.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/packed.h"
#include "kernels/cuda/ready_rows.h"
#include "kernels/cuda/runtime.h"
#include "kernels/door.h"

namespace vitrine::cuda {

struct CudaWeight final : Weight::Storage {
  Type type = Type::f32;
  int64_t planes = 1;
  Packed packed;  // points into `memory`
  DeviceMemory memory, factors;
};

class CudaOps final : public Ops {
 public:
  static Result<std::unique_ptr<Ops>> create(const CudaOptions& options);
  ~CudaOps() override;

  std::string description() const override;
  bool supports(Op op, Type type) const override;
  Result<Weight> upload(const TensorView& view) override;
  Result<Weight> upload(std::span<const TensorView> planes) override;
  Result<Buffer> alloc(uint64_t bytes) override;
  Result<KvCache> alloc_kv(const KvShape& shape) override;
  uint64_t kv_page_bytes(const KvShape& shape) const override;
  Status plan(const StepShape& shape) override;
  std::shared_ptr<void> host_memory(uint64_t bytes) const override { return pinned_memory(bytes); }
  void copy_in(const Tensor& to, const void* from) override;
  void copy_out(void* to, const Tensor& from) override;
  Status sync() override;

  void prepare_for(const Tensor& y, std::span<const Weight* const> readers) override;
  void embed(const Weight& table, const Tensor& ids, const Tensor& y) override;
  void gather_rows(const Tensor& x, const Tensor& index, const Tensor& y) override;
  void add(const Tensor& x, const Tensor& y) override;
  void add_bias(const Weight& bias, const Tensor& y) override;
  void rms_norm(const Tensor& x, const Weight& weight, float eps, const Tensor& y) override;
  void add_rms_norm(const Tensor& x, const Tensor& delta, const Weight& weight, float eps, const Tensor& y) override;
  void silu_mul(const Tensor& gate, const Tensor& up, const Tensor& y) override;
  void argmax(const Tensor& x, const Tensor& ids) override;
  void rope_table(const Tensor& pos, const Tensor& frequency, float magnitude, const Tensor& table) override;
  void rope(const Tensor& x, const Tensor& table, RopeStyle style) override;
  void matmul(const Weight& weight, const Tensor& x, const Tensor& y) override;
  void matmul(std::span<const Product> products, const Tensor& x) override;
  void matmul_heads(const Weight& weight, const Tensor& x, const Tensor& y) override;
  void matmul_heads_transposed(const Weight& weight, const Tensor& x, const Tensor& y) override;
  void ffn(const Weight& gate, const Weight& up, const Weight& down, const Tensor& x, const Tensor& y,
           bool accumulate) override;
  void moe_route(const RouteParams& params, const Tensor& logits, const Tensor& bias, const Tensor& ids,
                 const Tensor& weights) override;
  void moe_ffn(const Weight& gate, const Weight& up, const Weight& down, const Tensor& x, const Tensor& ids,
               const Tensor& weights, const Tensor& y, bool accumulate) override;
  void kv_store(KvCache& cache, const Batch& batch, const Tensor& k, const Tensor& v) override;
  void mla_store(KvCache& cache, const Batch& batch, const Tensor& latent, const Tensor& k_rope) override;
  void attention(const AttentionParams& params, const Tensor& q, const KvCache& cache, const Batch& batch,
                 const Tensor& y) override;
  void mla_attention(const AttentionParams& params, const Tensor& q_latent, const Tensor& q_rope, const KvCache& cache,
                     const Batch& batch, const Tensor& y) override;
  void kv_copy_page(KvCache& cache, int64_t from, int64_t to) override;
  void rope_store(KvCache& cache, const Batch& batch, const HeadParams& params, const Tensor& rope, const Tensor& q,
                  const Tensor& k, const Tensor& v) override;
  void mla_rope_store(KvCache& cache, const Batch& batch, const LatentParams& params, const Tensor& rope,
                      const Tensor& q, const Tensor& latent, const Tensor& k_rope) override;
  void moe_ffn_shared(const Weight& gate, const Weight& up, const Weight& down, const SharedExpert& shared,
                      const Tensor& x, const Tensor& ids, const Tensor& weights, const Tensor& y) override;
  void moe_router(const RouteParams& params, const Weight& router, const Tensor& x, const Tensor& bias,
                  const Tensor& logits, const Tensor& ids, const Tensor& weights) override;

  bool samples() const override { return true; }
  void sample(const Tensor& logits, const Tensor& rows, const Tensor& edits, const Tensor& ids) override;

  bool replays() const override { return true; }
  void replay(uint64_t key, const std::function<void()>& enqueue) override;
  void run_on_host(std::function<void()> work) override;
  void fork(std::function<void()> branch) override;
  void join() override;

 private:
  explicit CudaOps(const CudaOptions& options) : options_(options) {}

  // Device memory for one purpose; grows when a call needs more, and drops the recorded
  // graphs then, which hold its address. Null, and the failure noted, without memory.
  template <class T>
  T* workspace(DeviceMemory& memory, int64_t count, std::string_view op) {
    return static_cast<T*>(reserve(memory, static_cast<uint64_t>(count) * sizeof(T), op));
  }
  void* reserve(DeviceMemory& memory, uint64_t bytes, std::string_view op);
  // Parts of upload().
  Status copy_plane(const TensorView& view, int64_t first_row, const CudaWeight& weight, const PackedLayout& layout);
  Status upload_factors(std::span<const TensorView> planes, CudaWeight& weight);
  Status fill_random(const CudaWeight& weight, const PackedLayout& layout);

  // Forms in `memory` for rows [n] that the next launch writes to `data`, when their readers are
  // announced; else none. False without memory.
  bool producing(const void* data, int64_t n, int64_t rows, FormMemory& memory, std::string_view op, PreparedRows& out);
  void norm_rows(const Tensor& x, const Tensor* delta, const Weight& weight, float eps, const Tensor& y,
                 std::string_view op);
  void store_rows(KvCache& cache, const Batch& batch, const Tensor& a, const Tensor& b, unsigned threads,
                  std::string_view op);
  void run_attention(const AttentionParams& params, const Tensor& q, const Tensor* q_rope, const KvCache& cache,
                     const Batch& batch, const Tensor& y, std::string_view op);

  // ---- the door. Keeps the first refusal for sync().
  bool require(bool ok, std::string_view op, std::string_view what);
  bool fits(std::string_view op, door::Need need) { return require(need.empty(), op, need); }
  bool check(cudaError_t error, std::string_view op);  // what the runtime answered to a launch or a copy
  const CudaWeight* get(const Weight& weight, std::string_view op);

  friend struct MatrixWork;  // kernels/cuda/matrix_work.h: what matrices and experts share

  CudaOptions options_;
  CudaDevice device_;
  Runtime runtime_;
  StepShape planned_;
  Status failure_;
  MatrixWorkspaces matrix_;
  ReadyRows ready_;
  std::unique_ptr<ProductLibrary> library_;  // or null
  DeviceMemory splits_;                      // of attention
  DeviceMemory staging_;                     // bytes of a file on their way into planes
  uint64_t random_count_ = 0;
};

}  // namespace vitrine::cuda
