#include "tests/synthetic/synthetic_model.h"

#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "kernels/quant.h"

namespace vitrine {
namespace {

constexpr uint32_t kMinVocabulary = 300;

// SplitMix64 (Steele, Lea, Flood 2014): small, fast, the same everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t bits() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  // Mean 0, standard deviation 1, from -3 to 3.
  double normal() { return 2 * (uniform() + uniform() + uniform()) - 3; }

 private:
  uint64_t state_;
};

uint32_t ggml_number(Type type) {
  for (uint32_t number = 0; number < 64; ++number) {
    if (type_from_ggml(number) == type) return number;
  }
  return UINT32_MAX;
}

void put_f16(uint8_t* at, double value) {
  const uint16_t bits = f32_to_f16(static_cast<float>(value));
  std::memcpy(at, &bits, 2);
}

// Makes random bytes a block of `type` with mean about 0 and standard deviation
// about `deviation`: sets its factors. The numbers are the standard deviations
// of uniformly random quants (and sub-block scales) with factor 1.
void set_factors(Type type, double deviation, uint8_t* block) {
  const auto scaled = [&](size_t d_at, double unit) { put_f16(block + d_at, deviation / unit); };
  const auto shifted = [&](size_t d_at, double unit, size_t m_at, double middle) {
    put_f16(block + d_at, deviation / unit);
    put_f16(block + m_at, deviation / unit * middle);
  };
  switch (type) {
    case Type::q4_0: return scaled(0, 4.6);
    case Type::q5_0: return scaled(0, 9.2);
    case Type::q8_0: return scaled(0, 73.9);
    case Type::q4_1: return shifted(0, 4.6, 2, -7.5);
    case Type::q5_1: return shifted(0, 9.2, 2, -15.5);
    case Type::q2_k: return shifted(80, 12, 82, 1.5);
    case Type::q3_k: return scaled(108, 42);
    case Type::q4_k: return shifted(0, 230, 2, 7.5);
    case Type::q5_k: return shifted(0, 460, 2, 15.5);
    case Type::q6_k: return scaled(208, 1366);
    case Type::mxfp4: {  // elements have a standard deviation of 3 times the power of two
      block[0] = static_cast<uint8_t>(127 + std::lround(std::log2(deviation / 3)));
      return;
    }
    default: return;
  }
}

// Some MiB of blocks, written again and again at other starts: as good as random
// for speed and routing, without a random number per weight.
class BlockPool {
 public:
  BlockPool(Type type, double deviation, Random& random) : block_bytes_(block_bytes(type)) {
    // A prime number of blocks: rows begin at ever other places of the pool.
    const size_t blocks = block_elements(type) == 1 ? 524287 : 65521;
    bytes_.resize(blocks * block_bytes_);
    for (size_t i = 0; i < blocks; ++i) {
      uint8_t* block = bytes_.data() + i * block_bytes_;
      if (block_elements(type) == 1) {
        const float value = static_cast<float>(random.normal() * deviation);
        quantize_row(type, &value, 1, block);
      } else {
        for (size_t b = 0; b < block_bytes_; b += 8) {
          const uint64_t bits = random.bits();
          std::memcpy(block + b, &bits, std::min<size_t>(8, block_bytes_ - b));
        }
        set_factors(type, deviation, block);
      }
    }
  }

  Status write(GgufWriter& writer, uint64_t bytes, Random& random) const {
    size_t at = random.bits() % (bytes_.size() / block_bytes_) * block_bytes_;
    while (bytes > 0) {
      const size_t now = std::min<uint64_t>(bytes, bytes_.size() - at);
      if (Status status = writer.write(Bytes(bytes_.data() + at, now)); !status) return status;
      bytes -= now;
      at = 0;
    }
    return {};
  }

 private:
  size_t block_bytes_;
  std::vector<uint8_t> bytes_;
};

// ---- keys -----------------------------------------------------------------

std::string_view file_architecture(Architecture architecture) {
  return architecture == Architecture::mixtral ? "llama" : architecture_name(architecture);
}

class KeyWriter {
 public:
  KeyWriter(const ModelConfig& config, const SyntheticOptions& options, GgufWriter& writer)
      : c_(config),
        options_(options),
        writer_(writer),
        prefix_(std::string(file_architecture(config.architecture)) + ".") {}

  void write() {
    writer_.add("general.architecture", file_architecture(c_.architecture));
    writer_.add("general.name", c_.name.empty() ? "synthetic" : c_.name + " (synthetic)");
    count("context_length", c_.context);
    count("embedding_length", c_.embedding);
    count("block_count", c_.layers);
    count("feed_forward_length", c_.ffn > 0 ? c_.ffn : c_.moe->expert_ffn);
    count("vocab_size", c_.vocabulary);
    count("attention.head_count", c_.heads);
    real("attention.layer_norm_rms_epsilon", c_.rms_eps);
    if (c_.mla) {
      write_mla(*c_.mla);
    } else {
      count("attention.head_count_kv", c_.kv_heads);
      count("attention.key_length", c_.k_dim);
      count("attention.value_length", c_.v_dim);
    }
    write_rope();
    if (c_.moe) write_moe(*c_.moe);
  }

 private:
  void count(const char* key, uint32_t value) { writer_.add(prefix_ + key, value); }
  void real(const char* key, double value) { writer_.add(prefix_ + key, static_cast<float>(value)); }

  void write_mla(const MlaConfig& mla) {
    const bool absorbed = options_.mla_layout == MlaLayout::split;
    count("attention.head_count_kv", absorbed ? 1 : c_.heads);
    count("attention.key_length", absorbed ? mla.kv_lora_rank + mla.qk_rope : c_.k_dim);
    count("attention.value_length", absorbed ? mla.kv_lora_rank : c_.v_dim);
    if (absorbed) {
      count("attention.key_length_mla", c_.k_dim);
      count("attention.value_length_mla", c_.v_dim);
    }
    // llama.cpp asks for the key unless there are 27 layers; 0 says that there is no such projection.
    count("attention.q_lora_rank", mla.q_lora_rank);
    count("attention.kv_lora_rank", mla.kv_lora_rank);
  }

  void write_rope() {
    count("rope.dimension_count", c_.rope.dimensions);
    real("rope.freq_base", c_.rope.theta);
    if (c_.rope.scaling != RopeConfig::Scaling::yarn) return;
    writer_.add(prefix_ + "rope.scaling.type", "yarn");
    real("rope.scaling.factor", c_.rope.factor);
    count("rope.scaling.original_context_length", c_.rope.original_context);
    // attention_scale = m² / sqrt(k_dim), m = 1 + key * ln(factor).
    const double m = std::sqrt(c_.attention_scale * std::sqrt(static_cast<double>(c_.k_dim)));
    real("rope.scaling.yarn_log_multiplier", (m - 1) / std::log(c_.rope.factor));
  }

  void write_moe(const MoeConfig& moe) {
    count("expert_count", moe.experts);
    count("expert_used_count", moe.experts_used);
    count("expert_feed_forward_length", moe.expert_ffn);
    if (c_.architecture != Architecture::deepseek2) return;
    count("leading_dense_block_count", moe.leading_dense);
    count("expert_shared_count", moe.shared_experts);
    count("expert_gating_func", moe.scoring == Scoring::sigmoid ? 2 : 1);
    real("expert_weights_scale", moe.scale);
    writer_.add(prefix_ + "expert_weights_norm", moe.renormalize);
    if (moe.groups > 1) {
      count("expert_group_count", moe.groups);
      count("expert_group_used_count", moe.groups_used);
    }
  }

  const ModelConfig& c_;
  const SyntheticOptions& options_;
  GgufWriter& writer_;
  std::string prefix_;
};

// GPT-2's spelling of a byte: printable Latin-1 as it is, the others from U+0100 on.
std::string byte_spelling(int byte) {
  const auto plain = [](int b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255); };
  int code = byte;
  if (!plain(byte)) {
    code = 256;
    for (int b = 0; b < byte; ++b) code += !plain(b);
  }
  if (code < 128) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))};
}

void write_tokenizer(const ModelConfig& config, GgufWriter& writer) {
  enum : int32_t { kNormal = 1, kControl = 3, kUnused = 5 };
  std::vector<std::string> tokens, merges;
  std::vector<int32_t> types;
  const auto add = [&](std::string text, int32_t type) {
    tokens.push_back(std::move(text));
    types.push_back(type);
  };
  for (int byte = 0; byte < 256; ++byte) add(byte_spelling(byte), kNormal);
  for (const char* pair : {"Ġ t", "h e", "i n", "Ġt he", "a n", "o n"}) {
    std::string merged = pair;
    merged.erase(merged.find(' '), 1);
    merges.push_back(pair);
    add(std::move(merged), kNormal);
  }
  const auto bos = static_cast<uint32_t>(tokens.size());
  add("<|begin|>", kControl);
  add("<|end|>", kControl);
  while (tokens.size() < config.vocabulary) add("<|unused " + std::to_string(tokens.size()) + "|>", kUnused);

  const bool qwen = config.architecture == Architecture::qwen2 || config.architecture == Architecture::qwen3moe;
  writer.add("tokenizer.ggml.model", "gpt2");
  writer.add("tokenizer.ggml.pre", config.architecture == Architecture::deepseek2 ? "deepseek-llm"
                                   : qwen                                         ? "qwen2"
                                                                                  : "llama-bpe");
  writer.add("tokenizer.ggml.tokens", std::span<const std::string>(tokens));
  writer.add("tokenizer.ggml.token_type", std::span<const int32_t>(types));
  writer.add("tokenizer.ggml.merges", std::span<const std::string>(merges));
  writer.add("tokenizer.ggml.bos_token_id", bos);
  writer.add("tokenizer.ggml.eos_token_id", bos + 1);
  writer.add("tokenizer.ggml.add_bos_token", true);
  writer.add("tokenizer.chat_template",
             "{{ bos_token }}{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
             "{% if add_generation_prompt %}assistant: {% endif %}");
}

Type type_of(const TensorSpec& spec, const SyntheticOptions& options) {
  if (spec.role == TensorRole::router) return Type::f32;
  if (spec.ne[2] > 1 && spec.role == TensorRole::attention) return Type::bf16;  // attn_k_b, attn_v_b
  return stored_type(spec, spec.role == TensorRole::output ? options.output_type.value_or(options.type) : options.type);
}

}  // namespace

Result<GgufWriter::Sink> write_with_holes(const std::string& path) {
  std::shared_ptr<std::FILE> file(std::fopen(path.c_str(), "wb"), [](std::FILE* f) {
    if (f) std::fclose(f);
  });
  if (!file) return fail(ErrorCode::unreadable, "cannot be written", path);
  return GgufWriter::Sink([file, path, size = std::make_shared<int64_t>(0)](Bytes bytes) -> Status {
    constexpr size_t kPage = 4096;
    const bool hole =
        bytes.size() >= kPage && bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
    *size += static_cast<int64_t>(bytes.size());
    bool fine = hole ? fseeko(file.get(), *size, SEEK_SET) == 0
                     : std::fwrite(bytes.data(), 1, bytes.size(), file.get()) == bytes.size();
    if (bytes.empty()) fine = std::fflush(file.get()) == 0 && ftruncate(fileno(file.get()), *size) == 0;
    return fine ? Status() : fail(ErrorCode::unreadable, "cannot be written", path);
  });
}

Status write_synthetic_model(const ModelConfig& config, const SyntheticOptions& options, GgufWriter::Sink sink) {
  if (config.vocabulary < kMinVocabulary) return fail(ErrorCode::usage, "a vocabulary needs at least 300 tokens");
  if (config.rope.scaling != RopeConfig::Scaling::none &&
      !(config.mla && config.rope.scaling == RopeConfig::Scaling::yarn)) {
    return fail(ErrorCode::usage, "only plain rope, and YaRN of deepseek2, can be written");
  }
  if (ggml_number(options.type) == UINT32_MAX) return fail(ErrorCode::usage, "no type of GGUF files");
  GgufWriter writer(std::move(sink));
  KeyWriter(config, options, writer).write();
  write_tokenizer(config, writer);
  const std::vector<TensorSpec> specs = tensor_specs(config, options.mla_layout);
  for (const TensorSpec& spec : specs) {
    if (Status status = writer.add_tensor(spec.name, ggml_number(type_of(spec, options)), spec.shape()); !status)
      return status;
  }
  if (Status status = writer.begin_data(); !status) return status;

  Random random(options.seed);
  std::map<std::pair<Type, uint64_t>, BlockPool> pools;  // by type and n_in, which sets the deviation
  for (const TensorSpec& spec : specs) {
    const Type type = type_of(spec, options);
    if (spec.role == TensorRole::norm) {
      std::vector<float> values(spec.elements());
      const bool bias = spec.name.ends_with(".bias");
      for (float& value : values) value = static_cast<float>((bias ? 0 : 1) + 0.05 * random.normal());
      const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
      if (Status status = writer.write(Bytes(bytes, values.size() * sizeof(float))); !status) return status;
      continue;
    }
    if (options.hollow) {
      static const std::vector<uint8_t> zeros(16 << 20);
      while (writer.left() > 0) {
        const Bytes piece(zeros.data(), std::min<uint64_t>(zeros.size(), writer.left()));
        if (Status status = writer.write(piece); !status) return status;
      }
      continue;
    }
    // Embeddings of size 1 per element; matrices keep the size of what they multiply.
    const double deviation = spec.role == TensorRole::embedding ? 1 : 1 / std::sqrt(static_cast<double>(spec.ne[0]));
    const uint64_t key = spec.role == TensorRole::embedding ? 0 : spec.ne[0];
    const auto pool = pools.try_emplace({type, key}, type, deviation, random).first;
    if (Status status = pool->second.write(writer, writer.left(), random); !status) return status;
  }
  return writer.finish();
}

}  // namespace vitrine
