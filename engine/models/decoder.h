// What all supported models share: embedding, layers of attention and feed-forward
// around a residual stream, norm before each, a head. A model adds its attention.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "engine/models/feed_forward.h"
#include "engine/models/model.h"
#include "engine/models/step_memory.h"
#include "engine/models/tensor_loader.h"

namespace vitrine {

class Decoder : public Model {
 public:
  Status prepare(int64_t tokens) final;
  void forward(const Step& step, std::span<KvCache> caches, const Tensor& logits) final;

 protected:
  Decoder(const ModelConfig& config, Ops& ops) : Model(config), ops_(ops) {}

  // Everything; calls load_attention() for each layer. To be called once, after construction.
  void load(TensorLoader& loader);

  // ---- the model's own part
  virtual void load_attention(TensorLoader& loader, const std::string& prefix) = 0;  // "blk.3."
  virtual void prepare_attention(StepMemory& memory) = 0;
  // The widest row that goes into one of its matrices.
  virtual int64_t widest_attention_input() const = 0;
  // Attends within `step`, which is layer `layer`'s turn.
  //     rope [rope.dimensions, T]; h (normed input), y [embedding, T]
  virtual void attend(uint32_t layer, const Step& step, const Tensor& rope, const Tensor& h, KvCache& cache,
                      const Tensor& y) = 0;

  AttentionParams attention_params() const { return {.scale = static_cast<float>(config_.attention_scale)}; }
  float rms_eps() const { return static_cast<float>(config_.rms_eps); }

  Ops& ops_;

 private:
  struct Layer {
    Weight attention_norm;  // [embedding]
    Weight ffn_norm;        // [embedding]
    std::variant<FeedForward, MixtureOfExperts> ffn;
  };

  void feed_forward(const Layer& layer, const Tensor& h, const Tensor& y);  // both [embedding, T]

  Weight embedding_;    // [embedding, vocabulary]
  Buffer frequencies_;  // f32 [rope.dimensions / 2]
  std::vector<Layer> layers_;
  Weight output_norm_;  // [embedding]
  Weight output_;       // [embedding, vocabulary]

  Rows x_, h_, delta_;      // [embedding, T]
  Rows last_, last_delta_;  // [embedding, T]: of tokens with logits
  Rows rope_;               // [rope.dimensions, T]
  MixtureOfExperts::Memory moe_;
};

// The architectures (deepseek.cc, grouped_query.cc).
Result<std::unique_ptr<Model>> load_deepseek(TensorLoader& loader);
Result<std::unique_ptr<Model>> load_grouped_query(TensorLoader& loader);

}  // namespace vitrine
