// The paged key-value cache and attention over it.
//
// A page holds, for its tokens, all keys and then all values:
//   gqa  keys [kv_heads][page_tokens][k_dim], values [kv_heads][page_tokens][v_dim]
//   mla  latents [page_tokens][k_dim]
// Work is cut into items of some consecutive tokens of one sequence, one kv head and
// some of its query heads; an item reads the cache once for all its queries.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/backend.h"
#include "kernels/quant.h"

namespace vitrine::cpu {
namespace {

int32_t int_at(const Tensor& t, int64_t i, int64_t j = 0) {
  return static_cast<const int32_t*>(t.data)[i + j * t.stride[1]];
}

// Addresses in a cache.
struct Layout {
  explicit Layout(const KvCache& cache)
      : shape(cache.shape),
        base(static_cast<uint8_t*>(cache.data.data())),
        element(block_bytes(shape.type)),
        page_bytes(static_cast<size_t>(shape.page_tokens * door::kv_elements(shape)) * element) {}

  uint8_t* key(int64_t page, int64_t head, int64_t offset) const {
    return at(page, (head * shape.page_tokens + offset) * shape.k_dim);
  }
  uint8_t* value(int64_t page, int64_t head, int64_t offset) const {
    return at(page,
              shape.kv_heads * shape.page_tokens * shape.k_dim + (head * shape.page_tokens + offset) * shape.v_dim);
  }
  uint8_t* at(int64_t page, int64_t elements) const {
    return base + static_cast<size_t>(page) * page_bytes + static_cast<size_t>(elements) * element;
  }

  KvShape shape;
  uint8_t* base;
  size_t element;
  size_t page_bytes;
};

}  // namespace

uint64_t CpuOps::kv_page_bytes(const KvShape& shape) const {
  return static_cast<uint64_t>(shape.page_tokens * door::kv_elements(shape)) * block_bytes(shape.type);
}

Result<KvCache> CpuOps::alloc_kv(const KvShape& shape) {
  const Result<uint64_t> bytes = door::kv_bytes(shape);
  if (!bytes) return tl::unexpected(bytes.error());
  Result<Buffer> data = alloc(*bytes);
  if (!data) return tl::unexpected(data.error());
  return KvCache{shape, std::move(*data)};
}

void CpuOps::kv_copy_page(KvCache& cache, int64_t from, int64_t to) {
  if (!fits("kv_copy_page", door::kv_copy_page(cache.shape, from, to))) return;
  const Layout layout(cache);
  if (from != to) std::memcpy(layout.at(to, 0), layout.at(from, 0), layout.page_bytes);
}

// Every page a token's positions use must exist.
bool CpuOps::check_batch(std::string_view op, const KvCache& cache, const Batch& batch, int64_t tokens) {
  const int64_t blocks = batch.block_table.ne[0], sequences = batch.block_table.ne[1];
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t s = int_at(batch.seq, t), position = int_at(batch.pos, t);
    if (s == -1) continue;
    if (!require(s >= 0 && s < sequences && position >= 0 && position / cache.shape.page_tokens < blocks, op,
                 "positions inside the block table")) {
      return false;
    }
    // The token's own page; the earlier ones are looked at where attention reads them.
    const int64_t page = int_at(batch.block_table, position / cache.shape.page_tokens, s);
    if (!require(page >= 0 && page < cache.shape.pages, op, "pages of the cache")) return false;
  }
  return true;
}

void CpuOps::kv_store(KvCache& cache, const Batch& batch, const Tensor& k, const Tensor& v) {
  const KvShape& s = cache.shape;
  if (!fits("kv_store", door::kv_store(s, batch, k, v)) || !check_batch("kv_store", cache, batch, k.ne[2])) {
    return;
  }
  const Layout layout(cache);
  for (int64_t t = 0; t < k.ne[2]; ++t) {
    const int64_t sequence = int_at(batch.seq, t), position = int_at(batch.pos, t);
    if (sequence < 0) continue;
    const int64_t page = int_at(batch.block_table, position / s.page_tokens, sequence);
    const int64_t offset = position % s.page_tokens;
    for (int64_t h = 0; h < s.kv_heads; ++h) {
      const auto* key = static_cast<const float*>(k.data) + h * k.stride[1] + t * k.stride[2];
      const auto* value = static_cast<const float*>(v.data) + h * v.stride[1] + t * v.stride[2];
      quantize_row(s.type, key, static_cast<uint64_t>(s.k_dim), layout.key(page, h, offset));
      quantize_row(s.type, value, static_cast<uint64_t>(s.v_dim), layout.value(page, h, offset));
    }
  }
}

void CpuOps::mla_store(KvCache& cache, const Batch& batch, const Tensor& latent, const Tensor& k_rope) {
  const KvShape& s = cache.shape;
  if (!fits("mla_store", door::mla_store(s, batch, latent, k_rope)) ||
      !check_batch("mla_store", cache, batch, latent.ne[1])) {
    return;
  }
  const Layout layout(cache);
  for (int64_t t = 0; t < latent.ne[1]; ++t) {
    const int64_t sequence = int_at(batch.seq, t), position = int_at(batch.pos, t);
    if (sequence < 0) continue;
    uint8_t* to =
        layout.key(int_at(batch.block_table, position / s.page_tokens, sequence), 0, position % s.page_tokens);
    quantize_row(s.type, static_cast<const float*>(latent.data) + t * latent.stride[1], static_cast<uint64_t>(s.v_dim),
                 to);
    quantize_row(s.type, static_cast<const float*>(k_rope.data) + t * k_rope.stride[1],
                 static_cast<uint64_t>(s.k_dim - s.v_dim), to + static_cast<size_t>(s.v_dim) * layout.element);
  }
}

void CpuOps::attention(const AttentionParams& params, const Tensor& q, const KvCache& cache, const Batch& batch,
                       const Tensor& y) {
  if (!fits("attention", door::attention(cache.shape, batch, q, y))) return;
  run_attention(params, q, nullptr, cache, batch, y);
}

void CpuOps::mla_attention(const AttentionParams& params, const Tensor& q_latent, const Tensor& q_rope,
                           const KvCache& cache, const Batch& batch, const Tensor& y) {
  if (!fits("mla_attention", door::mla_attention(cache.shape, batch, q_latent, q_rope, y))) return;
  run_attention(params, q_latent, &q_rope, cache, batch, y);
}

void CpuOps::run_attention(const AttentionParams& params, const Tensor& q, const Tensor* q_rope, const KvCache& cache,
                           const Batch& batch, const Tensor& y) {
  const char* op = q_rope ? "mla_attention" : "attention";
  const int64_t tokens = q.ne[2];
  if (!check_batch(op, cache, batch, tokens) || tokens == 0) return;
  const Layout layout(cache);
  const KvShape& s = cache.shape;
  const int64_t group = q.ne[1] / s.kv_heads;

  struct Item {
    int64_t token, tokens, kv_head, head, heads;
  };
  // Queries an item holds: enough to reuse the converted keys, few enough for the second-level cache.
  constexpr int64_t kQueries = 128;
  const int64_t per_item = std::max<int64_t>(1, kQueries / group);
  std::vector<Item> items;
  for (int64_t t = 0; t < tokens;) {
    int64_t n = 1;
    while (n < per_item && t + n < tokens && int_at(batch.seq, t + n) == int_at(batch.seq, t)) ++n;
    for (int64_t h = 0; h < s.kv_heads; ++h) items.push_back({t, n, h, h * group, group});
    t += n;
  }
  // With few items, heads are shared out as well. Later tokens see more: they go first.
  while (static_cast<int64_t>(items.size()) < 2 * pool_.size() && items[0].heads >= 8) {
    std::vector<Item> halves;
    for (Item item : items) {
      const int64_t first = (item.heads + 7) / 8 * 4;
      halves.push_back({item.token, item.tokens, item.kv_head, item.head, first});
      halves.push_back({item.token, item.tokens, item.kv_head, item.head + first, item.heads - first});
    }
    items = std::move(halves);
  }
  std::reverse(items.begin(), items.end());

  const int64_t k_padded = rounded_up(s.k_dim, 16), v_padded = rounded_up(s.v_dim, 16);
  pool_.run(static_cast<int64_t>(items.size()), [&](int64_t task, int64_t, int thread) {
    const Item& item = items[static_cast<size_t>(task)];
    const auto out = [&](int64_t i, int64_t h) {
      return static_cast<float*>(y.data) + (item.head + h) * y.stride[1] + (item.token + i) * y.stride[2];
    };
    const auto zero_out = [&] {
      for (int64_t i = 0; i < item.tokens; ++i) {
        for (int64_t h = 0; h < item.heads; ++h) std::fill_n(out(i, h), s.v_dim, 0.0f);
      }
    };
    const int64_t sequence = int_at(batch.seq, item.token);
    if (sequence < 0) return zero_out();

    const int64_t queries = item.tokens * item.heads;
    int64_t first = INT64_MAX, last = 0;
    for (int64_t i = 0; i < item.tokens; ++i) {
      const int64_t position = int_at(batch.pos, item.token + i);
      first = std::min(first, params.window > 0 ? std::max<int64_t>(0, position + 1 - params.window) : 0);
      last = std::max(last, position + 1);
    }
    const int64_t blocks = (last + kKvBlock - 1) / kKvBlock;
    const int64_t pointers = rounded_up(2 * blocks, 64 / sizeof(void*));  // vectors behind them stay on their lines
    const auto floats = static_cast<uint64_t>(queries * (k_padded + v_padded + 4) + kKvBlock * (k_padded + v_padded));
    Workspace& space = scratch_[static_cast<size_t>(thread)].attention;
    if (!require(space.reserve(floats * 4 + static_cast<uint64_t>(pointers) * sizeof(void*)), op,
                 "memory for its scratch"))
      return;
    auto* keys = space.as<const uint8_t*>();
    auto* values = keys + blocks;
    AttentionArgs args;
    float* query = reinterpret_cast<float*>(keys + pointers);
    args.q = query;
    args.key_tile = query + queries * k_padded;
    args.value_tile = args.key_tile + kKvBlock * k_padded;
    args.out = args.value_tile + kKvBlock * v_padded;
    args.largest = args.out + queries * v_padded;
    args.total = args.largest + queries;
    auto* begin = reinterpret_cast<int32_t*>(args.total + queries);
    auto* end = begin + queries;

    for (int64_t b = first / kKvBlock; b < blocks; ++b) {
      const int64_t position = b * kKvBlock;
      const int64_t page = int_at(batch.block_table, position / s.page_tokens, sequence);
      if (!require(page >= 0 && page < s.pages, op, "pages of the cache")) return zero_out();
      keys[b] = layout.key(page, item.kv_head, position % s.page_tokens);
      values[b] = q_rope ? nullptr : layout.value(page, item.kv_head, position % s.page_tokens);
    }
    for (int64_t i = 0; i < item.tokens; ++i) {
      const int64_t t = item.token + i, position = int_at(batch.pos, t);
      for (int64_t h = 0; h < item.heads; ++h) {
        float* to = query + (i * item.heads + h) * k_padded;
        std::fill(to + s.k_dim, to + k_padded, 0.0f);
        std::memcpy(to, static_cast<const float*>(q.data) + (item.head + h) * q.stride[1] + t * q.stride[2],
                    static_cast<size_t>(q.ne[0]) * sizeof(float));
        if (q_rope) {
          std::memcpy(
              to + q.ne[0],
              static_cast<const float*>(q_rope->data) + (item.head + h) * q_rope->stride[1] + t * q_rope->stride[2],
              static_cast<size_t>(q_rope->ne[0]) * sizeof(float));
        }
        begin[i * item.heads + h] =
            static_cast<int32_t>(params.window > 0 ? std::max<int64_t>(0, position + 1 - params.window) : 0);
        end[i * item.heads + h] = static_cast<int32_t>(position + 1);
      }
    }
    args.type = s.type;
    args.k_dim = s.k_dim;
    args.v_dim = s.v_dim;
    args.scale = params.scale;
    args.queries = queries;
    args.begin = begin;
    args.end = end;
    args.first = first;
    args.last = last;
    args.keys = keys;
    args.values = q_rope ? nullptr : values;
    args.key_stride = static_cast<size_t>(s.k_dim) * layout.element;
    args.value_stride = static_cast<size_t>(s.v_dim) * layout.element;
    kernels_.attention(args);
    for (int64_t i = 0; i < item.tokens; ++i) {
      for (int64_t h = 0; h < item.heads; ++h) {
        std::memcpy(out(i, h), args.out + (i * item.heads + h) * v_padded,
                    static_cast<size_t>(s.v_dim) * sizeof(float));
      }
    }
  });
}

}  // namespace vitrine::cpu
