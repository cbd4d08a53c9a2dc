// Which kernel takes a product of a prompt, and in which memory it finds its rows.
#include "kernels/cuda/backend.h"
#include "kernels/cuda/matrix_work.h"

namespace vitrine::cuda {

bool MatrixWork::rounds(Type type) const {
  if (!prompt) return false;
  if (type == Type::bf16 || type == Type::f8_e4m3) return true;
  return packed_shape(type).bits != 0 && ops.options_.prompts != PromptProducts::warp;
}

void MatrixWork::all_or_none(const CudaWeight& gate, const CudaWeight& up, const CudaWeight& down) {
  prompt = gate.type == up.type && rounds(gate.type) && rounds(down.type);
}

Reads MatrixWork::reads(Type type) const {
  if (!rounds(type)) return {form_of(type), false, false};
  return {Form::terms, true, type == Type::f8_e4m3 && ops.options_.prompts == PromptProducts::warpgroup_e4m3};
}

bool MatrixWork::reserve(FormMemory& memory, Type type, int64_t chunks, int64_t rows, Rounded& to) {
  if (!reads(type).e4m3) {
    to.terms = ops.workspace<uint16_t>(memory.terms, rows * chunks * kChunk, op);
    return to.terms != nullptr;
  }
  to.e4m3 = ops.workspace<uint8_t>(memory.e4m3, rows * chunks * kChunk, op);
  to.factors = ops.workspace<float>(memory.e4m3_factors, rows * chunks, op);
  return to.e4m3 && to.factors;
}

Activations MatrixWork::activations(const Rounded& rows) {
  Activations out;
  out.terms = rows.terms, out.e4m3 = rows.e4m3, out.e4m3_factors = rows.factors;
  return out;
}

bool MatrixWork::prompt_product(Type type, bool gate_up, int64_t planes, int64_t row_blocks, const PromptArgs& args) {
  const bool warpgroups = ops.options_.prompts != PromptProducts::warp && (type == Type::bf16 || args.x.e4m3);
  const auto launch = packed_shape(type).bits != 0 ? launch_prompt_blocks
                      : warpgroups                 ? launch_prompt_wgmma
                                                   : launch_prompt;
  return ops.check(launch(type, gate_up, static_cast<unsigned>(row_blocks), static_cast<unsigned>(planes),
                          ops.runtime_.stream(), args),
                   op);
}

bool MatrixWork::run_prompt(Type type, const ProductArgs& args, int64_t planes, int64_t row_blocks) {
  const bool dense = type == Type::bf16 && args.rows.kind == RowSet::kTokens && planes == 1 && !args.rows.index &&
                     args.rows.per_source == 1 && args.rows.count >= ProductLibrary::kLeastTokens;
  for (int i = 0; i < args.products; ++i) {
    const Product& product = args.product[i];
    // A recorded graph is ours alone: the library would want a workspace of its own for it.
    if (dense && ops.library_ && !ops.runtime_.recording() &&
        ops.library_->product(product.w.q, args.x.terms, product.y, product.w.chunks * kChunk, product.w.n_out,
                              args.rows.count, product.y_row, args.accumulate, ops.runtime_.stream())) {
      continue;
    }
    PromptArgs one;
    one.w = product.w;
    one.x = args.x;
    one.rows = args.rows;
    one.y = product.y, one.y_row = product.y_row, one.y_plane = product.y_plane;
    one.accumulate = args.accumulate;
    if (!prompt_product(type, false, planes, row_blocks, one)) return false;
  }
  return true;
}

// hidden [rows][n_ff padded], in the workspace that prepare() would put it.
bool MatrixWork::gate_up_prompt(const CudaWeight& gate, const CudaWeight& up, const CudaWeight& down,
                                const Activations& x, const RowSet& rows, int64_t bound, int64_t row_blocks,
                                Activations& hidden) {
  const int64_t chunks = chunks_of(gate.packed.n_out);
  PromptArgs args;
  if (!reserve(ops.matrix_.hidden_input, down.type, chunks, bound, args.hidden)) return false;
  hidden = activations(args.hidden);
  args.w = gate.packed, args.up = up.packed;
  args.x = x;
  args.rows = rows;
  args.hidden_chunks = static_cast<int32_t>(chunks);
  return prompt_product(gate.type, true, 1, row_blocks, args);
}

}  // namespace vitrine::cuda
