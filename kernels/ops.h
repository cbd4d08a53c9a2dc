// The operators of a forward pass. One implementation per kind of device
// (kernels/cpu, kernels/cuda); models are written against this class alone.
//
// Calls enqueue on the backend's stream and return nothing: sizes that depend on
// data (routes, positions) stay in device tensors. Arguments are checked at the
// door; a call whose shapes or types do not fit is refused as a whole, its
// outputs stay untouched, and the next sync() returns the first such Error.
// Values out of range inside device tensors (a token id, a page number) count the
// same way where the backend looks at them (the CPU does).
//
// Shapes are [fastest, …]. T = tokens of this step, one row each, of any number of
// sequences, at any positions. Activations are f32, indices i32. Inputs and outputs
// may be strided views (Tensor::slice, heads); an output may be the input itself
// where it says "in place", otherwise they must not overlap.
//
// The result for a token depends on its own row and its own sequence's cache only:
// never on what else is in the batch, on chunks, threads or the instruction set.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "kernels/tensor.h"

namespace vitrine {

// A weight as the backend keeps it. Cheap to copy; the CPU backend keeps the
// view (the mapped file must outlive it), others own device memory.
class Weight {
 public:
  // What a backend keeps; it knows its own kind.
  struct Storage {
    virtual ~Storage() = default;
  };

  Weight() = default;
  Weight(Type type, std::array<uint64_t, 3> ne, std::shared_ptr<const Storage> storage)
      : type_(type), ne_(ne), storage_(std::move(storage)) {}

  explicit operator bool() const { return storage_ != nullptr; }
  Type type() const { return type_; }
  const std::array<uint64_t, 3>& ne() const { return ne_; }  // [n_in, n_out, planes]
  const Storage* storage() const { return storage_.get(); }

 private:
  Type type_ = Type::f32;
  std::array<uint64_t, 3> ne_ = {0, 0, 0};
  std::shared_ptr<const Storage> storage_;
};

// Device memory with one owner.
class Buffer {
 public:
  Buffer() = default;
  Buffer(std::shared_ptr<void> data, uint64_t bytes) : data_(std::move(data)), bytes_(bytes) {}
  Buffer(Buffer&&) = default;
  Buffer& operator=(Buffer&&) = default;

  uint64_t bytes() const { return bytes_; }
  void* data() const { return data_.get(); }
  // A contiguous tensor at a byte offset. REQUIRES: it lies inside, offset a multiple of 4.
  Tensor f32(uint64_t offset, int64_t n0, int64_t n1 = 1, int64_t n2 = 1) const {
    return Tensor::contiguous(Type::f32, static_cast<uint8_t*>(data_.get()) + offset, n0, n1, n2);
  }
  Tensor i32(uint64_t offset, int64_t n0, int64_t n1 = 1) const {
    return Tensor::contiguous(Type::i32, static_cast<uint8_t*>(data_.get()) + offset, n0, n1);
  }

 private:
  std::shared_ptr<void> data_;
  uint64_t bytes_ = 0;
};

// Upper bounds of one step, for workspaces. Every field counts elements.
struct StepShape {
  int64_t tokens = 0;        // T
  int64_t widest_input = 0;  // largest n_in of any matmul, ffn or moe_ffn
  int64_t ffn_width = 0;     // largest n_ff of ffn and moe_ffn (per expert)
  int64_t experts = 0;       // E; 0: no moe_ffn
  int64_t experts_used = 0;  // k
};

// ---- paged key-value cache: one per layer ---------------------------------

struct KvShape {
  enum class Kind : uint8_t {
    gqa,  // per token and kv head: key [k_dim], value [v_dim]
    mla,  // per token: latent [v_dim | k_dim - v_dim], keys are all of it, values its first v_dim; kv_heads = 1
  };
  Kind kind = Kind::gqa;
  Type type = Type::f16;  // f32, f16, bf16
  int64_t pages = 0;
  int64_t page_tokens = 16;  // a power of two, 16 … 256
  int64_t kv_heads = 1;
  int64_t k_dim = 0;  // mla: 576
  int64_t v_dim = 0;  // mla: 512
};

// The layout inside a page is the backend's own.
struct KvCache {
  KvShape shape;
  Buffer data;
};

// Where the T tokens of a step stand. Device tensors, the same for all layers.
struct Batch {
  Tensor seq;          // i32 [T]: row of block_table; -1: padding (nothing stored, attention gives zeros)
  Tensor pos;          // i32 [T]: position in the sequence, from 0
  Tensor block_table;  // i32 [blocks, sequences]: page of positions [b * page_tokens, (b + 1) * page_tokens)
};

struct AttentionParams {
  float scale = 1;     // of the scores: 1 / sqrt(k_dim), for MLA with YaRN's m² …
  int64_t window = 0;  // > 0: only the last `window` positions, its own included
};

enum class RopeStyle : uint8_t {
  interleaved,  // pairs (2i, 2i + 1): llama and deepseek2
  halves,       // pairs (i, i + n/2): qwen2, qwen3moe
};

enum class Scoring : uint8_t { softmax, sigmoid };

// Of queries and keys before attention; null: none.
struct HeadParams {
  const Weight *q_bias = nullptr, *k_bias = nullptr, *v_bias = nullptr;  // [k_dim * heads], [… * kv_heads] both
  const Weight *q_norm = nullptr, *k_norm = nullptr;                     // [k_dim], both or neither
  float eps = 0;
  RopeStyle style = RopeStyle::interleaved;
};
struct LatentParams {
  const Weight* norm = nullptr;  // [v_dim]
  float eps = 0;
  RopeStyle style = RopeStyle::interleaved;
};

// Expert choice, after DeepSeek-V2 (arXiv 2405.04434, 2.1.2) and V3 (2412.19437, 2.1.2).
struct RouteParams {
  Scoring scoring = Scoring::softmax;
  int64_t experts_used = 1;  // k
  int64_t groups = 1;        // E divides into this many equal groups …
  int64_t groups_used = 1;   // … of which only the best are looked at; the rest count as -inf
  // A group's score: the sum of its two best (V3) or its best (V2) expert. 1 or 2.
  int64_t group_top = 1;
  bool renormalize = false;  // weights of the chosen divided by their sum
  float scale = 1;           // then multiplied
};

// Which (operator, weight type) pairs run here.
enum class Op : uint8_t { embed, norm, matmul, matmul_transposed, moe_ffn, kv_cache, bias };

class Ops {
 public:
  virtual ~Ops() = default;

  // For people: "cpu: AVX-512 VNNI, 2 threads".
  virtual std::string description() const = 0;
  virtual bool supports(Op op, Type type) const = 0;

  // ---- memory. Errors: unsupported type, limit (no memory).
  virtual Result<Weight> upload(const TensorView& view) = 0;
  // Matrices of one type and shape as the planes of one weight [n_in, n_out, planes.size()].
  virtual Result<Weight> upload(std::span<const TensorView> planes) = 0;
  virtual Result<Buffer> alloc(uint64_t bytes) = 0;  // zeros
  virtual Result<KvCache> alloc_kv(const KvShape& shape) = 0;
  virtual uint64_t kv_page_bytes(const KvShape& shape) const = 0;
  // Workspaces for every step up to `shape`; call before the first operator and
  // whenever a bound grows. A call that needs more than was planned is refused.
  virtual Status plan(const StepShape& shape) = 0;

  // Host memory, zeros, that copies to and from the device are fastest with. Null without memory.
  virtual std::shared_ptr<void> host_memory(uint64_t bytes) const {
    return std::shared_ptr<void>(std::calloc(bytes + 1, 1), std::free);
  }

  // ---- between host and device. The host side must stay until sync().
  virtual void copy_in(const Tensor& to, const void* from) = 0;  // contiguous host array of to's shape
  virtual void copy_out(void* to, const Tensor& from) = 0;
  virtual Status sync() = 0;  // waits; the first refusal since the last call, if any

  // ---- repeated steps
  // Enqueues what `enqueue` enqueues. A backend for which replays() is true may record the calls made
  // inside, once per key, and from then on repeat the recording without calling `enqueue`: calls with
  // one key must be the same operators on the same tensors (addresses and shapes; what the tensors
  // hold may differ); the host's side of a copy must be host_memory(), and stay. The CPU has nothing to
  // gain and calls it.
  virtual bool replays() const { return false; }
  virtual void replay(uint64_t key, const std::function<void()>& enqueue) {
    static_cast<void>(key);
    enqueue();
  }

  // ---- the host's part of a step
  // Enqueues `work`: the host does it behind everything enqueued before and ahead of everything enqueued
  // after, on a thread of the backend's choice. It must not call this backend. A recording keeps it and
  // calls it every time, so what it captures must hold for every step with that key.
  virtual void run_on_host(std::function<void()> work) { work(); }
  // What `branch` enqueues (copies and host work, no operators) runs behind what was enqueued before and
  // beside what is enqueued from here to join(); what comes after join() sees it done. A backend calls
  // it once, at any time between the two: it captures nothing that ends sooner. One branch at a time.
  virtual void fork(std::function<void()> branch) { branch(); }
  virtual void join() {}

  // ---- rows
  // Announces that `y`, which an operator to come writes whole, is then the x of at most one product
  // (matmul, matmul_heads, ffn, moe_ffn by its gate) with each of `readers`: a backend may write it in
  // the form they read. It holds until y is announced again, which whoever announces it does before
  // anything else writes y.
  virtual void prepare_for(const Tensor& y, std::span<const Weight* const> readers) {
    static_cast<void>(y);
    static_cast<void>(readers);
  }
  void prepare_for(const Tensor& y, const Weight& reader) {
    const Weight* const one = &reader;
    prepare_for(y, std::span(&one, 1));
  }
  // y[:, t] = row ids[t] of table.            table [n, vocab]; ids i32 [T]; y [n, T]
  virtual void embed(const Weight& table, const Tensor& ids, const Tensor& y) = 0;
  // y[:, i] = x[:, index[i]].                 x [n, T]; index i32 [m]; y [n, m]
  virtual void gather_rows(const Tensor& x, const Tensor& index, const Tensor& y) = 0;
  // y += x.                                   both [n, …]
  virtual void add(const Tensor& x, const Tensor& y) = 0;
  // y[:, …] += bias, in place.                bias f32|f16|bf16 [n]; y [n, …]
  virtual void add_bias(const Weight& bias, const Tensor& y) = 0;
  // y = x / sqrt(mean(x²) + eps) * weight, over ne[0]; in place allowed.
  //                                           weight f32|f16|bf16 [n]; x, y [n, …]
  virtual void rms_norm(const Tensor& x, const Weight& weight, float eps, const Tensor& y) = 0;
  // x += delta; y = rms_norm(x).              x, delta, y [n, …]
  virtual void add_rms_norm(const Tensor& x, const Tensor& delta, const Weight& weight, float eps, const Tensor& y) = 0;
  // y = silu(gate) * up, in place over either. silu(v) = v / (1 + e^-v); all [n, …]
  virtual void silu_mul(const Tensor& gate, const Tensor& up, const Tensor& y) = 0;
  // ids[t] = position of the largest of x[:, t]; ties: the lowest. x [n, T]; ids i32 [T]
  virtual void argmax(const Tensor& x, const Tensor& ids) = 0;

  // ids[t] = the token drawn from logits[:, t], overwritten: kernels/sampling.h says how, the same one as
  // engine/sampler.h draws. -1: no token is left, or a temperature below 0, nobody asks for one.
  // Where samples() is false, whoever needs a token copies the logits.
  //     logits [n, m]; rows: SamplingRow as i32 [16, m]; edits: LogitEdit as i32 [4, any], an id once a
  //     row; both without gaps; ids i32 [m]
  virtual bool samples() const { return false; }
  virtual void sample(const Tensor& logits, const Tensor& rows, const Tensor& edits, const Tensor& ids) {
    static_cast<void>(logits), static_cast<void>(rows), static_cast<void>(edits), static_cast<void>(ids);
  }

  // ---- rotary positions
  // table[2i, t], table[2i + 1, t] = magnitude * cos, sin (pos[t] * frequency[i]).
  // The product is rounded to float32 as in the models' own code. The caller puts
  // factors and YaRN's ramp into the frequencies.
  //                                           pos i32 [T]; frequency [n/2]; table [n, T]
  virtual void rope_table(const Tensor& pos, const Tensor& frequency, float magnitude, const Tensor& table) = 0;
  // Rotates x in place.                       x [n, heads, T]; table [n, T]
  virtual void rope(const Tensor& x, const Tensor& table, RopeStyle style) = 0;

  // ---- matrices
  // y[:, t] = weight · x[:, t].               weight [n_in, n_out]; x [n_in, T]; y [n_out, T]
  virtual void matmul(const Weight& weight, const Tensor& x, const Tensor& y) = 0;
  // Several weights over the same x at once (q, k, v): fewer barriers, x is prepared once.
  struct Product {
    const Weight* weight;
    Tensor y;
  };
  virtual void matmul(std::span<const Product> products, const Tensor& x) = 0;
  // Plane h works on head h.                  weight [n_in, n_out, H]; x [n_in, H, T]; y [n_out, H, T]
  virtual void matmul_heads(const Weight& weight, const Tensor& x, const Tensor& y) = 0;
  // The same with each plane transposed.      weight [n_out, n_in, H]; x [n_in, H, T]; y [n_out, H, T]
  // For MLA files that hold kv_b_proj: y = q_nope · W_k.
  virtual void matmul_heads_transposed(const Weight& weight, const Tensor& x, const Tensor& y) = 0;

  // y = down(silu(gate x) * (up x)).          gate, up [n, n_ff]; down [n_ff, n]; x, y [n, T]
  // `accumulate`: y += instead of y =.
  virtual void ffn(const Weight& gate, const Weight& up, const Weight& down, const Tensor& x, const Tensor& y,
                   bool accumulate = false) = 0;

  // ---- mixture of experts
  // scores = scoring(logits); the k best of scores + bias (groups first) are chosen,
  // ties by the lowest index, ids from best to worst; weights from the unbiased scores.
  //     logits [E, T]; bias f32 [E] or empty; ids i32 [k, T]; weights [k, T]
  virtual void moe_route(const RouteParams& params, const Tensor& logits, const Tensor& bias, const Tensor& ids,
                         const Tensor& weights) = 0;
  // Both steps of the choice: logits = router · x, then moe_route. router [n, E]; x [n, T]
  virtual void moe_router(const RouteParams& params, const Weight& router, const Tensor& x, const Tensor& bias,
                          const Tensor& logits, const Tensor& ids, const Tensor& weights) {
    matmul(router, x, logits);
    moe_route(params, logits, bias, ids, weights);
  }
  // y[:, t] = Σ_j weights[j, t] · ffn of expert ids[j, t], summed in ascending order of the expert.
  //     gate, up [n, n_ff, E]; down [n_ff, n, E]; x, y [n, T]. `accumulate`: y += instead of y =.
  virtual void moe_ffn(const Weight& gate, const Weight& up, const Weight& down, const Tensor& x, const Tensor& ids,
                       const Tensor& weights, const Tensor& y, bool accumulate = false) = 0;

  // The same with an expert that all tokens pass, which is added last: y += down(silu(gate x) * (up x)).
  //     its gate, up [n, any]; down [any, n]
  struct SharedExpert {
    const Weight *gate, *up, *down;
  };
  virtual void moe_ffn_shared(const Weight& gate, const Weight& up, const Weight& down, const SharedExpert& shared,
                              const Tensor& x, const Tensor& ids, const Tensor& weights, const Tensor& y) {
    moe_ffn(gate, up, down, x, ids, weights, y);
    ffn(*shared.gate, *shared.up, *shared.down, x, y, /*accumulate=*/true);
  }

  // ---- attention. A step first stores its keys, then attends: token t sees positions 0 … pos[t].
  // k [k_dim, kv_heads, T]; v [v_dim, kv_heads, T]
  virtual void kv_store(KvCache& cache, const Batch& batch, const Tensor& k, const Tensor& v) = 0;
  // latent [v_dim, T] (RMSNormed c_kv); k_rope [k_dim - v_dim, T] (rotated)
  virtual void mla_store(KvCache& cache, const Batch& batch, const Tensor& latent, const Tensor& k_rope) = 0;
  // q [k_dim, heads, T]; y [v_dim, heads, T]; heads a multiple of kv_heads, head h reads kv head h / (heads / kv_heads)
  virtual void attention(const AttentionParams& params, const Tensor& q, const KvCache& cache, const Batch& batch,
                         const Tensor& y) = 0;
  // Absorbed, for decoding and prompts alike (so that they agree bit for bit):
  // q_latent [v_dim, heads, T] (= q_nope · W_k); q_rope [k_dim - v_dim, heads, T]; y [v_dim, heads, T], before W_v
  virtual void mla_attention(const AttentionParams& params, const Tensor& q_latent, const Tensor& q_rope,
                             const KvCache& cache, const Batch& batch, const Tensor& y) = 0;
  // What lies between the projections of a layer and its attention, in one operator: biases, norms per
  // head, rotation of the first rope.ne[0] elements, storing. Leaves q as attention wants it, k and v
  // with any content.       rope [n, T]; q [k_dim, heads, T] or empty; k, v as for kv_store
  virtual void rope_store(KvCache& cache, const Batch& batch, const HeadParams& params, const Tensor& rope,
                          const Tensor& q, const Tensor& k, const Tensor& v);
  // The same for MLA: the norm of the latent, rotation of the last rope.ne[0] elements of each query and
  // of k_rope, storing.     q [k_dim, heads, T] or empty; latent, k_rope as for mla_store
  virtual void mla_rope_store(KvCache& cache, const Batch& batch, const LatentParams& params, const Tensor& rope,
                              const Tensor& q, const Tensor& latent, const Tensor& k_rope);
  // Copies one page, for sequences that part ways.
  virtual void kv_copy_page(KvCache& cache, int64_t from, int64_t to) = 0;
};

}  // namespace vitrine
