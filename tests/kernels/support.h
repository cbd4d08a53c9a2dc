// Memory whose every surrounding byte is watched, and random weights, for the
// tests of the operators.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/emulated/emulated_ops.h"
#include "kernels/ops.h"
#include "kernels/quant.h"

namespace vitrine::test {

// Numbers that every backend reads and writes where they are.
template <class T>
class SharedNumbers {
 public:
  SharedNumbers() = default;
  SharedNumbers(std::vector<T> values) { assign(values.begin(), values.end()); }  // NOLINT: reads as its values
  SharedNumbers(std::initializer_list<T> values) { assign(values.begin(), values.end()); }
  SharedNumbers(const SharedNumbers&) = delete;
  SharedNumbers(SharedNumbers&&) = default;
  SharedNumbers& operator=(SharedNumbers&&) = default;

  template <class Iterator>
  requires(!std::is_integral_v<Iterator>) void assign(Iterator begin, Iterator end) {
    resize(static_cast<size_t>(end - begin));
    std::copy(begin, end, data());
  }
  void assign(int64_t n, T value) {
    resize(static_cast<size_t>(n));
    std::fill_n(data(), n, value);
  }
  void resize(size_t n) {
    if (n > room_) memory_ = pinned_memory((room_ = n) * sizeof(T));
    size_ = n;
  }
  T* data() const { return static_cast<T*>(memory_.get()); }
  size_t size() const { return size_; }
  T& operator[](size_t i) const { return data()[i]; }

 private:
  std::shared_ptr<void> memory_;
  size_t size_ = 0, room_ = 0;
};

// A strided tensor in memory full of canaries: before it, behind it, and in the
// gaps between its rows. intact() says whether all of them are still alive.
class Guarded {
 public:
  static constexpr uint32_t kCanary = 0x7fc0dead;  // as a float: NaN, so that reading one shows

  // `gap` elements between rows, 2 * gap more between planes.
  Guarded(Type type, int64_t n0, int64_t n1 = 1, int64_t n2 = 1, int64_t gap = 3) {
    tensor_ = Tensor{type, nullptr, {n0, n1, n2}, {1, n0 + gap, (n0 + gap) * n1 + 2 * gap}};
    memory_.assign(static_cast<size_t>(2 * kBorder + tensor_.stride[2] * n2), kCanary);
    tensor_.data = memory_.data() + kBorder;
    owned_.assign(memory_.size(), false);
    each([&](uint32_t& v, int64_t, int64_t, int64_t) { owned_[&v - memory_.data()] = true; });
  }

  const Tensor& tensor() const { return tensor_; }
  operator const Tensor&() const { return tensor_; }  // NOLINT: reads as the tensor it is

  float& f(int64_t i, int64_t j = 0, int64_t k = 0) { return *reinterpret_cast<float*>(&at(i, j, k)); }
  int32_t& i(int64_t i, int64_t j = 0, int64_t k = 0) { return *reinterpret_cast<int32_t*>(&at(i, j, k)); }

  Guarded& fill(std::mt19937& random, float size = 1) {
    std::normal_distribution<float> normal(0, size);
    each([&](uint32_t& v, int64_t, int64_t, int64_t) { v = std::bit_cast<uint32_t>(normal(random)); });
    return *this;
  }
  Guarded& set(std::vector<int32_t> values) {
    size_t n = 0;
    each([&](uint32_t& v, int64_t, int64_t, int64_t) { v = static_cast<uint32_t>(values.at(n++)); });
    return *this;
  }
  // The elements, without gaps.
  std::vector<uint32_t> bits() {
    std::vector<uint32_t> out;
    each([&](uint32_t& v, int64_t, int64_t, int64_t) { out.push_back(v); });
    return out;
  }
  bool intact() const {
    for (size_t n = 0; n < memory_.size(); ++n) {
      if (!owned_[n] && memory_[n] != kCanary) return false;
    }
    return true;
  }

 private:
  static constexpr int64_t kBorder = 64;
  uint32_t& at(int64_t i, int64_t j, int64_t k) {
    return static_cast<uint32_t*>(tensor_.data)[i + j * tensor_.stride[1] + k * tensor_.stride[2]];
  }
  template <class Function>
  void each(Function f) {
    for (int64_t k = 0; k < tensor_.ne[2]; ++k) {
      for (int64_t j = 0; j < tensor_.ne[1]; ++j) {
        for (int64_t i = 0; i < tensor_.ne[0]; ++i) f(at(i, j, k), i, j, k);
      }
    }
  }
  Tensor tensor_;
  SharedNumbers<uint32_t> memory_;
  std::vector<bool> owned_;
};

// Read-only bytes that end where a page without access begins: one byte read too
// far is a crash.
class FencedBytes {
 public:
  explicit FencedBytes(const std::vector<uint8_t>& bytes) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    size_ = (bytes.size() + page - 1) / page * page + page;
    base_ = static_cast<uint8_t*>(mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED) std::abort();
    uint8_t* start = base_ + size_ - page - bytes.size();
    std::copy(bytes.begin(), bytes.end(), start);
    mprotect(base_, size_ - page, PROT_READ);
    mprotect(base_ + size_ - page, page, PROT_NONE);
    bytes_ = {start, bytes.size()};
  }
  ~FencedBytes() {
    if (base_) munmap(base_, size_);
  }
  FencedBytes(FencedBytes&& other) noexcept : base_(other.base_), size_(other.size_), bytes_(other.bytes_) {
    other.base_ = nullptr;
  }
  Bytes bytes() const { return bytes_; }

 private:
  uint8_t* base_;
  size_t size_;
  Bytes bytes_;
};

// Random weights of any type, [n_in, n_out, planes], and their values as floats.
class RandomWeight {
 public:
  RandomWeight(Type type, uint64_t n_in, uint64_t n_out, uint64_t planes, std::mt19937& random, float size = 0.5f)
      : type_(type), ne_{n_in, n_out, planes} {
    for (uint64_t p = 0; p < (type == Type::f8_e4m3 ? planes : 1); ++p) {
      const uint64_t rows = type == Type::f8_e4m3 ? n_out : n_out * planes;
      std::vector<uint8_t> bytes;
      for (uint64_t r = 0; r < rows; ++r) append_row(bytes, random, size);
      bytes_.emplace_back(bytes);
      std::vector<uint8_t> scales;
      if (type == Type::f8_e4m3) {
        const uint64_t factors = (n_in + 127) / 128 * ((n_out + 127) / 128);
        std::uniform_real_distribution<float> uniform(0.5f, 2.0f);
        scales.resize(4 * factors);
        for (uint64_t i = 0; i < factors; ++i) {
          const float factor = uniform(random);
          std::memcpy(&scales[4 * i], &factor, 4);
        }
      }
      scales_.emplace_back(scales);
    }
    std::vector<TensorView> views;
    if (type == Type::f8_e4m3) {
      for (uint64_t p = 0; p < planes; ++p) {
        views.push_back(*TensorView::make(type, {n_in, n_out}, bytes_[p].bytes(), scales_[p].bytes()));
      }
    } else {
      views.push_back(*TensorView::make(type, {n_in, n_out, planes}, bytes_[0].bytes()));
    }
    values_.resize(n_in * n_out * planes);
    for (uint64_t p = 0; p < planes; ++p) {
      for (uint64_t r = 0; r < n_out; ++r) {
        float* row = &values_[(p * n_out + r) * n_in];
        if (views.size() > 1) {
          dequantize_row(views[p], 0, r, row);
        } else {
          dequantize_row(views[0], p, r, row);
        }
      }
    }
    views_ = views;
  }

  Weight upload(Ops& ops) const {
    Result<Weight> weight = views_.size() == 1 ? ops.upload(views_[0]) : ops.upload(views_);
    EXPECT_TRUE(weight) << weight.error().message;
    return *weight;
  }
  Type type() const { return type_; }
  // Element i of row r of plane p.
  double at(uint64_t i, uint64_t r, uint64_t p = 0) const { return values_[(p * ne_[1] + r) * ne_[0] + i]; }
  const std::vector<TensorView>& views() const { return views_; }

 private:
  void append_row(std::vector<uint8_t>& bytes, std::mt19937& random, float size) const {
    const size_t at = bytes.size();
    bytes.resize(at + *row_bytes(type_, ne_[0]));
    std::normal_distribution<float> normal(0, size);
    std::vector<float> values(ne_[0]);
    for (float& v : values) v = normal(random);
    if (quantize_row(type_, values.data(), ne_[0], &bytes[at])) return;
    // Random blocks with factors of a sensible size.
    for (size_t i = at; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(random());
    const auto factor = [&](size_t offset, float value) {
      for (size_t b = at; b < bytes.size(); b += block_bytes(type_)) {
        const uint16_t bits = f32_to_f16(normal(random) * value);
        std::memcpy(&bytes[b + offset], &bits, 2);
      }
    };
    switch (type_) {
      case Type::q4_1:
      case Type::q5_1: factor(0, 0.1f), factor(2, 1); break;
      case Type::q5_0: factor(0, 0.1f); break;
      case Type::q2_k: factor(80, 0.05f), factor(82, 0.05f); break;
      case Type::q3_k: factor(108, 0.01f); break;
      case Type::q5_k: factor(0, 0.001f), factor(2, 0.01f); break;
      default: ADD_FAILURE() << "no random blocks of " << type_name(type_);
    }
  }
  Type type_;
  std::array<uint64_t, 3> ne_;
  std::vector<FencedBytes> bytes_, scales_;
  std::vector<TensorView> views_;
  std::vector<float> values_;
};

inline constexpr Type kWeightTypes[] = {Type::f32,  Type::f16,  Type::bf16, Type::f8_e4m3, Type::q4_0,
                                        Type::q4_1, Type::q5_0, Type::q5_1, Type::q8_0,    Type::q2_k,
                                        Type::q3_k, Type::q4_k, Type::q5_k, Type::q6_k,    Type::mxfp4};

// ---- backends

// Where an operator can run. `emulated`: the CUDA kernels on the host, thread by thread.
enum class Backend : uint8_t { portable, avx2, avx512, amx, emulated, cuda };
inline constexpr Backend kBackends[] = {Backend::portable, Backend::avx2,     Backend::avx512,
                                        Backend::amx,      Backend::emulated, Backend::cuda};

inline std::string backend_name(Backend backend) {
  constexpr const char* kNames[] = {"portable", "avx2", "avx512", "amx", "emulated", "cuda"};
  return kNames[static_cast<size_t>(backend)];
}
inline bool is_cpu(Backend backend) { return backend <= Backend::amx; }

// Why it cannot run here; empty when it can.
inline std::string missing(Backend backend) {
  if (is_cpu(backend)) {
    const auto isa = static_cast<Isa>(backend);
    return isa_available(isa) ? "" : "this processor lacks " + std::string(isa_name(isa));
  }
  if (backend == Backend::emulated) return "";
  const auto device = cuda_device();
  return device ? "" : device.error().to_string();
}

inline constexpr StepShape kTestShape = {
    .tokens = 600, .widest_input = 1200, .ffn_width = 600, .experts = 32, .experts_used = 9};

inline std::unique_ptr<Ops> cpu_ops(Isa isa, int threads = 2) {
  auto ops = make_cpu_ops({.threads = threads, .isa = isa});
  EXPECT_TRUE(ops) << ops.error().message;
  EXPECT_TRUE((*ops)->plan(kTestShape));
  return std::move(*ops);
}

inline std::unique_ptr<Ops> ops_of(Backend backend, bool deterministic = false) {
  if (is_cpu(backend)) return cpu_ops(static_cast<Isa>(backend));
  CudaOptions options;
  options.deterministic = deterministic;
  auto ops = backend == Backend::emulated ? make_emulated_cuda_ops(options) : make_cuda_ops(options);
  EXPECT_TRUE(ops) << ops.error().message;
  EXPECT_TRUE((*ops)->plan(kTestShape));
  return std::move(*ops);
}

// Backends that promise each other the same bits.
struct SameBitsGroup {
  std::string name;
  std::vector<std::function<std::unique_ptr<Ops>()>> members;
};
inline std::vector<SameBitsGroup> same_bits_groups(std::vector<int> cpu_threads = {1, 2}) {
  std::vector<SameBitsGroup> groups(1);
  groups[0].name = "cpu";
  for (const Isa isa : available_isas()) {
    for (const int threads : cpu_threads) groups[0].members.push_back([=] { return cpu_ops(isa, threads); });
  }
  const auto emulated = [](bool from_last) {
    return [=] {
      cuda_emulated::emulated::start_from_last(from_last);
      return ops_of(Backend::emulated, true);
    };
  };
  groups.push_back({"emulated", {emulated(true), emulated(false)}});
  if (missing(Backend::cuda).empty()) groups.push_back({"cuda", {[] { return ops_of(Backend::cuda, true); }}});
  // Only that group, where time is short (./dev gpu).
  if (const char* only = std::getenv("VITRINE_SAME_BITS")) {
    std::erase_if(groups, [only](const SameBitsGroup& group) { return group.name != only; });
  }
  return groups;
}

// Tests of one operator on one backend.
class OnEveryBackend : public testing::TestWithParam<Backend> {
 protected:
  void SetUp() override {
    if (const std::string why = missing(GetParam()); !why.empty()) GTEST_SKIP() << why;
    ops = ops_of(GetParam());
  }
  void TearDown() override {
    if (ops) expect_fine();
  }
  // Waits: results can be read after it.
  void expect_fine() {
    const Status status = ops->sync();
    EXPECT_TRUE(status) << status.error().message;
  }
  std::unique_ptr<Ops> ops;
  std::mt19937 random{7};
};

#define INSTANTIATE_ON_EVERY_BACKEND(suite)                               \
  INSTANTIATE_TEST_SUITE_P(Backends, suite, testing::ValuesIn(kBackends), \
                           [](const testing::TestParamInfo<Backend>& b) { return backend_name(b.param); })

}  // namespace vitrine::test
