// What all supported models share: embedding, layers of attention and feed-forward
// around a residual stream, norm before each, a head. A model adds its attention.
//
// A decoder can be a part of its model: the layers from some number on, or up to one.
// Where the host computes the first layers, two of them stand behind each other
// (split_model.h).
#pragma once

#include <initializer_list>
#include <string>
#include <variant>
#include <vector>

#include "engine/models/feed_forward.h"
#include "engine/models/model.h"
#include "engine/models/step_memory.h"
#include "engine/models/tensor_loader.h"

namespace vitrine {

// Layers [first, end). With layer 0 comes the embedding, with the last the head.
struct LayerRange {
  uint32_t first = 0, end = 0;
  uint32_t count() const { return end - first; }
};

// Tokens of a layer: what its attention sees of them, and where they stand.
struct LayerTokens {
  Tensor h;     // [embedding, n] the normed residual stream
  Tensor rope;  // [rope.dimensions, n]
  Batch batch;
  int64_t count() const { return h.ne[1]; }
};

class Decoder : public Model {
 public:
  Status prepare(int64_t tokens) final;
  // Of a part: `caches` of its layers; without layer 0, residual() holds what the layers before have
  // left, and without the last layer it holds the result and `logits` is not looked at.
  void forward(const Step& step, std::span<KvCache> caches, const Tensor& logits) final;
  Tensor residual(int64_t tokens) const { return x_.f32(tokens); }  // [embedding, T]

 protected:
  Decoder(const ModelConfig& config, Ops& ops, const Placement& placement, LayerRange range)
      : Model(config, placement), ops_(ops), range_(range) {}

  // Everything; calls load_attention() for each layer. To be called once, after construction.
  void load(TensorLoader& loader);

  // ---- the model's own part
  virtual void load_attention(TensorLoader& loader, uint32_t layer, const std::string& prefix) = 0;  // 3, "blk.3."
  virtual void prepare_attention(StepMemory& memory) = 0;
  // The widest row that goes into one of its matrices.
  virtual int64_t widest_attention_input() const = 0;
  // Layer `layer`'s turn: stores the keys and values of `all` tokens of the step, and attends for those
  // that are `asking`: `all` itself, or some (maybe none).
  //     y [embedding, asking.count()]
  virtual void attend(uint32_t layer, const LayerTokens& all, const LayerTokens& asking, KvCache& cache,
                      const Tensor& y) = 0;

  // What attend() begins with: products over all tokens and one over those asking, in one call where
  // they are the same.
  void project(std::initializer_list<Ops::Product> of_all, const LayerTokens& all, const Ops::Product& of_asking,
               const LayerTokens& asking);
  // The weights that h meets in there first (Ops::prepare_for).
  virtual std::vector<const Weight*> attention_inputs(uint32_t layer) const = 0;

  AttentionParams attention_params() const { return {.scale = static_cast<float>(config_.attention_scale)}; }
  float rms_eps() const { return static_cast<float>(config_.rms_eps); }

  Ops& ops_;
  const LayerRange range_;

 private:
  struct Layer {
    Weight attention_norm;  // [embedding]
    Weight ffn_norm;        // [embedding]
    std::variant<FeedForward, MixtureOfExperts> ffn;
    std::vector<const Weight*> attention_inputs, ffn_inputs;  // what reads the two norms
  };

  bool has_head() const { return range_.end == config_.layers; }
  void feed_forward(const Layer& layer, const Tensor& h, const Tensor& y);  // both [embedding, T]

  Weight embedding_;    // [embedding, vocabulary]
  Buffer frequencies_;  // f32 [rope.dimensions / 2]
  std::vector<Layer> layers_;
  Weight output_norm_;  // [embedding]
  Weight output_;       // [embedding, vocabulary]

  Rows x_, h_, delta_;                           // [embedding, T]
  Rows rope_;                                    // [rope.dimensions, T]
  Rows last_, last_h_, last_delta_, last_rope_;  // the same of tokens with logits
  MixtureOfExperts::Memory moe_;
};

// The architectures (deepseek.cc, grouped_query.cc); for loader.ops().
Result<std::unique_ptr<Decoder>> load_deepseek(TensorLoader& loader, const Placement& placement, LayerRange range);
Result<std::unique_ptr<Decoder>> load_grouped_query(TensorLoader& loader, const Placement& placement, LayerRange range);

}  // namespace vitrine
