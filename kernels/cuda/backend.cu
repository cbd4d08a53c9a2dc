// Memory, plans and the door.
#include "kernels/cuda/backend.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/quant.h"

namespace vitrine {

Result<CudaDevice> cuda_device(int device) { return cuda::Runtime::device(device); }
Result<std::unique_ptr<Ops>> make_cuda_ops(const CudaOptions& options) { return cuda::CudaOps::create(options); }

namespace cuda {
namespace {

constexpr uint64_t kStaging = 64 << 20;  // bytes of a file on the device at once

// Rows of a file in blocks -> planes. A thread takes a lane's words of one chunk of one row.
template <Type kType>
__global__ void pack_kernel(const uint8_t* file, int64_t row_stride, int64_t rows, int64_t first_row, int64_t n_in,
                            uint8_t* q, uint8_t* h, uint8_t* s, uint8_t* d) {
  begin_kernel();
  constexpr PackedShape kShape = packed_shape(kType);
  const int64_t chunks = chunks_of(n_in);
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= rows * chunks * 4) return;
  const int t = static_cast<int>(i % 4);
  const int64_t chunk = i / 4 % chunks, row = i / 4 / chunks;
  const uint8_t* from = file + row * row_stride;
  const int64_t at = (first_row + row) * chunks + chunk;
  uint32_t codes[kShape.q / 16], high[kShape.h == 0 ? 1 : kShape.h / 16];
  pack_codes<kType>(from, chunk, n_in, t, codes, high);
  auto* q_words = reinterpret_cast<uint32_t*>(q + at * kShape.q);
  for (int k = 0; k < kShape.q / 16; ++k) q_words[q_word<kType>(t, k)] = codes[k];
  auto* h_words = reinterpret_cast<uint32_t*>(h + at * kShape.h);
  for (int k = 0; k < kShape.h / 16; ++k) h_words[t * (kShape.h / 16) + k] = high[k];
  if (t != 0) return;
  pack_factors<kType>(from, chunk, n_in, s + at * kShape.s);
  if constexpr (kShape.d != 0) {
    if (chunk % 2 != 0) return;
    constexpr int kBytes = kType == Type::q2_k   ? 84
                           : kType == Type::q3_k ? 110
                           : kType == Type::q4_k ? 144
                           : kType == Type::q5_k ? 176
                                                 : 210;
    constexpr int kOffset = kType == Type::q2_k ? 80 : kType == Type::q3_k ? 108 : kType == Type::q6_k ? 208 : 0;
    uint8_t* to = d + ((first_row + row) * (chunks / 2) + chunk / 2) * kShape.d;
    for (int k = 0; k < kShape.d; ++k) to[k] = from[chunk / 2 * kBytes + kOffset + k];
  }
}

VITRINE_HOST_DEVICE inline uint64_t mixed(uint64_t v) {  // SplitMix64's finisher
  v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9ull;
  v = (v ^ v >> 27) * 0x94d049bb133111ebull;
  return v ^ v >> 31;
}

// Random 32-bit words whose bits outside `keep` are those of `set`.
__global__ void random_kernel(uint32_t* words, int64_t count, uint64_t seed, uint32_t keep, uint32_t set) {
  begin_kernel();
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count) words[i] = (static_cast<uint32_t>(mixed(seed + static_cast<uint64_t>(i))) & keep) | set;
}

Error no_memory_for(const Error& error, const TensorView& view) {
  return {error.code, error.message, "a weight of " + std::to_string(view.ne[0]) + " x " + std::to_string(view.ne[1])};
}

}  // namespace

Result<std::unique_ptr<Ops>> CudaOps::create(const CudaOptions& options) {
  const Result<CudaDevice> device = Runtime::device(options.device);
  if (!device) return tl::unexpected(device.error());
  std::unique_ptr<CudaOps> ops(new CudaOps(options));
  ops->device_ = *device;
  if (device->major != 9) ops->options_.prompts = PromptProducts::warp;  // wgmma is of that capability alone
  if (Status status = ops->runtime_.open(options.device, options.overlap_launches); !status)
    return tl::unexpected(status.error());
  if (options.library && !options.deterministic) ops->library_ = ProductLibrary::open();
  return ops;
}

CudaOps::~CudaOps() { (void)runtime_.wait(); }

std::string CudaOps::description() const {
  return "cuda: " + device_.name + (options_.deterministic ? ", deterministic" : "");
}

bool CudaOps::supports(Op op, Type type) const {
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

// ---- weights

Result<Weight> CudaOps::upload(const TensorView& view) { return upload(door::split_planes(view)); }

Result<Weight> CudaOps::upload(std::span<const TensorView> planes) {
  if (Status status = door::planes(planes); !status) return tl::unexpected(status.error());
  const TensorView& first = planes[0];
  constexpr uint64_t kMost = 1ull << 31;  // rows and columns are counted in 32 bits
  if (first.ne[0] >= kMost || first.ne[1] >= kMost) return fail(ErrorCode::limit, "a weight with too long a side");
  auto weight = std::make_shared<CudaWeight>();
  weight->type = first.type;
  const bool random = options_.random_weights.has_value();
  if (random && options_.random_type && first.type == Type::bf16 && first.ne[1] > 1) {
    weight->type = *options_.random_type;
  }
  weight->planes = static_cast<int64_t>(planes.size());
  const auto n_in = static_cast<int64_t>(first.ne[0]), n_out = static_cast<int64_t>(first.ne[1]);
  const PackedLayout layout = packed_layout(weight->type, n_in, n_out * weight->planes);
  Result<DeviceMemory> memory = runtime_.allocate(static_cast<uint64_t>(layout.bytes));
  if (!memory) return tl::unexpected(no_memory_for(memory.error(), first));
  weight->memory = std::move(*memory);
  auto* base = weight->memory.as<uint8_t>();
  Packed& packed = weight->packed;
  packed.q = base, packed.h = base + layout.h, packed.s = base + layout.s, packed.d = base + layout.d;
  packed.n_in = static_cast<int32_t>(n_in), packed.n_out = static_cast<int32_t>(n_out);
  packed.chunks = static_cast<int32_t>(chunks_of(n_in));

  Status status;
  if (random) {
    status = fill_random(*weight, layout);
  } else {
    for (size_t p = 0; p < planes.size() && status; ++p) {
      status = copy_plane(planes[p], static_cast<int64_t>(p) * n_out, *weight, layout);
    }
  }
  if (status && weight->type == Type::f8_e4m3) status = upload_factors(planes, *weight);
  if (status && !check(runtime_.wait(), "upload")) status = sync();
  if (!status) return tl::unexpected(status.error());
  return Weight(weight->type, {first.ne[0], first.ne[1], planes.size()}, weight);
}

Status CudaOps::copy_plane(const TensorView& view, int64_t first_row, const CudaWeight& weight,
                           const PackedLayout& layout) {
  const PackedShape shape = packed_shape(view.type);
  auto* base = weight.memory.as<uint8_t>();
  const int64_t rows = weight.packed.n_out;
  const uint8_t* file = view.row(0, 0);
  if (shape.bits == 0) {  // rows as they are, some way apart
    const auto width = *row_bytes(view.type, view.ne[0]);
    const auto pitch = static_cast<uint64_t>(weight.packed.chunks) * static_cast<uint64_t>(shape.q);
    if (!check(runtime_.copy_rows(base + static_cast<uint64_t>(first_row) * pitch, pitch, file, view.row_stride, width,
                                  static_cast<uint64_t>(rows), Direction::to_device),
               "upload")) {
      return sync();
    }
    return {};
  }
  const int64_t at_once = std::max<int64_t>(1, static_cast<int64_t>(kStaging / view.row_stride));
  if (!reserve(staging_, static_cast<uint64_t>(std::min(at_once, rows)) * view.row_stride, "upload")) return sync();
  bool fine = true;
  for (int64_t done = 0; done < rows && fine; done += at_once) {
    const int64_t count = std::min(at_once, rows - done);
    fine = check(runtime_.copy(staging_.as<uint8_t>(), file + static_cast<uint64_t>(done) * view.row_stride,
                               static_cast<uint64_t>(count - 1) * view.row_stride + *row_bytes(view.type, view.ne[0]),
                               Direction::to_device),
                 "upload");
    if (!fine) break;
    const int64_t threads = count * weight.packed.chunks * 4;
    for_type<kBlockType>(view.type, [&](auto type) {
      fine = check(launch(pack_kernel<type.value>, dim3(static_cast<unsigned>((threads + 127) / 128)), dim3(128), 0,
                          runtime_.stream(), staging_.as<const uint8_t>(), static_cast<int64_t>(view.row_stride), count,
                          first_row + done, static_cast<int64_t>(view.ne[0]), base, base + layout.h, base + layout.s,
                          base + layout.d),
                   "upload");
    });
  }
  return fine ? Status() : sync();
}

// The factors a plane's rows meet, from the 128-row block of its first row on.
Status CudaOps::upload_factors(std::span<const TensorView> planes, CudaWeight& weight) {
  constexpr uint64_t kBlock = TensorView::kScaleBlock;
  const auto chunks = static_cast<uint64_t>(weight.packed.chunks);
  const uint64_t rows = (planes[0].ne[1] + kBlock - 1) / kBlock + 1;  // one more: a plane may begin inside a block
  std::vector<float> factors(planes.size() * rows * chunks, 0.0f);
  std::vector<int32_t> first(planes.size());
  for (size_t p = 0; p < planes.size() && !options_.random_weights; ++p) {
    const TensorView& view = planes[p];
    first[p] = static_cast<int32_t>(view.first_row % kBlock);
    const uint64_t from = view.first_row / kBlock, end = (view.first_row + view.ne[1] + kBlock - 1) / kBlock;
    std::memcpy(&factors[p * rows * chunks], view.scales.data() + 4 * from * chunks, 4 * (end - from) * chunks);
  }
  if (options_.random_weights) {
    std::fill(factors.begin(), factors.end(), 1.0f / std::sqrt(static_cast<float>(weight.packed.n_in)));
  }
  const uint64_t bytes = factors.size() * sizeof(float);
  Result<DeviceMemory> memory = runtime_.allocate(bytes + first.size() * sizeof(int32_t));
  if (!memory) return tl::unexpected(memory.error());
  weight.factors = std::move(*memory);
  auto* base = weight.factors.as<uint8_t>();
  weight.packed.factors = reinterpret_cast<const float*>(base);
  weight.packed.factor_first = reinterpret_cast<const int32_t*>(base + bytes);
  weight.packed.factor_rows = static_cast<int32_t>(rows);
  const bool fine =
      check(runtime_.copy(base, factors.data(), bytes, Direction::to_device), "upload") &&
      check(runtime_.copy(base + bytes, first.data(), first.size() * sizeof(int32_t), Direction::to_device),
            "upload") &&
      check(runtime_.wait(), "upload");
  return fine ? Status() : sync();
}

// Codes of any value, factors of one size: products of unit activations have about unit size.
Status CudaOps::fill_random(const CudaWeight& weight, const PackedLayout& layout) {
  const Type type = weight.type;
  const PackedShape shape = packed_shape(type);
  auto* base = weight.memory.as<uint8_t>();
  const float size = 1.0f / std::sqrt(static_cast<float>(weight.packed.n_in));
  uint64_t seed = mixed(*options_.random_weights + ++random_count_);
  bool fine = true;
  const auto fill = [&](int64_t begin, int64_t end, uint32_t keep, uint32_t set) {
    const int64_t words = (end - begin) / 4;
    if (words == 0 || !fine) return;
    fine = check(launch(random_kernel, dim3(static_cast<unsigned>((words + 255) / 256)), dim3(256), 0,
                        runtime_.stream(), reinterpret_cast<uint32_t*>(base + begin), words, seed++ << 32, keep, set),
                 "upload");
  };
  const auto twice = [](uint32_t half) { return half << 16 | half; };
  if (weight.packed.n_out == 1 && shape.bits == 0) {  // norms and biases: 1 … 2
    if (type == Type::f32) fill(0, layout.h, 0x007fffffu, 0x3f800000u);
    if (type == Type::bf16) fill(0, layout.h, 0x007f007fu, 0x3f803f80u);
    if (type == Type::f16) fill(0, layout.h, 0x03ff03ffu, 0x3c003c00u);
    return fine ? Status() : sync();
  }
  if (type == Type::f8_e4m3) {
    fill(0, layout.h, 0x87878787u, 0x30303030u);  // ±0.5 … ±0.94
  } else if (shape.bits == 0) {
    // Sign and mantissa at random, the exponent that of `size`.
    const uint32_t exponent = std::bit_cast<uint32_t>(size) & 0x7f800000u;
    const uint32_t half = f32_to_f16(std::bit_cast<float>(exponent));
    if (type == Type::f32) fill(0, layout.h, 0x807fffffu, exponent);
    if (type == Type::bf16) fill(0, layout.h, 0x807f807fu, twice(exponent >> 16));
    if (type == Type::f16) fill(0, layout.h, 0x83ff83ffu, twice(half));
  } else {
    fill(0, layout.h, 0xffffffffu, 0);
    fill(layout.h, layout.s, 0xffffffffu, 0);
    const float codes = type == Type::q8_0                  ? 74.0f
                        : type == Type::q6_k                ? 18.0f
                        : shape.bits + shape.high_bits == 5 ? 9.0f
                        : shape.bits + shape.high_bits == 4 ? 4.6f
                                                            : 2.0f;
    const uint32_t factor = f32_to_f16(size / codes / (shape.d != 0 ? 16.0f : 1.0f));
    if (type == Type::mxfp4) {
      fill(layout.s, layout.d, 0, 0x01010101u * static_cast<uint32_t>(127 + std::ilogb(size) - 1));
    } else if (shape.d == 0) {
      fill(layout.s, layout.d, 0, twice(factor));
    } else {
      fill(layout.s, layout.d, 0x0f0f0f0fu, 0);
      fill(layout.d, layout.bytes, 0, twice(factor));
    }
  }
  return fine ? Status() : sync();
}

// ---- memory

void* CudaOps::reserve(DeviceMemory& memory, uint64_t bytes, std::string_view op) {
  if (bytes <= memory.bytes()) return memory.as<void>();
  // A recorded step has run before, with the same shapes: nothing grows while it is recorded.
  if (!require(!runtime_.recording(), op, "workspaces that stay while a step is recorded")) return nullptr;
  if (!check(runtime_.wait(), op)) return nullptr;
  runtime_.forget_recordings();
  memory = DeviceMemory();
  Result<DeviceMemory> more = runtime_.allocate(bytes);
  if (!more) {
    if (failure_) failure_ = tl::unexpected(more.error());
    return nullptr;
  }
  memory = std::move(*more);
  return memory.as<void>();
}

Result<Buffer> CudaOps::alloc(uint64_t bytes) {
  Result<DeviceMemory> memory = runtime_.allocate(bytes);
  if (!memory) return tl::unexpected(memory.error());
  return Buffer(std::shared_ptr<void>(memory->release(), free_device), bytes);
}

Status CudaOps::plan(const StepShape& shape) {
  const Result<StepShape> bounds = door::plan(planned_, shape);
  if (!bounds) return tl::unexpected(bounds.error());
  // Workspaces grow with the calls; what no GPU holds is refused now.
  const double pairs =
      static_cast<double>(bounds->tokens) * static_cast<double>(std::max<int64_t>(bounds->experts_used, 1));
  const double widest = static_cast<double>(std::max(bounds->widest_input, bounds->ffn_width));
  if (pairs * widest * 16 > 0x1p38) return fail(ErrorCode::limit, "no memory for the workspaces of such a step");
  planned_ = *bounds;
  return {};
}

// ---- between host and device

namespace {

// One copy where the tensor has no gaps, else one per plane.
template <class Copy>
bool copy_tensor(const Tensor& t, Copy copy) {
  const auto row = static_cast<uint64_t>(t.ne[0]) * 4;
  if (t.empty()) return true;
  if (t.is_contiguous()) return copy(0, 0, row * static_cast<uint64_t>(t.ne[1] * t.ne[2]), 0, 1);
  for (int64_t j = 0; j < t.ne[2]; ++j) {
    if (!copy(j * t.stride[2] * 4, static_cast<uint64_t>(j * t.ne[1]) * row, row,
              static_cast<uint64_t>(t.stride[1]) * 4, static_cast<uint64_t>(t.ne[1]))) {
      return false;
    }
  }
  return true;
}

}  // namespace

void CudaOps::copy_in(const Tensor& to, const void* from) {
  if (!fits("copy_in", door::copy(to))) return;
  copy_tensor(to, [&](int64_t at, uint64_t host, uint64_t width, uint64_t pitch, uint64_t rows) {
    auto* device = static_cast<uint8_t*>(to.data) + at;
    const auto* bytes = static_cast<const uint8_t*>(from) + host;
    return check(rows == 1 ? runtime_.copy(device, bytes, width, Direction::to_device)
                           : runtime_.copy_rows(device, pitch, bytes, width, width, rows, Direction::to_device),
                 "copy_in");
  });
}

void CudaOps::copy_out(void* to, const Tensor& from) {
  if (!fits("copy_out", door::copy(from))) return;
  copy_tensor(from, [&](int64_t at, uint64_t host, uint64_t width, uint64_t pitch, uint64_t rows) {
    const auto* device = static_cast<const uint8_t*>(from.data) + at;
    auto* bytes = static_cast<uint8_t*>(to) + host;
    return check(rows == 1 ? runtime_.copy(bytes, device, width, Direction::to_host)
                           : runtime_.copy_rows(bytes, width, device, pitch, width, rows, Direction::to_host),
                 "copy_out");
  });
}

Status CudaOps::sync() {
  check(runtime_.wait(), "sync");
  const int faults = runtime_.take_faults();
  require((faults & kFaultToken) == 0, "embed", "token ids inside the vocabulary");
  require((faults & kFaultIndex) == 0, "gather_rows", "indices inside x");
  require((faults & kFaultExpert) == 0, "moe_ffn", "ids of experts that exist");
  require((faults & kFaultPosition) == 0, "attention", "positions inside the block table");
  require((faults & kFaultPage) == 0, "attention", "pages of the cache");
  Status status = std::move(failure_);
  failure_ = {};
  return status;
}

void CudaOps::replay(uint64_t key, const std::function<void()>& enqueue) {
  check(runtime_.replay(key, enqueue), "replay");
}

void CudaOps::run_on_host(std::function<void()> work) { check(runtime_.run_on_host(std::move(work)), "run_on_host"); }
void CudaOps::fork(std::function<void()> branch) { check(runtime_.fork(std::move(branch)), "fork"); }
void CudaOps::join() { check(runtime_.join(), "join"); }

// ---- the door

bool CudaOps::require(bool ok, std::string_view op, std::string_view what) {
  if (ok) return true;
  if (failure_) failure_ = fail(ErrorCode::internal, std::string(op) + " needs: " + std::string(what), "kernels/cuda");
  return false;
}

bool CudaOps::check(cudaError_t error, std::string_view op) {
  if (error == cudaSuccess) return true;
  if (failure_) {
    failure_ = fail(ErrorCode::internal, std::string(op) + ": " + cudaGetErrorString(error), "kernels/cuda");
  }
  return false;
}

const CudaWeight* CudaOps::get(const Weight& weight, std::string_view op) {
  const auto* w = dynamic_cast<const CudaWeight*>(weight.storage());
  require(w != nullptr, op, "a weight this backend has uploaded");
  return w;
}

}  // namespace cuda
}  // namespace vitrine
