// Memory, plans and the door.
#include "kernels/cpu/backend.h"

#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "kernels/quant.h"

namespace vitrine {

Result<std::unique_ptr<Ops>> make_cpu_ops(const CpuOptions& options) {
  std::optional<Isa> isa = options.isa;
  if (!isa) {
    if (const char* name = std::getenv("VITRINE_ISA"); name && *name) {
      isa = isa_from_name(name);
      if (!isa) {
        return fail(ErrorCode::usage, "VITRINE_ISA=" + std::string(name) + ": known are portable, avx2, avx512, amx");
      }
    }
  }
  if (!isa) isa = available_isas().back();
  if (!isa_available(*isa)) {
    return fail(ErrorCode::usage, "this processor lacks " + std::string(isa_name(*isa)));
  }
  int threads = options.threads;
  if (threads == 0) {
    cpu_set_t set;
    threads = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
  }
  if (threads < 1 || threads > 1024) return fail(ErrorCode::usage, "threads: 1 to 1024");
  return std::make_unique<cpu::CpuOps>(threads, *isa);
}

namespace cpu {

namespace {

// Asks for pages of 2 MiB: a prompt that first writes its workspaces then meets a
// few dozen faults instead of tens of thousands. A hint: it may fail.
void prefer_large_pages(void* p, uint64_t bytes) {
  constexpr uintptr_t kPage = 4096;
  if (bytes < (4 << 20)) return;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(p) + kPage - 1) / kPage * kPage;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(p) + bytes) / kPage * kPage;
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
}

}  // namespace

bool Workspace::reserve(uint64_t bytes) {
  if (bytes <= bytes_) return true;
  if (bytes > (1ull << 46)) return false;
  const uint64_t rounded = (bytes + 63) / 64 * 64;
  memory_.reset(std::aligned_alloc(64, rounded));
  bytes_ = memory_ ? rounded : 0;
  if (memory_) prefer_large_pages(memory_.get(), rounded);
  return memory_ != nullptr;
}

CpuOps::CpuOps(int threads, Isa isa)
    : isa_(isa), kernels_(kernels_for(isa)), pool_(threads), scratch_(static_cast<size_t>(threads)) {}

std::string CpuOps::description() const {
  const int threads = pool_.size();
  return "cpu: " + std::string(isa_name(isa_)) + ", " + std::to_string(threads) +
         (threads == 1 ? " thread" : " threads");
}

bool CpuOps::supports(Op op, Type type) const {
  const bool plain = type == Type::f32 || type == Type::f16 || type == Type::bf16;
  switch (op) {
    case Op::norm:
    case Op::bias:
    case Op::kv_cache: return plain;
    case Op::embed:
    case Op::matmul:
    case Op::matmul_transposed:
    case Op::moe_ffn: return type != Type::i32;
  }
  return false;
}

Result<Weight> CpuOps::upload(const TensorView& view) { return upload(door::split_planes(view)); }

Result<Weight> CpuOps::upload(std::span<const TensorView> planes) {
  if (Status status = door::planes(planes); !status) return tl::unexpected(status.error());
  auto weight = std::make_shared<CpuWeight>();
  const TensorView& first = planes[0];
  weight->type = first.type;
  weight->n_in = static_cast<int64_t>(first.ne[0]);
  weight->n_out = static_cast<int64_t>(first.ne[1]);
  weight->row_stride = first.row_stride;
  for (const TensorView& view : planes) weight->planes.push_back({view, view.row(0, 0)});
  if (weight->n_out == 1 && planes.size() == 1 && supports(Op::norm, weight->type)) {
    weight->vector.resize(first.ne[0]);
    dequantize_row(first, 0, 0, weight->vector.data());
  }
  return Weight(first.type, {first.ne[0], first.ne[1], planes.size()}, weight);
}

Result<Buffer> CpuOps::alloc(uint64_t bytes) {
  // calloc gives large pieces as untouched pages: memory is taken when it is first written.
  void* p = bytes < (1ull << 46) ? std::calloc(std::max<uint64_t>(bytes, 1) + 64, 1) : nullptr;
  if (!p) return fail(ErrorCode::limit, "no memory for " + std::to_string(bytes) + " bytes");
  prefer_large_pages(p, bytes);
  const uintptr_t address = reinterpret_cast<uintptr_t>(p);
  void* aligned = reinterpret_cast<void*>((address + 63) / 64 * 64);
  return Buffer(std::shared_ptr<void>(aligned, [p](void*) { std::free(p); }), bytes);
}

Status CpuOps::plan(const StepShape& shape) {
  const Result<StepShape> bounds = door::plan(planned_, shape);
  if (!bounds) return tl::unexpected(bounds.error());
  planned_ = *bounds;
  const auto tokens = static_cast<double>(planned_.tokens);
  const double pairs = tokens * static_cast<double>(std::max<int64_t>(planned_.experts_used, 1));
  const auto chunks = [](int64_t n) { return static_cast<double>(rounded_up(n, kChunk) / kChunk); };
  const double chunk_bytes = sizeof(ActivationChunk);
  const auto width = static_cast<double>(rounded_up(planned_.widest_input, 16));
  bool ok = true;
  // In double so that products cannot wrap; reserve() refuses what is absurd.
  const auto reserve = [&ok](Workspace& w, double bytes) {
    ok = ok && bytes < 0x1p46 && w.reserve(static_cast<uint64_t>(bytes));
  };
  reserve(per32_, tokens * chunks(planned_.widest_input) * chunk_bytes);
  reserve(per256_, tokens * chunks(planned_.widest_input) * chunk_bytes);
  reserve(hidden_, pairs * static_cast<double>(planned_.ffn_width) * 4);
  reserve(hidden32_, pairs * chunks(planned_.ffn_width) * chunk_bytes);
  reserve(hidden256_, pairs * chunks(planned_.ffn_width) * chunk_bytes);
  reserve(pairs_, pairs * 8 + static_cast<double>(planned_.experts + 1) * 4);
  for (Scratch& s : scratch_) {
    reserve(s.acc, 2.0 * kTokenBlock * kPanel * 4);
    reserve(s.tile, kPanel * width * 4);
    reserve(s.rows, width * 34 + 256);  // the widest block type: 34 bytes for 32 columns, kPanel rows
    reserve(s.chunks, tokens * chunks(planned_.widest_input) * chunk_bytes);
  }
  if (!ok) return fail(ErrorCode::limit, "no memory for the workspaces of such a step");
  return {};
}

// ---- between host and device: here the same memory

void CpuOps::copy_in(const Tensor& to, const void* from) {
  if (!fits("copy_in", door::copy(to))) return;
  const auto* p = static_cast<const uint32_t*>(from);
  for (int64_t j = 0; j < to.ne[2]; ++j) {
    for (int64_t i = 0; i < to.ne[1]; ++i, p += to.ne[0]) {
      std::memcpy(static_cast<uint32_t*>(to.data) + i * to.stride[1] + j * to.stride[2], p,
                  static_cast<size_t>(to.ne[0]) * 4);
    }
  }
}

void CpuOps::copy_out(void* to, const Tensor& from) {
  if (!fits("copy_out", door::copy(from))) return;
  auto* p = static_cast<uint32_t*>(to);
  for (int64_t j = 0; j < from.ne[2]; ++j) {
    for (int64_t i = 0; i < from.ne[1]; ++i, p += from.ne[0]) {
      std::memcpy(p, static_cast<const uint32_t*>(from.data) + i * from.stride[1] + j * from.stride[2],
                  static_cast<size_t>(from.ne[0]) * 4);
    }
  }
}

Status CpuOps::sync() {
  const std::lock_guard lock(failure_mutex_);
  Status status = std::move(failure_);
  failure_ = {};
  return status;
}

// ---- the door

bool CpuOps::require(bool ok, std::string_view op, std::string_view what) {
  if (ok) return true;
  const std::lock_guard lock(failure_mutex_);
  if (failure_) failure_ = fail(ErrorCode::internal, std::string(op) + " needs: " + std::string(what), "kernels/cpu");
  return false;
}

const CpuWeight* CpuOps::get(const Weight& weight, std::string_view op) {
  const auto* w = dynamic_cast<const CpuWeight*>(weight.storage());
  require(w != nullptr, op, "a weight this backend has uploaded");
  return w;
}

}  // namespace cpu
}  // namespace vitrine
