// Rows whose readers have been announced (Ops::prepare_for): which of their forms lie
// prepared in the input's workspaces, and for how many readers.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "kernels/cuda/matmul.h"
#include "kernels/ops.h"

namespace vitrine::cuda {

class ReadyRows {
 public:
  // Beyond that many numbers a step is long enough that a launch does not matter.
  static constexpr int64_t kMostNumbers = 1 << 18;

  void announce(const Tensor& y, std::span<const Weight* const> readers);
  // The forms wanted of rows [n] that are about to be written to `data`; none: not announced.
  std::array<bool, kForms> wanted(const void* data, int64_t n, int64_t rows) const;
  void written(const void* data, const PreparedRows& forms);
  // Another's rows are in the workspace of a form.
  void overwrite(Form form);
  // A reader of x comes: its form where it lies ready and `wants` it.
  bool take(const Tensor& x, Form form, bool wants, Activations& out);
  // A further reader uses what the last one was given.
  void skip(const Tensor& x, Form form);

 private:
  struct Entry {
    const void* data = nullptr;
    int64_t n = 0, rows = 0;
    std::array<int, kForms> readers = {};
    std::array<bool, kForms> ready = {};
    PreparedRows forms;
  };
  Entry* find(const void* data, int64_t n, int64_t rows);
  std::vector<Entry> entries_;
};

}  // namespace vitrine::cuda
