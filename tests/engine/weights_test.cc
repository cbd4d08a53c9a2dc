// The same weights by the same names from both formats; errors that name tensor,
// file, expected and found.
#include "engine/weights.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/gguf_writer.h"
#include "engine/hf_names.h"
#include "tests/engine/gguf_bytes.h"

namespace vitrine {
namespace {

using nlohmann::json;

// A safetensors file in memory, from (name, dtype, shape) with bytes that tell tensors apart.
struct SafetensorsBytes {
  json header = json::object();
  std::string data;

  void add(const std::string& name, const std::string& dtype, const std::vector<uint64_t>& shape, uint64_t element) {
    uint64_t bytes = element;
    for (const uint64_t n : shape) bytes *= n;
    header[name] = {{"dtype", dtype}, {"shape", shape}, {"data_offsets", {data.size(), data.size() + bytes}}};
    for (uint64_t i = 0; i < bytes; ++i) data.push_back(static_cast<char>(data.size() % 251));
  }
  std::string bytes() const {
    const std::string text = header.dump();
    return le(text.size(), 8) + text + data;
  }
};

// DeepSeek, tiny: two layers, the first dense.
ModelConfig tiny_deepseek() {
  ModelConfig c;
  c.architecture = Architecture::deepseek2;
  c.vocabulary = 16;
  c.embedding = 8;
  c.layers = 2;
  c.ffn = 12;
  c.heads = c.kv_heads = 2;
  c.mla = MlaConfig{.q_lora_rank = 6, .kv_lora_rank = 4, .qk_nope = 3, .qk_rope = 2, .v_head = 5};
  c.k_dim = 5;
  c.v_dim = 5;
  c.moe = MoeConfig{.experts = 3, .experts_used = 2, .expert_ffn = 7, .shared_experts = 1, .leading_dense = 1};
  c.moe->selection_bias = true;
  return c;
}

// All tensors of `config` under Hugging Face's names, experts one by one.
SafetensorsBytes hugging_face(const ModelConfig& config) {
  SafetensorsBytes file;
  for (const TensorSpec& spec : tensor_specs(config, MlaLayout::combined)) {
    const HfName name = hf_names(config.architecture, spec.name).front();
    std::vector<uint64_t> shape = {spec.ne[0]};
    if (spec.ne[1] > 1 || spec.role != TensorRole::norm) shape.insert(shape.begin(), spec.ne[1]);
    const bool experts = name.per_expert();
    for (uint32_t e = 0; e < (experts ? spec.ne[2] : 1); ++e) {
      file.add(experts ? name.of_expert(e) : name.name, "F32", shape, 4);
    }
  }
  return file;
}

struct Opened {
  std::string bytes;
  std::optional<Weights> weights;
};
std::unique_ptr<Opened> open(const SafetensorsBytes& file, const ModelConfig& config) {
  auto out = std::make_unique<Opened>();
  out->bytes = file.bytes();
  auto model = SafetensorsModel::from_bytes(as_bytes(out->bytes), "model.safetensors");
  EXPECT_TRUE(model.has_value()) << model.error().to_string();
  out->weights = Weights::from(std::move(*model), config);
  return out;
}

TEST(Weights, EveryTensorOfEveryArchitectureHasAHuggingFaceName) {
  for (const char* name :
       {"deepseek-v3", "deepseek-v2-lite", "llama-3.1-8b", "qwen2-7b", "qwen3-30b-a3b", "mixtral-8x7b"}) {
    std::ifstream in(VITRINE_SOURCE_DIR "/tests/golden/hf_config/" + std::string(name) + ".json");
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    const auto config = config_from_hugging_face(text, name);
    ASSERT_TRUE(config.has_value());
    for (const TensorSpec& spec : tensor_specs(*config, MlaLayout::combined)) {
      EXPECT_FALSE(hf_names(config->architecture, spec.name).empty()) << spec.name;
    }
  }
  EXPECT_TRUE(hf_names(Architecture::llama, "blk.0.unheard_of.weight").empty());
  EXPECT_TRUE(hf_names(Architecture::llama, "blk.0").empty());
}

TEST(Weights, HuggingFaceTensorsByGgufNames) {
  const ModelConfig config = tiny_deepseek();
  const auto opened = open(hugging_face(config), config);
  const Weights& w = *opened->weights;
  ASSERT_TRUE(w.check().has_value()) << w.check().error().to_string();
  EXPECT_EQ(w.mla_layout(), MlaLayout::combined);
  EXPECT_TRUE(w.has("blk.1.ffn_up_exps.weight"));
  EXPECT_FALSE(w.has("blk.0.ffn_up_exps.weight"));
  EXPECT_FALSE(w.has("blk.0.attn_q.weight"));
  const auto q = w.get("blk.1.attn_q_b.weight", {6, 10});
  ASSERT_TRUE(q.has_value()) << q.error().to_string();
  const SafetensorsTensor* raw = w.safetensors()->find("model.layers.1.self_attn.q_b_proj.weight");
  EXPECT_EQ(q->row(0, 3), w.safetensors()->data(*raw).data() + 3 * 6 * 4);
  const auto experts = w.experts("blk.1.ffn_down_exps.weight", 7, 8, 3);
  ASSERT_TRUE(experts.has_value());
  ASSERT_EQ(experts->size(), 3u);
  raw = w.safetensors()->find("model.layers.1.mlp.experts.2.down_proj.weight");
  EXPECT_EQ(experts->at(2).row(0, 0), w.safetensors()->data(*raw).data());
}

TEST(Weights, UpProjectionOfMlaFromKvB) {
  const ModelConfig config = tiny_deepseek();
  const auto opened = open(hugging_face(config), config);
  const auto up = opened->weights->mla_up_projection(1);
  ASSERT_TRUE(up.has_value()) << up.error().to_string();
  EXPECT_TRUE(up->k_transposed);
  EXPECT_EQ(up->k.ne, (std::array<uint64_t, 3>{4, 3, 2}));
  EXPECT_EQ(up->v.ne, (std::array<uint64_t, 3>{4, 5, 2}));
  const auto* raw = opened->weights->safetensors()->find("model.layers.1.self_attn.kv_b_proj.weight");
  const uint8_t* rows = opened->weights->safetensors()->data(*raw).data();
  EXPECT_EQ(up->k.row(1, 0), rows + 8 * 16);  // head 1 begins behind 3 + 5 rows of 4 floats
  EXPECT_EQ(up->v.row(1, 2), rows + (8 + 3 + 2) * 16);
}

TEST(Weights, StackedExpertsOfTransformers5) {
  const ModelConfig config = tiny_deepseek();
  SafetensorsBytes file = hugging_face(config);
  SafetensorsBytes stacked;
  for (const auto& [name, entry] : file.header.items()) {
    if (name.find(".experts.") == std::string::npos) stacked.add(name, "F32", entry["shape"], 4);
  }
  stacked.add("model.layers.1.mlp.experts.gate_up_proj", "F32", {3, 14, 8}, 4);
  stacked.add("model.layers.1.mlp.experts.down_proj", "F32", {3, 8, 7}, 4);
  const auto opened = open(stacked, config);
  const Weights& w = *opened->weights;
  ASSERT_TRUE(w.check().has_value()) << w.check().error().to_string();
  const auto up = w.experts("blk.1.ffn_up_exps.weight", 8, 7, 3);
  ASSERT_TRUE(up.has_value());
  ASSERT_EQ(up->size(), 1u);
  EXPECT_EQ(up->front().ne, (std::array<uint64_t, 3>{8, 7, 3}));
  const uint8_t* raw = w.safetensors()->data(*w.safetensors()->find("model.layers.1.mlp.experts.gate_up_proj")).data();
  EXPECT_EQ(up->front().row(2, 4), raw + (2 * 14 + 7 + 4) * 8 * 4);
}

TEST(Weights, MissingAndWrongTensorsAreNamed) {
  const ModelConfig config = tiny_deepseek();
  SafetensorsBytes file = hugging_face(config);
  auto opened = open(file, config);
  EXPECT_EQ(opened->weights->get("blk.0.attn_q_b.weight", {6, 11}).error().to_string(),
            "model.safetensors, tensor model.layers.0.self_attn.q_b_proj.weight: expected [11, 6], found [10, 6]");
  EXPECT_EQ(opened->weights->get("blk.7.attn_q_b.weight", {6, 10}).error().to_string(),
            "model.safetensors, tensor model.layers.7.self_attn.q_b_proj.weight: is missing; expected [10, 6]");
  SafetensorsBytes less;
  for (const auto& [name, entry] : file.header.items()) {
    if (name != "model.layers.1.mlp.experts.2.up_proj.weight") less.add(name, "F32", entry["shape"], 4);
  }
  opened = open(less, config);
  EXPECT_EQ(opened->weights->check().error().to_string(),
            "model.safetensors, tensor model.layers.1.mlp.experts.2.up_proj.weight: is missing; expected [7, 8]");
}

TEST(Weights, TypesWithoutKernels) {
  SafetensorsBytes file;
  file.add("model.norm.weight", "I8", {8}, 1);
  const auto opened = open(file, tiny_deepseek());
  EXPECT_EQ(opened->weights->get("output_norm.weight", {8}).error().to_string(),
            "model.safetensors, tensor model.norm.weight: dtype I8 is not supported");
}

// FP8 with 128 x 128 scale blocks; 200 x 130 has partial blocks at both edges.
TEST(Weights, Fp8Scales) {
  ModelConfig config = tiny_deepseek();
  const std::string name = "model.layers.0.mlp.gate_proj.weight";
  SafetensorsBytes file;
  file.add(name, "F8_E4M3", {200, 130}, 1);
  file.add(name + "_scale_inv", "F32", {2, 2}, 4);
  auto opened = open(file, config);
  const auto view = opened->weights->get("blk.0.ffn_gate.weight", {130, 200});
  ASSERT_TRUE(view.has_value()) << view.error().to_string();
  EXPECT_EQ(view->type, Type::f8_e4m3);
  EXPECT_EQ(view->scales.size(), 16u);

  const auto error_with = [&](const std::string& dtype, const std::vector<uint64_t>& shape, uint64_t element) {
    SafetensorsBytes bad;
    bad.add(name, "F8_E4M3", {200, 130}, 1);
    if (!dtype.empty()) bad.add(name + "_scale_inv", dtype, shape, element);
    return open(bad, config)->weights->get("blk.0.ffn_gate.weight", {130, 200}).error().to_string();
  };
  const std::string where = "model.safetensors, tensor " + name + "_scale_inv: ";
  EXPECT_EQ(error_with("", {}, 0), where + "is missing; expected [2, 2]");
  EXPECT_EQ(error_with("F32", {1, 2}, 4), where + "expected [2, 2], found [1, 2]");  // a partial block without a scale
  EXPECT_EQ(error_with("BF16", {2, 2}, 2), where + "dtype BF16 is not supported for scales; F32 is");
}

// ---- GGUF -----------------------------------------------------------------

std::string gguf(const ModelConfig& config, MlaLayout layout, bool separate_experts = false) {
  std::string out;
  GgufWriter writer(append_to(out));
  writer.add("general.architecture", config.architecture == Architecture::mixtral ? "llama" : "deepseek2");
  std::vector<TensorSpec> specs = tensor_specs(config, layout);
  const uint32_t f32 = 0;
  for (const TensorSpec& spec : specs) {
    if (separate_experts && spec.role == TensorRole::routed_expert) {
      for (uint64_t e = 0; e < spec.ne[2]; ++e) {
        std::string name = spec.name;
        name.replace(name.find("_exps"), 5, 1, '.').insert(name.rfind(".weight"), std::to_string(e));
        EXPECT_TRUE(writer.add_tensor(name, f32, {spec.ne[0], spec.ne[1]}).has_value());
      }
    } else {
      EXPECT_TRUE(writer.add_tensor(spec.name, f32, spec.shape()).has_value());
    }
  }
  EXPECT_TRUE(writer.begin_data().has_value());
  while (writer.left() > 0) EXPECT_TRUE(writer.write(as_bytes(std::string(writer.left(), 'w'))).has_value());
  EXPECT_TRUE(writer.finish().has_value());
  return out;
}

Weights gguf_weights(const std::string& bytes, const ModelConfig& config) {
  auto model = GgufModel::from_bytes(as_bytes(bytes), "m.gguf");
  EXPECT_TRUE(model.has_value()) << model.error().to_string();
  return Weights::from(std::move(*model), config);
}

TEST(Weights, GgufInBothMlaLayouts) {
  const ModelConfig config = tiny_deepseek();
  for (const MlaLayout layout : {MlaLayout::combined, MlaLayout::split}) {
    const std::string bytes = gguf(config, layout);
    const Weights w = gguf_weights(bytes, config);
    ASSERT_TRUE(w.check().has_value()) << w.check().error().to_string();
    EXPECT_EQ(w.mla_layout(), layout);
    const auto up = w.mla_up_projection(0);
    ASSERT_TRUE(up.has_value());
    EXPECT_EQ(up->k_transposed, layout == MlaLayout::combined);
    EXPECT_EQ(up->k.ne,
              (layout == MlaLayout::combined ? std::array<uint64_t, 3>{4, 3, 2} : std::array<uint64_t, 3>{3, 4, 2}));
    EXPECT_EQ(up->v.ne, (std::array<uint64_t, 3>{4, 5, 2}));
    EXPECT_EQ(w.experts("blk.1.ffn_up_exps.weight", 8, 7, 3)->size(), 1u);
    EXPECT_EQ(w.get("blk.0.ffn_up.weight", {8, 13}).error().to_string(),
              "m.gguf, tensor blk.0.ffn_up.weight: expected [8, 13], found [8, 12]");
    EXPECT_EQ(w.get("blk.9.ffn_up.weight", {8, 12}).error().to_string(),
              "m.gguf, tensor blk.9.ffn_up.weight: is missing; expected [8, 12]");
  }
}

TEST(Weights, GgufExpertsOneByOne) {
  ModelConfig config = tiny_deepseek();
  const std::string bytes = gguf(config, MlaLayout::split, true);
  const Weights w = gguf_weights(bytes, config);
  EXPECT_TRUE(w.check().has_value()) << w.check().error().to_string();
  EXPECT_EQ(w.experts("blk.1.ffn_up_exps.weight", 8, 7, 3)->size(), 3u);
  EXPECT_EQ(w.experts("blk.1.ffn_up_exps.weight", 8, 7, 4).error().to_string(),
            "m.gguf, tensor blk.1.ffn_up.3.weight: is missing; expected [8, 7]");
}

TEST(Weights, GgufTypesWithoutKernels) {
  GgufBytes file;
  file.tensors = {gguf_tensor("output_norm.weight", {256}, 16, 0)};  // IQ2_XXS
  file.data.assign(66, 'x');
  const std::string bytes = file.bytes();
  EXPECT_EQ(gguf_weights(bytes, tiny_deepseek()).get("output_norm.weight", {256}).error().to_string(),
            "m.gguf, tensor output_norm.weight: type IQ2_XXS is not supported");
}

TEST(Weights, TiedOutputIsTheEmbedding) {
  ModelConfig config = tiny_deepseek();
  config.tied_output = true;
  const std::string bytes = gguf(config, MlaLayout::split);
  const Weights w = gguf_weights(bytes, config);
  ASSERT_TRUE(w.output().has_value());
  EXPECT_EQ(w.output()->row(0, 0), w.get("token_embd.weight", {8, 16})->row(0, 0));
  config.tied_output = false;
  EXPECT_EQ(gguf_weights(bytes, config).output().error().to_string(),
            "m.gguf, tensor output.weight: is missing; expected [8, 16]");
}

}  // namespace
}  // namespace vitrine
