#include "kernels/cuda/ready_rows.h"

#include "kernels/cuda/matrix_work.h"

namespace vitrine::cuda {

void ReadyRows::announce(const Tensor& y, std::span<const Weight* const> readers) {
  std::erase_if(entries_, [&](const Entry& e) { return e.data == y.data; });
  if (y.elements() > kMostNumbers) return;
  Entry entry;
  entry.data = y.data, entry.n = y.ne[0], entry.rows = y.ne[1] * y.ne[2];
  bool any = false;
  for (const Weight* reader : readers) {
    const Form form = form_of(reader->type());
    if (form == Form::plain) continue;
    ++entry.readers[static_cast<size_t>(form)];
    any = true;
  }
  if (any) entries_.push_back(entry);
}

ReadyRows::Entry* ReadyRows::find(const void* data, int64_t n, int64_t rows) {
  for (Entry& e : entries_) {
    if (e.data == data && e.n == n && e.rows == rows) return &e;
  }
  return nullptr;
}

std::array<bool, kForms> ReadyRows::wanted(const void* data, int64_t n, int64_t rows) const {
  std::array<bool, kForms> out = {};
  const Entry* entry = const_cast<ReadyRows*>(this)->find(data, n, rows);
  for (size_t i = 0; entry && i < out.size(); ++i) out[i] = entry->readers[i] > 0;
  return out;
}

void ReadyRows::written(const void* data, const PreparedRows& forms) {
  const bool have[kForms] = {forms.q[0] != nullptr, forms.q[1] != nullptr, forms.terms != nullptr};
  for (Entry& e : entries_) {
    for (size_t i = 0; i < kForms; ++i) {
      if (have[i]) e.ready[i] = e.data == data;
    }
    if (e.data == data) e.forms = forms;
  }
}

void ReadyRows::overwrite(Form form) {
  for (Entry& e : entries_) e.ready[static_cast<size_t>(form)] = false;
}

bool ReadyRows::take(const Tensor& x, Form form, bool wants, Activations& out) {
  Entry* entry = find(x.data, x.ne[0], x.ne[1] * x.ne[2]);
  if (!entry) return false;
  const bool found = wants && entry->ready[static_cast<size_t>(form)];
  if (found) out = MatrixWork::activations(entry->forms, form);
  skip(x, form);
  return found;
}

void ReadyRows::skip(const Tensor& x, Form form) {
  Entry* entry = form == Form::plain ? nullptr : find(x.data, x.ne[0], x.ne[1] * x.ne[2]);
  if (!entry) return;
  --entry->readers[static_cast<size_t>(form)];
  for (const int left : entry->readers) {
    if (left > 0) return;
  }
  entries_.erase(entries_.begin() + (entry - entries_.data()));
}

}  // namespace vitrine::cuda
