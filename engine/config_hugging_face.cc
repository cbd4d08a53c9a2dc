// Hyper-parameters from config.json, as transformers reads them. A key that is
// missing has the default of the model type's configuration class.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/json_tokenizer.h"
#include "base/text.h"
#include "engine/config_limits.h"

namespace vitrine {
namespace {

using nlohmann::json;

constexpr uint32_t kDepth = 16;
constexpr ConfigNames kNames = {.kv_heads = "num_key_value_heads",
                                .rope_dimensions = "head_dim",
                                .rope_theta = "rope_theta",
                                .experts_used = "num_experts_per_tok",
                                .leading_dense = "first_k_dense_replace",
                                .groups = "n_group",
                                .groups_used = "topk_group"};

// The document, if it is one object without a key that comes twice in one object.
Result<json> parse_document(std::string_view text, const std::string& name) {
  const auto broken = [&](const std::string& message) { return fail(ErrorCode::malformed, message, name); };
  JsonTokenizer tokens(text, kDepth);
  JsonToken token;
  std::string scratch;
  std::vector<std::vector<std::string>> keys;  // of each open container
  while (tokens.next(token)) {
    switch (token.kind) {
      case JsonToken::Kind::begin_object:
      case JsonToken::Kind::begin_array: keys.emplace_back(); break;
      case JsonToken::Kind::end_object: {
        std::sort(keys.back().begin(), keys.back().end());
        const auto twice = std::adjacent_find(keys.back().begin(), keys.back().end());
        if (twice != keys.back().end()) return broken("key " + printable(*twice) + " comes twice");
        keys.pop_back();
        break;
      }
      case JsonToken::Kind::end_array: keys.pop_back(); break;
      case JsonToken::Kind::key: keys.back().emplace_back(unescaped(token, scratch)); break;
      default: break;
    }
  }
  if (token.kind == JsonToken::Kind::too_deep) return broken("is nested too deeply");
  if (token.kind != JsonToken::Kind::end || token.offset != text.size()) return broken("is no well-formed JSON");
  json document = json::parse(text, nullptr, false);
  if (!document.is_object()) return broken("is no JSON object");
  return document;
}

// `key` may be a path, "rope_scaling/type". null counts as absent.
ConfigValue value_of(const json& document, std::string_view key) {
  using Kind = ConfigValue::Kind;
  const json* at = &document;
  while (!key.empty()) {
    const size_t slash = std::min(key.find('/'), key.size());
    if (!at->is_object()) return {};
    const auto found = at->find(std::string(key.substr(0, slash)));
    if (found == at->end()) return {};
    at = &*found;
    key.remove_prefix(std::min(slash + 1, key.size()));
  }
  switch (at->type()) {
    case json::value_t::null: return {};
    case json::value_t::number_unsigned:
      return {.kind = Kind::integer, .integer = at->get<uint64_t>(), .real = at->get<double>()};
    case json::value_t::number_integer:
    case json::value_t::number_float: return {.kind = Kind::real, .real = at->get<double>()};
    case json::value_t::boolean: return {.kind = Kind::boolean, .boolean = at->get<bool>()};
    case json::value_t::string: return {.kind = Kind::text, .text = at->get_ref<const std::string&>()};
    default: return {.kind = Kind::other};
  }
}

class HfConfigReader {
 public:
  HfConfigReader(const json& document, const std::string& name)
      : document_(document), keys_([&document](std::string_view key) { return value_of(document, key); }, name) {}

  Result<ModelConfig> read() {
    read_architecture();
    if (keys_.failed()) return tl::make_unexpected(keys_.error());
    read_sizes();
    if (is_deepseek()) {
      read_mla();
    } else {
      read_attention();
    }
    read_rope();
    if (is_deepseek()) read_deepseek_moe();
    if (config_.architecture == Architecture::mixtral) read_mixtral_moe();
    if (config_.architecture == Architecture::qwen3moe) read_qwen_moe();
    read_quantization();
    check_consistency(config_, kNames, keys_);
    if (keys_.failed()) return tl::make_unexpected(keys_.error());
    return config_;
  }

 private:
  bool is_deepseek() const { return config_.architecture == Architecture::deepseek2; }

  void read_architecture() {
    const std::string_view type = keys_.text("model_type");
    v3_ = type == "deepseek_v3";
    if (v3_ || type == "deepseek_v2") {
      config_.architecture = Architecture::deepseek2;
    } else if (type == "llama") {
      config_.architecture = Architecture::llama;
    } else if (type == "mixtral") {
      config_.architecture = Architecture::mixtral;
    } else if (type == "qwen2") {
      config_.architecture = Architecture::qwen2;
    } else if (type == "qwen3_moe") {
      config_.architecture = Architecture::qwen3moe;
    } else {
      keys_.refuse("model_type",
                   "\"" + printable(type) +
                       "\" is not supported; deepseek_v2, deepseek_v3, llama, mixtral, qwen2 and qwen3_moe are");
    }
    config_.name = keys_.text("_name_or_path", "");
  }

  void read_sizes() {
    config_.vocabulary = keys_.count("vocab_size", limits::kVocabulary);
    config_.context = keys_.count("max_position_embeddings", limits::kContext);
    config_.embedding = keys_.count("hidden_size", limits::kEmbedding);
    config_.layers = keys_.count("num_hidden_layers", limits::kLayers);
    config_.mtp_layers = keys_.count_or_zero("num_nextn_predict_layers", limits::kLayers, 0);
    config_.heads = keys_.count("num_attention_heads", limits::kHeads);
    config_.kv_heads = keys_.count("num_key_value_heads", limits::kHeads, config_.heads);
    config_.ffn = keys_.count("intermediate_size", limits::kFfn);
    config_.rms_eps = keys_.positive("rms_norm_eps");
    config_.tied_output = keys_.flag("tie_word_embeddings", false);
    config_.qkv_bias = config_.architecture == Architecture::qwen2;
    config_.qk_norm = config_.architecture == Architecture::qwen3moe;
    if (!keys_.has("hidden_act")) keys_.fault("hidden_act", "is missing");
    keys_.expect("hidden_act", {"silu"});
    keys_.expect_off("attention_bias");
    keys_.expect_off("mlp_bias");
    // Qwen's files carry a window and a switch; Mixtral's window is its own switch.
    keys_.expect_off("use_sliding_window");
    if (config_.architecture == Architecture::mixtral && keys_.has("sliding_window")) {
      keys_.refuse("sliding_window", "sliding windows are not supported");
    }
  }

  void read_attention() {
    config_.k_dim = keys_.count("head_dim", limits::kHeadDim, config_.embedding / config_.heads);
    if (config_.k_dim == 0) keys_.fault("num_attention_heads", "is more than hidden_size");
    config_.v_dim = config_.k_dim;
    config_.rope.dimensions = config_.k_dim;
    config_.attention_scale = 1 / std::sqrt(static_cast<double>(config_.k_dim));
  }

  void read_mla() {
    MlaConfig mla;
    mla.q_lora_rank = keys_.count_or_zero("q_lora_rank", limits::kRank, 0);
    mla.kv_lora_rank = keys_.count("kv_lora_rank", limits::kRank);
    mla.qk_nope = keys_.count("qk_nope_head_dim", limits::kHeadDim);
    mla.qk_rope = keys_.count("qk_rope_head_dim", limits::kHeadDim);
    mla.v_head = keys_.count("v_head_dim", limits::kHeadDim);
    config_.kv_heads = config_.heads;
    config_.k_dim = mla.qk_nope + mla.qk_rope;
    config_.v_dim = mla.v_head;
    config_.rope.dimensions = mla.qk_rope;
    config_.attention_scale = 1 / std::sqrt(static_cast<double>(config_.k_dim));
    config_.mla = mla;
  }

  // Files before transformers 5: rope_theta, and rope_scaling or null. Since
  // then: rope_parameters with both.
  void read_rope() {
    RopeConfig& rope = config_.rope;
    // Files of the other models keep halves of a head together; DeepSeek's pair neighbours.
    rope.style = is_deepseek() && keys_.flag("rope_interleave", true) ? RopeStyle::interleaved : RopeStyle::halves;
    const std::string group = keys_.has("rope_parameters") ? "rope_parameters/" : "rope_scaling/";
    const auto key = [&](const char* name) { return group + name; };
    if (keys_.has(key("rope_theta"))) {
      rope.theta = keys_.positive(key("rope_theta"));
    } else if (config_.architecture == Architecture::mixtral) {
      rope.theta = keys_.positive("rope_theta");  // its models and its class differ: no default
    } else {
      rope.theta = keys_.positive("rope_theta", 10000);
    }
    for (const std::string& name : {key("partial_rotary_factor"), std::string("partial_rotary_factor")}) {
      if (keys_.has(name) && keys_.positive(name) != 1) keys_.refuse(name, "other values than 1 are not supported");
    }
    const std::string_view group_name = std::string_view(group).substr(0, group.size() - 1);
    if (!keys_.has(group_name)) return;
    if (keys_.get(group_name).kind != ConfigValue::Kind::other) return keys_.fault(group_name, "must be an object");
    const std::string type_key = keys_.has(key("rope_type")) ? key("rope_type") : key("type");
    const std::string_view type = keys_.text(type_key);
    if (type == "default") return;
    rope.factor = keys_.positive(key("factor"));
    if (type == "linear") {
      rope.scaling = RopeConfig::Scaling::linear;
    } else if (type == "llama3") {
      rope.scaling = RopeConfig::Scaling::llama3;
      rope.original_context = keys_.count(key("original_max_position_embeddings"), limits::kContext);
      rope.low_freq_factor = keys_.positive(key("low_freq_factor"));
      rope.high_freq_factor = keys_.positive(key("high_freq_factor"));
      if (rope.high_freq_factor <= rope.low_freq_factor) {
        keys_.fault(key("high_freq_factor"), "must be greater than low_freq_factor");
      }
    } else if (type == "yarn") {
      rope.scaling = RopeConfig::Scaling::yarn;
      rope.original_context = keys_.count(key("original_max_position_embeddings"), limits::kContext);
      rope.beta_fast = keys_.positive(key("beta_fast"), 32);
      rope.beta_slow = keys_.positive(key("beta_slow"), 1);
      rope.truncate = keys_.flag(key("truncate"), true);
      read_yarn_magnitudes(rope, group);
    } else {
      keys_.refuse(type_key, "\"" + printable(type) + "\" is not supported");
    }
  }

  // cos and sin take mscale / mscale_all_dim; DeepSeek's scores take m(mscale_all_dim)².
  void read_yarn_magnitudes(RopeConfig& rope, const std::string& group) {
    const double mscale = keys_.not_negative(group + "mscale", 1);
    const double all_dims = keys_.not_negative(group + "mscale_all_dim", 0);
    rope.magnitude = keys_.positive(group + "attention_factor",
                                    yarn_mscale(rope.factor, mscale) / yarn_mscale(rope.factor, all_dims));
    if (config_.mla) {
      const double m = yarn_mscale(rope.factor, all_dims);
      config_.attention_scale *= m * m;
    }
  }

  void read_deepseek_moe() {
    MoeConfig moe;
    moe.experts = keys_.count("n_routed_experts", limits::kExperts);
    moe.experts_used = keys_.count("num_experts_per_tok", limits::kExperts);
    moe.expert_ffn = keys_.count("moe_intermediate_size", limits::kFfn);
    moe.shared_experts = keys_.count_or_zero("n_shared_experts", limits::kExperts, 0);
    moe.leading_dense = keys_.count_or_zero("first_k_dense_replace", limits::kLayers, v3_ ? 3 : 0);
    moe.scale = keys_.positive("routed_scaling_factor", v3_ ? 2.5 : 1);
    moe.renormalize = keys_.flag("norm_topk_prob", v3_);
    if (keys_.count("moe_layer_freq", limits::kLayers, 1) != 1) {
      keys_.refuse("moe_layer_freq", "other values than 1 are not supported");
    }
    // transformers' own V3 files leave out what its class does not vary.
    const std::string_view method = keys_.text("topk_method", v3_ ? "noaux_tc" : "greedy");
    const std::string_view scoring = keys_.text("scoring_func", v3_ ? "sigmoid" : "softmax");
    if (scoring == "sigmoid") {
      moe.scoring = Scoring::sigmoid;
    } else if (scoring != "softmax") {
      keys_.refuse("scoring_func", "\"" + printable(scoring) + "\" is not supported");
    }
    if (method == "noaux_tc" || method == "group_limited_greedy") {
      moe.groups = keys_.count("n_group", limits::kExperts, 1);
      moe.groups_used = keys_.count("topk_group", limits::kExperts, 1);
      moe.selection_bias = method == "noaux_tc";
      moe.group_top = moe.selection_bias && moe.groups > 1 ? 2 : 1;
    } else if (method != "greedy") {
      keys_.refuse("topk_method", "\"" + printable(method) + "\" is not supported");
    }
    config_.moe = moe;
  }

  void read_mixtral_moe() {
    MoeConfig moe;
    moe.experts = keys_.count("num_local_experts", limits::kExperts);
    moe.experts_used = keys_.count("num_experts_per_tok", limits::kExperts);
    moe.expert_ffn = config_.ffn;
    moe.renormalize = true;
    config_.ffn = 0;
    config_.moe = moe;
  }

  void read_qwen_moe() {
    MoeConfig moe;
    moe.experts = keys_.count(keys_.has("num_experts") ? "num_experts" : "num_local_experts", limits::kExperts);
    moe.experts_used = keys_.count("num_experts_per_tok", limits::kExperts);
    moe.expert_ffn = keys_.count("moe_intermediate_size", limits::kFfn);
    moe.renormalize = keys_.flag("norm_topk_prob", false);
    if (keys_.count("decoder_sparse_step", limits::kLayers, 1) != 1) {
      keys_.refuse("decoder_sparse_step", "other values than 1 are not supported");
    }
    const auto dense = document_.find("mlp_only_layers");
    if (dense != document_.end() && !dense->is_null() && !(dense->is_array() && dense->empty())) {
      keys_.refuse("mlp_only_layers", "dense layers among the others are not supported");
    }
    config_.ffn = 0;
    config_.moe = moe;
  }

  void read_quantization() {
    const auto found = document_.find("quantization_config");
    if (found == document_.end() || found->is_null()) return;
    if (!found->is_object()) return keys_.fault("quantization_config", "must be an object");
    const std::string_view method = keys_.text("quantization_config/quant_method");
    if (method != "fp8") {
      return keys_.refuse("quantization_config/quant_method", "\"" + printable(method) + "\" is not supported; fp8 is");
    }
    keys_.expect("quantization_config/fmt", {"e4m3"});
    const auto block = found->find("weight_block_size");
    if (block == found->end() || *block != json::array({128, 128})) {
      keys_.refuse("quantization_config/weight_block_size", "other blocks than [128, 128] are not supported");
    }
  }

  const json& document_;
  ConfigReader keys_;
  ModelConfig config_;
  bool v3_ = false;
};

}  // namespace

Result<ModelConfig> config_from_hugging_face(std::string_view text, const std::string& name) {
  const auto document = parse_document(text, name);
  if (!document) return tl::make_unexpected(document.error());
  return HfConfigReader(*document, name).read();
}

}  // namespace vitrine
