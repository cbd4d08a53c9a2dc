// Steps of a model: takes pieces of several sequences, builds the batch, runs the
// forward pass, brings the logits back.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/kv_cache.h"
#include "engine/models/model.h"
#include "engine/tokenizer_data.h"
#include "kernels/sampling.h"

namespace vitrine {

struct RunnerOptions {
  int64_t step_tokens = 256;  // at most so many tokens in a step
  int64_t sequences = 16;     // at most so many sequences in a step
  int64_t outputs = 16;       // at most so many rows of logits from a step
  KvOptions kv;
};

// The next tokens of one sequence; they stand at positions blocks->tokens and on.
struct Piece {
  enum class Logits : uint8_t { none, last, all };
  KvBlocks* blocks = nullptr;
  std::span<const TokenId> tokens;
  Logits logits = Logits::last;
};

// How the tokens of a step are drawn, a row for each row of logits.
struct Drawings {
  static constexpr size_t kMostEdits = 1 << 15;
  std::vector<SamplingRow> rows;
  std::vector<LogitEdit> edits;  // rows say which are theirs
};

class ModelRunner {
 public:
  // Borrows `ops` and what `model` borrows. usage: an option that is not positive.
  static Result<std::unique_ptr<ModelRunner>> create(std::unique_ptr<Model> model, Ops& ops,
                                                     const RunnerOptions& options);

  const Model& model() const { return *model_; }
  const RunnerOptions& options() const { return options_; }
  PagedKvCache& kv() { return kv_; }

  // One step. Reserves what the pieces lack (limit, and nothing done, when there are no pages), and
  // advances blocks->tokens. Returns the wanted rows of logits, [vocabulary] each, in order of the
  // pieces; valid until the next call. usage: a token outside the vocabulary; more than the options say.
  // After another error the pieces' sequences must be released.
  // REQUIRES: no blocks twice.
  Result<std::span<float>> run(std::span<const Piece> pieces);
  // The same, but for the tokens that the device draws from those rows (-1: none is left).
  // REQUIRES: draws(). usage: another number of rows, or too many edits.
  bool draws() const { return ops_.samples() && model_->config().vocabulary <= kMostSampled; }
  Result<std::span<const TokenId>> draw(std::span<const Piece> pieces, const Drawings& drawings);

 private:
  ModelRunner(std::unique_ptr<Model> model, Ops& ops, const RunnerOptions& options, PagedKvCache kv)
      : model_(std::move(model)), ops_(ops), options_(options), kv_(std::move(kv)) {}
  Status allocate();
  Status check(std::span<const Piece> pieces) const;
  // One token of each sequence, all logits wanted: a step that comes back in the same shape.
  bool is_decoding(std::span<const Piece> pieces) const;
  // `padded`: with tokens of no sequence up to a shape that comes back.
  Step upload_step(std::span<const Piece> pieces, bool padded);
  // Runs a step; `drawings`: and draws. Brings logits or tokens to the host, and says how many rows.
  Result<int64_t> compute(std::span<const Piece> pieces, const Drawings* drawings);
  void upload_drawings(const Drawings& drawings, int64_t rows);

  std::unique_ptr<Model> model_;
  Ops& ops_;
  RunnerOptions options_;
  PagedKvCache kv_;
  int64_t output_rows_ = 0;  // rows of logits a step holds, padding included
  int64_t rows_ = 0;         // tokens and sequences a step holds, padding included
  Buffer indices_;           // tokens, outputs, seq and pos of both [rows_] each; block table: each where it always is
  Buffer logits_;            // [vocabulary, outputs, at least the sequences padded]
  Buffer drawings_;          // where draws(): a SamplingRow per row of logits, then edits
  Buffer drawn_;             // tokens, one per row of logits
  // Of the step being built.
  std::vector<int32_t> tokens_, seq_, pos_, outputs_, outputs_seq_, outputs_pos_, block_table_;
  // The host's side, which must stay until the step is done.
  std::shared_ptr<void> host_indices_;  // as indices_
  std::shared_ptr<void> host_logits_;   // [vocabulary, outputs]
  std::shared_ptr<void> host_drawings_, host_drawn_;
};

}  // namespace vitrine
