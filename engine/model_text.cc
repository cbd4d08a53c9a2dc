#include "engine/model_text.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/tokenizer_gguf.h"
#include "engine/tokenizer_json.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxTokenizerBytes = 256ull << 20;
constexpr uint64_t kMaxConfigBytes = 8ull << 20;

Result<std::optional<std::string>> optional_file(const Weights& weights, const char* name) {
  const fs::path path = fs::path(weights.safetensors()->folder()) / name;
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::optional<std::string>();
  auto text = read_file(path.string(), kMaxConfigBytes);
  if (!text) return tl::make_unexpected(text.error());
  return std::optional<std::string>(std::move(*text));
}

template <class T>
Result<T> in_folder(Result<T> result, const Weights& weights) {
  if (!result) result.error().where = weights.safetensors()->folder() + ", " + result.error().where;
  return result;
}

// "eos_token_id": 2, or a list of such.
Status add_end_tokens(std::string_view text, TokenizerData& data) {
  const auto document = nlohmann::json::parse(text, nullptr, false);
  const auto wrong = [] {
    return fail(ErrorCode::malformed, "must be a token id or a list of them", "generation_config.json, eos_token_id");
  };
  if (!document.is_object()) return fail(ErrorCode::malformed, "is no JSON object", "generation_config.json");
  const auto found = document.find("eos_token_id");
  if (found == document.end() || found->is_null()) return {};
  const auto ids = found->is_array() ? *found : nlohmann::json::array({*found});
  for (const auto& id : ids) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= Tokenizer::kMaxTokens) return wrong();
    const auto token = static_cast<TokenId>(id.get<uint64_t>());
    if (std::find(data.end_of_generation.begin(), data.end_of_generation.end(), token) ==
        data.end_of_generation.end()) {
      data.end_of_generation.push_back(token);
    }
  }
  return {};
}

Result<TokenizerData> read_folder(const Weights& weights) {
  const std::string path = (fs::path(weights.safetensors()->folder()) / "tokenizer.json").string();
  const auto text = read_file(path, kMaxTokenizerBytes);
  if (!text) return tl::make_unexpected(text.error());
  auto data = in_folder(read_tokenizer_json(*text), weights);
  if (!data) return data;
  const std::pair<const char*, Status (*)(std::string_view, TokenizerData&)> additions[] = {
      {"tokenizer_config.json", apply_tokenizer_config}, {"generation_config.json", add_end_tokens}};
  for (const auto& [name, apply] : additions) {
    const auto more = optional_file(weights, name);
    if (!more) return tl::make_unexpected(more.error());
    if (!*more) continue;
    if (Status status = in_folder<void>(apply(**more, *data), weights); !status) {
      return tl::make_unexpected(status.error());
    }
  }
  return data;
}

}  // namespace

Result<Tokenizer> load_tokenizer(const Weights& weights) {
  auto data = weights.gguf() != nullptr ? read_tokenizer_gguf(*weights.gguf()) : read_folder(weights);
  if (!data) return tl::make_unexpected(data.error());
  return Tokenizer::create(std::move(*data));
}

Result<std::string> load_chat_template(const Weights& weights) {
  if (weights.gguf() != nullptr) return gguf_chat_template(*weights.gguf());
  auto own = optional_file(weights, "chat_template.jinja");
  if (!own) return tl::make_unexpected(own.error());
  if (*own) return std::move(**own);
  const auto config = optional_file(weights, "tokenizer_config.json");
  if (!config) return tl::make_unexpected(config.error());
  if (!*config) return std::string();
  return in_folder(config_chat_template(**config), weights);
}

}  // namespace vitrine
