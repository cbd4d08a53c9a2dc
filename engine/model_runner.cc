#include "engine/model_runner.h"

#include <algorithm>
#include <bit>

namespace vitrine {
namespace {

constexpr int64_t kMostTokens = 1 << 16;

}  // namespace

Result<std::unique_ptr<ModelRunner>> ModelRunner::create(std::unique_ptr<Model> model, Ops& ops,
                                                         const RunnerOptions& options) {
  for (const int64_t n : {options.step_tokens, options.sequences, options.outputs}) {
    if (n < 1 || n > kMostTokens) return fail(ErrorCode::usage, "sizes of a step: 1 to 65536");
  }
  if (!ops.supports(Op::kv_cache, options.kv.type)) {
    return fail(ErrorCode::unsupported,
                "a cache of " + std::string(type_name(options.kv.type)) + " is not supported by " + ops.description());
  }
  std::vector<Ops*> layers(model->config().layers, &ops);
  const Placement& placement = model->placement();
  std::fill_n(layers.begin(), placement.host_layers, placement.host);
  auto kv = PagedKvCache::create(std::move(layers), model->kv_shape(), options.kv);
  if (!kv) return tl::make_unexpected(kv.error());
  std::unique_ptr<ModelRunner> runner(new ModelRunner(std::move(model), ops, options, std::move(*kv)));
  if (Status status = runner->allocate(); !status) return tl::make_unexpected(status.error());
  return runner;
}

Status ModelRunner::allocate() {
  const auto padded_sequences = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(options_.sequences)));
  rows_ = std::max({options_.step_tokens, options_.outputs, padded_sequences});
  if (Status status = model_->prepare(rows_); !status) return status;
  const int64_t numbers = 6 * rows_ + int64_t{kv_.pool().size()} * padded_sequences;
  auto indices = ops_.alloc(static_cast<uint64_t>(numbers) * sizeof(int32_t));
  if (!indices) return tl::make_unexpected(indices.error());
  indices_ = std::move(*indices);
  host_indices_ = ops_.host_memory(indices_.bytes());
  output_rows_ = std::max(options_.outputs, ops_.replays() ? padded_sequences : 1);
  const auto outputs = static_cast<uint64_t>(output_rows_);
  auto logits = ops_.alloc(uint64_t{model_->config().vocabulary} * outputs * sizeof(float));
  if (!logits) return tl::make_unexpected(logits.error());
  logits_ = std::move(*logits);
  host_logits_ = ops_.host_memory(logits_.bytes());
  if (!host_logits_ || !host_indices_) return fail(ErrorCode::limit, "no host memory for a step");
  if (!draws()) return {};
  auto drawings = ops_.alloc(outputs * sizeof(SamplingRow) + Drawings::kMostEdits * sizeof(LogitEdit));
  auto drawn = ops_.alloc(outputs * sizeof(TokenId));
  if (!drawings || !drawn) return tl::make_unexpected(drawings ? drawn.error() : drawings.error());
  drawings_ = std::move(*drawings);
  drawn_ = std::move(*drawn);
  host_drawings_ = ops_.host_memory(drawings_.bytes());
  host_drawn_ = ops_.host_memory(drawn_.bytes());
  if (!host_drawings_ || !host_drawn_) return fail(ErrorCode::limit, "no host memory for a step");
  return {};
}

Status ModelRunner::check(std::span<const Piece> pieces) const {
  int64_t tokens = 0, outputs = 0;
  for (const Piece& piece : pieces) {
    const auto count = static_cast<int64_t>(piece.tokens.size());
    if (count == 0) return fail(ErrorCode::usage, "a piece without tokens");
    tokens += count;
    outputs += piece.logits == Piece::Logits::none ? 0 : piece.logits == Piece::Logits::last ? 1 : count;
    for (const TokenId id : piece.tokens) {
      if (id < 0 || static_cast<uint32_t>(id) >= model_->config().vocabulary) {
        return fail(ErrorCode::usage, "token " + std::to_string(id) + " is outside the vocabulary of " +
                                          std::to_string(model_->config().vocabulary));
      }
    }
  }
  if (tokens > options_.step_tokens || outputs > options_.outputs ||
      static_cast<int64_t>(pieces.size()) > options_.sequences) {
    return fail(ErrorCode::usage, "more tokens, sequences or outputs than a step holds");
  }
  return {};
}

bool ModelRunner::is_decoding(std::span<const Piece> pieces) const {
  return std::all_of(pieces.begin(), pieces.end(), [](const Piece& piece) {
    return piece.tokens.size() == 1 && piece.logits != Piece::Logits::none;
  });
}

Step ModelRunner::upload_step(std::span<const Piece> pieces, bool padded) {
  tokens_.clear();
  seq_.clear();
  pos_.clear();
  outputs_.clear();
  size_t blocks = 0, sequences = pieces.size();
  for (const Piece& piece : pieces) blocks = std::max(blocks, piece.blocks->pages.size());
  if (padded) {
    blocks = std::min(std::bit_ceil(blocks), static_cast<size_t>(kv_.pool().size()));
    sequences = std::bit_ceil(sequences);
  }
  block_table_.assign(blocks * sequences, 0);
  for (size_t row = 0; row < pieces.size(); ++row) {
    const Piece& piece = pieces[row];
    std::copy(piece.blocks->pages.begin(), piece.blocks->pages.end(), block_table_.begin() + row * blocks);
    for (size_t i = 0; i < piece.tokens.size(); ++i) {
      const bool last = i + 1 == piece.tokens.size();
      if (piece.logits == Piece::Logits::all || (last && piece.logits == Piece::Logits::last)) {
        outputs_.push_back(static_cast<int32_t>(tokens_.size()));
      }
      tokens_.push_back(piece.tokens[i]);
      seq_.push_back(static_cast<int32_t>(row));
      pos_.push_back(static_cast<int32_t>(piece.blocks->tokens + static_cast<int64_t>(i)));
    }
  }
  while (tokens_.size() < sequences && padded) {
    outputs_.push_back(static_cast<int32_t>(tokens_.size()));
    tokens_.push_back(0);
    seq_.push_back(-1);
    pos_.push_back(0);
  }
  outputs_seq_.clear();
  outputs_pos_.clear();
  for (const int32_t t : outputs_) {
    outputs_seq_.push_back(seq_[static_cast<size_t>(t)]);
    outputs_pos_.push_back(pos_[static_cast<size_t>(t)]);
  }
  // All of it lies in one stretch, on both sides: one copy.
  auto* const host = static_cast<int32_t*>(host_indices_.get());
  int64_t place = 0, end = 0;
  const auto put = [&](const std::vector<int32_t>& values, int64_t n0, int64_t n1, Tensor& device, Tensor& same) {
    std::copy(values.begin(), values.end(), host + place);
    device = indices_.i32(static_cast<uint64_t>(place) * sizeof(int32_t), n0, n1);
    same = Tensor::i32(host + place, n0, n1);
    end = place + n0 * n1;
    place += rows_;
  };
  const auto T = static_cast<int64_t>(tokens_.size()), m = static_cast<int64_t>(outputs_.size());
  Step step;
  Tensor host_copy;  // which nobody reads
  put(tokens_, T, 1, step.tokens, step.host_tokens);
  put(seq_, T, 1, step.batch.seq, step.host_batch.seq);
  put(pos_, T, 1, step.batch.pos, step.host_batch.pos);
  put(outputs_, m, 1, step.outputs, host_copy);
  put(outputs_seq_, m, 1, step.outputs_batch.seq, host_copy);
  put(outputs_pos_, m, 1, step.outputs_batch.pos, host_copy);
  put(block_table_, static_cast<int64_t>(blocks), static_cast<int64_t>(sequences), step.batch.block_table,
      step.host_batch.block_table);
  step.outputs_batch.block_table = step.batch.block_table;
  ops_.copy_in(indices_.i32(0, end), host);
  return step;
}

void ModelRunner::upload_drawings(const Drawings& drawings, int64_t rows) {
  auto* const host = static_cast<uint8_t*>(host_drawings_.get());
  const auto put = [host](size_t at, auto numbers) {
    const auto bytes = std::as_bytes(numbers);
    std::copy(bytes.begin(), bytes.end(), reinterpret_cast<std::byte*>(host + at));
  };
  put(0, std::span(drawings.rows));
  SamplingRow nobody;
  nobody.temperature = -1;
  for (auto row = static_cast<int64_t>(drawings.rows.size()); row < rows; ++row) {
    put(static_cast<size_t>(row) * sizeof(SamplingRow), std::span(&nobody, 1));
  }
  const uint64_t edits = static_cast<uint64_t>(output_rows_) * sizeof(SamplingRow);
  put(edits, std::span(drawings.edits));
  const uint64_t bytes = edits + drawings.edits.size() * sizeof(LogitEdit);
  ops_.copy_in(drawings_.i32(0, static_cast<int64_t>(bytes / 4)), host);
}

Result<int64_t> ModelRunner::compute(std::span<const Piece> pieces, const Drawings* drawings) {
  if (Status status = check(pieces); !status) return tl::make_unexpected(status.error());
  if (pieces.empty()) return 0;
  int64_t missing = 0;
  const auto end = [](const Piece& piece) { return piece.blocks->tokens + static_cast<int64_t>(piece.tokens.size()); };
  for (const Piece& piece : pieces) {
    missing += std::max<int64_t>(0, kv_.pages_for(end(piece)) - static_cast<int64_t>(piece.blocks->pages.size()));
  }
  if (missing > kv_.pool().free()) return fail(ErrorCode::limit, "the cache has no room for these tokens");
  for (const Piece& piece : pieces) kv_.reserve(*piece.blocks, end(piece));

  const bool repeats = ops_.replays() && is_decoding(pieces);
  const Step step = upload_step(pieces, repeats);
  const int64_t rows = step.outputs.ne[0];
  const int64_t wanted = repeats ? static_cast<int64_t>(pieces.size()) : rows;
  const Tensor logits = logits_.f32(0, model_->config().vocabulary, rows);
  if (drawings) upload_drawings(*drawings, rows);
  const auto enqueue = [&] {
    model_->forward(step, kv_.layers(), logits);
    if (!drawings || rows == 0) return;
    const uint64_t edits = static_cast<uint64_t>(output_rows_) * sizeof(SamplingRow);
    ops_.sample(logits, drawings_.i32(0, sizeof(SamplingRow) / 4, rows),
                drawings_.i32(edits, sizeof(LogitEdit) / 4, Drawings::kMostEdits), drawn_.i32(0, rows));
  };
  if (repeats) {
    ops_.replay((drawings ? uint64_t{1} << 63 : 0) | static_cast<uint64_t>(step.tokens.ne[0]) << 32 |
                    static_cast<uint64_t>(step.batch.block_table.ne[0]),
                enqueue);
  } else {
    enqueue();
  }
  if (wanted > 0 && drawings) ops_.copy_out(host_drawn_.get(), drawn_.i32(0, wanted));
  if (wanted > 0 && !drawings) ops_.copy_out(host_logits_.get(), logits.slice(1, 0, wanted));
  if (Status status = ops_.sync(); !status) return tl::make_unexpected(status.error());
  if (Ops* host = model_->placement().host) {
    if (Status status = host->sync(); !status) return tl::make_unexpected(status.error());
  }
  for (const Piece& piece : pieces) piece.blocks->tokens = end(piece);
  return wanted;
}

Result<std::span<float>> ModelRunner::run(std::span<const Piece> pieces) {
  return compute(pieces, nullptr).map([this](int64_t rows) {
    return std::span(static_cast<float*>(host_logits_.get()), static_cast<size_t>(rows) * model_->config().vocabulary);
  });
}

Result<std::span<const TokenId>> ModelRunner::draw(std::span<const Piece> pieces, const Drawings& drawings) {
  size_t wanted = 0;
  for (const Piece& piece : pieces) {
    wanted += piece.logits == Piece::Logits::all ? piece.tokens.size() : piece.logits == Piece::Logits::last ? 1 : 0;
  }
  if (drawings.rows.size() != wanted || drawings.edits.size() > Drawings::kMostEdits) {
    return fail(ErrorCode::usage, "a way to draw for each row of logits, and at most " +
                                      std::to_string(Drawings::kMostEdits) + " changes to logits");
  }
  return compute(pieces, &drawings).map([this](int64_t rows) {
    return std::span(static_cast<const TokenId*>(host_drawn_.get()), static_cast<size_t>(rows));
  });
}

}  // namespace vitrine
