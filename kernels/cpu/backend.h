// The class behind make_cpu_ops(), for the files of this folder: one operator,
// or a family that shares its work, in each.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/isa/kernels.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/door.h"

namespace vitrine::cpu {

const Kernels& kernels_for(Isa isa);

// The mapped bytes, as they lie in the file.
struct CpuWeight final : Weight::Storage {
  struct Plane {
    TensorView view;  // 2-D: what dequantize_row takes, at plane 0
    const uint8_t* rows = nullptr;
  };
  Type type = Type::f32;
  int64_t n_in = 0, n_out = 0;
  size_t row_stride = 0;
  std::vector<Plane> planes;
  std::vector<float> vector;  // one-dimensional f32, f16, bf16 (norms, biases): as floats
};

// Memory for one purpose; grows, never shrinks; 64-byte aligned.
class Workspace {
 public:
  // Nothing is kept. False without memory.
  bool reserve(uint64_t bytes);
  template <class T>
  T* as() const {
    return static_cast<T*>(memory_.get());
  }
  uint64_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  std::unique_ptr<void, Free> memory_;
  uint64_t bytes_ = 0;
};

// Rows of activations, ready for every type of weight that asked.
struct Activations {
  const float* x = nullptr;  // rows `stride` floats apart
  int64_t stride = 0;
  int64_t rows = 0;
  const ActivationChunk* per32 = nullptr;  // [chunks][rows]
  const ActivationChunk* per256 = nullptr;
};

class CpuOps final : public Ops {
 public:
  CpuOps(int threads, Isa isa);

  std::string description() const override;
  bool supports(Op op, Type type) const override;
  Result<Weight> upload(const TensorView& view) override;
  Result<Weight> upload(std::span<const TensorView> planes) override;
  Result<Buffer> alloc(uint64_t bytes) override;
  Result<KvCache> alloc_kv(const KvShape& shape) override;
  uint64_t kv_page_bytes(const KvShape& shape) const override;
  Status plan(const StepShape& shape) override;
  void copy_in(const Tensor& to, const void* from) override;
  void copy_out(void* to, const Tensor& from) override;
  Status sync() override;

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

 private:
  // What one thread works in.
  struct Scratch {
    Workspace acc;        // two [kTokenBlock][kPanel] floats
    Workspace tile;       // a panel of weights as floats
    Workspace rows;       // a panel of a matrix with fewer than kPanel rows
    Workspace chunks;     // activations of one head
    Workspace attention;  // grows with the first calls
  };
  // Tokens whose sums a thread holds at once.
  static constexpr int64_t kTokenBlock = 256;
  // Activations of one head that a thread works on at once.
  static constexpr int64_t kHeadBytes = 128 << 10;

  // One panel of a weight over [0, count) tokens; results in `acc` [count][kPanel].
  struct PanelJob {
    const CpuWeight* weight = nullptr;
    size_t plane = 0;
    int64_t panel = 0;
    const Activations* activations = nullptr;
    const int32_t* index = nullptr;  // row of each token; null: first + i
    int64_t first = 0;
    int64_t count = 0;
    float* acc = nullptr;
    const CpuWeight* next = nullptr;  // the panel to fetch meanwhile
    size_t next_plane = 0;
    int64_t next_panel = 0;
  };
  // Where the panel's rows stand in acc: columns [skip, skip + count) are rows [row, row + count).
  struct PanelRows {
    int64_t row, count, skip;
  };
  static int64_t panels(const CpuWeight& weight) { return (weight.n_out + kPanel - 1) / kPanel; }
  PanelRows run_panel(const PanelJob& job, Scratch& scratch);

  // Tokens [begin, end) of `pair_token` go through the FFN in plane `plane`.
  struct ExpertTokens {
    size_t plane;
    int64_t begin, end;
  };
  // y[token of pair] += weight of pair · ffn(x[token of pair]); experts ascending.
  void run_experts(const CpuWeight& gate, const CpuWeight& up, const CpuWeight& down, const Tensor& x, const Tensor& y,
                   std::span<const ExpertTokens> experts, const int32_t* pair_token, const float* pair_weight,
                   int64_t pairs, bool accumulate);

  // Prepares x [n, rows] for weights of these types, in workspaces a or b.
  Activations prepare(const float* x, int64_t n, int64_t rows, int64_t stride, bool per32, bool per256, Workspace& a,
                      Workspace& b);
  void store_kv(KvCache& cache, const Batch& batch, const Tensor& a, const Tensor& b);
  void run_attention(const AttentionParams& params, const Tensor& q, const Tensor* q_rope, const KvCache& cache,
                     const Batch& batch, const Tensor& y);

  // The door. Keeps the first refusal for sync(); false when `ok` is false.
  bool require(bool ok, std::string_view op, std::string_view what);
  bool fits(std::string_view op, door::Need need) { return require(need.empty(), op, need); }
  const CpuWeight* get(const Weight& weight, std::string_view op);
  bool check_batch(std::string_view op, const KvCache& cache, const Batch& batch, int64_t tokens);

  Isa isa_;
  const Kernels& kernels_;
  ThreadPool pool_;
  std::vector<Scratch> scratch_;  // one per thread
  StepShape planned_;
  Workspace per32_, per256_, hidden_, hidden32_, hidden256_, pairs_;
  std::mutex failure_mutex_;
  Status failure_;
};

}  // namespace vitrine::cpu
