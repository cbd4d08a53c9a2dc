// Memory of a forward pass: so many numbers per token of a step.
#pragma once

#include <cstdint>
#include <optional>

#include "kernels/ops.h"

namespace vitrine {

// [n, T] of f32 or i32, for any T up to what StepMemory was made for.
class Rows {
 public:
  Rows() = default;
  Rows(Buffer buffer, int64_t n) : buffer_(std::move(buffer)), n_(n) {}
  Tensor f32(int64_t tokens) const { return buffer_.f32(0, n_, tokens); }
  Tensor i32(int64_t tokens) const { return buffer_.i32(0, n_, tokens); }

 private:
  Buffer buffer_;
  int64_t n_ = 0;
};

// The same in host memory.
class HostRows {
 public:
  HostRows() = default;
  HostRows(std::shared_ptr<void> data, int64_t n) : data_(std::move(data)), n_(n) {}
  Tensor f32(int64_t tokens) const { return Tensor::f32(static_cast<float*>(data_.get()), n_, tokens); }
  Tensor i32(int64_t tokens) const { return Tensor::i32(static_cast<int32_t*>(data_.get()), n_, tokens); }

 private:
  std::shared_ptr<void> data_;
  int64_t n_ = 0;
};

// Allocates rows; keeps the first error.
class StepMemory {
 public:
  StepMemory(Ops& ops, int64_t tokens) : ops_(ops), tokens_(tokens) {}

  // REQUIRES: n * tokens fits, which the bounds on configurations and steps see to.
  Rows rows(int64_t n) {
    auto buffer = ops_.alloc(static_cast<uint64_t>(n) * static_cast<uint64_t>(tokens_) * 4);
    if (buffer) return {std::move(*buffer), n};
    if (!error_) error_ = buffer.error();
    return {};
  }
  HostRows host_rows(int64_t n) {
    auto data = ops_.host_memory(static_cast<uint64_t>(n) * static_cast<uint64_t>(tokens_) * 4);
    if (!data && !error_) error_ = Error{ErrorCode::limit, "no host memory for a step", {}};
    return {std::move(data), n};
  }
  Status status() const { return error_ ? Status(tl::unexpected<Error>(*error_)) : Status(); }

 private:
  Ops& ops_;
  int64_t tokens_;
  std::optional<Error> error_;
};

}  // namespace vitrine
