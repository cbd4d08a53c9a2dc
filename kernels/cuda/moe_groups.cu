// (token, expert) pairs sorted by expert on the device, cut into tiles of one expert's
// pairs: what moe_ffn.cu's kernels for several tokens run over. No host in between.
#include <algorithm>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/matrix_work.h"

namespace vitrine::cuda {
namespace {

struct GroupArgs {
  const int32_t* ids;
  int64_t ids_stride;
  int tokens, used, experts, span;  // span: pairs of a tile
  int32_t* start;                   // [experts + 1]
  int4* tiles;                      // expert, first pair, end pair
  int32_t* tile_count;
  int32_t* pair_token;  // [pairs], sorted
  int32_t* position;    // [tokens][used]: where a token's pair has gone; -1: no such expert
  int* faults;
};

__global__ void __launch_bounds__(1024) count_kernel(GroupArgs args) {
  begin_kernel();
  VITRINE_SHARED_BYTES(shared);
  auto* count = reinterpret_cast<int*>(shared);
  int* first_tile = count + args.experts;
  for (int e = threadIdx.x; e < args.experts; e += blockDim.x) count[e] = 0;
  __syncthreads();
  for (int p = threadIdx.x; p < args.tokens * args.used; p += blockDim.x) {
    const int e = args.ids[p / args.used * args.ids_stride + p % args.used];
    if (e >= 0 && e < args.experts) {
      atomicAdd(&count[e], 1);
    } else {
      args.position[p] = -1;
      atomicOr(args.faults, kFaultExpert);
    }
  }
  __syncthreads();
  if (threadIdx.x < kWarp) {  // a lane adds up a stretch of experts, the warp the stretches
    const int lane = static_cast<int>(threadIdx.x), stretch = (args.experts + kWarp - 1) / kWarp;
    const int begin = lane * stretch, end = begin + stretch < args.experts ? begin + stretch : args.experts;
    int pairs = 0, tiles = 0;
    for (int e = begin; e < end; ++e) {
      pairs += count[e];
      tiles += (count[e] + args.span - 1) / args.span;
    }
    int pairs_before = pairs, tiles_before = tiles;
    for (int i = 1; i < kWarp; i *= 2) {
      const int p = __shfl_up_sync(kAllLanes, pairs_before, i), t = __shfl_up_sync(kAllLanes, tiles_before, i);
      if (lane >= i) pairs_before += p, tiles_before += t;
    }
    if (lane == kWarp - 1) {
      args.start[args.experts] = pairs_before;
      *args.tile_count = tiles_before;
    }
    pairs_before -= pairs, tiles_before -= tiles;
    for (int e = begin; e < end; ++e) {
      args.start[e] = pairs_before;
      first_tile[e] = tiles_before;
      pairs_before += count[e];
      tiles_before += (count[e] + args.span - 1) / args.span;
    }
  }
  __syncthreads();
  for (int e = threadIdx.x; e < args.experts; e += blockDim.x) {
    const int begin = args.start[e], end = begin + count[e];
    for (int i = 0; begin + i * args.span < end; ++i) {
      const int from = begin + i * args.span, to = from + args.span < end ? from + args.span : end;
      args.tiles[first_tile[e] + i] = make_int4(e, from, to, 0);
    }
  }
}

// A warp finds the pairs of one expert, in order.
__global__ void order_kernel(GroupArgs args) {
  begin_kernel();
  const int e = static_cast<int>(blockIdx.x), lane = static_cast<int>(threadIdx.x), pairs = args.tokens * args.used;
  int next = args.start[e];
  if (next == args.start[e + 1]) return;
  for (int base = 0; base < pairs; base += kWarp) {
    const int p = base + lane;
    const bool mine = p < pairs && args.ids[p / args.used * args.ids_stride + p % args.used] == e;
    const unsigned all = __ballot_sync(kAllLanes, mine);
    if (mine) {
      const int at = next + __popc(all & ((1u << lane) - 1));
      args.pair_token[at] = p / args.used;
      args.position[p] = at;
    }
    next += __popc(all);
  }
}

}  // namespace

bool MatrixWork::group(const Tensor& ids, int32_t experts, ExpertGroups& out) {
  const int64_t tokens = ids.ne[1], used = ids.ne[0], pairs = tokens * used;
  const int span = prompt ? kPromptTile : token_tiles * kTokenTile;
  out.most_tiles = pairs / span + std::min<int64_t>(experts, pairs);
  auto* memory = ops.workspace<int32_t>(ops.matrix_.groups, 4 * out.most_tiles + 2 * pairs + experts + 2, op);
  if (!memory) return false;
  GroupArgs args{};
  args.ids = static_cast<const int32_t*>(ids.data);
  args.ids_stride = ids.stride[1];
  args.tokens = static_cast<int>(tokens), args.used = static_cast<int>(used), args.experts = experts;
  args.span = span;
  args.tiles = reinterpret_cast<int4*>(memory);
  args.pair_token = memory + 4 * out.most_tiles;
  args.position = args.pair_token + pairs;
  args.start = args.position + pairs;
  args.tile_count = args.start + experts + 1;
  args.faults = ops.runtime_.faults();
  out.tiles = args.tiles, out.tile_count = args.tile_count;
  out.pair_token = args.pair_token, out.position = args.position;
  out.live_pairs = args.start + experts;
  const Stream stream = ops.runtime_.stream();
  return ops.check(
             launch(count_kernel, dim3(1), dim3(1024), static_cast<size_t>(2 * experts) * sizeof(int), stream, args),
             op) &&
         ops.check(launch(order_kernel, dim3(static_cast<unsigned>(experts)), dim3(kWarp), 0, stream, args), op);
}

}  // namespace vitrine::cuda
