// Feed-forward layers: ffn (one) and moe_ffn (each token through its experts).
//
// One token: a block owns 16 rows and reads them from the weights of the token's
// experts, one after the other; gate, up and their product are one kernel, down and
// the weighted sum another. Nothing is gathered or scattered.
// Several tokens: (token, expert) pairs are sorted by expert on the device, a block
// takes 16 rows of one expert for a tile of its tokens, so that each weight is read
// once for them all; a last kernel adds up each token's experts.
// Both add in the ascending order of the experts, and give the same bits.
#include <algorithm>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/matrix_work.h"

namespace vitrine::cuda {
namespace {

constexpr int kMostSlots = 64;  // experts of one token in the kernel for one token

// ---- gate, up and their product

struct GateUpArgs {
  Packed gate, up;
  Activations x;
  RowSet rows;
  float* hidden;  // [rows][n_ff]
  Finish finish;
  // With kSlots: one slot more, of the expert that all tokens pass.
  int32_t shared_slot = -1;
  Packed shared_gate = {}, shared_up = {};
  float* shared_hidden = nullptr;
  Finish shared_finish = {};
};

template <Type kType, int kTiles>
__global__ void __launch_bounds__(256) gate_up_kernel(GateUpArgs args) {
  begin_kernel();
  VITRINE_SHARED_BYTES(shared);
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  auto* gates = reinterpret_cast<float*>(shared);
  float* ups = gates + warps * kTiles * 4 * kWarp;
  BlockRows at{0, 0, 1};
  const bool is_shared = static_cast<int>(blockIdx.y) == args.shared_slot;
  if (!is_shared && !block_rows(args.rows, kTiles * kTokenTile, at)) return;
  const Packed gate = is_shared ? args.shared_gate : args.gate, up = is_shared ? args.shared_up : args.up;
  const int first_row = static_cast<int>(blockIdx.x) * kRowTile;
  if (first_row >= gate.n_out) return;  // the other's rows are more
  const Columns<kTiles> columns(args.rows, at, lane);
  {
    float acc[kTiles][4] = {};
    part_of<kType, kTiles>(gate, at.plane, first_row, args.x, columns, warp, warps, lane, acc);
    leave_part<kTiles>(acc, gates, warp, lane);
  }
  {
    float acc[kTiles][4] = {};
    part_of<kType, kTiles>(up, at.plane, first_row, args.x, columns, warp, warps, lane, acc);
    leave_part<kTiles>(acc, ups, warp, lane);
  }
  __syncthreads();
  for (int v = threadIdx.x; v < kTiles * 4 * kWarp; v += blockDim.x) {
    const Place place = place_of(v);
    const int row = first_row + place.row, p = at.begin + place.token;
    if (row >= gate.n_out || p >= at.end) continue;
    (is_shared ? args.shared_hidden : args.hidden)[int64_t{p} * gate.n_out + row] =
        silu(collect<kTiles>(gates, warps, v)) * collect<kTiles>(ups, warps, v);
  }
  if (args.finish.arrived) {
    finish_columns(is_shared ? args.shared_finish : args.finish, first_row,
                   is_shared ? 0 : static_cast<int>(blockIdx.y), at.begin, at.end, reinterpret_cast<int*>(shared));
  }
}

__global__ void silu_pairs_kernel(float* gate, const float* up, const int32_t* rows, int64_t most, int64_t width) {
  begin_kernel();
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= (rows ? *rows : most) * width) return;
  gate[i] = silu(gate[i]) * up[i];
}

// ---- down and the weighted sum

// Places of a token's experts in ascending order of the expert, equal ones by place.
__device__ inline void order_slots(const int32_t* ids, int used, int* order) {
  for (int j = threadIdx.x; j < used; j += blockDim.x) {
    int rank = 0;
    for (int i = 0; i < used; ++i) rank += ids[i] < ids[j] || (ids[i] == ids[j] && i < j);
    order[rank] = j;
  }
}

struct DownArgs {
  Packed down;
  Activations x;  // [used] rows
  const int32_t* ids;
  const float* weights;
  float* y;
  int used, experts;
  bool accumulate;
  bool has_shared = false;  // the expert that all tokens pass, added last
  Packed shared_down = {};
  Activations shared_x = {};
};

template <Type kType>
__global__ void __launch_bounds__(256) down_kernel(DownArgs args) {
  begin_kernel();
  VITRINE_SHARED_BYTES(shared);
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  auto* order = reinterpret_cast<int*>(shared);
  auto* parts = reinterpret_cast<float*>(order + kMostSlots);  // [slot][warp][16]
  order_slots(args.ids, args.used, order);
  __syncthreads();
  const int first_row = static_cast<int>(blockIdx.x) * kRowTile;
  for (int j = 0; j < args.used + (args.has_shared ? 1 : 0); ++j) {
    const bool is_shared = j == args.used;
    const int slot = is_shared ? 0 : order[j];
    const BlockRows at{is_shared ? 0 : args.ids[slot], slot, slot + 1};
    if (at.plane < 0 || at.plane >= args.experts) continue;  // gate_up has told
    const Columns<1> columns(RowSet{}, at, lane);
    float acc[1][4] = {};
    part_of<kType, 1>(is_shared ? args.shared_down : args.down, at.plane, first_row, is_shared ? args.shared_x : args.x,
                      columns, warp, warps, lane, acc);
    if (lane % 4 == 0) {  // column 0 is the token
      parts[(j * warps + warp) * kRowTile + lane / 4] = acc[0][0];
      parts[(j * warps + warp) * kRowTile + lane / 4 + 8] = acc[0][2];
    }
  }
  __syncthreads();
  const int row = first_row + static_cast<int>(threadIdx.x);
  if (threadIdx.x >= kRowTile || row >= args.down.n_out) return;
  float sum = args.accumulate ? args.y[row] : 0;
  for (int j = 0; j < args.used; ++j) {
    const int expert = args.ids[order[j]];
    if (expert < 0 || expert >= args.experts) continue;
    float one = 0;
    for (int w = 0; w < warps; ++w) one = one + parts[(j * warps + w) * kRowTile + threadIdx.x];
    sum = fmaf(args.weights[order[j]], one, sum);
  }
  if (args.has_shared) {
    float one = 0;
    for (int w = 0; w < warps; ++w) one = one + parts[(args.used * warps + w) * kRowTile + threadIdx.x];
    sum = sum + one;
  }
  args.y[row] = sum;
}

struct CombineArgs {
  const float* out;         // [pairs][n]
  const int32_t* ids;       // i32 [k, T]
  const float* weights;     // [k, T]
  const int32_t* position;  // null: pair t * k + j
  float* y;
  int64_t ids_stride, weights_stride, y_stride;
  int n, used, experts;
  bool accumulate;
};

__global__ void combine_kernel(CombineArgs args) {
  begin_kernel();
  VITRINE_SHARED_BYTES(shared);
  auto* order = reinterpret_cast<int*>(shared);
  const int64_t t = blockIdx.y;
  const int32_t* ids = args.ids + t * args.ids_stride;
  order_slots(ids, args.used, order);
  __syncthreads();
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= args.n) return;
  float* y = args.y + t * args.y_stride + i;
  float sum = args.accumulate ? *y : 0;
  for (int j = 0; j < args.used; ++j) {
    const int slot = order[j];
    if (ids[slot] < 0 || ids[slot] >= args.experts) continue;
    const int64_t pair = args.position ? args.position[t * args.used + slot] : t * args.used + slot;
    sum = fmaf(args.weights[t * args.weights_stride + slot], args.out[pair * args.n + i], sum);
  }
  *y = sum;
}

bool is_plain(Type type) { return type == Type::f32 || type == Type::f16; }

}  // namespace

// `bound`: rows at most.
bool MatrixWork::gate_up(const CudaWeight& gate, const CudaWeight& up, const CudaWeight& down, const Tensor& x,
                         const RowSet& rows, int64_t bound, int64_t row_blocks, const int32_t* live_rows,
                         Activations& out_rows) {
  if (prompt) {
    Activations input;
    return prepare(x, gate.type, false, input) &&
           gate_up_prompt(gate, up, down, input, rows, bound, row_blocks, out_rows);
  }
  Tensor hidden;
  const Form form = form_of(down.type);
  if (gate.type == up.type && !is_plain(gate.type) && form != Form::plain) {
    PreparedRows to;
    if (!reserve(ops.matrix_.hidden_input, form, gate.packed.n_out, bound, to)) return false;
    out_rows = activations(to, form);
    return gate_up_floats(gate, up, x, rows, bound, row_blocks, live_rows, hidden, to);
  }
  return gate_up_floats(gate, up, x, rows, bound, row_blocks, live_rows, hidden, {}) &&
         prepare(hidden, down.type, true, out_rows);
}

bool MatrixWork::gate_up_floats(const CudaWeight& gate, const CudaWeight& up, const Tensor& x, const RowSet& rows,
                                int64_t bound, int64_t row_blocks, const int32_t* live_rows, Tensor& hidden,
                                const PreparedRows& prepared) {
  const int64_t width = gate.packed.n_out;
  auto* out = ops.workspace<float>(ops.matrix_.hidden, bound * width, op);
  if (!out) return false;
  hidden = Tensor{Type::f32, out, {width, 1, bound}, {1, 0, width}};
  const Stream stream = ops.runtime_.stream();
  if (gate.type == up.type && !is_plain(gate.type)) {
    GateUpArgs args{gate.packed, up.packed, {}, rows, out, {}, -1, {}, {}, nullptr, {}};
    if (!prepare(x, gate.type, false, args.x)) return false;
    if (prepared.wanted() && !finish(prepared, out, width, row_blocks, args.finish)) return false;
    const int warps = warps_for(args.gate.chunks);
    const dim3 grid(static_cast<unsigned>((width + kRowTile - 1) / kRowTile), static_cast<unsigned>(row_blocks));
    const dim3 block(static_cast<unsigned>(warps * kWarp));
    cudaError_t error = cudaSuccess;
    for_type<kAnyType>(gate.type, [&](auto constant) {
      constexpr Type kType = decltype(constant)::value;
      if constexpr (kType != Type::f32 && kType != Type::f16) {
        error = token_tiles == 1
                    ? launch(gate_up_kernel<kType, 1>, grid, block, 2 * parts_bytes(1, warps), stream, args)
                    : launch(gate_up_kernel<kType, kManyTiles>, grid, block, 2 * parts_bytes(kManyTiles, warps), stream,
                             args);
      }
    });
    return ops.check(error, op);
  }
  auto* ups = ops.workspace<float>(ops.matrix_.hidden_up, bound * width, op);
  if (!ups) return false;
  const struct {
    const CudaWeight& weight;
    float* out;
  } both[] = {{gate, out}, {up, ups}};
  for (const auto& [weight, to] : both) {
    ProductArgs args;
    if (!prepare(x, weight.type, false, args.x)) return false;
    args.product[0] = {weight.packed, to, width, 0};
    args.products = 1;
    args.rows = rows;
    if (!run(weight.type, args, 1, row_blocks)) return false;
  }
  return ops.check(launch(silu_pairs_kernel, dim3(static_cast<unsigned>((bound * width + 255) / 256)), dim3(256), 0,
                          stream, out, static_cast<const float*>(ups), live_rows, bound, width),
                   op);
}

void CudaOps::ffn(const Weight& gate, const Weight& up, const Weight& down, const Tensor& x, const Tensor& y,
                  bool accumulate) {
  const CudaWeight *g = get(gate, "ffn"), *u = get(up, "ffn"), *d = get(down, "ffn");
  if (!g || !u || !d || !fits("ffn", door::ffn(gate, up, down, x, y, planned_)) || x.ne[1] == 0) return;
  const int64_t tokens = x.ne[1];
  MatrixWork work(*this, "ffn", tokens, !options_.deterministic);
  work.all_or_none(*g, *u, *d);
  RowSet rows;
  rows.count = static_cast<int32_t>(tokens);
  rows.faults = runtime_.faults();
  const Tensor input{x.type, x.data, {x.ne[0], 1, tokens}, {1, 0, x.stride[1]}};
  // Types with different spans can meet here: the smaller one covers all tokens.
  const int64_t span = std::min({work.span(g->type), work.span(u->type)});
  ProductArgs args;
  if (!work.gate_up(*g, *u, *d, input, rows, tokens, (tokens + span - 1) / span, nullptr, args.x)) return;
  args.product[0] = {d->packed, static_cast<float*>(y.data), y.stride[1], 0};
  args.products = 1;
  args.rows = rows;
  args.accumulate = accumulate;
  work.run(d->type, args, 1, work.row_blocks(d->type, tokens));
}

void CudaOps::moe_ffn(const Weight& gate, const Weight& up, const Weight& down, const Tensor& x, const Tensor& ids,
                      const Tensor& weights, const Tensor& y, bool accumulate) {
  const CudaWeight *g = get(gate, "moe_ffn"), *u = get(up, "moe_ffn"), *d = get(down, "moe_ffn");
  if (!g || !u || !d || !fits("moe_ffn", door::moe_ffn(gate, up, down, x, ids, weights, y, planned_)) ||
      !require(g->planes <= kMostExperts, "moe_ffn", "at most 4096 experts") || x.ne[1] == 0) {
    return;
  }
  const int64_t tokens = x.ne[1], used = ids.ne[0], pairs = tokens * used, n = y.ne[0];
  const auto experts = static_cast<int32_t>(g->planes);
  const Tensor input{x.type, x.data, {x.ne[0], 1, tokens}, {1, 0, x.stride[1]}};
  // Tiles of 128 tokens want some tokens of each expert.
  const bool many = pairs >= 16 * int64_t{experts};
  MatrixWork work(*this, "moe_ffn", tokens, many && !options_.deterministic);
  work.all_or_none(*g, *u, *d);
  RowSet rows;
  rows.experts = experts;
  rows.faults = runtime_.faults();

  CombineArgs combine{};
  int64_t row_blocks = 0;
  const int32_t* live_pairs = nullptr;
  if (tokens == 1) {
    rows.kind = RowSet::kSlots;
    rows.ids = static_cast<const int32_t*>(ids.data);
    rows.source = 0;
    row_blocks = used;
  } else {
    ExpertGroups groups;
    if (!work.group(ids, experts, groups)) return;
    rows.kind = RowSet::kTiles;
    rows.tiles = groups.tiles, rows.tile_count = groups.tile_count;
    rows.index = groups.pair_token;
    row_blocks = groups.most_tiles;
    combine.position = groups.position;
    live_pairs = groups.live_pairs;
  }

  Activations middle;
  if (!work.gate_up(*g, *u, *d, input, rows, pairs, row_blocks, live_pairs, middle)) return;
  if (tokens == 1 && used <= kMostSlots && !is_plain(d->type)) {
    const DownArgs args{d->packed,
                        middle,
                        static_cast<const int32_t*>(ids.data),
                        static_cast<const float*>(weights.data),
                        static_cast<float*>(y.data),
                        static_cast<int>(used),
                        experts,
                        accumulate};
    const int warps = warps_for(d->packed.chunks);
    const size_t shared = static_cast<size_t>(kMostSlots + used * warps * kRowTile) * sizeof(float);
    cudaError_t error = cudaSuccess;
    for_type<kAnyType>(d->type, [&](auto constant) {
      constexpr Type kType = decltype(constant)::value;
      if constexpr (kType != Type::f32 && kType != Type::f16) {
        error = launch(down_kernel<kType>, dim3(static_cast<unsigned>((n + kRowTile - 1) / kRowTile)),
                       dim3(static_cast<unsigned>(warps * kWarp)), shared, runtime_.stream(), args);
      }
    });
    check(error, "moe_ffn");
    return;
  }
  auto* out = workspace<float>(matrix_.expert_out, pairs * n, "moe_ffn");
  if (!out) return;
  ProductArgs args;
  args.x = middle;
  args.product[0] = {d->packed, out, n, 0};
  args.products = 1;
  args.rows = rows;
  args.rows.index = nullptr;  // a pair's hidden row is its own
  args.rows.source = -1;
  if (!work.run(d->type, args, 1, row_blocks)) return;
  combine.out = out;
  combine.ids = static_cast<const int32_t*>(ids.data), combine.ids_stride = ids.stride[1];
  combine.weights = static_cast<const float*>(weights.data), combine.weights_stride = weights.stride[1];
  combine.y = static_cast<float*>(y.data), combine.y_stride = y.stride[1];
  combine.n = static_cast<int>(n), combine.used = static_cast<int>(used), combine.experts = experts;
  combine.accumulate = accumulate;
  check(launch(combine_kernel, dim3(static_cast<unsigned>((n + 255) / 256), static_cast<unsigned>(tokens)), dim3(256),
               static_cast<size_t>(used) * sizeof(int), runtime_.stream(), combine),
        "moe_ffn");
}

// One token: the shared expert is one slot more, in the same two kernels.
void CudaOps::moe_ffn_shared(const Weight& gate, const Weight& up, const Weight& down, const SharedExpert& shared,
                             const Tensor& x, const Tensor& ids, const Tensor& weights, const Tensor& y) {
  constexpr std::string_view kOp = "moe_ffn_shared";
  const Weight* const all[] = {&gate, &up, &down, shared.gate, shared.up, shared.down};
  const CudaWeight* w[std::size(all)];
  for (size_t i = 0; i < std::size(all); ++i) {
    if (!(w[i] = get(*all[i], kOp))) return;
  }
  const auto [g, u, d, sg, su, sd] = w;
  const int64_t used = ids.ne[0], width = g->packed.n_out, shared_width = sg->packed.n_out;
  const int warps = warps_for(d->packed.chunks);
  if (x.ne[1] != 1 || used >= kMostSlots || is_plain(g->type) || is_plain(d->type) || u->type != g->type ||
      sg->type != g->type || su->type != g->type || sd->type != d->type || warps_for(sd->packed.chunks) != warps) {
    return Ops::moe_ffn_shared(gate, up, down, shared, x, ids, weights, y);
  }
  if (!fits(kOp, door::moe_ffn(gate, up, down, x, ids, weights, y, planned_)) ||
      !fits(kOp, door::ffn(*shared.gate, *shared.up, *shared.down, x, y, planned_))) {
    return;
  }
  MatrixWork work(*this, kOp, 1, false);
  const Tensor input{x.type, x.data, {x.ne[0], 1, 1}, {1, 0, x.stride[1]}};
  const Form form = form_of(d->type);
  GateUpArgs args{g->packed,  u->packed,  {},      {}, nullptr, {}, static_cast<int32_t>(used),
                  sg->packed, su->packed, nullptr, {}};
  ready_.skip(input, form_of(g->type));  // read twice, by one kernel
  PreparedRows to, shared_to;
  args.hidden = workspace<float>(matrix_.hidden, used * width + shared_width, kOp);
  if (!args.hidden || !work.prepare(input, g->type, false, args.x) ||
      !work.reserve(matrix_.hidden_input, form, width, used, to) ||
      !work.reserve(matrix_.shared_input, form, shared_width, 1, shared_to)) {
    return;
  }
  args.shared_hidden = args.hidden + used * width;
  args.rows.kind = RowSet::kSlots;
  args.rows.ids = static_cast<const int32_t*>(ids.data);
  args.rows.source = 0;
  args.rows.experts = static_cast<int32_t>(g->planes);
  args.rows.faults = runtime_.faults();
  auto* arrived = workspace<int32_t>(matrix_.arrived, used * to.units() + shared_to.units(), kOp);
  if (!arrived) return;
  args.finish = {to, args.hidden, width, arrived};
  args.shared_finish = {shared_to, args.shared_hidden, shared_width, arrived + used * to.units()};

  const DownArgs down_args{d->packed,
                           MatrixWork::activations(to, form),
                           args.rows.ids,
                           static_cast<const float*>(weights.data),
                           static_cast<float*>(y.data),
                           static_cast<int>(used),
                           args.rows.experts,
                           false,
                           true,
                           sd->packed,
                           MatrixWork::activations(shared_to, form)};
  const auto tiles = [](int64_t rows) { return static_cast<unsigned>((rows + kRowTile - 1) / kRowTile); };
  const int gate_warps = warps_for(g->packed.chunks);
  const size_t parts = static_cast<size_t>(kMostSlots + (used + 1) * warps * kRowTile) * sizeof(float);
  cudaError_t error = cudaSuccess;
  for_type<kAnyType>(g->type, [&](auto constant) {
    constexpr Type kType = decltype(constant)::value;
    if constexpr (kType != Type::f32 && kType != Type::f16) {
      error = launch(
          gate_up_kernel<kType, 1>, dim3(tiles(std::max(width, shared_width)), static_cast<unsigned>(used + 1)),
          dim3(static_cast<unsigned>(gate_warps * kWarp)), 2 * parts_bytes(1, gate_warps), runtime_.stream(), args);
    }
  });
  if (!check(error, kOp)) return;
  for_type<kAnyType>(d->type, [&](auto constant) {
    constexpr Type kType = decltype(constant)::value;
    if constexpr (kType != Type::f32 && kType != Type::f16) {
      error = launch(down_kernel<kType>, dim3(tiles(y.ne[0])), dim3(static_cast<unsigned>(warps * kWarp)), parts,
                     runtime_.stream(), down_args);
    }
  });
  check(error, kOp);
}

}  // namespace vitrine::cuda
