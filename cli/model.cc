// vitrine model show: what a model file holds, and what running it takes.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/json_writer.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/quantity.h"
#include "engine/plan.h"
#include "engine/weights.h"

namespace vitrine::cli {
namespace {

namespace fs = std::filesystem;

struct TypeSum {
  uint64_t tensors = 0, elements = 0, bytes = 0;
  bool supported = true;
};

// Everything the two output forms print.
struct Shown {
  std::string path, format;
  uint64_t files = 1;
  std::map<std::string, TypeSum> types;
  std::string tokenizer;  // "gpt2, pre deepseek-llm, 102400 tokens"; "" when there is none
  bool template_present = false;
  std::optional<ModelConfig> config;
  std::optional<WeightBytes> weights;
  std::string refusal;  // why it cannot run here; "" when it can
};

std::string_view text_of(const GgufModel& model, const char* key) {
  const GgufValue* value = model.find(key);
  return value == nullptr ? std::string_view() : value->as_string().value_or("");
}

void add_gguf(const GgufModel& model, Shown& out) {
  out.format = "GGUF version " + std::to_string(model.version());
  out.files = model.parts();
  for (const GgufTensor& tensor : model.tensors()) {
    TypeSum& sum = out.types[std::string(tensor.type.name)];
    ++sum.tensors;
    sum.elements += tensor.elements();
    sum.bytes += tensor.bytes;
    sum.supported = type_from_ggml(tensor.type.number).has_value();
  }
  const GgufValue* tokens = model.find("tokenizer.ggml.tokens");
  if (tokens != nullptr && tokens->type() == GgufType::array) {
    out.tokenizer = printable(text_of(model, "tokenizer.ggml.model"));
    const std::string_view pre = text_of(model, "tokenizer.ggml.pre");
    if (!pre.empty()) out.tokenizer += ", pre " + printable(pre);
    out.tokenizer += ", " + std::to_string(tokens->count()) + " tokens";
  }
  out.template_present = !text_of(model, "tokenizer.chat_template").empty();
}

void add_safetensors(const SafetensorsModel& model, Shown& out) {
  out.format = "safetensors";
  out.files = model.files();
  for (const SafetensorsTensor& tensor : model.tensors()) {
    TypeSum& sum = out.types[std::string(safetensors_type_name(tensor.type))];
    ++sum.tensors;
    sum.elements += tensor.bytes / safetensors_type_bytes(tensor.type);
    sum.bytes += tensor.bytes;
    sum.supported = type_from_safetensors(tensor.type).has_value();
  }
  const fs::path folder = model.folder();
  std::error_code ignored;
  if (fs::exists(folder / "tokenizer.json", ignored)) out.tokenizer = "tokenizer.json";
  out.template_present = fs::exists(folder / "chat_template.jinja", ignored);
  if (const auto text = read_file((folder / "tokenizer_config.json").string(), 4 << 20)) {
    out.template_present = out.template_present || text->find("\"chat_template\"") != std::string::npos;
  }
}

// The file itself must be readable; whether the model can run is part of what is shown.
Result<Shown> inspect(const std::string& path) {
  Shown out;
  out.path = path;
  auto files = open_model_files(path);
  if (!files) return tl::make_unexpected(files.error());
  if (const auto* gguf = std::get_if<GgufModel>(&*files)) add_gguf(*gguf, out);
  if (const auto* safetensors = std::get_if<SafetensorsModel>(&*files)) add_safetensors(*safetensors, out);
  const auto weights = Weights::of(std::move(*files));
  if (!weights) {
    out.refusal = weights.error().to_string();
    return out;
  }
  out.config = weights->config();
  if (const auto bytes = WeightBytes::of(*weights)) {
    out.weights = *bytes;
  } else {
    out.refusal = bytes.error().to_string();
  }
  return out;
}

std::string rope_text(const RopeConfig& rope) {
  constexpr const char* kScalings[] = {"", ", linear", ", YaRN", ", Llama 3 factors", ", divisors in the file"};
  std::string out = fmt::format("{} of a head, base {:g}, {}{}", rope.dimensions, rope.theta,
                                rope.style == RopeStyle::interleaved ? "neighbours paired" : "halves paired",
                                kScalings[static_cast<size_t>(rope.scaling)]);
  if (rope.factor != 1) out += fmt::format(" x {:g}", rope.factor);
  if (rope.original_context > 0) out += fmt::format(" from {} tokens", rope.original_context);
  return out;
}

std::string experts_text(const MoeConfig& moe) {
  std::string out = fmt::format("{} of {} per token, width {}", moe.experts_used, moe.experts, moe.expert_ffn);
  if (moe.shared_experts > 0) out += fmt::format(", {} shared", moe.shared_experts);
  if (moe.leading_dense > 0) out += fmt::format("; dense layers before: {}", moe.leading_dense);
  out += moe.scoring == Scoring::sigmoid ? "; sigmoid" : "; softmax";
  if (moe.selection_bias) out += " with selection bias";
  if (moe.groups > 1) out += fmt::format(", {} of {} groups", moe.groups_used, moe.groups);
  if (moe.renormalize) out += ", renormalized";
  if (moe.scale != 1) out += fmt::format(", x {:g}", moe.scale);
  return out;
}

void print_config(const ModelConfig& c) {
  fmt::print("  architecture   {}{}\n", architecture_name(c.architecture),
             c.name.empty() ? "" : " (" + printable(c.name) + ")");
  fmt::print("  parameters     {}, {} read per token\n", parameter_count(static_cast<double>(parameters(c))),
             parameter_count(static_cast<double>(parameters_per_token(c))));
  fmt::print("  layers         {}, embedding {}, vocabulary {}, context {}\n", c.layers, c.embedding, c.vocabulary,
             c.context);
  fmt::print("  attention      {} heads, {} for keys and values, {} + {} elements", c.heads, c.kv_heads, c.k_dim,
             c.v_dim);
  if (c.mla)
    fmt::print("; MLA: queries {}, latent {}, rope {}", c.mla->q_lora_rank, c.mla->kv_lora_rank, c.mla->qk_rope);
  fmt::print("\n  rope           {}\n", rope_text(c.rope));
  if (c.ffn > 0) fmt::print("  dense FFN      width {}\n", c.ffn);
  if (c.moe) fmt::print("  experts        {}\n", experts_text(*c.moe));
}

void print_text(const Shown& shown) {
  fmt::print("{}\n  format         {}, {} file{}\n", shown.path, shown.format, shown.files,
             shown.files == 1 ? "" : "s");
  if (shown.config) print_config(*shown.config);
  fmt::print("  tokenizer      {}\n", shown.tokenizer.empty() ? "none" : shown.tokenizer);
  fmt::print("  chat template  {}\n", shown.template_present ? "yes" : "no");
  fmt::print("  tensors        type      number      elements         bytes\n");
  for (const auto& [name, sum] : shown.types) {
    fmt::print("                 {:<8} {:>7} {:>13} {:>13}{}\n", name, sum.tensors,
               quantity(static_cast<double>(sum.elements), ""), quantity(static_cast<double>(sum.bytes), "B"),
               sum.supported ? "" : "  (not supported)");
  }
  if (shown.weights && shown.config) {
    const ModelConfig& c = *shown.config;
    const auto kv = static_cast<double>(c.kv_bytes_per_token(Type::bf16));
    fmt::print("  memory         weights {}, cache {} per token (BF16; {} for {} tokens)\n",
               quantity(static_cast<double>(shown.weights->total), "B"), quantity(kv, "B"),
               quantity(kv * c.context, "B"), c.context);
  }
  if (!shown.refusal.empty()) fmt::print("  cannot run     {}\n", shown.refusal);
}

void write_config(JsonWriter& w, const ModelConfig& c) {
  w.key("architecture").plain(architecture_name(c.architecture)).key("name").string(c.name);
  w.key("parameters").number(parameters(c)).key("parameters_per_token").number(parameters_per_token(c));
  w.key("layers").number(c.layers).key("embedding").number(c.embedding).key("vocabulary").number(c.vocabulary);
  w.key("context").number(c.context).key("heads").number(c.heads).key("kv_heads").number(c.kv_heads);
  w.key("k_dim").number(c.k_dim).key("v_dim").number(c.v_dim).key("ffn").number(c.ffn).key("rms_eps").real(c.rms_eps);
  w.key("attention_scale").real(c.attention_scale);
  constexpr const char* kScalings[] = {"none", "linear", "yarn", "llama3", "divisors"};
  w.key("rope").begin().key("style").plain(c.rope.style == RopeStyle::interleaved ? "interleaved" : "halves");
  w.key("dimensions").number(c.rope.dimensions).key("theta").real(c.rope.theta);
  w.key("scaling").plain(kScalings[static_cast<size_t>(c.rope.scaling)]).key("factor").real(c.rope.factor);
  w.key("original_context").number(c.rope.original_context).end();
  if (c.mla) {
    w.key("mla").begin().key("q_lora_rank").number(c.mla->q_lora_rank).key("kv_lora_rank").number(c.mla->kv_lora_rank);
    w.key("qk_nope")
        .number(c.mla->qk_nope)
        .key("qk_rope")
        .number(c.mla->qk_rope)
        .key("v_head")
        .number(c.mla->v_head)
        .end();
  }
  if (c.moe) {
    const MoeConfig& m = *c.moe;
    w.key("moe").begin().key("experts").number(m.experts).key("experts_used").number(m.experts_used);
    w.key("expert_ffn").number(m.expert_ffn).key("shared_experts").number(m.shared_experts);
    w.key("leading_dense")
        .number(m.leading_dense)
        .key("scoring")
        .plain(m.scoring == Scoring::sigmoid ? "sigmoid" : "softmax");
    w.key("groups").number(m.groups).key("groups_used").number(m.groups_used).key("group_top").number(m.group_top);
    w.key("renormalize").boolean(m.renormalize).key("scale").real(m.scale);
    w.key("selection_bias").boolean(m.selection_bias).end();
  }
}

void print_json(const Shown& shown) {
  std::string out;
  JsonWriter w(out);
  w.begin().key("path").string(shown.path).key("format").string(shown.format).key("files").number(shown.files);
  w.key("can_run").boolean(shown.refusal.empty());
  if (!shown.refusal.empty()) w.key("refusal").string(shown.refusal);
  if (shown.config) write_config(w, *shown.config);
  w.key("tokenizer").string(shown.tokenizer).key("chat_template").boolean(shown.template_present);
  w.key("types").begin();
  for (const auto& [name, sum] : shown.types) {
    w.key(name).begin().key("tensors").number(sum.tensors).key("elements").number(sum.elements);
    w.key("bytes").number(sum.bytes).key("supported").boolean(sum.supported).end();
  }
  w.end();
  if (shown.weights && shown.config) {
    w.key("memory").begin().key("weights").number(shown.weights->total);
    w.key("kv_bytes_per_token").number(shown.config->kv_bytes_per_token(Type::bf16)).end();
  }
  w.end();
  fmt::print("{}\n", out);
}

}  // namespace

void add_model(CLI::App& app, int& exit_code) {
  struct Flags {
    std::string path;
    bool json = false;
  };
  auto flags = std::make_shared<Flags>();
  auto* command = app.add_subcommand("model", "look into model files");
  command->require_subcommand(1);
  auto* show = command->add_subcommand("show", "architecture, hyper-parameters, tensors, tokenizer, memory");
  show->add_option("file", flags->path,
                   "GGUF file (any part of a split one), safetensors file, or folder with config.json")
      ->required();
  show->add_flag("--json", flags->json, "as JSON");
  show->footer(
      "Examples:\n"
      "  vitrine model show DeepSeek-V3-Q4_K_M-00001-of-00009.gguf\n"
      "  vitrine model show ./Qwen3-30B-A3B/ --json | jq .memory");
  show->callback([flags, &exit_code] {
    const auto shown = inspect(flags->path);
    if (!shown) {
      exit_code = report_error(shown.error());
    } else if (flags->json) {
      print_json(*shown);
    } else {
      print_text(*shown);
    }
  });
}

}  // namespace vitrine::cli
